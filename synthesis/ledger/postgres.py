"""A ledger in a PostgreSQL database: for workers on several machines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import conninfo
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from synthesis.ledger.store import LedgerRow, Store, SubmittedBatch, lock_number
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


PATIENCE_S = 60.0
"""How long a server may be away: long enough for a restart or a failover."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
# Notices a lost server within a minute instead of a quarter of an hour.
_DEFAULTS = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 40_000,
}
_SECRETS = ("password", "sslpassword")


class PostgresStore(Store):
    """Rows in the schema `odds_ledger`; locks are advisory locks of the session, and end with it.

    If the connection breaks, it is made again within PATIENCE_S, and the interrupted statement is repeated: running any
    of them twice does no harm. The locks are taken again first. One that another process took in the meantime is lost,
    and its call may be sent twice.
    """

    name = "in PostgreSQL"

    def __init__(self, url: str) -> None:
        self._parameters = _parameters(url)
        self._locked: set[str] = set()
        self._is_away = False
        try:
            self._connection = self._connect()
        except psycopg.Error as error:
            raise InputError(
                f"ledger in PostgreSQL: cannot be used ({self._words(error)}); check the setting ledger, and that the "
                "server runs"
            ) from None

    def read(self, keys: Collection[str]) -> tuple[dict[str, str], frozenset[str]]:
        """See Store. Raises ServiceError if the server does not answer, as all methods here do."""
        query: LiteralString = (
            "select key, reply from odds_ledger.replies where key = any(%s) "
            "union all select local_id, null from odds_ledger.batches"
        )
        rows = self._safely(lambda: self._connection.execute(query, [list(keys)]).fetchall())
        return {key: reply for key, reply in rows if reply is not None}, frozenset(
            key for key, reply in rows if reply is None
        )

    def write(self, rows: Sequence[LedgerRow]) -> None:
        """See Store."""
        columns = [[getattr(row, name) for row in rows] for name in ("key", "endpoint", "model", "reply", "created_at")]
        statement: LiteralString = (
            "insert into odds_ledger.replies select * from unnest(%s::text[], %s::text[], %s::text[], %s::text[], "
            "%s::text[]) on conflict do nothing"
        )
        self._safely(lambda: self._connection.execute(statement, columns))

    def lock(self, keys: Collection[str]) -> set[str]:
        """See Store. Locks that are held are not taken twice, as they would have to be given back twice."""
        got = self._safely(lambda: self._taken(set(keys) - self._locked))
        self._locked |= got
        return got

    def unlock(self, keys: Collection[str]) -> None:
        """See Store."""
        query: LiteralString = "select pg_advisory_unlock(number) from unnest(%s::bigint[]) as held (number)"
        given = sorted(self._locked & set(keys))
        # First: a broken connection has given them back, and must not take them again.
        self._locked -= set(given)
        if given:
            self._safely(lambda: self._connection.execute(query, [[lock_number(key) for key in given]]))

    def put_batch(self, batch: SubmittedBatch) -> None:
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

    def batches(self, endpoint: str | None) -> list[SubmittedBatch]:
        """See Store."""
        query: LiteralString = (
            "select local_id, endpoint, batch_id, sent, created_at from odds_ledger.batches "
            "where %s in (endpoint, '') order by created_at, local_id"
        )
        rows = self._safely(lambda: self._connection.execute(query, [endpoint or ""]).fetchall())
        return [SubmittedBatch.of_row(*row) for row in rows]

    def close(self) -> None:
        """See Store."""
        self._connection.close()

    def _safely(self, do: Callable[[], T]) -> T:
        """Returns what `do` returns; repeats it if the connection broke and could be made again."""
        attempts = Retrying(
            retry=retry_if_exception(lambda _: self._connection.closed and not self._is_away),
            stop=stop_after_delay(PATIENCE_S),
            wait=wait_random_exponential(_FIRST_PAUSE_S, _LONGEST_PAUSE_S),
            reraise=True,
        )
        try:
            found: T = attempts(self._connected, do)
        except psycopg.Error as error:
            self._is_away = self._connection.closed
            raise ServiceError(
                f"ledger in PostgreSQL: {self._words(error)}; check the server, then run the same command again"
            ) from None
        self._is_away = False
        return found

    def _connected(self, do: Callable[[], T]) -> T:
        if self._connection.closed:
            self._connection = self._connect()
            self._locked = self._taken(self._locked)
        return do()

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect("", autocommit=True, **self._parameters)
        try:
            with connection.transaction():
                # Two processes that create the schema at the same time would conflict.
                connection.execute("select pg_advisory_xact_lock(%s)", [_MAKING])
                connection.execute(_TABLES)
        except BaseException:
            connection.close()
            raise
        return connection

    def _taken(self, keys: Collection[str]) -> set[str]:
        query: LiteralString = (
            "select key from unnest(%s::text[], %s::bigint[]) as wanted (key, number) "
            "where pg_try_advisory_lock(number)"
        )
        wanted = sorted(keys)
        numbers = [lock_number(key) for key in wanted]
        return {key for (key,) in self._connection.execute(query, [wanted, numbers]).fetchall()} if wanted else set()

    def _words(self, error: psycopg.Error) -> str:
        """Why it failed, on one line. The server's words may repeat part of a password that was parsed wrongly."""
        if any(name in self._parameters for name in _SECRETS):
            return f"{type(error).__name__}; details are hidden because the connection string holds a password"
        return (str(error).splitlines() or [type(error).__name__])[0]


def _parameters(url: str) -> dict[str, Any]:
    """Parses a connection string. Errors repeat none of it: it may be part of a password."""
    text = url if url.startswith(("postgresql:", "postgres://")) else url.partition(":")[2]
    try:
        return _DEFAULTS | conninfo.conninfo_to_dict(text)
    except psycopg.Error:
        raise InputError(
            "ledger in PostgreSQL: cannot be used (what follows postgres: is not a libpq connection string); "
            "check the setting ledger"
        ) from None
