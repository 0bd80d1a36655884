"""The one place where the catalog is waited for: one writer at a time, and a bounded retry on conflict."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from warehouse.errors import ServiceError

T = TypeVar("T")

PATIENCE_S = 120.0
BUSY_SIGNS = ("is locked", "conflict", "could not serialize", "deadlock detected")


@contextmanager
def writer_lock(folder: Path | None) -> Iterator[None]:
    """Hold the folder's writer lock (none for a catalog on a server); BlockingIOError where another process has it.

    DuckLake has no unique keys, so two MERGEs of the same new key at the same time would both insert it. The lock
    is advisory, on the folder itself: it leaves no file, and the system frees it when its process dies.
    """
    if folder is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def is_busy(error: BaseException) -> bool:
    """Whether the error says that another writer was there first, so that trying again can help."""
    if isinstance(error, BlockingIOError):
        return True
    return isinstance(error, duckdb.Error) and any(sign in str(error).lower() for sign in BUSY_SIGNS)


def alone(fn: Callable[[], T], folder: Path | None, patience_s: float = PATIENCE_S) -> T:
    """What `fn` gives, run while no other process writes; tried again with jitter for at most `patience_s` seconds.

    Raises:
        ServiceError: the catalog stayed busy for that long.
    """
    retrying = Retrying(
        retry=retry_if_exception(is_busy),
        wait=wait_random_exponential(multiplier=0.01, max=0.25),
        stop=stop_after_delay(patience_s),
    )

    def attempt() -> T:
        with writer_lock(folder):
            return fn()

    try:
        return retrying(attempt)
    except RetryError as error:
        cause = error.last_attempt.exception()
        raise ServiceError(
            f"The warehouse catalog was busy for {patience_s:.0f} s: another process is writing; wait for it or end it"
        ) from cause
