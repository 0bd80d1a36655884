"""Keeping long runs small: less memory for queries, freed memory returned to the system, fewer garbage collections."""

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

# Each thread reads whole row groups and keeps its buffers; the cache keeps every file that was read.
SPARING = {"threads": "1", "enable_external_file_cache": "false"}
SELDOM = (50_000, 20, 20)  # thresholds for gc.set_threshold, instead of Python's (700, 10, 10)
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


class FreeMemory:
    """Returns freed memory to the system, in a process that merges for hours.

    Arrow, glibc (for each thread) and DuckDB keep what they once took. DuckDB releases it only when its limit is set,
    so it is set to what it was; DuckDB prints it rounded, so it is read only once. A warehouse that is open for reading
    has locked settings, and DuckDB keeps its memory.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._connection, self._locked = warehouse.connection, warehouse.read_only
        self._limit = str(warehouse.value("SELECT current_setting('memory_limit')"))

    def give_back(self) -> None:
        """Return as much freed memory as the allocators allow."""
        if not self._locked:
            with suppress(duckdb.OutOfMemoryException):  # all of it is in use
                self._connection.execute(f"SET memory_limit = {quoted(self._limit)}")
        pa.default_memory_pool().release_unused()
        if _TRIM is not None:
            _TRIM(0)


@contextmanager
def sparing(warehouse: Warehouse) -> Iterator[None]:
    """Run the queries in this block on one thread and without a file cache, which takes less memory."""
    before = {name: str(warehouse.value(f"SELECT current_setting('{name}')")) for name in SPARING}
    _set(warehouse, SPARING)
    try:
        yield
    finally:
        _set(warehouse, before)


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=fullname)
        return None


@contextmanager
def without_pandas() -> Iterator[None]:
    """Keep pandas from being imported in this block unless it is loaded already.

    DuckDB and Arrow import it if they can, only to check whether a value is a pandas object, and that takes 40 MB. A
    hook is needed: after the simpler `sys.modules["pandas"] = None` Arrow takes the None for the module and fails.
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
    """Run Python's cyclic garbage collector seldom in this block, and only over objects made in it.

    By default it scans the half a million objects of the imports again and again, which took a quarter of the time of
    a run. Most garbage is freed by reference counting and does not wait for it.
    """
    before = gc.get_threshold()
    gc.collect(1)  # a full collection would take as long as a small run
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
