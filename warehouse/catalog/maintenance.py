"""Keeping a warehouse small and fast: merging small files, expiring old snapshots, removing unneeded files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from warehouse.catalog.connect import ALIAS, Warehouse
from warehouse.catalog.extensions import quoted
from warehouse.catalog.low_memory import sparing
from warehouse.catalog.opened import CATALOG
from warehouse.catalog.store import write
from warehouse.errors import ServiceError

# Tables whose rows name the snapshot they were computed from, which must stay available. Not among them is agreement, a
# history that would keep every snapshot forever: its rows have counts and a fingerprint instead.
RESTING = ("datasets", "consensus", "consensus_fits", "annotator_precisions", "recalibrations")
OUR_FILE = re.compile(r"ducklake-[0-9a-f-]{36}(-delete)?\.(parquet|puffin)")
SHOWN_CHANGES = {
    "schemas_created": "schemas created",
    "tables_created": "tables created",
    "tables_altered": "tables described or altered",
    "views_created": "views created",
    "views_altered": "views described",
    "views_dropped": "views dropped",
    "tables_inserted_into": "rows into",
    "inlined_insert": "rows into",
    "tables_deleted_from": "rows deleted from",
    "inlined_delete": "rows deleted from",
    "flushed_inlined": "rows moved to files in",
    "merge_adjacent": "files merged in",
    "rewrite_delete": "files rewritten in",
}


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of the warehouse: its number, time (UTC), changes, and the datasets made from it."""

    number: int
    time: datetime
    changes: str
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class Maintained:
    """What maintenance did, or would do.

    Attributes:
        moved_rows: Rows moved from the catalog to files.
        small_files: Small files that were merged; in a dry run, those with another small file in the same table.
        expired: Snapshots that expired.
        unneeded_files: Files removed that no snapshot needs.
        orphan_files: Files of killed writers that were removed.
        foreign: Parquet files in the data folder that are not the warehouse's. If there are any, orphans stay.
    """

    moved_rows: int
    small_files: int
    expired: int
    unneeded_files: int
    orphan_files: int
    foreign: tuple[str, ...] = ()


def snapshots(warehouse: Warehouse) -> list[Snapshot]:
    """Return every snapshot that has not expired, newest first."""
    names = dict(warehouse.rows(f"SELECT table_id::VARCHAR, table_name FROM {CATALOG}.ducklake_table"))
    resting: dict[int, list[str]] = {}
    for number, name in warehouse.rows("SELECT snapshot_id, name || ' v' || version FROM datasets ORDER BY 2"):
        resting.setdefault(number, []).append(name)
    listed = f"SELECT snapshot_id, snapshot_time, changes FROM ducklake_snapshots('{ALIAS}') ORDER BY 1 DESC"
    return [
        Snapshot(number, time, _shown_changes(dict(changes or {}), names), tuple(resting.get(number, ())))
        for number, time, changes in warehouse.rows(listed)
    ]


def needed_snapshots(warehouse: Warehouse) -> set[int]:
    """Return the snapshots that never expire: those that datasets, consensus and fits need, and the latest."""
    resting = " UNION ".join(f"SELECT snapshot_id FROM {table}" for table in RESTING)
    return {number for (number,) in warehouse.rows(resting)} | {warehouse.snapshot_id()}


def expirable_snapshots(warehouse: Warehouse, before: datetime) -> list[int]:
    """Return the snapshots before a time that nothing needs."""
    query = f"SELECT snapshot_id FROM ducklake_snapshots('{ALIAS}') WHERE snapshot_time < {_moment(before)} ORDER BY 1"
    needed = needed_snapshots(warehouse)
    return [number for (number,) in warehouse.rows(query) if number not in needed]


def maintain(
    warehouse: Warehouse, keep: timedelta, grace: timedelta, *, dry_run: bool = False, now: datetime | None = None
) -> Maintained:
    """Merge small files, expire old snapshots, and remove unneeded files and those of killed writers.

    It takes turns with writers. A second run has nothing to do.

    Args:
        warehouse: The warehouse, open for writing even in a dry run.
        keep: How long to keep snapshots that nothing needs.
        grace: How long to keep unneeded files, and at least every snapshot, for readers and other programs still
            using them.
        dry_run: Only report what would be done.
        now: The time to count from; by default the current time.

    Raises:
        ServiceError: The catalog stayed busy, or the warehouse's files cannot be told from others.
    """
    if dry_run:
        return _foreseen(warehouse, keep, grace, now or datetime.now(UTC))
    # First remove what earlier runs left, by its age.
    unneeded = write(warehouse, lambda w: _remove_unneeded(w, (now or datetime.now(UTC)) - grace))
    # Each of these three is one query over all tables, whose parts change the transaction without a lock: with more
    # than one thread DuckLake 1.0 now and then ends the process. It requires a transaction for each.
    with sparing(warehouse):
        moved = write(warehouse, lambda w: _compact(w, "flush_inlined_data"))
        write(warehouse, lambda w: _compact(w, "rewrite_data_files"))
        merged = write(warehouse, lambda w: _compact(w, "merge_adjacent_files"))
    moment = now or datetime.now(UTC)
    expired = write(warehouse, lambda w: _expire(w, moment - max(keep, grace)))
    unneeded += write(warehouse, lambda w: _remove_unneeded(w, (now or datetime.now(UTC)) - grace))
    orphans, foreign = write(warehouse, lambda w: _remove_orphans(w, moment - grace))
    return Maintained(moved, merged, expired, unneeded, len(orphans), foreign)


def _foreseen(warehouse: Warehouse, keep: timedelta, grace: timedelta, now: datetime) -> Maintained:
    orphans, foreign = _orphans(warehouse, now - grace)
    return Maintained(
        _inlined_rows(warehouse),
        _small_files(warehouse),
        len(expirable_snapshots(warehouse, now - max(keep, grace))),
        _remove_unneeded(warehouse, now - grace, dry_run=True),
        0 if foreign else len(orphans),
        foreign,
    )


def _compact(warehouse: Warehouse, function: str) -> int:
    """How many rows were moved or files merged, which is the third column of these functions' results."""
    return sum(row[2] for row in warehouse.rows(f"CALL ducklake_{function}('{ALIAS}')"))


def _expire(warehouse: Warehouse, cutoff: datetime) -> int:
    numbers = expirable_snapshots(warehouse, cutoff)
    if numbers:
        warehouse.rows(f"CALL ducklake_expire_snapshots('{ALIAS}', versions => {numbers})")
    return len(numbers)


def _remove_unneeded(warehouse: Warehouse, before: datetime, *, dry_run: bool = False) -> int:
    """Remove the files that no snapshot has needed since before a time, and return how many.

    On SQLite catalogs DuckLake 1.0 compares times as differently formatted texts, and takes every file of the same day
    for old. So unless all files are old, those of that day (UTC) wait until the next.
    """
    starts = f"SELECT schedule_start::TIMESTAMPTZ FROM {CATALOG}.ducklake_files_scheduled_for_deletion"
    if all(start < before for (start,) in warehouse.rows(starts)):
        which = "cleanup_all => true"
    else:
        day = before.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        which = f"older_than => {_moment(day - timedelta(microseconds=1))}"
    return len(warehouse.rows(f"CALL ducklake_cleanup_old_files('{ALIAS}', {which}, dry_run => {dry_run})"))


def _unknown_files(warehouse: Warehouse, before: datetime, *, dry_run: bool) -> list[str]:
    """List (and unless `dry_run`, remove) old parquet files in the data folder that the catalog does not know."""
    arguments = f"'{ALIAS}', older_than => {_moment(before)}, dry_run => {dry_run}"
    return [path for (path,) in warehouse.rows(f"CALL ducklake_delete_orphaned_files({arguments})")]


def _orphans(warehouse: Warehouse, before: datetime) -> tuple[list[str], tuple[str, ...]]:
    """The files of killed writers, and foreign parquet files in the data folder."""
    found = _unknown_files(warehouse, before, dry_run=True)
    known = {_name(path) for path in _known_files(warehouse)}
    # A file that a snapshot needs may look like an orphan if the data path is spelled differently. Removing it would
    # lose data.
    if lost := [path for path in found if _name(path) in known]:
        raise ServiceError(
            f"{lost[0]} belongs to the warehouse but is not where the catalog expects it. Nothing was "
            "removed; check warehouse.data_path"
        )
    return found, tuple(path for path in found if not OUR_FILE.fullmatch(_name(path)))


def _remove_orphans(warehouse: Warehouse, before: datetime) -> tuple[list[str], tuple[str, ...]]:
    found, foreign = _orphans(warehouse, before)
    if foreign or not found:
        return [], foreign
    return _unknown_files(warehouse, before, dry_run=False), ()


def _known_files(warehouse: Warehouse) -> Iterable[str]:
    query = f"SELECT path FROM {CATALOG}.ducklake_data_file UNION ALL SELECT path FROM {CATALOG}.ducklake_delete_file"
    return (path for (path,) in warehouse.rows(query))


def _name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _small_files(warehouse: Warehouse) -> int:
    """Files below a tenth of DuckLake's target size (512 MB), in tables with more than one of them."""
    small = f"SELECT count(*) AS n FROM {CATALOG}.ducklake_data_file WHERE end_snapshot IS NULL"
    small += " AND file_size_bytes < 51_200_000 GROUP BY table_id HAVING count(*) > 1"
    return int(warehouse.value(f"SELECT coalesce(sum(n), 0) FROM ({small})"))


def _inlined_rows(warehouse: Warehouse) -> int:
    """Rows in the catalog instead of a file, because their transactions were small."""
    tables = warehouse.rows(f"SELECT table_name FROM {CATALOG}.ducklake_inlined_data_tables")
    return sum(warehouse.value(f'SELECT count(*) FROM {CATALOG}."{name}"') for (name,) in tables)


def _shown_changes(changes: dict[str, list[str]], names: dict[str, str]) -> str:
    """Changes in words, such as `rows into judgments, premises; rows deleted from judgments`."""
    said: dict[str, set[str]] = {}
    for change, subjects in changes.items():
        own = {names.get(one, one).removeprefix("main.") for one in subjects}
        said.setdefault(SHOWN_CHANGES.get(change, change.replace("_", " ")), set()).update(own)
    return "; ".join(
        f"{what} {', '.join(sorted(each for each in subjects if not each.isdecimal()))}".strip()
        for what, subjects in said.items()
    )


def _moment(time: datetime) -> str:
    return f"{quoted(time.astimezone(UTC).isoformat())}::TIMESTAMPTZ"
