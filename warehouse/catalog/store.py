"""Writing and reading rows: merges by key in one transaction, which write nothing if nothing changed."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import duckdb
import pyarrow as pa

from warehouse.catalog.faults import faults_said
from warehouse.catalog.patience import alone
from warehouse.catalog.schema import arrow_schema, record_of, to_records, to_table
from warehouse.errors import InputError
from warehouse.records import Premise, Proposition, Record

if TYPE_CHECKING:
    from warehouse.catalog.opened import Warehouse

T = TypeVar("T")
R = TypeVar("R", bound=Record)

Rows: TypeAlias = pa.Table | pa.RecordBatchReader

# A text is identified by its content, and keeps its first source; otherwise two sources of the same text would
# overwrite each other forever. That source may only add, later, what it left out of these fields.
FIRST_STAYS: Mapping[type[Record], str] = {Premise: "license", Proposition: "target_probability"}


@dataclass(frozen=True)
class Merged:
    """The outcome of a merge. Rows with the same key count once."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0

    @property
    def changed(self) -> int:
        """How many rows of the table changed."""
        return self.inserted + self.updated + self.deleted


def write(warehouse: Warehouse, fn: Callable[[Warehouse], T]) -> T:
    """Run `fn` in one transaction, and return its result.

    Waits while another process writes and, on a conflict, runs `fn` again. So `fn` must be repeatable, and must not
    call `write` itself.

    Raises:
        InputError: The warehouse is open for reading only.
        ServiceError: The catalog stayed busy, or its files cannot be written.
    """
    if warehouse.read_only:
        raise InputError(f"The warehouse {warehouse.catalog} is open for reading only; open it for writing")

    def transaction() -> T:
        warehouse.connection.execute("BEGIN")
        try:
            result = fn(warehouse)
            warehouse.connection.execute("COMMIT")
        except BaseException:
            # After a failed COMMIT there is no transaction any more.
            with suppress(duckdb.Error):
                warehouse.connection.execute("ROLLBACK")
            raise
        return result

    with faults_said(warehouse.catalog):
        return alone(transaction, warehouse.lock)


def merge(warehouse: Warehouse, rows: Iterable[Record] | Rows) -> Merged:
    """Merge rows of one kind by their key; see `merge_all`."""
    given = rows if isinstance(rows, Rows) else list(rows)
    if not isinstance(given, Rows) and len(tables := {row.table for row in given}) > 1:
        raise TypeError(f"merge takes rows of one kind, not of {', '.join(sorted(tables))}; use merge_all")
    return next(iter(merge_all(warehouse, [given]).values()), Merged())


def merge_all(
    warehouse: Warehouse,
    batches: Iterable[Iterable[Record] | Rows],
    removing: Mapping[type[Record], str] | None = None,
) -> defaultdict[str, Merged]:
    """Merge batches of rows in one transaction.

    A row with a new key is inserted. A row with a known key is updated if a field that is not volatile differs, and
    keeps its `created_at`. Of several rows with the same key the last counts; of texts the first, which stays their
    source (`FIRST_STAYS`). If nothing differs, nothing is written.

    Args:
        warehouse: The warehouse, open for writing.
        batches: Batches of records of any kinds, or of Arrow rows with a schema from `arrow_schema`.
        removing: For each kind an SQL condition; rows that meet it are deleted first.

    Returns:
        The outcome by table; zeros for other tables.
    """
    return _write_all(warehouse, batches, {kind: (where, ()) for kind, where in (removing or {}).items()})


def replace(warehouse: Warehouse, rows: Rows, where: str, params: Sequence[object] = ()) -> Merged:
    """Replace the rows for which `where` holds by `rows`: a merge that also deletes what is missing."""
    record = record_of(rows.schema)
    missing = f"({where}) AND {record.key} NOT IN (SELECT {record.key} FROM {_staged(record)})"
    return _write_all(warehouse, [rows], {record: (missing, params)})[record.table]


def remove(
    warehouse: Warehouse, record: type[Record], where: str, params: Sequence[object], keeping: tuple[str, set[str]]
) -> int:
    """Delete the rows for which `where` holds, unless a column has one of the values. Returns how many."""
    column, values = keeping
    gone = f"({where}) AND {column} NOT IN (SELECT value FROM kept)"
    with warehouse.given(kept=pa.table({"value": pa.array(sorted(values), pa.string())})):
        return write(warehouse, lambda w: _delete(w, record, gone, params))


def mark_deleted(warehouse: Warehouse, source: str, source_ids: Iterable[str]) -> int:
    """Mark judgments that their source no longer has as deleted. Returns how many."""
    ids = pa.table({"source_id": pa.array(sorted(set(source_ids)), pa.string())})
    if not ids.num_rows:
        return 0
    where = "source = ? AND deleted_at IS NULL AND source_id IN (SELECT source_id FROM gone)"

    def fn(w: Warehouse) -> int:
        count = int(w.value(f"SELECT count(*) FROM judgments WHERE {where}", [source]))
        if count:
            w.connection.execute(f"UPDATE judgments SET deleted_at = now() WHERE {where}", [source])
        return count

    with warehouse.given(gone=ids):
        return write(warehouse, fn)


def read(warehouse: Warehouse, record: type[R], where: str = "", params: Sequence[object] = ()) -> list[R]:
    """Return the records of a table for which `where` holds (all by default), by key.

    For many rows use Arrow, with `Warehouse.sql` or `Warehouse.batches`.
    """
    condition = f"WHERE {where}" if where else ""
    return select(warehouse, record, f"{condition} ORDER BY {record.key}", params)


def select(
    warehouse: Warehouse, record: type[R], rest: str, params: Sequence[object] = (), relation: str = ""
) -> list[R]:
    """Return the records of a table, or of another relation with its columns, by the `rest` of a query after FROM."""
    columns = ", ".join(arrow_schema(record).names)
    return to_records(record, warehouse.sql(f"SELECT {columns} FROM {relation or record.table} {rest}", params))


def _write_all(
    warehouse: Warehouse,
    batches: Iterable[Iterable[Record] | Rows],
    removing: Mapping[type[Record], tuple[str, Sequence[object]]],
) -> defaultdict[str, Merged]:
    """Delete rows, then merge batches, in one transaction; `removing` has conditions with their parameters."""
    staged = _stage_all(warehouse, batches)
    results: defaultdict[str, Merged] = defaultdict(Merged)

    def fn(w: Warehouse) -> dict[str, Merged]:
        done = {kind.table: Merged(deleted=_delete(w, kind, *gone)) for kind, gone in removing.items()}
        for kind in staged:
            deleted = done.get(kind.table, Merged()).deleted
            done[kind.table] = dataclasses.replace(_merge_staged(w, kind), deleted=deleted)
        return done

    try:
        if staged or removing:
            results.update(write(warehouse, fn))
    finally:
        for kind in staged:
            warehouse.connection.execute(f"DROP TABLE IF EXISTS {_staged(kind)}")
    return results


def _staged(record: type[Record]) -> str:
    return f"temp.main.staged_{record.table}"


def _stage_all(warehouse: Warehouse, batches: Iterable[Iterable[Record] | Rows]) -> list[type[Record]]:
    """Put the rows into temporary tables before the transaction, so that a retry need not read them again."""
    grouped: dict[type[Record], list[Record]] = {}
    arrow: dict[type[Record], Rows] = {}
    for batch in batches:
        if isinstance(batch, Rows):
            kind = record_of(batch.schema)
            if kind in arrow:
                raise ValueError(f"two batches of {kind.table}: combine them first")
            arrow[kind] = batch
            continue
        for row in batch:
            grouped.setdefault(type(row), []).append(row)
    if both := grouped.keys() & arrow.keys():
        raise ValueError(f"two batches of {next(iter(both)).table}: combine them first")
    sources = {**{kind: to_table(kind, rows) for kind, rows in grouped.items()}, **arrow}
    for kind, rows in sources.items():
        columns = ", ".join(arrow_schema(kind).names)
        order = "position" if kind in FIRST_STAYS else "position DESC"
        counts = f"row_number() OVER (PARTITION BY {kind.key} ORDER BY {order}) = 1"
        numbered = f"(SELECT {columns}, row_number() OVER () AS position FROM incoming)"
        query = f"SELECT {columns} FROM {numbered} QUALIFY {counts} ORDER BY position"
        with warehouse.given(incoming=rows):
            warehouse.connection.execute(f"CREATE OR REPLACE TEMPORARY TABLE {_staged(kind)} AS {query}")
    return list(sources)


def _delete(warehouse: Warehouse, record: type[Record], where: str, params: Sequence[object] = ()) -> int:
    """Delete the rows for which `where` holds, and return how many. Writes nothing if there are none."""
    count = int(warehouse.value(f"SELECT count(*) FROM {record.table} WHERE {where}", params))
    if count:
        warehouse.connection.execute(f"DELETE FROM {record.table} WHERE {where}", list(params))
    return count


def _merge_staged(warehouse: Warehouse, record: type[Record]) -> Merged:
    names = arrow_schema(record).names
    if lacking := FIRST_STAYS.get(record):
        differs = f"t.{lacking} IS NULL AND s.{lacking} IS NOT NULL AND t.source = s.source"
        sets = f"{lacking} = s.{lacking}"
    else:
        new = {name: f"coalesce(s.{name}, t.{name})" if name in record.kept else f"s.{name}" for name in names}
        compared = [name for name in names if name != record.key and name not in record.volatile]
        differs = " OR ".join(f"t.{name} IS DISTINCT FROM {new[name]}" for name in compared)
        sets = ", ".join(f"{name} = {new[name]}" for name in names if name not in (record.key, "created_at"))
    on = f"t.{record.key} = s.{record.key}"
    # Most batches are entirely new. The keys alone tell, without reading the existing rows.
    keys = f"(SELECT {record.key} FROM {record.table})"
    ((total, known),) = warehouse.rows(
        f"SELECT count(*), count(t.{record.key}) FROM {_staged(record)} s LEFT JOIN {keys} t ON {on}"
    )
    changed = f"SELECT count(*) FROM {_staged(record)} s JOIN {record.table} t ON {on} WHERE {differs}"
    updated = int(warehouse.value(changed)) if known else 0
    update = f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {sets} " if updated else ""
    insert = (
        f"WHEN NOT MATCHED THEN INSERT VALUES ({', '.join(f's.{name}' for name in names)})" if total > known else ""
    )
    if update or insert:
        warehouse.connection.execute(f"MERGE INTO {record.table} t USING {_staged(record)} s ON {on} {update}{insert}")
    return Merged(total - known, updated, known - updated)
