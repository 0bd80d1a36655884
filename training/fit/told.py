"""What a teacher has answered so far, by proposition, so that no fit asks again what another one has asked."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.fit.store import Table
from training.fit.workplace import lock_if_free
from training.levels import Floats
from training.model.packing import Indices

Keys = npt.NDArray[np.bytes_]
"""The keys of propositions [n], of `WIDTH` bytes each."""

WIDTH = 12
_KIND = np.dtype(f"S{WIDTH}")


def key_of(premise: str, hypothesis: str) -> bytes:
    """Return the key of a proposition: a hash (BLAKE2b, 96 bits) of exactly the texts that a teacher is asked."""
    return blake2b(f"{len(premise)} {premise}{hypothesis}".encode(), digest_size=WIDTH).digest()


def keys_of(batches: Iterable[pa.RecordBatch]) -> Keys:
    """Return the keys of rows with the columns premise and hypothesis."""
    found = [np.empty(0, _KIND)]
    for rows in batches:
        pairs = zip(rows["premise"].to_pylist(), rows["hypothesis"].to_pylist(), strict=True)
        found.append(np.array([key_of(*pair) for pair in pairs], dtype=_KIND))
    return np.concatenate(found)


class Told:
    """The level distributions [n, K] of a teacher, in the order in which it was asked; in memory is none of it.

    They are in two files, of which the values are written first: what a process that died left incomplete is cut off
    by the next one. One process at a time may add, until `closed`; reading goes on after that.
    """

    def __init__(self, folder: Path, levels: int, waiting: Callable[[], object] = lambda: None) -> None:
        """Open a folder, or make it. `waiting` is called if another process has it, before this one waits for it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._place = folder / "keys"
        self._names, self._values = self._place.open("a+b"), (folder / "values").open("a+b")
        if not lock_if_free(self._names.fileno()):
            waiting()
            fcntl.flock(self._names, fcntl.LOCK_EX)
        width = 4 * levels
        known = min(_size(self._names.fileno()) // WIDTH, _size(self._values.fileno()) // width)
        self._names.truncate(known * WIDTH)
        self._values.truncate(known * width)
        self._table = Table(folder / "values", levels, written=True)

    def add(self, keys: Keys, distributions: Floats) -> None:
        """Append answers [n, K] to propositions that are not known yet; NaN for what the teacher cannot read."""
        self._values.write(distributions.astype(np.float32).tobytes())
        self._values.flush()
        self._names.write(keys.tobytes())
        self._names.flush()

    def missing(self, keys: Keys) -> Keys:
        """Return which of some keys are not known, sorted, each once."""
        return np.setdiff1d(keys, self._known())

    def places(self, keys: Keys) -> Indices:
        """Return the place of each of some known keys."""
        order = np.argsort(known := self._known())
        return order[np.searchsorted(known, keys, sorter=order)]

    def closed(self) -> Table:
        """Let other processes add, and return the distributions by place."""
        self._names.close()
        self._values.close()
        return self._table

    def _known(self) -> Keys:
        raw = self._place.read_bytes()  # another process may be adding one by now
        return np.frombuffer(raw, dtype=_KIND, count=len(raw) // WIDTH)


def _size(handle: int) -> int:
    return os.fstat(handle).st_size
