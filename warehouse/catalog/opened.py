"""An open warehouse: what queries, merges and migrations work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.catalog.faults import fault_of
from warehouse.catalog.patience import Lock
from warehouse.catalog.read_only import only_reading
from warehouse.places import placed

ALIAS = "odds"
CATALOG = f"__ducklake_metadata_{ALIAS}"
"""The database with DuckLake's own tables."""


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse. In `sql`, tables and views have plain names; times are in UTC.

    Attributes:
        connection: The DuckDB connection.
        catalog: The file of the catalog, or `on PostgreSQL` (a connection string may contain a password).
        read_only: Whether it is open for reading.
        lock: The lock of its writers.
        push_lock: The lock of processes that push to Label Studio.
        pull_lock: The lock of processes that pull from Label Studio.
        pay_lock: The lock of processes that record payments and bonuses.
        at: The snapshot that every query sees; None for the latest.
        said: Messages from the migration on opening.
        home: The folder that stored paths of datasets and models are relative to.
    """

    connection: duckdb.DuckDBPyConnection
    catalog: str
    read_only: bool
    lock: Lock = field(repr=False)
    push_lock: Lock = field(repr=False)
    pull_lock: Lock = field(repr=False)
    pay_lock: Lock = field(repr=False)
    at: int | None = None
    said: tuple[str, ...] = ()
    home: Path | None = None

    def place(self, path: str) -> Path:
        """Return the folder of a dataset or model from the path in its row."""
        return placed(path, self.home)

    def sql(self, query: str, params: Sequence[object] = ()) -> pa.Table:
        """Return the result of a query as an Arrow table; `params` fill its `?`.

        Raises:
            InputError: The warehouse is open for reading, and the query does more than read.
        """
        return self._executed(query, params).to_arrow_table()

    def rows(self, query: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the few rows of a query's result as tuples; `params` fill its `?`."""
        return self._executed(query, params).fetchall()

    def value(self, query: str, params: Sequence[object] = ()) -> Any:
        """Return the first column of the first row of a query's result; `params` fill its `?`."""
        return self.rows(query, params)[0][0]

    def batches(self, query: str, params: Sequence[object] = (), rows: int = 65_536) -> pa.RecordBatchReader:
        """Return the result of a query as a stream of batches; other queries may run while it is read."""
        return self.beside()._executed(query, params).to_arrow_reader(rows)

    def _executed(self, query: str, params: Sequence[object]) -> duckdb.DuckDBPyConnection:
        if self.read_only:
            only_reading(self.connection, query)
        return self.connection.execute(query, list(params))

    def beside(self) -> Warehouse:
        """Return the same warehouse on a second connection, as each thread needs its own. Close it after use.

        Temporary tables are not shared.
        """
        cursor = self.connection.cursor()
        cursor.execute(f"USE {ALIAS}")
        return replace(self, connection=cursor)

    @contextmanager
    def given(self, **tables: pa.Table | pa.RecordBatchReader) -> Iterator[None]:
        """Let the queries in this block read these tables by their names, too."""
        try:
            for name, rows in tables.items():
                self.connection.register(name, rows)
            yield
        finally:
            for name in tables:
                self.connection.unregister(name)

    def snapshot_id(self) -> int:
        """Return the number of the snapshot that queries see. It grows with every transaction that writes."""
        return int(self.value(f"SELECT id FROM ducklake_current_snapshot('{ALIAS}')"))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # Any query can fail because of a missing file, a full disk or a lost server.
        if error is not None and (fault := fault_of(error, self.catalog)):
            raise fault from error
