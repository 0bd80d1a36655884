"""Every reply that an endpoint gave, kept before it is used, so that none is paid for twice.

A ledger is an SQLite file, or a PostgreSQL database where workers on several machines share one. Coroutines hand their
reads and writes to one thread, which takes all that has gathered in one transaction: a reply is on disk before it is
used, and the disk is waited for once a group instead of once a reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from pydantic import ValidationError

from synthesis.call import Call
from synthesis.errors import StoppedError
from synthesis.ledger.store import LedgerRow, Store, SubmittedBatch
from synthesis.reply import Reply
from warehouse.errors import ServiceError
from warehouse.records import now

POLL_S = 0.5
"""How often to look whether another process has an answer to a call that it is asking."""


class Ledger:
    """Replies by the key of their call. Any number of coroutines and processes may share one."""

    def __init__(self, store: Store, thread: ThreadPoolExecutor) -> None:
        self._store = store
        self._thread = thread
        self._asked: dict[str, asyncio.Event] = {}
        self._locked: set[str] = set()
        self._unkept: list[LedgerRow] = []
        self._batch_ids: frozenset[str] = frozenset()
        self._batch_keys: set[str] = set()
        self._gathered: list[tuple[_Work, asyncio.Future[_Found]]] = []
        self._pump: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, where: Path | str) -> Ledger:
        """The ledger of that SQLite file or that PostgreSQL connection string, made where there is none.

        A connection string begins with `postgres:` or `postgresql://`. Raises InputError where it cannot be used.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        try:
            store = thread.submit(_open_store, where).result()
        except BaseException:
            thread.shutdown()
            raise
        return cls(store, thread)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes it; what was handed over is written first. The ledger is of no use afterwards.

        Raises ServiceError where replies that came could not be kept until now.
        """
        # A loop that ended may have left rows that were handed over.
        rows = [work.keep for work, _ in self._gathered if work.keep is not None]
        try:
            self._thread.submit(self._close, rows).result()
        finally:
            self._thread.shutdown()

    async def recall(self, calls: Sequence[Call]) -> dict[str, Reply]:
        """The replies that are kept for these calls, by key."""
        keys = [call.key for call in calls]
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._recall, keys)

    def recall_now(self, calls: Sequence[Call]) -> dict[str, Reply]:
        """The same outside of an event loop."""
        return self._thread.submit(self._recall, [call.key for call in calls]).result()

    async def reserve(self, call: Call, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> Reply | None:
        """The reply that is kept for the call, or None: then the caller, and nobody else, is to ask now.

        While another coroutine or process asks the same, it waits for that; `pause` waits so many seconds, and what it
        raises ends the wait. Who got None must `keep` a reply or `release` the call. Raises StoppedError where a batch
        holds the call.
        """
        while True:
            if (other := self._asked.get(call.key)) is not None:
                await other.wait()
                continue
            self._asked[call.key] = asyncio.Event()
            try:
                found = await self._hand_over(_Work(reserve=call.key))
            except BaseException:
                self.release(call)
                raise
            if found is True:
                return None
            self._done(call.key)
            if isinstance(found, Reply):
                return found
            if found is _IN_BATCH:
                raise StoppedError("a batch holds it")
            await pause(POLL_S)

    async def keep(self, call: Call, reply: Reply) -> Reply:
        """Keeps the reply of a reserved call and returns it when it is on disk."""
        row = LedgerRow(
            call.key,
            call.endpoint,
            call.model,
            reply.model_dump_json(exclude_defaults=True),
            now().isoformat(),
        )
        kept = self._hand_over(_Work(keep=row))
        try:
            # Shielded: what is paid for is kept also where whoever asked is called off meanwhile.
            await asyncio.shield(kept)
        except asyncio.CancelledError:
            kept.add_done_callback(_forget)
            raise
        finally:
            self._done(call.key)
        return reply

    async def keep_all(self, endpoint: str, model: str, replies: Mapping[str, Reply]) -> None:
        """Keeps replies by the keys of their calls, which need no reservation, such as those of a batch."""
        moment = now().isoformat()
        rows = [
            LedgerRow(key, endpoint, model, reply.model_dump_json(exclude_defaults=True), moment)
            for key, reply in replies.items()
        ]
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, rows)

    def release(self, call: Call) -> None:
        """Gives a reserved call back without a reply."""
        self._done(call.key)
        asyncio.ensure_future(self._hand_over(_Work(release=call.key))).add_done_callback(_forget)

    async def unasked(self, calls: Sequence[Call]) -> set[str]:
        """The keys of calls that have no reply, and that nobody, here or elsewhere, asks at this moment.

        Who writes a batch down first and looks then knows that nobody else asks for what is left of it: whoever
        reserves a call later sees the batch.
        """
        keys = [call.key for call in calls]
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._unasked, keys)

    async def put_batch(self, batch: SubmittedBatch) -> None:
        """Keeps a batch that is handed in, or what is new about it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.put_batch, batch)

    async def remove_batch(self, batch: SubmittedBatch) -> None:
        """Forgets a batch whose replies are kept."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.remove_batch, batch.local_id)

    async def batches(self, endpoint: str) -> list[SubmittedBatch]:
        """The batches of an endpoint that are under way, the oldest first."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._store.batches, endpoint)

    async def lock(self, name: str) -> bool:
        """Whether the caller, and nobody else here or in another process, now has the lock of that name.

        The name begins with 15 hexadecimal digits. The lock ends with `unlock` or with the process.
        """
        if name in self._locked:
            return False
        self._locked.add(name)
        try:
            got = name in await asyncio.get_running_loop().run_in_executor(self._thread, self._store.lock, [name])
        except BaseException:
            self.unlock(name)  # the thread may have got it, or be about to
            raise
        if not got:
            self._locked.discard(name)
        return got

    def unlock(self, name: str) -> None:
        """Gives a lock back."""
        self._thread.submit(self._store.unlock, [name])
        self._locked.discard(name)

    def _done(self, key: str) -> None:
        if (event := self._asked.pop(key, None)) is not None:
            event.set()

    def _hand_over(self, work: _Work) -> asyncio.Future[_Found]:
        future: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        self._gathered.append((work, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.ensure_future(self._empty())
        return future

    async def _empty(self) -> None:
        """Hands what has gathered to the thread, until nothing has."""
        loop = asyncio.get_running_loop()
        while self._gathered:
            group, self._gathered = self._gathered, []
            try:
                results = await loop.run_in_executor(self._thread, self._exchange, [work for work, _ in group])
            except Exception as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            except BaseException:
                # Called off with the loop: `close` writes what the thread may not have begun to write.
                self._gathered[:0] = [(work, future) for work, future in group if work.keep is not None]
                for _, future in group:
                    future.cancel()
                raise
            for (_, future), result in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(result)

    def _exchange(self, group: Sequence[_Work]) -> list[_Found]:
        """Writes first, then answers reservations: a reply, True (ours to ask), False (somebody else is asking) or
        _IN_BATCH."""
        rows: list[LedgerRow] = []
        wanted: list[str] = []
        released: list[str] = []
        given_back: set[str] = set()
        for work in group:
            if work.keep is not None:
                rows.append(work.keep)
            elif work.reserve is not None:
                wanted.append(work.reserve)
                given_back.discard(work.reserve)
            elif work.release is not None:
                released.append(work.release)
                given_back.add(work.release)
        self._keep(rows)
        self._store.unlock([row.key for row in rows] + released)
        # Locked before it is read: whoever held the lock until now has written its reply before giving it back.
        locked = self._store.lock(wanted) if wanted else set()
        found = self._recall_beside_batches(wanted) if wanted else {}
        # Who was called off while its reservation was on the way released it after it in the same group. One that was
        # released before it belongs to the next who asks.
        self._store.unlock(locked & (found.keys() | given_back))
        return [_result(work, found, locked) for work in group]

    def _recall_beside_batches(self, keys: Collection[str]) -> dict[str, _Found]:
        """What is kept of these calls: replies, and _IN_BATCH where one is to come by a batch."""
        while True:
            texts, ids = self._store.read_beside_batches(keys)
            if ids == self._batch_ids:
                break
            # Read again afterwards: a batch that was taken in meanwhile has left replies.
            batches = self._store.batches(None)
            self._batch_ids = frozenset(batch.local_id for batch in batches)
            self._batch_keys = {key for batch in batches for key in batch.lines}
        held: dict[str, _Found] = {key: _IN_BATCH for key in keys if key in self._batch_keys}
        return held | {key: self._reply(text) for key, text in texts.items()}

    def _unasked(self, keys: Collection[str]) -> set[str]:
        locked = self._store.lock([key for key in keys if key not in self._asked])
        try:
            return locked - self._store.read(locked).keys()
        finally:
            self._store.unlock(locked)

    def _keep(self, rows: Sequence[LedgerRow]) -> None:
        """Writes rows, and those of before that could not be written then."""
        self._unkept += rows
        self._write(self._unkept)
        self._unkept = []

    def _close(self, rows: Sequence[LedgerRow]) -> None:
        known = {row.key for row in self._unkept}
        try:
            self._keep([row for row in rows if row.key not in known])
        except ServiceError as error:
            lost = f"{len(self._unkept)} replies that came, and may be paid for, could not be kept"
            raise ServiceError(f"{error}; {lost}") from None
        finally:
            self._store.close()

    def _write(self, rows: Sequence[LedgerRow]) -> None:
        if rows:
            self._store.write(rows)

    def _recall(self, keys: Collection[str]) -> dict[str, Reply]:
        return {key: self._reply(text) for key, text in self._store.read(keys).items()}

    def _reply(self, text: str) -> Reply:
        try:
            return Reply.model_validate_json(text)
        except ValidationError as error:
            first = str(error).splitlines()[0]
            raise ServiceError(f"ledger {self._store.name}: cannot be read ({first}); move it away") from error


class _InBatch:
    """Says that a batch under way holds a call."""


_IN_BATCH = _InBatch()
_Found: TypeAlias = Reply | _InBatch | bool | None


@dataclass(frozen=True, slots=True)
class _Work:
    """One of: keep a row, reserve a key, release a key."""

    keep: LedgerRow | None = None
    reserve: str | None = None
    release: str | None = None


def _result(work: _Work, found: Mapping[str, _Found], locked: Collection[str]) -> _Found:
    if work.reserve is None:
        return None
    return found.get(work.reserve) or work.reserve in locked


def _forget(future: asyncio.Future[_Found]) -> None:
    """A release that fails is no loss: the lock ends with the process."""
    if not future.cancelled():
        future.exception()


def _open_store(where: Path | str) -> Store:
    if str(where).startswith(("postgres:", "postgresql:")):
        from synthesis.ledger.postgres import PostgresStore

        return PostgresStore(str(where))
    from synthesis.ledger.sqlite import SqliteStore

    return SqliteStore(Path(where))
