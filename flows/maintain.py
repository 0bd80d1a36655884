"""Maintain: merge small files, expire old snapshots, and remove unneeded files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.table import Table

from flows.models import finished_fits
from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import reading, writing
from flows.stages.stage import stage
from flows.terminal.tables import narrow_table
from warehouse.atomic import left_behind, remove
from warehouse.catalog.maintenance import Maintained, Snapshot
from warehouse.catalog.maintenance import maintain as maintain_in
from warehouse.catalog.maintenance import snapshots as snapshots_in
from warehouse.errors import InputError

GRACE_HOURS = 24.0
MOST_GRACE_HOURS = 876_000  # 100 years


@stage("maintain")
def maintain(config: Config = None, grace_hours: float = GRACE_HOURS, dry_run: bool = False) -> Outcome:
    """Maintain the warehouse. A snapshot that a dataset or the consensus needs never expires.

    Args:
        config: The settings, or the file to read them from.
        grace_hours: How long unneeded files stay for queries that still read them.
        dry_run: Only return what would be done.

    Raises:
        InputError: `grace_hours` is negative or over 100 years.
    """
    if not 0 <= grace_hours <= MOST_GRACE_HOURS:
        raise InputError(f"--grace-hours {grace_hours:g}: use a number of hours from 0 to {MOST_GRACE_HOURS:,}")
    settings = load_settings(config)
    keep = timedelta(days=settings.warehouse.keep_snapshots_days)
    with writing(settings) as warehouse:
        done = maintain_in(warehouse, keep, timedelta(hours=grace_hours), dry_run=dry_run)
    left = [*left_behind(settings.home_path), *finished_fits(settings.home_path)]
    if not dry_run:
        remove(left)
    counts = {
        "rows moved from the catalog to files": done.moved_rows,
        "small files merged": done.small_files,
        "snapshots expired": done.expired,
        "unneeded files removed": done.unneeded_files,
        "orphan files removed": done.orphan_files,
        "leftovers of killed runs removed": len(left),
    }
    return Outcome(stage="maintain", counts=counts, note=_note(done, dry_run))


def snapshots(*, config: Config = None) -> list[Snapshot]:
    """Return all snapshots, newest first: number, time, what changed, and the datasets that rest on it."""
    with reading(load_settings(config)) as warehouse:
        return snapshots_in(warehouse)


def snapshots_table(listed: Sequence[Snapshot], limit: int) -> Table:
    """Return a table of the newest snapshots for a terminal."""
    table = narrow_table("snapshot", "time (UTC)", "what changed", "datasets", texts=("what changed", "datasets"))
    for one in listed[:limit]:
        table.add_row(str(one.number), f"{one.time:%Y-%m-%d %H:%M:%S}", one.changes, ", ".join(one.datasets))
    if len(listed) > limit:
        table.caption = f"the newest {limit:,} of {len(listed):,}; --limit shows more"
    return table


def _note(done: Maintained, dry_run: bool) -> str:
    said = ["dry run: nothing was changed; these are upper bounds"] if dry_run else []
    if done.foreign:
        said.append(
            f"{len(done.foreign):,} parquet files in the data folder don't belong to the warehouse, such as "
            f"{done.foreign[0]}: move them away, so that orphan files can be removed"
        )
    return "; ".join(said)
