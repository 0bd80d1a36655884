"""Keeping a warehouse small and quick: small files merged, old snapshots expired, files that nobody needs removed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from warehouse.catalog.connect import ALIAS, Warehouse
from warehouse.catalog.extensions import quoted
from warehouse.catalog.store import write
from warehouse.errors import ServiceError

CATALOG = f"__ducklake_metadata_{ALIAS}"
# Tables whose rows say which snapshot they were computed from, so that it must still answer.
RESTING = ("datasets", "consensus", "consensus_fits", "annotator_precisions", "recalibrations")
# A figure of agreement carries its counts and a fingerprint: it is a history that would keep every snapshot for ever.
NOT_RESTING = ("agreement",)
OUR_FILE = re.compile(r"ducklake-[0-9a-f-]{36}(-delete)?\.(parquet|puffin)")
SHOWN_CHANGES = {
    "schemas_created": "schemas made",
    "tables_created": "tables made",
    "tables_altered": "tables described or altered",
    "views_created": "views made",
    "views_altered": "views described",
    "views_dropped": "views dropped",
    "tables_inserted_into": "rows into",
    "inlined_insert": "rows into",
    "tables_deleted_from": "rows taken from",
    "inlined_delete": "rows taken from",
    "flushed_inlined": "rows moved to files in",
    "merge_adjacent": "files merged in",
    "rewrite_delete": "files rewritten in",
}


@dataclass(frozen=True)
class Snapshot:
    """A state of the warehouse that can be asked for: its number, its time (UTC), what it changed, who rests on it."""

    number: int
    time: datetime
    changes: str
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class Maintained:
    """What maintenance did, or would do.

    `small_files` are those that were merged into larger ones (in a dry run: those that stand beside another small one
    of their table, some of which may stay); `foreign` are parquet files in the data folder that are not the
    warehouse's own: where there are any, no orphan file is removed.
    """

    moved_rows: int
    small_files: int
    expired: int
    unneeded_files: int
    orphan_files: int
    foreign: tuple[str, ...] = ()


def snapshots(warehouse: Warehouse) -> list[Snapshot]:
    """Every snapshot that is still there, the newest first."""
    names = dict(_rows(warehouse, f"SELECT table_id::VARCHAR, table_name FROM {CATALOG}.ducklake_table"))
    resting: dict[int, list[str]] = {}
    for number, name in _rows(warehouse, "SELECT snapshot_id, name || ' v' || version FROM datasets ORDER BY 2"):
        resting.setdefault(number, []).append(name)
    listed = f"SELECT snapshot_id, snapshot_time, changes FROM ducklake_snapshots('{ALIAS}') ORDER BY 1 DESC"
    return [
        Snapshot(number, time, _shown_changes(dict(changes or {}), names), tuple(resting.get(number, ())))
        for number, time, changes in _rows(warehouse, listed)
    ]


def needed_snapshots(warehouse: Warehouse) -> set[int]:
    """The snapshots that never expire: what datasets, consensus and fits rest on, and the latest one."""
    resting = " UNION ".join(f"SELECT snapshot_id FROM {table}" for table in RESTING)
    return {number for (number,) in _rows(warehouse, resting)} | {warehouse.snapshot_id()}


def expirable_snapshots(warehouse: Warehouse, before: datetime) -> list[int]:
    """The snapshots from before a time that nothing rests on."""
    query = f"SELECT snapshot_id FROM ducklake_snapshots('{ALIAS}') WHERE snapshot_time < {_moment(before)} ORDER BY 1"
    needed = needed_snapshots(warehouse)
    return [number for (number,) in _rows(warehouse, query) if number not in needed]


def maintain(
    warehouse: Warehouse, keep: timedelta, grace: timedelta, *, dry_run: bool = False, now: datetime | None = None
) -> Maintained:
    """Merge small files, expire old snapshots, remove the files that no snapshot needs and those of killed writers.

    It queues with the writers. Run again at once it finds nothing to do.

    Args:
        warehouse: opened for writing, also for a dry run.
        keep: how long snapshots are kept that nothing rests on.
        grace: how long a file stays once nothing needs it, and a snapshot at least: readers that began before may
            still be at it, and so may writers of other programs.
        dry_run: only say what would be done.
        now: the time to count from; the present without it.

    Raises:
        ServiceError: the catalog stayed busy, or the files of the warehouse cannot be told from others.
    """
    if dry_run:
        return _foreseen(warehouse, keep, grace, now or datetime.now(UTC))
    # Before anything new is scheduled: what an earlier run left can go by its age.
    unneeded = write(warehouse, lambda w: _remove_unneeded(w, (now or datetime.now(UTC)) - grace))
    # Each of the three is a transaction of its own: DuckLake lets none of them stand beside another change.
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
    """How many rows were moved or files merged: the third column of what each of these functions lists."""
    return sum(row[2] for row in _rows(warehouse, f"CALL ducklake_{function}('{ALIAS}')"))


def _expire(warehouse: Warehouse, cutoff: datetime) -> int:
    numbers = expirable_snapshots(warehouse, cutoff)
    if numbers:
        _rows(warehouse, f"CALL ducklake_expire_snapshots('{ALIAS}', versions => {numbers})")
    return len(numbers)


def _remove_unneeded(warehouse: Warehouse, before: datetime, *, dry_run: bool = False) -> int:
    """Remove the files that no snapshot has needed since before a time; how many.

    On a SQLite catalog DuckLake 1.0 compares the times as texts that are written differently, and so takes every file
    of the same day for an old one. Unless all of them are old, those of the day (UTC) therefore wait for the next.
    """
    starts = f"SELECT schedule_start::TIMESTAMPTZ FROM {CATALOG}.ducklake_files_scheduled_for_deletion"
    if all(start < before for (start,) in _rows(warehouse, starts)):
        which = "cleanup_all => true"
    else:
        day = before.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        which = f"older_than => {_moment(day - timedelta(microseconds=1))}"
    return len(_rows(warehouse, f"CALL ducklake_cleanup_old_files('{ALIAS}', {which}, dry_run => {dry_run})"))


def _unknown_files(warehouse: Warehouse, before: datetime, *, dry_run: bool) -> list[str]:
    """The parquet files in the data folder, older than a time, that the catalog does not know; removed unless dry."""
    arguments = f"'{ALIAS}', older_than => {_moment(before)}, dry_run => {dry_run}"
    return [path for (path,) in _rows(warehouse, f"CALL ducklake_delete_orphaned_files({arguments})")]


def _orphans(warehouse: Warehouse, before: datetime) -> tuple[list[str], tuple[str, ...]]:
    """The files of killed writers, and the parquet files that somebody else put into the data folder."""
    found = _unknown_files(warehouse, before, dry_run=True)
    known = {_name(path) for path in _known_files(warehouse)}
    # What a snapshot needs is never an orphan. Should it look like one, as under a data path that is spelled in two
    # ways, removing would lose data.
    if lost := [path for path in found if _name(path) in known]:
        raise ServiceError(
            f"{lost[0]} belongs to the warehouse but lies where the catalog does not expect it: nothing was removed; "
            "check warehouse.data_path"
        )
    return found, tuple(path for path in found if not OUR_FILE.fullmatch(_name(path)))


def _remove_orphans(warehouse: Warehouse, before: datetime) -> tuple[list[str], tuple[str, ...]]:
    found, foreign = _orphans(warehouse, before)
    if foreign or not found:
        return [], foreign
    return _unknown_files(warehouse, before, dry_run=False), ()


def _known_files(warehouse: Warehouse) -> Iterable[str]:
    query = f"SELECT path FROM {CATALOG}.ducklake_data_file UNION ALL SELECT path FROM {CATALOG}.ducklake_delete_file"
    return (path for (path,) in _rows(warehouse, query))


def _name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _small_files(warehouse: Warehouse) -> int:
    """Files below a tenth of the size that DuckLake aims at (512 MB), in tables that have more than one of them."""
    small = f"SELECT count(*) AS n FROM {CATALOG}.ducklake_data_file WHERE end_snapshot IS NULL"
    small += " AND file_size_bytes < 51_200_000 GROUP BY table_id HAVING count(*) > 1"
    return int(_rows(warehouse, f"SELECT coalesce(sum(n), 0) FROM ({small})")[0][0])


def _inlined_rows(warehouse: Warehouse) -> int:
    """Rows that stand in the catalog instead of a file, because their transaction was small."""
    tables = _rows(warehouse, f"SELECT table_name FROM {CATALOG}.ducklake_inlined_data_tables")
    return sum(int(_rows(warehouse, f'SELECT count(*) FROM {CATALOG}."{name}"')[0][0]) for (name,) in tables)


def _shown_changes(changes: dict[str, list[str]], names: dict[str, str]) -> str:
    """Such as `rows into judgments, premises; rows taken from judgments`."""
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


def _rows(warehouse: Warehouse, query: str) -> list[tuple]:  # type: ignore[type-arg]
    return warehouse.connection.execute(query).fetchall()
