"""The writer of a run: collects rows in Arrow and merges them in groups while the next ones come."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.low_memory import FreeMemory
from warehouse.catalog.schema import to_table
from warehouse.catalog.store import merge_all
from warehouse.records import Record

ROWS_AT_ONCE = 10_000
SECONDS_BETWEEN_WRITES = 15.0


class Writer:
    """Merges rows group by group in a thread.

    Counts merged rows by table: `made` counts all of them, `changed` those that are new or differ from the stored row,
    `without` those with a reason instead of a value. One group is merged while the next one is collected; adding to a
    third one waits. An error that `add` and `finish` raise may come from an earlier group.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self.changed: Counter[str] = Counter()
        self.made: Counter[str] = Counter()
        self.without: Counter[str] = Counter()
        self._warehouse = warehouse
        self._memory = FreeMemory(warehouse)
        self._rows = _Rows()
        self._merging: asyncio.Future[None] | None = None
        self._wrote = time.monotonic()

    @property
    def due_in(self) -> float | None:
        """Seconds until the collected rows are due, even if no more come; None if there are none."""
        if not self._rows.count:
            return None
        return max(self._wrote + SECONDS_BETWEEN_WRITES - time.monotonic(), 0.0)

    async def add(self, rows: Sequence[Record]) -> None:
        """Collects rows; they are written once their group is full, or when they are due."""
        self._rows.add(rows)
        if self._rows.count >= ROWS_AT_ONCE or self.due_in == 0.0:
            await self.write()

    async def finish(self) -> None:
        """Writes the rest; everything is in the warehouse when it returns."""
        await self.write()
        await self._merged()

    async def write(self) -> None:
        """Starts to write the collected rows, once the group before them is written."""
        await self._merged()
        rows, self._rows = self._rows, _Rows()
        self._wrote = time.monotonic()
        if rows.count:
            self._merging = asyncio.ensure_future(asyncio.to_thread(self._merge, rows))

    async def _merged(self) -> None:
        merging, self._merging = self._merging, None
        if merging is not None:
            # Shielded: the merge goes on if the waiting task is cancelled.
            await asyncio.shield(merging)

    def _merge(self, rows: _Rows) -> None:
        for table, merged in merge_all(self._warehouse, rows.tables()).items():
            self.changed[table] += merged.changed
        self.made += rows.made
        self.without += rows.without
        self._memory.give_back()


class _Rows:
    """Rows to be written, in Arrow: ten thousand as objects take 20 MB."""

    def __init__(self) -> None:
        self.count = 0
        self.made: Counter[str] = Counter()
        self.without: Counter[str] = Counter()
        self._parts: dict[type[Record], list[pa.Table]] = {}

    def add(self, rows: Sequence[Record]) -> None:
        kinds: dict[type[Record], list[Record]] = {}
        for row in rows:
            kinds.setdefault(type(row), []).append(row)
        for kind, some in kinds.items():
            self._parts.setdefault(kind, []).append(to_table(kind, some))
            self.made[kind.table] += len(some)
            self.without[kind.table] += sum(getattr(row, "reason", None) is not None for row in some)
        self.count += len(rows)

    def tables(self) -> list[pa.Table]:
        return [pa.concat_tables(parts) for parts in self._parts.values()]
