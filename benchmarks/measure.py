"""Measuring one piece of work in a process of its own: how long it took and how much memory it had at most."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True)
class Measured:
    """What a piece of work gave and took; `result` is None where it did not survive."""

    result: Any
    seconds: float
    peak_gib: float

    @property
    def survived(self) -> bool:
        """Whether it came to its end."""
        return self.result is not None


def measured(work: Callable[..., Any], *arguments: Any, memory_gib: float | None = None) -> Measured:
    """Run `work` in a fresh process, with at most so much address space; it says itself how long it took.

    `work` returns what it found and the seconds that count, so that preparing them does not.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, work, arguments, memory_gib))
    process.start()
    there.close()
    try:
        result, seconds, peak = here.recv()
    except EOFError:  # the process was killed
        result, seconds, peak = None, float("nan"), float("nan")
    process.join()
    return Measured(result, seconds, peak)


def _run(there: Connection, work: Callable[..., Any], arguments: tuple[Any, ...], memory_gib: float | None) -> None:
    if memory_gib is not None:
        limit = int(memory_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        result, seconds = work(*arguments)
    except MemoryError:
        result, seconds = None, float("nan")
    there.send((result, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))


class Clock:
    """`with Clock() as clock: ...` leaves the seconds in `clock.seconds`."""

    seconds = 0.0

    def __enter__(self) -> Clock:
        self.began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.began
