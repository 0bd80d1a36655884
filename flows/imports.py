"""Import: premises, propositions, judgments and groups of annotators from files.

An import is all or nothing: a file with a mistake changes nothing and raises `InputError` with the place. All imports
take `columns`, pairs of `FIELD=COLUMN` as on the command line; `source`, the default source of the rows; and `reading`,
how to read the file where that should not be detected.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import ValidationError

from flows.outcome import Outcome
from flows.services import writing
from flows.settings.settings import Config, load_settings
from warehouse.catalog.store import Merged, merge, merge_all
from warehouse.errors import InputError
from warehouse.files.annotators import GROUP_FIELDS, group_columns, groups_of
from warehouse.files.imports import read_judgments
from warehouse.files.judgment_columns import FIELDS, Format, JudgmentMapping
from warehouse.files.reading import AS_FOUND, Reading
from warehouse.files.texts import PREMISE_FIELDS, PROPOSITION_FIELDS, premise_columns, premises_of, read_propositions
from warehouse.records import AnnotatorKind


def import_premises(
    file: Path | str,
    *,
    config: Config = None,
    source: str | None = None,
    columns: Sequence[str] = (),
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import premises from a CSV, JSON Lines or parquet file."""
    settings = load_settings(config)
    read = premise_columns(Path(file), pairs(columns, PREMISE_FIELDS), reading)
    premises = premises_of(read, source)
    with writing(settings) as warehouse:
        merged = merge_all(warehouse, [premises])
    return _outcome("import premises", merged, read.said)


def import_propositions(
    file: Path | str,
    *,
    config: Config = None,
    source: str | None = None,
    columns: Sequence[str] = (),
    scale: str = "0:1",
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import propositions with their premises. `scale` is `LOW:HIGH` of their probabilities."""
    settings = load_settings(config)
    batch = read_propositions(
        Path(file),
        source,
        split_shares=(settings.splits.train, settings.splits.dev),
        columns=pairs(columns, PROPOSITION_FIELDS),
        scale=ends_of(scale),
        reading=reading,
    )
    with writing(settings) as warehouse:
        merged = merge_all(warehouse, [batch.premises, batch.propositions, batch.drops])
    return _outcome("import propositions", merged, batch.said)


def import_judgments(
    file: Path | str,
    *,
    config: Config = None,
    source: str | None = None,
    columns: Sequence[str] = (),
    scale: str = "0:100",
    annotators: AnnotatorKind = "imported",
    format_: Format = "plain",
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import judgments with their premises, propositions and annotators.

    `scale` is `LOW:HIGH` of the ratings. `annotators` says whether they are people (imported or human) or simulated.
    """
    settings, file = load_settings(config), Path(file)
    mapping = mapping_of(columns, scale).model_copy(update={"annotator_kind": annotators, "format": format_})
    batch = read_judgments(
        file,
        mapping,
        source=source or file.stem,
        split_shares=(settings.splits.train, settings.splits.dev),
        reading=reading,
    )
    with writing(settings) as warehouse:
        cut = merge(warehouse, batch.bounds).inserted
        rows = [batch.premises, batch.propositions, batch.annotators, batch.judgments, batch.drops]
        merged = merge_all(warehouse, rows)
    said = [*batch.said, *([f"{cut:,} values cut to their bounds: see the table drops"] if cut else [])]
    return _outcome("import judgments", merged, said)


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


def ends_of(scale: str) -> tuple[float, float]:
    """Parse a scale such as 0:100, 0.5:7 or 0%:100%. Raises `InputError` for anything else."""
    low, colon, high = scale.partition(":")
    try:
        ends = (float(low.strip().removesuffix("%")), float(high.strip().removesuffix("%")))
    except ValueError as error:
        raise InputError(f"--scale {scale} must be LOW:HIGH, such as 0:100") from error
    if not colon or not -math.inf < ends[0] < ends[1] < math.inf:
        raise InputError(f"--scale {scale}: LOW must be below HIGH, as in 0:100")
    return ends


def mapping_of(columns: Sequence[str], scale: str) -> JudgmentMapping:
    """Return the column mapping for the options of the command line. Raises `InputError` if they are wrong."""
    given = pairs(columns, FIELDS)
    try:
        return JudgmentMapping.model_validate({**given, "scale": ends_of(scale)})
    except ValidationError as error:
        named = error.errors()[0]["loc"][0]
        raise InputError(
            f"--column {named}= is not possible; a file of judgments needs a column for {named}"
        ) from error


def _outcome(stage: str, merged: dict[str, Merged], said: Sequence[str]) -> Outcome:
    """Count new rows by table and known rows, and say what was detected in the file."""
    counts = {f"new {table}": rows.inserted for table, rows in merged.items() if table != "drops"}
    counts["changed"] = sum(rows.updated for rows in merged.values())
    counts["already there"] = sum(rows.unchanged for rows in merged.values())
    if "drops" in merged:
        counts["dropped"] = merged["drops"].inserted
    return Outcome(stage=stage, counts=counts, note="; ".join(said))
