"""Long work in little memory and without pauses: what is free again is given back, and less is taken and looked for."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import duckdb
import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.extensions import quoted

# Each thread reads whole row groups and keeps what it took; the cache keeps the files that were read.
SPARING = {"threads": "1", "enable_external_file_cache": "false"}
SELDOM = (50_000, 20, 20)  # objects made and not yet freed between two looks, and looks between wider ones
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


class FreeMemory:
    """What a process that merges for hours holds without using it: the most that each thread ever took.

    Arrow keeps freed memory, glibc does for each thread by itself, and so does DuckDB's own allocator, which lets go
    of it only when its limit is set. The limit stays what it was; DuckDB says it rounded, so it is read only once.
    Where the warehouse is open for reading alone its settings are locked, and DuckDB keeps what it took.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._connection, self._locked = warehouse.connection, warehouse.read_only
        self._limit = str(warehouse.sql("SELECT current_setting('memory_limit') AS l")["l"][0].as_py())

    def give_back(self) -> None:
        """Gives freed memory back to the system, as far as the allocators can."""
        if not self._locked:
            with suppress(duckdb.OutOfMemoryException):  # all of it is in use: none is free
                self._connection.execute(f"SET memory_limit = {quoted(self._limit)}")
        pa.default_memory_pool().release_unused()
        if _TRIM is not None:
            _TRIM(0)


@contextmanager
def sparing(warehouse: Warehouse) -> Iterator[None]:
    """While it lasts, queries take less memory: they run on one thread and read each file anew."""
    before = {name: str(warehouse.sql(f"SELECT current_setting('{name}') AS s")["s"][0].as_py()) for name in SPARING}
    _set(warehouse, SPARING)
    try:
        yield
    finally:
        _set(warehouse, before)


class _NoPandas(MetaPathFinder):
    """Says that pandas is not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=fullname)
        return None


@contextmanager
def without_pandas() -> Iterator[None]:
    """While it lasts, pandas is not there to be imported, unless it was before: it takes 40 MB.

    DuckDB and Arrow import it where they find it, to see whether a value is one of its own. Afterwards both work with
    it as ever.
    """
    finder = _NoPandas()
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.meta_path.remove(finder)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """While it lasts, Python looks for garbage in new objects alone, and seldom.

    By default it looks through all that the imports left, half a million objects, over and over while objects come and
    go by the thousand: a quarter of the time of a run. Garbage that is no cycle never waits for it.
    """
    before = gc.get_threshold()
    gc.collect(1)  # all of it would take as long as many a small run
    gc.freeze()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _set(warehouse: Warehouse, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        warehouse.connection.execute(f"SET {name} = {quoted(value)}")
