"""A ledger in a PostgreSQL database: for workers on several machines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import LiteralString, TypeVar

import psycopg

from synthesis.ledger import Row, SentBatch, Store
from warehouse.errors import InputError, ServiceError

T = TypeVar("T")

_TABLES: LiteralString = """
create schema if not exists odds_ledger;
create table if not exists odds_ledger.replies (
    key text primary key, endpoint text not null, model text not null, reply text not null, created_at text not null
);
create table if not exists odds_ledger.batches (
    local_id text primary key, endpoint text not null, batch_id text, sent text not null, created_at text not null
);
"""
_MAKING = 0x0DD5


class PostgresStore(Store):
    """Rows in the schema `odds_ledger`; locks are advisory ones of the session, which end with it."""

    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        # The connection string may hold a password, so no message repeats it.
        conninfo = url if url.startswith(("postgresql:", "postgres://")) else url.partition(":")[2]
        try:
            self._connection = psycopg.connect(conninfo, autocommit=True, connect_timeout=10)
            with self._connection.transaction():
                # Two that make the same schema at one time would stumble over each other.
                self._connection.execute("select pg_advisory_xact_lock(%s)", [_MAKING])
                self._connection.execute(_TABLES)
        except psycopg.Error as error:
            said = type(error).__name__ if "password" in conninfo else _first_line(error)
            raise InputError(
                f"ledger in PostgreSQL: cannot be used ({said}); check the setting ledger, and that the server runs"
            ) from None

    def read(self, keys: Collection[str]) -> dict[str, str]:
        """See Store. Raises ServiceError where the server does not answer, as all methods here do."""
        query: LiteralString = "select key, reply from odds_ledger.replies where key = any(%s)"
        return self._safely(lambda: dict(self._connection.execute(query, [list(keys)]).fetchall()))

    def read_beside_batches(self, keys: Collection[str]) -> tuple[dict[str, str], frozenset[str]]:
        """See Store."""
        query: LiteralString = (
            "select key, reply from odds_ledger.replies where key = any(%s) "
            "union all select local_id, null from odds_ledger.batches"
        )
        rows = self._safely(lambda: self._connection.execute(query, [list(keys)]).fetchall())
        return {key: reply for key, reply in rows if reply is not None}, frozenset(
            key for key, reply in rows if reply is None
        )

    def write(self, rows: Sequence[Row]) -> None:
        """See Store."""
        columns = [[getattr(row, name) for row in rows] for name in ("key", "endpoint", "model", "reply", "created_at")]
        statement: LiteralString = (
            "insert into odds_ledger.replies select * from unnest(%s::text[], %s::text[], %s::text[], %s::text[], "
            "%s::text[]) on conflict do nothing"
        )
        self._safely(lambda: self._connection.execute(statement, columns))

    def lock(self, keys: Collection[str]) -> set[str]:
        """See Store."""
        query: LiteralString = (
            "select key from unnest(%s::text[], %s::bigint[]) as wanted (key, number) "
            "where pg_try_advisory_lock(number)"
        )
        wanted = sorted(set(keys))
        numbers = [_number(key) for key in wanted]
        return self._safely(lambda: {row[0] for row in self._connection.execute(query, [wanted, numbers]).fetchall()})

    def unlock(self, keys: Collection[str]) -> None:
        """See Store."""
        if keys:
            query: LiteralString = "select pg_advisory_unlock(number) from unnest(%s::bigint[]) as held (number)"
            self._safely(lambda: self._connection.execute(query, [[_number(key) for key in keys]]))

    def put_batch(self, batch: SentBatch) -> None:
        """See Store."""
        statement: LiteralString = (
            "insert into odds_ledger.batches values (%s, %s, %s, %s, %s) "
            "on conflict (local_id) do update set batch_id = excluded.batch_id, sent = excluded.sent"
        )
        row = [batch.local_id, batch.endpoint, batch.batch_id, batch.sent, batch.created_at]
        self._safely(lambda: self._connection.execute(statement, row))

    def remove_batch(self, local_id: str) -> None:
        """See Store."""
        self._safely(
            lambda: self._connection.execute("delete from odds_ledger.batches where local_id = %s", [local_id])
        )

    def batches(self, endpoint: str | None) -> list[SentBatch]:
        """See Store."""
        query: LiteralString = (
            "select local_id, endpoint, batch_id, sent, created_at from odds_ledger.batches "
            "where %s in (endpoint, '') order by created_at, local_id"
        )
        rows = self._safely(lambda: self._connection.execute(query, [endpoint or ""]).fetchall())
        return [SentBatch.of_row(*row) for row in rows]

    def close(self) -> None:
        """See Store."""
        self._connection.close()

    def _safely(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except psycopg.Error as error:
            raise ServiceError(
                f"ledger in PostgreSQL: {_first_line(error)}; check the server, then run the same command again"
            ) from error


def _number(key: str) -> int:
    return int(key[:15], 16)


def _first_line(error: psycopg.Error) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
