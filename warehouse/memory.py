"""Memory that is free again, given back to the system."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

import duckdb
import pyarrow as pa

from warehouse.connect import Warehouse
from warehouse.extensions import quoted

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


class FreeMemory:
    """What a process that merges for hours holds without using it: the most that each thread ever took.

    Arrow keeps freed memory, glibc does for each thread by itself, and so does DuckDB's own allocator, which lets go
    of it only when its limit is set. The limit stays what it was; DuckDB says it rounded, so it is read only once.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._connection = warehouse.connection
        self._limit = str(warehouse.sql("SELECT current_setting('memory_limit') AS l")["l"][0].as_py())

    def give_back(self) -> None:
        """Gives freed memory back to the system, as far as the allocators can."""
        with suppress(duckdb.OutOfMemoryException):  # all of it is in use: none is free
            self._connection.execute(f"SET memory_limit = {quoted(self._limit)}")
        pa.default_memory_pool().release_unused()
        if _TRIM is not None:
            _TRIM(0)
