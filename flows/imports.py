"""Import: premises, propositions and judgments from files. No flow: a person runs them once and sees what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from flows.outcome import Outcome
from flows.services import writing
from flows.settings import Settings
from warehouse.errors import InputError
from warehouse.files.annotators import read_groups
from warehouse.files.imports import JudgmentMapping, read_judgments
from warehouse.files.texts import read_premises, read_propositions
from warehouse.records import AnnotatorKind
from warehouse.store import Merged, merge, merge_all

COLUMNS = tuple(name for name in JudgmentMapping.model_fields if name not in ("scale", "annotator_kind"))


def import_premises(settings: Settings, file: Path) -> Outcome:
    """Import premises. All or nothing: a file with a mistake changes nothing (`InputError` with its place)."""
    premises = read_premises(file)
    with writing(settings) as warehouse:
        merged = merge_all(warehouse, [premises])
    return _outcome("import premises", merged)


def import_propositions(settings: Settings, file: Path) -> Outcome:
    """Import propositions with their premises. All or nothing, as for premises."""
    batch = read_propositions(file, split_shares=(settings.splits.train, settings.splits.dev))
    with writing(settings) as warehouse:
        merged = merge_all(warehouse, [batch.premises, batch.propositions, batch.drops])
    return _outcome("import propositions", merged)


def import_judgments(
    settings: Settings, file: Path, *, source: str | None, columns: Sequence[str], scale: str, annotators: AnnotatorKind
) -> Outcome:
    """Import judgments with everything they speak of. `columns` are `FIELD=COLUMN` pairs, `scale` is `LOW:HIGH`.

    `annotators` says what the annotators of the file are: people (imported or human), or simulated.
    """
    mapping = mapping_of(columns, scale).model_copy(update={"annotator_kind": annotators})
    batch = read_judgments(
        file, mapping, source=source or file.stem, split_shares=(settings.splits.train, settings.splits.dev)
    )
    with writing(settings) as warehouse:
        rows = [batch.premises, batch.propositions, batch.annotators, batch.judgments, batch.drops]
        merged = merge_all(warehouse, rows)
    return _outcome("import judgments", merged)


def import_groups(settings: Settings, file: Path) -> Outcome:
    """Put annotators into the groups that a file gives them. All or nothing, as for premises."""
    with writing(settings) as warehouse:
        merged = merge(warehouse, read_groups(warehouse, file))
    return Outcome(stage="import groups", counts={"annotators changed": merged.updated, "as before": merged.unchanged})


def mapping_of(columns: Sequence[str], scale: str) -> JudgmentMapping:
    """The column mapping that a person's options describe. Raises `InputError` for what cannot be read."""
    given: dict[str, str | None] = {}
    for pair in columns:
        field, equals, column = pair.partition("=")
        if not equals or field not in COLUMNS:
            raise InputError(f"--column {pair}: write FIELD=COLUMN, where FIELD is one of {', '.join(COLUMNS)}")
        given[field] = column or None
    low, colon, high = scale.partition(":")
    try:
        ends = (float(low), float(high))
    except ValueError as error:
        raise InputError(f"--scale {scale}: write LOW:HIGH, such as 0:100") from error
    if not colon or not -math.inf < ends[0] < ends[1] < math.inf:
        raise InputError(f"--scale {scale}: LOW must stand below HIGH, such as 0:100")
    try:
        return JudgmentMapping.model_validate({**given, "scale": ends})
    except ValidationError as error:
        named = error.errors()[0]["loc"][0]
        raise InputError(f"--column {named}=: a file of judgments needs a column for {named}") from error


def _outcome(stage: str, merged: dict[str, Merged]) -> Outcome:
    """New rows a table, and what was there already."""
    counts = {f"new {table}": rows.inserted for table, rows in merged.items() if table != "drops"}
    counts["changed"] = sum(rows.updated for rows in merged.values())
    counts["already there"] = sum(rows.unchanged for rows in merged.values())
    if "drops" in merged:
        counts["dropped"] = merged["drops"].inserted
    return Outcome(stage=stage, counts=counts)
