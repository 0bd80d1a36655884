"""Every reply that an endpoint gave, kept in an SQLite file before it is used, so that none is paid for twice."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from synthesis.call import Call, Reply
from warehouse.errors import InputError, ServiceError
from warehouse.records import now

_VERSION = 1
_BUSY_S = 60.0
_TABLE = """
create table if not exists replies (
    key text primary key, endpoint text not null, model text not null, reply text not null, created_at text not null
) without rowid
"""


class Ledger:
    """Replies by the key of their call. Any number of coroutines and processes may share a file.

    One thread holds the connection, so that coroutines never wait for the disk and writes come one after the other.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._path = path
        self._connection = connection
        self._thread = thread

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """The ledger of that file, made where there is none. Raises InputError where the file cannot be used."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = thread.submit(_connect, path).result()
        except (OSError, sqlite3.Error) as error:
            thread.shutdown()
            raise InputError(
                f"ledger {path}: cannot be used ({error}); make the path writable, or move the file away"
            ) from error
        except InputError:
            thread.shutdown()
            raise
        return cls(path, connection, thread)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; the ledger is of no use afterwards."""
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()

    async def get(self, call: Call) -> Reply | None:
        """The reply that is kept for the call, marked as cached, or None."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._get, call.key)

    async def put(self, call: Call, reply: Reply) -> Reply:
        """Keeps the reply and returns it when it is on disk; where another process was first, returns its reply."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._put, call, reply)

    def _get(self, key: str) -> Reply | None:
        try:
            row = self._connection.execute("select reply from replies where key = ?", [key]).fetchone()
            return None if row is None else Reply.model_validate_json(row[0]).model_copy(update={"cached": True})
        except (sqlite3.Error, ValidationError) as error:
            raise ServiceError(f"ledger {self._path}: cannot be read ({_short(error)}); move the file away") from error

    def _put(self, call: Call, reply: Reply) -> Reply:
        row = [call.key, call.endpoint, call.model, reply.model_dump_json(), now().isoformat()]
        try:
            with self._connection:
                done = self._connection.execute("insert or ignore into replies values (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise ServiceError(
                f"ledger {self._path}: cannot be written ({error}); free disk space or give another path"
            ) from error
        if done.rowcount == 1:
            return reply
        return self._get(call.key) or reply


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S)
    try:
        version = connection.execute("pragma user_version").fetchone()[0]
        tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if version != _VERSION and (version, tables) != (0, 0):
            raise InputError(f"ledger {path}: another program's or version's file; give another path")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        with connection:
            connection.execute("begin immediate")
            connection.execute(_TABLE)
            connection.execute(f"pragma user_version = {_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def _short(error: Exception) -> str:
    return str(error).splitlines()[0]
