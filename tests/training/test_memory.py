"""What the C library does with freed memory, asked in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from training.fit.memory import _keeps_pieces

# Freeing 16 MiB makes glibc keep later blocks of 8 MiB on its heap, unless the limit is set. hblkhd, the fifth of the
# fields of mallinfo2, is the number of bytes in blocks that go back to the system when they are freed.
ASK = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
class Info(ctypes.Structure):
    _fields_ = [(f"n{number}", ctypes.c_size_t) for number in range(10)]
libc.mallinfo2.restype = Info
if sys.argv[1] == "set":
    from training.fit.memory import return_large_tensors
    return_large_tensors()
libc.free(libc.malloc(16 * 2**20))
before = libc.mallinfo2().n4
libc.malloc(8 * 2**20)
print(libc.mallinfo2().n4 - before)
"""


@pytest.mark.skipif(not _keeps_pieces(), reason="only glibc before 2.38 is changed")
@pytest.mark.parametrize(
    ("how", "environment", "returned"),
    [("set", {}, True), ("unset", {}, False), ("set", {"MALLOC_MMAP_THRESHOLD_": str(2**24)}, False)],
)
def test_large_blocks_go_back_to_the_system(how: str, environment: dict[str, str], returned: bool) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    asked = subprocess.run(
        [sys.executable, "-c", ASK, how], env=clean | environment, capture_output=True, text=True, check=True
    )
    assert (int(asked.stdout) >= 8 * 2**20) is returned
