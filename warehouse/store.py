"""Writing and reading rows: merges by key in one transaction, which write nothing where nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import duckdb
import pyarrow as pa

from warehouse.errors import InputError, ServiceError
from warehouse.patience import alone
from warehouse.records import Record
from warehouse.schema import arrow_schema, to_records, to_table

if TYPE_CHECKING:
    from warehouse.connect import Warehouse

T = TypeVar("T")
R = TypeVar("R", bound=Record)

Rows = pa.Table | pa.RecordBatchReader


@dataclass(frozen=True)
class Merged:
    """What became of the rows of a merge; rows that repeat a key within it count once."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0

    @property
    def changed(self) -> int:
        """How many rows of the table are not as they were."""
        return self.inserted + self.updated + self.deleted


def write(warehouse: Warehouse, fn: Callable[[Warehouse], T]) -> T:
    """What `fn` gives, run in one transaction: all of it is kept, or nothing.

    While another process writes it waits its turn and, on a conflict, runs `fn` again; `fn` must bear that, and must
    not call `write` itself.

    Raises:
        InputError: the warehouse was opened for reading only.
        ServiceError: the catalog stayed busy, or its files cannot be written.
    """
    if warehouse.read_only:
        raise InputError(f"The warehouse {warehouse.catalog} is open for reading only: open it for writing")

    def transaction() -> T:
        warehouse.connection.execute("BEGIN")
        try:
            result = fn(warehouse)
            warehouse.connection.execute("COMMIT")
        except BaseException:
            # After a failed COMMIT the transaction is gone already.
            with suppress(duckdb.Error):
                warehouse.connection.execute("ROLLBACK")
            raise
        return result

    try:
        return alone(transaction, warehouse.lock_folder)
    except duckdb.IOException as error:
        raise ServiceError(f"The warehouse cannot be written: {str(error).splitlines()[0]}") from error


def merge(
    warehouse: Warehouse, rows: Iterable[Record] | Rows, record: type[Record] | None = None, *, insert_only: bool = False
) -> Merged:
    """Merge rows of one kind by their key. Arrow rows need `record` to say what they are; see `merge_all`."""
    kept = [record] if insert_only and record else []
    if isinstance(rows, Rows):
        if record is None:
            raise TypeError("Arrow rows need the record class that they are rows of")
        return merge_all(warehouse, tables={record: rows}, insert_only=kept)[record.table]
    records = list(rows)
    if insert_only:
        kept = [type(row) for row in records]
    results = merge_all(warehouse, records, insert_only=kept)
    if len(results) > 1:
        raise TypeError(f"merge takes rows of one kind, not of {', '.join(sorted(results))}: use merge_all")
    return next(iter(results.values()), Merged())


def merge_all(
    warehouse: Warehouse,
    records: Iterable[Record] = (),
    *,
    tables: Mapping[type[Record], Rows] | None = None,
    insert_only: Collection[type[Record]] = (),
) -> dict[str, Merged]:
    """Merge records of several kinds, and Arrow rows of others, in one transaction; what was done, by table.

    A row whose key is new is inserted. One whose key is there is updated where a field that is not volatile differs;
    `created_at` stays what it was. Of rows with one key the last counts. Kinds in `insert_only` are never updated:
    whoever brought the row first stays its source. Where nothing differs nothing is written.
    """
    grouped: dict[type[Record], list[Record]] = {}
    for row in records:
        grouped.setdefault(type(row), []).append(row)
    sources: dict[type[Record], Rows] = {kind: to_table(kind, rows) for kind, rows in grouped.items()}
    sources.update(tables or {})
    for kind, rows in sources.items():
        _stage(warehouse, kind, rows)
    try:
        return write(
            warehouse, lambda w: {kind.table: _merge_staged(w, kind, kind in insert_only) for kind in sources}
        )
    finally:
        for kind in sources:
            warehouse.connection.execute(f"DROP TABLE IF EXISTS {_staged(kind)}")


def replace(warehouse: Warehouse, record: type[Record], rows: Rows, where: str, params: Sequence[object] = ()) -> Merged:
    """Make the rows of a table for which `where` holds equal to `rows`: a merge that also deletes what is missing."""
    _stage(warehouse, record, rows)

    def fn(w: Warehouse) -> Merged:
        gone = f"({where}) AND {record.key} NOT IN (SELECT {record.key} FROM {_staged(record)})"
        (count,) = w.sql(f"SELECT count(*) AS n FROM {record.table} WHERE {gone}", params)["n"].to_pylist()
        if count:
            w.connection.execute(f"DELETE FROM {record.table} WHERE {gone}", list(params))
        merged = _merge_staged(w, record, insert_only=False)
        return Merged(merged.inserted, merged.updated, merged.unchanged, count)

    try:
        return write(warehouse, fn)
    finally:
        warehouse.connection.execute(f"DROP TABLE IF EXISTS {_staged(record)}")


def read(warehouse: Warehouse, record: type[R], where: str = "", params: Sequence[object] = ()) -> list[R]:
    """The records of a table for which `where` holds (all without it), in the order of their keys.

    For many rows ask `Warehouse.sql` or `Warehouse.batches` for Arrow instead.
    """
    condition = f"WHERE {where}" if where else ""
    columns = ", ".join(arrow_schema(record).names)
    query = f"SELECT {columns} FROM {record.table} {condition} ORDER BY {record.key}"
    return to_records(record, warehouse.sql(query, params))


def _staged(record: type[Record]) -> str:
    return f"temp.main.staged_{record.table}"


def _stage(warehouse: Warehouse, record: type[Record], rows: Rows) -> None:
    """Put the rows into a temporary table, outside of the transaction: a retry does not read them again."""
    columns = ", ".join(arrow_schema(record).names)
    order = "ORDER BY position DESC"
    warehouse.connection.register("incoming", rows)
    try:
        warehouse.connection.execute(
            f"CREATE OR REPLACE TABLE {_staged(record)} AS SELECT {columns} FROM "
            f"(SELECT {columns}, row_number() OVER () AS position FROM incoming) "
            f"QUALIFY row_number() OVER (PARTITION BY {record.key} {order}) = 1 ORDER BY position"
        )
    finally:
        warehouse.connection.unregister("incoming")


def _merge_staged(warehouse: Warehouse, record: type[Record], insert_only: bool) -> Merged:
    names = arrow_schema(record).names
    compared = [name for name in names if name != record.key and name not in record.volatile]
    differs = " OR ".join(f"t.{name} IS DISTINCT FROM s.{name}" for name in compared)
    if insert_only or not differs:
        differs = "false"
    on = f"t.{record.key} = s.{record.key}"
    counted = warehouse.sql(
        f"SELECT count(*) FILTER (t.{record.key} IS NULL) AS inserted, "
        f"count(*) FILTER (t.{record.key} IS NOT NULL AND ({differs})) AS updated, count(*) AS total "
        f"FROM {_staged(record)} s LEFT JOIN {record.table} t ON {on}"
    ).to_pylist()[0]
    inserted, updated = counted["inserted"], counted["updated"]
    sets = ", ".join(f"{name} = s.{name}" for name in names if name not in (record.key, "created_at"))
    update = f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {sets} " if updated else ""
    insert = f"WHEN NOT MATCHED THEN INSERT VALUES ({', '.join(f's.{name}' for name in names)})" if inserted else ""
    if update or insert:
        warehouse.connection.execute(f"MERGE INTO {record.table} t USING {_staged(record)} s ON {on} {update}{insert}")
    return Merged(inserted, updated, counted["total"] - inserted - updated)
