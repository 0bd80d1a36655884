"""Prompts and targets on disk: a fit reads the few rows of a step, and its memory does not grow with the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from training.model.packing import Indices, Tokens

_AT_ONCE = 4096  # prompts
Kind = TypeVar("Kind", bound=np.generic)


class Ragged(Generic[Kind]):
    """Arrays [length, *shape] of different lengths in a file; of each only its place is in memory."""

    def __init__(self, path: Path, kind: type[Kind], shape: tuple[int, ...] = ()) -> None:
        self._kind, self._shape = np.dtype(kind), shape
        self._bytes = self._kind.itemsize * int(np.prod(shape, dtype=np.int64))
        self._sizes: list[npt.NDArray[np.int32]] = []
        self._starts: Indices = np.zeros(1, dtype=np.int64)
        self._file = path.open("w+b")

    def add(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Append arrays."""
        if arrays:
            self._file.write(np.concatenate(arrays).astype(self._kind).tobytes())
            self._sizes.append(np.array([len(each) for each in arrays], dtype=np.int32))

    def done(self) -> None:
        """End writing."""
        self._file.flush()
        self._place(np.concatenate([np.empty(0, np.int32), *self._sizes]))
        self._sizes = []

    def reserve(self, lengths: Indices) -> None:
        """Make room for arrays of these lengths, to be put in any order."""
        self._place(lengths)
        self._file.truncate(int(self._starts[-1]) * self._bytes)

    def put(self, index: int, array: npt.NDArray[Any]) -> None:
        """Write an array into the room that was made for it."""
        raw, place = memoryview(array.astype(self._kind).tobytes()), int(self._starts[index]) * self._bytes
        while raw:
            written = os.pwrite(self._file.fileno(), raw, place)
            raw, place = raw[written:], place + written

    def _place(self, lengths: Indices) -> None:
        self._starts = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=self._starts[1:])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def lengths(self) -> Indices:
        """Return the length of each array, as int32."""
        found = np.empty(len(self), dtype=np.int32)
        return np.subtract(self._starts[1:], self._starts[:-1], out=found, casting="same_kind")

    def __getitem__(self, index: int) -> npt.NDArray[Kind]:
        start, end = self._starts[index : index + 2].tolist()
        raw = os.pread(self._file.fileno(), (end - start) * self._bytes, start * self._bytes)
        return np.frombuffer(raw, dtype=self._kind).reshape(end - start, *self._shape)

    def of(self, indices: Indices) -> list[npt.NDArray[Kind]]:
        """Return the arrays at some indices."""
        return [self[index] for index in indices.tolist()]


class Table:
    """Rows [n, width] of float32 in a file, a new one unless it is `written`."""

    def __init__(self, path: Path, width: int, *, written: bool = False) -> None:
        self._width = width
        self._file = path.open("rb" if written else "w+b")

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Append rows [m, width]."""
        self._file.write(rows.astype(np.float32).tobytes())

    def done(self) -> None:
        """End writing."""
        self._file.flush()

    def of(self, indices: Indices) -> npt.NDArray[np.float32]:
        """Return the rows [m, width] at some indices."""
        size = 4 * self._width
        raw = b"".join(os.pread(self._file.fileno(), size, index * size) for index in indices.tolist())
        return np.frombuffer(raw, dtype=np.float32).reshape(len(indices), self._width)

    def batches(self, rows: int = 8192) -> Iterator[npt.NDArray[np.float32]]:
        """Yield all rows, some at once."""
        size = 4 * self._width * rows
        place = 0
        while raw := os.pread(self._file.fileno(), size, place):
            yield np.frombuffer(raw, dtype=np.float32).reshape(-1, self._width)
            place += len(raw)


def tokens_in(path: Path) -> Ragged[np.int32]:
    """Return an empty store of prompts."""
    return Ragged(path, np.int32)


def opening(*stores: Ragged[np.int32]) -> Tokens:
    """Return the tokens that all prompts of some stores share at their start, at least one less than each has."""
    shared: Tokens | None = None
    for store in stores:
        for start in range(0, len(store), _AT_ONCE):
            prompts = store.of(np.arange(start, min(start + _AT_ONCE, len(store))))
            shared = prompts[0][:-1] if shared is None else shared
            width = min(len(shared), *(len(prompt) - 1 for prompt in prompts))
            table = np.stack([prompt[:width] for prompt in prompts])
            differs = np.flatnonzero((table != shared[:width]).any(axis=0))
            shared = shared[: int(differs[0]) if len(differs) else width]
    return np.empty(0, dtype=np.int32) if shared is None else shared
