"""Checks: propositions whose probability is known, from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.imports import ends_of, pairs
from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from warehouse.catalog.store import merge_all
from warehouse.files.checks import CHECK_FIELDS, read_checks
from warehouse.files.reading import AS_FOUND, Reading
from warehouse.queries.people import judged_checks
from warehouse.records import CheckPurpose


def import_checks(
    file: Path | str,
    *,
    config: Config = None,
    purpose: CheckPurpose = "attention",
    columns: Sequence[str] = (),
    scale: str = "0:1",
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import checks with their premises and propositions, which are never trained on.

    Args:
        file: A CSV, JSON Lines or parquet file with columns premise, hypothesis, low, high and, optionally, purpose.
        config: The settings, or the file to read them from.
        purpose: The purpose of rows that state none: practice, qualification or attention.
        columns: Pairs of `FIELD=COLUMN`.
        scale: `LOW:HIGH` of the bands.
        reading: How to read the file where that should not be detected.

    Raises:
        InputError: the file cannot be read, or has a mistake; nothing is imported then.
    """
    settings = load_settings(config)
    batch = read_checks(
        Path(file),
        purpose=purpose,
        scale=ends_of(scale),
        columns=pairs(columns, CHECK_FIELDS),
        split_shares=(settings.splits.train, settings.splits.dev),
        reading=reading,
    )
    with writing(settings) as warehouse:
        lost = judged_checks(warehouse, [one.proposition_id for one in batch.checks])
        merged = merge_all(warehouse, [batch.premises, batch.propositions, batch.checks])
    checks = merged["checks"]
    counts = {"new checks": checks.inserted, "changed": checks.updated, "already there": checks.unchanged}
    counts["new propositions"] = merged["propositions"].inserted
    said = [*batch.said, *([f"{lost:,} judgments on them no longer count"] if lost else [])]
    return Outcome(stage="import checks", counts=counts, note="; ".join(said))
