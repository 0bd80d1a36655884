"""Import: premises, propositions, judgments, choices and groups of annotators from files.

An import is all or nothing: a file with a mistake changes nothing and raises `InputError` with the place. All imports
take `columns`, pairs of `FIELD=COLUMN` as on the command line; `source`, the default source of the rows; and `reading`,
how to read the file where that should not be detected. `split` is the split that is stated for the whole file.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import ValidationError

from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import Merged, merge, merge_all
from warehouse.errors import InputError
from warehouse.files.annotators import GROUP_FIELDS, group_columns, groups_of
from warehouse.files.choices import FIELDS as CHOICE_FIELDS
from warehouse.files.choices import read_choices
from warehouse.files.imports import JudgmentBatch, read_judgments
from warehouse.files.judgment_columns import FIELDS, JudgmentMapping
from warehouse.files.known import ChoiceFormat, JudgmentFormat, PropositionFormat
from warehouse.files.reading import AS_FOUND, Reading
from warehouse.files.texts import (
    PREMISE_FIELDS,
    PROPOSITION_FIELDS,
    premise_columns,
    premises_of,
    read_propositions,
    stated_splits_of,
)
from warehouse.queries.arriving import known_from_elsewhere
from warehouse.records import AnnotatorKind, Drop, Split


def import_premises(
    file: Path | str,
    *,
    config: Config = None,
    source: str | None = None,
    columns: Sequence[str] = (),
    split: Split | None = None,
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import premises from a CSV, JSON Lines or parquet file."""
    settings, source = load_settings(config), _named(source)
    read = premise_columns(Path(file), pairs(columns, PREMISE_FIELDS), reading)
    premises, stated = premises_of(read, source), stated_splits_of(read, source, split)
    with writing(settings) as warehouse:
        merged = merge_all(warehouse, [premises, stated])
    return _outcome("import premises", merged, read.said)


def import_propositions(
    file: Path | str,
    *,
    config: Config = None,
    source: str | None = None,
    columns: Sequence[str] = (),
    scale: str = "0:1",
    split: Split | None = None,
    format_: PropositionFormat = "plain",
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import propositions with their premises. `scale` is `LOW:HIGH` of their probabilities."""
    settings = load_settings(config)
    batch = read_propositions(
        Path(file),
        _named(source),
        split_shares=(settings.splits.train, settings.splits.dev),
        columns=pairs(columns, PROPOSITION_FIELDS),
        scale=ends_of(scale),
        split=split,
        format_=format_,
        reading=reading,
    )
    with writing(settings) as warehouse:
        merged = merge_all(warehouse, [batch.premises, batch.propositions, batch.stated, batch.drops])
    return _outcome("import propositions", merged, batch.said, batch.drops)


def import_judgments(
    file: Path | str,
    *,
    config: Config = None,
    source: str | None = None,
    columns: Sequence[str] = (),
    scale: str | None = None,
    ordinal: str | None = None,
    values: str | None = None,
    counts: str | None = None,
    annotators: AnnotatorKind | None = None,
    format_: JudgmentFormat = "plain",
    split: Split | None = None,
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import judgments with their premises, propositions and annotators.

    Args:
        file: The file.
        config: The settings, or the file to read them from.
        source: The source of the rows; the file's name by default, unless another source has most of the judgments.
        columns: Pairs of `FIELD=COLUMN`.
        scale: `LOW:HIGH` of the ratings; by default 0:100, or that of the format.
        ordinal: `LOW:HIGH` of ratings that are labels, or words from the lowest to the highest with commas between
            them (or bars); each stands for an interval of equal width.
        values: The column that holds a list of ratings in each row, in place of one rating.
        counts: The column that holds a list of counts in each row, with the rating that each counts, such as
            `label_count=1,0.5,0`; without them its cells are objects of counts by rating.
        annotators: What they are: people (imported or human), simulated, aggregate (each label stands for several
            people) or anonymous (each rating comes from an unknown person). The last two have no column. By default
            what the format says, anonymous for values and counts, and imported otherwise.
        format_: A named format.
        split: The split of the whole file, if it states one.
        reading: How to read the file where that should not be detected.
    """
    settings, file = load_settings(config), Path(file)
    mapping = mapping_of(
        columns, scale, ordinal=ordinal, values=values, counts=counts, annotator_kind=annotators, format=format_
    )
    batch = read_judgments(
        file,
        mapping,
        source=_named(source) or file.stem,
        split_shares=(settings.splits.train, settings.splits.dev),
        split=split,
        reading=reading,
    )
    with writing(settings) as warehouse:
        if source is None:
            _refuse_known(warehouse, file, batch)
        cut = merge(warehouse, batch.bounds).inserted
        rows = [batch.premises, batch.propositions, batch.annotators, batch.judgments, batch.stated, batch.drops]
        merged = merge_all(warehouse, rows)
    said = [*batch.said, *([f"{cut:,} values cut to their bounds: see the table drops"] if cut else [])]
    if not mapping.has_annotators:
        merged.pop("annotators")
    return _outcome("import judgments", merged, said, batch.drops)


def _named(source: str | None) -> str | None:
    """Return the name of a source that is given, if any. Raises `InputError` if nothing can be read in it."""
    if source is not None and not source.strip():
        raise InputError("the source needs a name, and this one is empty; leave --source out to use the file's name")
    return source


def _refuse_known(warehouse: Warehouse, file: Path, batch: JudgmentBatch) -> None:
    """Refuse a file under a name of its own that another source brought, whose annotators would all count twice."""
    known = known_from_elsewhere(warehouse, batch.judgments, batch.annotators, file.stem)
    if known is not None:
        raise InputError(
            f"{file}: {known.n:,} of its judgments came from the source {known.source!r} before, with the same texts, "
            f"annotators and ratings; use --source {shlex.quote(known.source)} to add only what is new, or --source "
            "with another name if these are other people"
        )


def import_choices(
    file: Path | str,
    *,
    config: Config = None,
    source: str | None = None,
    columns: Sequence[str] = (),
    first: int = 0,
    format_: ChoiceFormat = "plain",
    split: Split | None = None,
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import multiple-choice questions; the right alternative must score higher than each wrong one.

    `first` is the number of the first alternative in the column answer.
    """
    settings = load_settings(config)
    batch = read_choices(
        Path(file),
        _named(source),
        split_shares=(settings.splits.train, settings.splits.dev),
        columns=pairs(columns, CHOICE_FIELDS),
        first=first,
        split=split,
        format_=format_,
        reading=reading,
    )
    with writing(settings) as warehouse:
        merged = merge_all(warehouse, [batch.premises, batch.propositions, batch.choices, batch.stated, batch.drops])
    return _outcome("import choices", merged, batch.said, batch.drops)


def import_groups(
    file: Path | str, *, config: Config = None, columns: Sequence[str] = (), reading: Reading = AS_FOUND
) -> Outcome:
    """Assign annotators to groups."""
    settings = load_settings(config)
    read = group_columns(Path(file), pairs(columns, GROUP_FIELDS), reading)
    with writing(settings) as warehouse:
        merged = merge(warehouse, groups_of(warehouse, read))
    counts = {"annotators changed": merged.updated, "as before": merged.unchanged}
    return Outcome(stage="import groups", counts=counts, note="; ".join(read.said))


def pairs(columns: Sequence[str], fields: Collection[str]) -> dict[str, str | None]:
    """Parse `FIELD=COLUMN` options; `FIELD=` gives None. Raises `InputError` for anything else."""
    given: dict[str, str | None] = {}
    for pair in columns:
        field, equals, column = pair.partition("=")
        if not equals or field not in fields:
            raise InputError(f"--column {pair} must be FIELD=COLUMN, where FIELD is one of {', '.join(fields)}")
        if field in given:
            raise InputError(f"--column {pair}: {field} is given twice")
        given[field] = column or None
    return given


def ends_of(scale: str, option: str = "--scale", example: str = "0:100") -> tuple[float, float]:
    """Parse a scale such as 0:100, 0.5:7 or 0%:100%. Raises `InputError` for anything else."""
    low, colon, high = scale.partition(":")
    try:
        ends = (float(low.strip().removesuffix("%")), float(high.strip().removesuffix("%")))
    except ValueError as error:
        raise InputError(f"{option} {scale} must be LOW:HIGH, such as {example}") from error
    if not colon or not -math.inf < ends[0] < ends[1] < math.inf:
        raise InputError(f"{option} {scale}: LOW must be below HIGH, as in {example}")
    return ends


def mapping_of(
    columns: Sequence[str],
    scale: str | None = None,
    *,
    ordinal: str | None = None,
    values: str | None = None,
    counts: str | None = None,
    **more: str | None,
) -> JudgmentMapping:
    """Return the column mapping for the options of the command line. Raises `InputError` if they are wrong."""
    given: dict[str, object] = {**pairs(columns, FIELDS), **more}
    if scale is not None:
        given["scale"] = ends_of(scale)
    if ordinal is not None:
        if scale is not None:
            raise InputError(f"--ordinal {ordinal} and --scale {scale} contradict each other: use one of them")
        if len(words := _words(ordinal)) > 1:
            given["ordinal_words"] = words
        else:
            given["ordinal"] = _labels(ordinal)
    if ((values or counts) and "responses" in given) or (values and counts):
        raise InputError("--values, --counts and --column responses= name the same column: use one of them")
    if values:
        given["responses"] = values
    if counts:
        given["responses"], given["counted"] = _counted(counts)
    try:
        return JudgmentMapping.model_validate(given)
    except ValidationError as error:
        named = error.errors()[0]["loc"][0]
        raise InputError(
            f"--column {named}= is not possible; a file of judgments needs a column for {named}"
        ) from error


def _words(ordinal: str) -> list[str]:
    """The labels from the lowest to the highest, separated by commas, or by bars if words contain commas."""
    words = [word.strip() for word in ordinal.split("|" if "|" in ordinal else ",")]
    if len(words) > 1 and (not all(words) or len({word.lower() for word in words}) < len(words)):
        raise InputError(f"--ordinal {ordinal} must have each label once, from the lowest to the highest")
    return words


def _labels(ordinal: str) -> tuple[int, int]:
    low, high = ends_of(ordinal, "--ordinal", "1:5")
    if not (low.is_integer() and high.is_integer()):
        raise InputError(
            f"--ordinal {ordinal} must be the lowest and highest label, whole numbers such as 1:5, or words"
        )
    return int(low), int(high)


def _counted(counts: str) -> tuple[str, list[float]]:
    """The column of counts, and the ratings that they count, if given."""
    column, _, ratings = counts.rpartition("=") if "=" in counts else (counts, "", "")
    try:
        return column, [float(each) for each in ratings.split(",") if each.strip()]
    except ValueError as error:
        raise InputError(f"--counts {counts} must be COLUMN=RATING,RATING,..., such as counts=0,0.5,1") from error


def _outcome(stage: str, merged: dict[str, Merged], said: Sequence[str], drops: Sequence[Drop] = ()) -> Outcome:
    """Count new rows by table and known rows, and say why rows were dropped and what was detected in the file."""
    told = {table: rows for table, rows in merged.items() if table not in ("drops", "stated_splits")}
    counts = {f"new {table}": rows.inserted for table, rows in told.items()}
    counts["changed"] = sum(rows.updated for rows in merged.values())
    counts["already there"] = sum(rows.unchanged for rows in merged.values())
    if "stated_splits" in merged:
        stated = merged["stated_splits"]
        counts["premises with a stated split"] = stated.inserted + stated.updated + stated.unchanged
    if "drops" in merged:
        counts["dropped"] = merged["drops"].inserted
        if merged["drops"].inserted:
            reasons = Counter(drop.reason for drop in drops)
            listed = ", ".join(f"{reason} ({n:,})" for reason, n in sorted(reasons.items()))
            said = [*said, f"left out: {listed}, see the table drops"]
    return Outcome(stage=stage, counts=counts, note="; ".join(said))
