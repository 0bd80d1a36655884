"""Import: premises, propositions and judgments from files. No flow: a person runs them once and sees what is wrong."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import ValidationError

from flows.outcome import Outcome
from flows.services import writing
from flows.settings.settings import Settings
from warehouse.catalog.store import Merged, merge, merge_all
from warehouse.errors import InputError
from warehouse.files.annotators import GROUP_FIELDS, group_columns, groups_of
from warehouse.files.imports import read_judgments
from warehouse.files.judgment_columns import FIELDS, Format, JudgmentMapping
from warehouse.files.reading import AS_FOUND, Reading
from warehouse.files.texts import PREMISE_FIELDS, PROPOSITION_FIELDS, premise_columns, premises_of, read_propositions
from warehouse.records import AnnotatorKind


def import_premises(
    settings: Settings,
    file: Path,
    *,
    source: str | None = None,
    columns: Sequence[str] = (),
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import premises. All or nothing: a file with a mistake changes nothing (`InputError` with its place).

    In all imports `columns` are `FIELD=COLUMN` pairs, and `source` is where what names no source of its own is from.
    """
    read = premise_columns(file, pairs(columns, PREMISE_FIELDS), reading)
    premises = premises_of(read, source)
    with writing(settings) as warehouse:
        merged = merge_all(warehouse, [premises])
    return _outcome("import premises", merged, read.said)


def import_propositions(
    settings: Settings,
    file: Path,
    *,
    source: str | None = None,
    columns: Sequence[str] = (),
    scale: str = "0:1",
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import propositions with their premises. All or nothing, as for premises. `scale` is that of probabilities."""
    batch = read_propositions(
        file,
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
    settings: Settings,
    file: Path,
    *,
    source: str | None = None,
    columns: Sequence[str] = (),
    scale: str = "0:100",
    annotators: AnnotatorKind = "imported",
    format_: Format = "plain",
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import judgments with everything they speak of. `scale` is `LOW:HIGH`, `format_` a named format or plain.

    `annotators` says what the annotators of the file are: people (imported or human), or simulated.
    """
    mapping = mapping_of(columns, scale).model_copy(update={"annotator_kind": annotators, "format": format_})
    batch = read_judgments(
        file,
        mapping,
        source=source or file.stem,
        split_shares=(settings.splits.train, settings.splits.dev),
        reading=reading,
    )
    with writing(settings) as warehouse:
        rows = [batch.premises, batch.propositions, batch.annotators, batch.judgments, batch.drops]
        merged = merge_all(warehouse, rows)
    return _outcome("import judgments", merged, batch.said)


def import_groups(
    settings: Settings, file: Path, *, columns: Sequence[str] = (), reading: Reading = AS_FOUND
) -> Outcome:
    """Put annotators into the groups that a file gives them. All or nothing, as for premises."""
    read = group_columns(file, pairs(columns, GROUP_FIELDS), reading)
    with writing(settings) as warehouse:
        merged = merge(warehouse, groups_of(warehouse, read))
    counts = {"annotators changed": merged.updated, "as before": merged.unchanged}
    return Outcome(stage="import groups", counts=counts, note="; ".join(read.said))


def pairs(columns: Sequence[str], fields: Collection[str]) -> dict[str, str | None]:
    """The column of each field that a person's options name; None for `FIELD=`. Raises `InputError`."""
    given: dict[str, str | None] = {}
    for pair in columns:
        field, equals, column = pair.partition("=")
        if not equals or field not in fields:
            raise InputError(f"--column {pair}: write FIELD=COLUMN, where FIELD is one of {', '.join(fields)}")
        if field in given:
            raise InputError(f"--column {pair}: {field} is named twice")
        given[field] = column or None
    return given


def ends_of(scale: str) -> tuple[float, float]:
    """The ends of a scale, such as 0:100, 0.5:7 or 0%:100%. Raises `InputError` for what is none."""
    low, colon, high = scale.partition(":")
    try:
        ends = (float(low.strip().removesuffix("%")), float(high.strip().removesuffix("%")))
    except ValueError as error:
        raise InputError(f"--scale {scale}: write LOW:HIGH, such as 0:100") from error
    if not colon or not -math.inf < ends[0] < ends[1] < math.inf:
        raise InputError(f"--scale {scale}: LOW must be below HIGH, such as 0:100")
    return ends


def mapping_of(columns: Sequence[str], scale: str) -> JudgmentMapping:
    """The column mapping that a person's options describe. Raises `InputError` for what cannot be read."""
    given = pairs(columns, FIELDS)
    try:
        return JudgmentMapping.model_validate({**given, "scale": ends_of(scale)})
    except ValidationError as error:
        named = error.errors()[0]["loc"][0]
        raise InputError(f"--column {named}=: a file of judgments needs a column for {named}") from error


def _outcome(stage: str, merged: dict[str, Merged], said: Sequence[str]) -> Outcome:
    """New rows a table, what was there already, and what was recognised in the file."""
    counts = {f"new {table}": rows.inserted for table, rows in merged.items() if table != "drops"}
    counts["changed"] = sum(rows.updated for rows in merged.values())
    counts["already there"] = sum(rows.unchanged for rows in merged.values())
    if "drops" in merged:
        counts["dropped"] = merged["drops"].inserted
    return Outcome(stage=stage, counts=counts, note="; ".join(said))
