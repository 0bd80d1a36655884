"""The one place that waits for the catalog: one writer at a time, and bounded retries on conflict."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

import duckdb
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from warehouse.errors import InputError, ServiceError

T = TypeVar("T")
Lock: TypeAlias = Callable[[], AbstractContextManager[None]]

PATIENCE_S = 120.0
ADVISORY_KEY = 0x0DD5  # any number not used otherwise in the catalog's database
TURN_KEYS = {"push": 0x0DD6, "pull": 0x0DD7, "pay": 0x0DD8}  # of locks beside that of the writers
TURN_PATIENCE_S = 900.0
UNREACHABLE = "The PostgreSQL catalog cannot be reached; check its connection string and server"
BUSY_SIGNS = ("is locked", "conflict", "could not serialize", "deadlock detected")


def folder_lock(place: Path) -> Lock:
    """Return the writers' lock of a catalog in a folder. Taking it raises BlockingIOError if another process has it.

    DuckLake has no unique keys, so two simultaneous MERGEs of the same new key would both insert it. The advisory lock
    is on the folder itself: it leaves no file, and the system frees it when the process dies. For a second lock in the
    same folder, pass a file, which is created.
    """

    @contextmanager
    def hold() -> Iterator[None]:
        handle = os.open(place, os.O_RDONLY) if place.is_dir() else os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(handle)

    return hold


def server_lock(catalog: str, key: int = ADVISORY_KEY) -> Lock:
    """Return the same for a PostgreSQL catalog: an advisory lock, which the server frees when the connection ends."""

    @contextmanager
    def hold() -> Iterator[None]:
        # Only writers on PostgreSQL need the client library.
        import psycopg

        try:
            connection = psycopg.connect(catalog.removeprefix("postgres:"), autocommit=True)
        except (psycopg.OperationalError, psycopg.ProgrammingError):
            # The message may contain parts of the connection string.
            raise InputError(UNREACHABLE) from None
        with connection:
            found = connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
            if not (found and found[0]):
                raise BlockingIOError("another process is writing")
            yield

    return hold


def is_busy(error: BaseException) -> bool:
    """Whether the error means that another writer was first, so that a retry can help."""
    if isinstance(error, BlockingIOError):
        return True
    return isinstance(error, duckdb.Error) and any(sign in str(error).lower() for sign in BUSY_SIGNS)


def alone(fn: Callable[[], T], lock: Lock, patience_s: float = PATIENCE_S) -> T:
    """Run `fn` while no other process writes, and return its result. Retries with jitter for `patience_s` seconds.

    Raises:
        ServiceError: The catalog stayed busy.
    """
    retrying = Retrying(
        retry=retry_if_exception(is_busy),
        wait=wait_random_exponential(multiplier=0.01, max=0.25),
        stop=stop_after_delay(patience_s),
    )

    def attempt() -> T:
        with lock():
            return fn()

    try:
        return retrying(attempt)
    except RetryError as error:
        cause = error.last_attempt.exception()
        raise ServiceError(
            f"The warehouse catalog was busy for {patience_s:.0f} s; wait for the other writing process, or end it"
        ) from cause


@contextmanager
def turn(lock: Lock, doing: str, waiting: Callable[[str], None], patience_s: float = TURN_PATIENCE_S) -> Iterator[None]:
    """Hold a lock. If another process has it, report that once through `waiting`, and wait.

    Raises:
        ServiceError: The other process kept it for `patience_s` seconds.
    """
    end = time.monotonic() + patience_s
    said = False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lock())
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise ServiceError(
                        f"another process has been {doing} for {patience_s:.0f} s; wait for it or end it"
                    ) from error
            if not said:
                waiting(f"waiting for another process that is {doing}")
                said = True
            time.sleep(0.3)
        yield
