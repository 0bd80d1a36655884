"""How the C library keeps memory that tensors on a CPU have freed."""

from __future__ import annotations

import ctypes
import os
import platform

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_LARGE = 2 * 2**20  # bytes
_MENDED = (2, 38)


def return_large_tensors() -> None:
    """Let an old glibc return tensors of 2 MiB and more to the system as soon as they are freed.

    Before 2.38, its `posix_memalign`, which torch calls, leaves small pieces around each tensor, that a cache for small
    blocks keeps. So the space of a freed tensor is too small for another of the same size, and the heap grows with each
    step. Returned tensors leave no gaps. Smaller ones stay on the heap, since new pages cost time. A
    MALLOC_MMAP_THRESHOLD_ of the user is left alone.
    """
    if _keeps_pieces() and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)


def _keeps_pieces() -> bool:
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(map(int, version.split(".")[:2])) < _MENDED
