"""Memory that is free again, given back to the system."""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def give_back() -> None:
    """Gives freed memory back, as far as the C library can.

    glibc keeps what was freed, for each thread by itself: a process that merges for hours beside DuckDB's threads would
    hold the most that each of them ever took.
    """
    pa.default_memory_pool().release_unused()
    if _TRIM is not None:
        _TRIM(0)
