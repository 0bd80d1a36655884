"""How the C library keeps memory that tensors on a CPU have freed."""

from __future__ import annotations

import ctypes
import os
import sys

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_LARGE = 4 * 2**20  # bytes


def return_large_tensors() -> None:
    """Let glibc return tensors of 4 MiB and more to the system as soon as they are freed.

    By default, once a larger one was freed, it keeps all up to 32 MiB on its heap. Batches differ in length, so tensors
    of ever other sizes leave gaps there that later ones do not fit into, and the heap grows with each step. Smaller
    tensors stay on the heap, since new pages cost time. Other systems, and a MALLOC_MMAP_THRESHOLD_ of the user, are
    left alone.
    """
    if sys.platform == "linux" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, _LARGE)
