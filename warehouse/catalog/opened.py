"""An open warehouse: what queries, merges and migrations work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa

from warehouse.catalog.faults import fault_of
from warehouse.catalog.patience import Lock
from warehouse.places import placed

ALIAS = "odds"


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse. Tables and views are plain names in `sql`; times are in UTC.

    `catalog` is the file of the catalog, or `on PostgreSQL` without its connection string, which may hold a password.
    `lock` is what its writers queue for, `push_lock` those who push to Label Studio. `at` is the snapshot that every
    query sees; None for the latest one. `said` is what a person should know of bringing it up to date just now. `home`
    is the folder that paths of datasets and models are relative to.
    """

    connection: duckdb.DuckDBPyConnection
    catalog: str
    read_only: bool
    lock: Lock = field(repr=False)
    push_lock: Lock = field(repr=False)
    at: int | None = None
    said: tuple[str, ...] = ()
    home: Path | None = None

    def place(self, path: str) -> Path:
        """The folder of a dataset or model, whose row names it by this path."""
        return placed(path, self.home)

    def sql(self, query: str, params: Sequence[object] = ()) -> pa.Table:
        """The result of a query, `?` standing for the params, as an Arrow table."""
        return self.connection.execute(query, list(params)).to_arrow_table()

    def batches(self, query: str, params: Sequence[object] = (), rows: int = 65_536) -> pa.RecordBatchReader:
        """The result of a query as a stream of batches; other queries may run while it is read."""
        return self.beside().connection.execute(query, list(params)).to_arrow_reader(rows)

    def beside(self) -> Warehouse:
        """The same warehouse through a connection of its own, for another thread: results of one would get mixed up.

        Temporary tables are not shared. To be closed by whoever asked for it.
        """
        cursor = self.connection.cursor()
        cursor.execute(f"USE {ALIAS}")
        return replace(self, connection=cursor)

    def snapshot_id(self) -> int:
        """The number of the snapshot that queries see: it grows with every transaction that wrote something."""
        return int(self.sql(f"SELECT id FROM ducklake_current_snapshot('{ALIAS}')")["id"][0].as_py())

    def close(self) -> None:
        """Give the connection back."""
        self.connection.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # Queries meet a missing file, a full disk or a server that went away wherever they are asked.
        if error is not None and (fault := fault_of(error, self.catalog)):
            raise fault from error
