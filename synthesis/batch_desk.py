"""Where batches are handed in to an endpoint and what comes of them is taken in, by any number of processes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any
from uuid import uuid4

from openai.types import Batch

from synthesis.batch_adoption import adopted, is_old
from synthesis.batch_intake import Intake
from synthesis.batch_interface import BatchInterface, GoneError, NotMadeError
from synthesis.batch_lines import line_of, parted
from synthesis.call import Call, Failure
from synthesis.client import Caller, cost
from synthesis.endpoint_errors import one_line
from synthesis.flow_control import StoppedError
from synthesis.ledger import POLL_S, SentBatch
from synthesis.panel import Prices
from synthesis.run import CHUNK
from warehouse.errors import ServiceError
from warehouse.records import content_id, now

ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True, slots=True)
class BatchState:
    """The requests of a run that were handed in, and how many of them the endpoint has answered and not answered."""

    submitted: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Order:
    """A batch to hand in; `most` is what it can cost."""

    batch: SentBatch
    calls: Sequence[Call]
    most: float


class Desk:
    """Hands batches in to one endpoint, and takes in what comes of them.

    One desk of all processes hands in at a time, so that no call stands in two batches; each batch is looked after by
    the one that holds the lock of its id. `most` are the lines and bytes that one batch may have.
    """

    def __init__(
        self,
        caller: Caller,
        endpoint: str,
        most: tuple[int, int],
        poll_s: float,
        on_state: Callable[[BatchState], None] | None,
    ) -> None:
        self._caller = caller
        self._ledger = caller.ledger
        self._endpoint = endpoint
        self._interface = BatchInterface(caller, endpoint)
        self._share = caller.endpoint(endpoint).batch_price
        self._most = most
        self._poll_s = poll_s
        self._on_state = on_state
        self._states: dict[str, BatchState] = {}
        self._plain: set[str] = set()
        self._plain_models: set[str] = set()

    async def ask(self, calls: Sequence[Call]) -> dict[str, Failure]:
        """Asks calls, as far as the budget allows; the replies are in the ledger then.

        Gives the failures, by key. A call that has neither may be asked again. Batches that earlier runs left are
        taken in, too, but waited for only where they hold one of the calls.
        """
        self._caller.stop.check()
        wanted = {call.key: call for call in reversed(calls)}
        orders, known, next_most = await self._in_turn(wanted)
        needed = {batch.local_id for batch in known if wanted.keys() & batch.lines.keys()}
        if wanted and not orders and not needed:
            await self._waited(next_most)
        work = [self._join(batch, wanted, batch.local_id in needed) for batch in known]
        found = await _all([*work, *(self._send(order) for order in orders)])
        return {key: failure for each in found for key, failure in each.items()}

    async def _waited(self, next_most: float | None) -> None:
        """Waits where nothing can be handed in: for the budget, or for those who ask the same at once."""
        if next_most is None:
            await self._caller.stop.pause(self._poll_s)
            return
        await self._caller.budget.hold(next_most)  # waits for what others hold, or ends the run
        self._caller.budget.settle(next_most, 0.0)

    async def _in_turn(self, wanted: Mapping[str, Call]) -> tuple[list[_Order], list[SentBatch], float | None]:
        """The orders for calls that nobody has handed in or asks, written down; the batches that are known; and the
        most that the first call costs for which the budget has no room."""
        turn = content_id("batches", self._endpoint)
        while not await self._ledger.lock(turn):
            await self._caller.stop.pause(POLL_S)
        try:
            known = await self._ledger.batches(self._endpoint)
            taken = {key for batch in known for key in batch.lines}
            fresh = await self._unasked([call for call in wanted.values() if call.key not in taken])
            affordable, next_most = await self._affordable(fresh)
            written = [await self._written(order) for order in await self._orders(affordable)]
            orders = [order for order in written if order is not None]
        finally:
            self._ledger.unlock(turn)
        return orders, known, next_most

    async def _unasked(self, calls: Sequence[Call]) -> list[Call]:
        """Those of the calls that have no reply and that nobody is asking."""
        free: list[Call] = []
        for first in range(0, len(calls), CHUNK):
            chunk = calls[first : first + CHUNK]
            keys = await self._ledger.unasked(chunk)
            free.extend(call for call in chunk if call.key in keys)
        return free

    async def _written(self, order: _Order) -> _Order | None:
        """The order, written down and locked, without the calls that somebody began to ask before it stood there."""
        batch = order.batch
        await self._ledger.lock(batch.local_id)
        await self._ledger.put_batch(batch)
        calls = await self._unasked(order.calls)
        if len(calls) == len(order.calls):
            return order
        most = sum(map(self._most_of, calls))
        self._caller.budget.settle(order.most - most, 0.0)
        if not calls:
            await self._ledger.remove_batch(batch)
            self._ledger.unlock(batch.local_id)
            return None
        batch = replace(batch, lines={call.key: call.request_id for call in calls})
        await self._ledger.put_batch(batch)
        return _Order(batch, calls, most)

    async def _affordable(self, calls: Iterable[Call]) -> tuple[list[Call], float | None]:
        """The first calls, as many as the budget has room for; what they can cost is held back."""
        budget = self._caller.budget
        affordable: list[Call] = []
        for call in calls:
            most = self._most_of(call)
            if budget.limit is not None and budget.spent + budget.held + most > budget.limit:
                return affordable, most
            await budget.hold(most)
            affordable.append(call)
        return affordable, None

    def _most_of(self, call: Call) -> float:
        return _most(call, self._caller.prices(call), self._share)

    async def _orders(self, calls: Iterable[Call]) -> list[_Order]:
        """The calls in batches: of one model, as the interface wants it, and of one price."""
        groups: dict[tuple[str, bool, Prices], list[Call]] = {}
        for call in calls:
            structured = call.response_format is not None and call.key not in self._plain
            kind = (call.model, structured and call.model not in self._plain_models, self._caller.prices(call))
            groups.setdefault(kind, []).append(call)
        orders = []
        for (model, structured, (price_in, price_out)), group in groups.items():
            prices = (_times(price_in, self._share), _times(price_out, self._share))
            for part in await asyncio.to_thread(list, parted(group, structured, *self._most)):
                batch = SentBatch(
                    local_id=uuid4().hex,
                    endpoint=self._endpoint,
                    batch_id=None,
                    model=model,
                    structured=structured,
                    prices=prices,
                    lines={call.key: call.request_id for call in part},
                    created_at=now().isoformat(),
                )
                orders.append(_Order(batch, part, sum(map(self._most_of, part))))
        return orders

    async def _send(self, order: _Order) -> dict[str, Failure]:
        """Hands a batch in and takes it in again."""
        batch, budget = order.batch, self._caller.budget
        # Where it is left to the endpoint, it may still be paid; a limit holds for that, too.
        paid = order.most if budget.limit is not None else 0.0
        try:
            with tempfile.TemporaryFile() as file:
                await asyncio.to_thread(_write, file, order)
                try:
                    file_id = await self._interface.upload(batch.local_id, file)
                except BaseException:
                    paid = 0.0  # nothing was ordered
                    await self._ledger.remove_batch(batch)
                    raise
            try:
                batch = replace(batch, batch_id=await self._interface.create(batch.local_id, file_id))
            except NotMadeError as refused:
                paid = 0.0
                await self._ledger.remove_batch(batch)
                raise refused.said from None
            await self._ledger.put_batch(batch)
            self._show(batch, BatchState(len(batch.lines)))
            ended = await self._ended(batch, needed=True)
            if ended is None:
                paid = 0.0
                raise ServiceError(
                    f"{self._interface.where} lost the batch {batch.batch_id}; run the same command again"
                )
            if ended.status == "failed":
                paid = 0.0
                await self._ledger.remove_batch(batch)
                raise self._refused(ended)
            intake = await self._take_in(batch, ended, {call.key: call for call in order.calls})
            paid = intake.paid
            taken = intake.kept | intake.failures.keys()
            self._caller.fresh |= {batch.lines[key] for key in taken}
            return intake.failures
        except StoppedError:
            paid = 0.0
            raise
        finally:
            budget.settle(order.most, paid)
            self._ledger.unlock(batch.local_id)

    async def _join(self, known: SentBatch, wanted: Mapping[str, Call], needed: bool) -> dict[str, Failure]:
        """Takes in a batch that somebody else handed in, or waits until that one has done so."""
        while not await self._ledger.lock(known.local_id):
            if not needed:
                return {}
            await self._caller.stop.pause(self._poll_s)
        try:
            there = await self._ledger.batches(self._endpoint)
            batch = next((each for each in there if each.local_id == known.local_id), None)
            if batch is not None and batch.batch_id is None:
                batch = await adopted(self._interface, self._ledger, batch, patiently=True)
            ended = batch and await self._ended(batch, needed)
            if not batch or not ended:
                return {}
            if ended.status == "failed":  # it was not worked on: what is still wanted is handed in again
                await self._ledger.remove_batch(batch)
                return {}
            intake = await self._take_in(batch, ended, wanted)
            self._caller.budget.settle(0.0, intake.paid)
            # What was not answered then may be now; what was rejected will be again.
            return {key: failure for key, failure in intake.failures.items() if failure.reason == "rejected"}
        finally:
            self._ledger.unlock(known.local_id)

    async def _ended(self, batch: SentBatch, needed: bool) -> Batch | None:
        """The batch when it has ended; None where it has not and is not needed now, or is not known any more."""
        assert batch.batch_id is not None
        while True:
            try:
                state = await self._interface.state(batch.batch_id)
            except GoneError:
                await self._forget_gone(batch)
                return None
            counts = state.request_counts
            if counts is not None:
                self._show(batch, BatchState(len(batch.lines), counts.completed or 0, counts.failed or 0))
            if state.status in ENDED:
                return state
            if not needed:
                return None
            await self._caller.stop.pause(self._poll_s)

    async def _forget_gone(self, batch: SentBatch) -> None:
        """Forgets a batch that its endpoint does not know, where it is old; else another account may be in use."""
        if not is_old(batch):
            raise ServiceError(
                f"{self._interface.where} does not know the batch {batch.batch_id} of {batch.created_at[:16]}; check "
                "base_url and whose key it is, or run again when two days have passed, and it is asked anew"
            )
        await self._ledger.remove_batch(batch)

    async def _take_in(self, batch: SentBatch, ended: Batch, calls: Mapping[str, Call]) -> Intake:
        """Keeps the replies of a batch that has ended, then forgets it.

        What nobody says the tokens of counts at its most; where it is none of these calls, the run that handed it in
        has counted it.
        """

        def most(key: str) -> float:
            call = calls.get(key)
            return _most(call, batch.prices) if call is not None else 0.0

        intake = Intake(self._ledger, batch, self._interface.secret, most)
        for file_id in (ended.output_file_id, ended.error_file_id):
            if file_id:
                try:
                    await self._interface.read(file_id, intake.take)
                except GoneError:
                    continue
        intake.end(ended.status)
        await self._ledger.remove_batch(batch)
        self._show(batch, BatchState(len(batch.lines), len(intake.kept), len(batch.lines) - len(intake.kept)))
        if not batch.structured and self._plain & intake.kept:
            self._plain_models.add(batch.model)
        self._plain |= intake.again
        return intake

    def _refused(self, ended: Batch) -> ServiceError:
        errors = (ended.errors and ended.errors.data) or []
        words = one_line(
            next((each.message for each in errors if each.message), "no reason given"), self._interface.secret
        )
        return ServiceError(f"{self._interface.where} refuses the batch {ended.id}: {words.rstrip('.')}; see there")

    def _show(self, batch: SentBatch, state: BatchState) -> None:
        self._states[batch.local_id] = state
        states = self._states.values()
        if self._on_state is not None:
            self._on_state(
                BatchState(
                    sum(each.submitted for each in states),
                    sum(each.completed for each in states),
                    sum(each.failed for each in states),
                )
            )


async def _all(work: Sequence[Coroutine[Any, Any, dict[str, Failure]]]) -> list[dict[str, Failure]]:
    """What all come to; the first exception ends the others, whose batches stay with the endpoint."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _write(file: IO[bytes], order: _Order) -> None:
    for call in order.calls:
        file.write(line_of(call, structured=order.batch.structured))
    file.flush()


def _most(call: Call, prices: Prices, share: float = 1.0) -> float:
    """The most that a call can cost, 0 where prices are not known."""
    return cost(call.most_tokens_in, call.most_tokens_out or 0, prices, share) or 0.0


def _times(price: float | None, share: float) -> float | None:
    return None if price is None else price * share
