"""A ledger in an SQLite file: the default, for any number of processes on one machine."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from synthesis.ledger.store import LedgerRow, Store, SubmittedBatch, lock_number
from warehouse.errors import InputError, ServiceError

_VERSION = 2
_BUSY_S = 60.0
_TABLES = (
    """
    create table if not exists replies (
        key text primary key, endpoint text not null, model text not null, reply text not null, created_at text not null
    ) without rowid
    """,
    """
    create table if not exists batches (
        local_id text primary key, endpoint text not null, batch_id text, sent text not null, created_at text not null
    )
    """,
)
# One statement per group: every step of a statement releases the GIL, and gets it back late under load.
_READ = """
select (select json_group_object(key, reply) from replies where key in (select value from json_each(?))),
(select json_group_array(local_id) from batches)
"""
_WRITE = """
insert or ignore into replies
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 from json_each(?)
"""


class SqliteStore(Store):
    """Rows in a file in write-ahead mode, and locks in a second file.

    A lock is the byte of that file at its key's number, locked through the open file description, so the system frees
    it when the process ends, even by kill -9. A lease in a table would need renewing and an expiry time after a kill,
    and two more commits per group: for 64 calls 11 ms instead of 0.4. One lock per run would make a second run wait for
    the whole first one, which may last a day with batches.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(path)
            self._locks = os.open(f"{path}-locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"ledger {path}: cannot be used ({error}); make the path writable, or move the file away"
            ) from error

    def read(self, keys: Collection[str]) -> tuple[dict[str, str], frozenset[str]]:
        """See Store. Raises ServiceError if the file is corrupt."""
        with self._errors():
            replies, ids = self._connection.execute(_READ, [json.dumps(list(keys))]).fetchone()
            return json.loads(replies), frozenset(json.loads(ids))

    def write(self, rows: Sequence[LedgerRow]) -> None:
        """See Store. Raises ServiceError if the disk is full or the file cannot be written."""
        values = [[row.key, row.endpoint, row.model, row.reply, row.created_at] for row in rows]
        self._change(_WRITE, [json.dumps(values)])

    def lock(self, keys: Collection[str]) -> set[str]:
        """See Store."""
        return {key for key in keys if self._try(fcntl.F_WRLCK, key)}

    def unlock(self, keys: Collection[str]) -> None:
        """See Store."""
        for key in keys:
            self._try(fcntl.F_UNLCK, key)

    def put_batch(self, batch: SubmittedBatch) -> None:
        """See Store."""
        row = [batch.local_id, batch.endpoint, batch.batch_id, batch.sent, batch.created_at]
        self._change("insert or replace into batches values (?, ?, ?, ?, ?)", row)

    def remove_batch(self, local_id: str) -> None:
        """See Store."""
        self._change("delete from batches where local_id = ?", [local_id])

    def batches(self, endpoint: str | None) -> list[SubmittedBatch]:
        """See Store."""
        query = "select * from batches where ? in (endpoint, '') order by created_at, local_id"
        with self._errors():
            rows = self._connection.execute(query, [endpoint or ""]).fetchall()
            return [SubmittedBatch.of_row(*row) for row in rows]

    def close(self) -> None:
        """See Store."""
        self._connection.close()
        os.close(self._locks)

    def _change(self, statement: str, values: Sequence[object]) -> None:
        with self._errors("cannot be written", "free disk space or give another path"), self._connection:
            self._connection.execute(statement, values)

    @contextmanager
    def _errors(self, what: str = "cannot be read", remedy: str = "move the file away") -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            first = str(error).splitlines()[0]
            raise ServiceError(f"ledger {self.name}: {what} ({first}); {remedy}") from error

    def _try(self, kind: int, key: str) -> bool:
        # struct flock: type, whence, start, length, pid; the pid must be 0 for an open file description lock.
        wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, lock_number(key), 1, 0)
        try:
            fcntl.fcntl(self._locks, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            return False
        return True


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S)
    try:
        version = connection.execute("pragma user_version").fetchone()[0]
        tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if version not in (1, _VERSION) and (version, tables) != (0, 0):
            raise InputError(f"ledger {path}: not a ledger of this version; give another path")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma cache_size = -8000")
        if version != _VERSION:
            with connection:
                connection.execute("begin immediate")
                for table in _TABLES:
                    connection.execute(table)
                connection.execute(f"pragma user_version = {_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection
