"""The ledger: every reply is kept before it is used, so that none is paid for twice.

A ledger is an SQLite file, or a PostgreSQL database that workers on several machines share. Coroutines pass their reads
and writes to one thread, which takes all that has gathered in one transaction: a reply is on disk before it is used,
and one wait for the disk serves a whole group of replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from synthesis.call import Call
from synthesis.errors import StoppedError
from synthesis.ledger.exchange import Claim, Exchange, Found, Keep, Operation, Release, Reserve
from synthesis.ledger.store import LedgerRow, Store, SubmittedBatch
from synthesis.reply import Reply
from warehouse.records import now

T = TypeVar("T")

POLL_S = 0.5
"""How often to look whether another process has the reply to a call that it is sending."""


class Ledger:
    """Replies by the key of their call. Any number of coroutines and processes may share one."""

    def __init__(self, store: Store, thread: ThreadPoolExecutor) -> None:
        self._store = store
        self._exchange = Exchange(store)
        self._thread = thread
        self._reserved: dict[str, asyncio.Event] = {}
        self._locked: set[str] = set()
        self._gathered: list[tuple[Operation, asyncio.Future[Found]]] = []
        self._pump: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, where: Path | str) -> Ledger:
        """Opens the ledger in that SQLite file or PostgreSQL database, and creates it if there is none.

        A connection string begins with `postgres:` or `postgresql://`. Raises InputError if it cannot be used.
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
        """Writes what is left and closes the ledger. Raises ServiceError if replies could not be kept."""
        # A loop that ended may have left rows.
        rows = [each.row for each, _ in self._gathered if isinstance(each, Keep)]
        try:
            self._thread.submit(self._exchange.close, rows).result()
        finally:
            self._thread.shutdown()

    async def recall(self, calls: Sequence[Call]) -> dict[str, Reply]:
        """The replies that are kept for these calls, by key."""
        return await self._in_thread(self._exchange.recall, [call.key for call in calls])

    async def reserve(self, call: Call, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> Reply | None:
        """The reply to the call, or None. On None the caller owns the call and must keep() or release() it.

        While another coroutine or process owns the call, waits for its reply. `pause` waits for so many seconds; what
        it raises ends the wait. Raises StoppedError if a batch holds the call.
        """
        while True:
            if (other := self._reserved.get(call.key)) is not None:
                await other.wait()
                continue
            self._reserved[call.key] = asyncio.Event()
            try:
                found = await self._hand_over(Reserve(call.key))
            except BaseException:
                self.release(call)
                raise
            if found is Claim.OURS:
                return None
            self._wake(call.key)
            if isinstance(found, Reply):
                return found
            if found is Claim.IN_BATCH:
                raise StoppedError("a batch holds it")
            await pause(POLL_S)

    async def keep(self, call: Call, reply: Reply) -> Reply:
        """Keeps the reply to a reserved call, and returns it once it is on disk."""
        kept = self._hand_over(Keep(_row(call.key, call.endpoint, call.model, reply)))
        try:
            # Shielded: what is paid for is kept even if the waiting task is cancelled.
            await asyncio.shield(kept)
        except asyncio.CancelledError:
            kept.add_done_callback(_ignore)
            raise
        finally:
            self._wake(call.key)
        return reply

    async def keep_all(self, endpoint: str, model: str, replies: Mapping[str, Reply]) -> None:
        """Keeps replies by key without a reservation, such as those of a batch."""
        await self._in_thread(
            self._exchange.write, [_row(key, endpoint, model, reply) for key, reply in replies.items()]
        )

    def release(self, call: Call) -> None:
        """Gives up a reserved call without a reply."""
        self._wake(call.key)
        self._hand_over(Release(call.key)).add_done_callback(_ignore)

    async def unasked(self, calls: Sequence[Call]) -> set[str]:
        """The keys of calls that have no reply and that nobody, here or elsewhere, has reserved.

        After `put_batch`, nobody else can ask for them: whoever reserves such a call later sees the batch.
        """
        keys = [call.key for call in calls if call.key not in self._reserved]
        return await self._in_thread(self._exchange.unasked, keys)

    async def put_batch(self, batch: SubmittedBatch) -> None:
        """Records a batch, or what is new about it."""
        await self._in_thread(self._store.put_batch, batch)

    async def remove_batch(self, batch: SubmittedBatch) -> None:
        """Forgets a batch whose replies are kept."""
        await self._in_thread(self._store.remove_batch, batch.local_id)

    async def batches(self, endpoint: str) -> list[SubmittedBatch]:
        """The batches of an endpoint that are in progress, oldest first."""
        return await self._in_thread(self._store.batches, endpoint)

    async def lock(self, name: str) -> bool:
        """Tries to take the lock of that name, for the whole ledger. It ends with `unlock`, or with the process.

        The name begins with 15 hexadecimal digits.
        """
        if name in self._locked:
            return False
        self._locked.add(name)
        try:
            got = name in await self._in_thread(self._store.lock, [name])
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

    def _wake(self, key: str) -> None:
        if (event := self._reserved.pop(key, None)) is not None:
            event.set()

    async def _in_thread(self, do: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do, *arguments)

    def _hand_over(self, operation: Operation) -> asyncio.Future[Found]:
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._gathered.append((operation, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.ensure_future(self._empty())
        return future

    async def _empty(self) -> None:
        """Passes what has gathered to the thread, until nothing is left."""
        while self._gathered:
            group, self._gathered = self._gathered, []
            try:
                results = await self._in_thread(self._exchange.run, [operation for operation, _ in group])
            except Exception as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            except BaseException:
                # Cancelled with the loop: `close` writes what the thread may not have begun to write.
                self._gathered[:0] = [pair for pair in group if isinstance(pair[0], Keep)]
                for _, future in group:
                    future.cancel()
                raise
            for (_, future), result in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _row(key: str, endpoint: str, model: str, reply: Reply) -> LedgerRow:
    return LedgerRow(key, endpoint, model, reply.model_dump_json(exclude_defaults=True), now().isoformat())


def _ignore(future: asyncio.Future[Found]) -> None:
    """Takes the error of a release, which does no harm: the lock ends with the process."""
    if not future.cancelled():
        future.exception()


def _open_store(where: Path | str) -> Store:
    if str(where).startswith(("postgres:", "postgresql:")):
        from synthesis.ledger.postgres import PostgresStore

        return PostgresStore(str(where))
    from synthesis.ledger.sqlite import SqliteStore

    return SqliteStore(Path(where))
