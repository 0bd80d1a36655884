"""Where batches are handed in to an endpoint and what comes of them is taken in, by any number of processes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from openai.types import Batch

from synthesis.batch.interface import BatchInterface, GoneError, NotMadeError
from synthesis.batch.planner import PlannedBatch, Planner, write_lines
from synthesis.batch.recovery import is_old, recovered
from synthesis.batch.results import BatchResults
from synthesis.call import Call
from synthesis.ledger.ledger import POLL_S
from synthesis.ledger.store import SubmittedBatch
from synthesis.llm.budget import most_of
from synthesis.llm.client import Caller
from synthesis.llm.errors import one_line
from synthesis.reply import Failure
from warehouse.errors import ServiceError
from warehouse.records import content_id

ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True, slots=True)
class BatchState:
    """The requests of a run that were handed in, and how many of them the endpoint has answered and not answered."""

    submitted: int = 0
    completed: int = 0
    failed: int = 0


class Submitter:
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
        self._orders = Planner(caller, endpoint, most)
        self._poll_s = poll_s
        self._on_state = on_state
        self._states: dict[str, BatchState] = {}

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
        try:
            found = await _all([*work, *(self._send(order) for order in orders)])
        finally:
            for order in orders:
                self._orders.end(order)  # where it was called off before it began
        return {key: failure for each in found for key, failure in each.items()}

    async def _waited(self, next_most: float | None) -> None:
        """Waits where nothing can be handed in: for the budget, or for those who ask the same at once."""
        if next_most is None:
            await self._caller.stop.pause(self._poll_s)
            return
        await self._caller.budget.reserve(next_most)  # waits for what others hold, or ends the run
        self._caller.budget.release(next_most)

    async def _in_turn(
        self, wanted: Mapping[str, Call]
    ) -> tuple[list[PlannedBatch], list[SubmittedBatch], float | None]:
        """The orders for calls that nobody has handed in or asks, written down; the batches that are known; and the
        most that the first call costs for which the budget has no room."""
        turn = content_id("batches", self._endpoint)
        while not await self._ledger.lock(turn):
            await self._caller.stop.pause(POLL_S)
        try:
            known = await self._ledger.batches(self._endpoint)
            taken = {key for batch in known for key in batch.lines}
            fresh = await self._orders.unasked([call for call in wanted.values() if call.key not in taken])
            affordable, next_most = await self._orders.affordable(fresh)
            orders = await self._orders.placed(affordable)
        finally:
            self._ledger.unlock(turn)
        return orders, known, next_most

    async def _send(self, order: PlannedBatch) -> dict[str, Failure]:
        """Hands a batch in and takes it in again.

        A batch that is left to the endpoint may be billed, so that it counts at its most: a limit holds for that, too.
        The run that takes it in counts what it came to.
        """
        batch = order.batch
        paid, unsure = 0.0, order.most
        try:
            with tempfile.TemporaryFile() as file:
                await asyncio.to_thread(write_lines, file, order)
                try:
                    file_id = await self._interface.upload(batch.local_id, file)
                except BaseException:
                    unsure = 0.0  # nothing was ordered
                    await self._ledger.remove_batch(batch)
                    raise
            try:
                batch = replace(batch, batch_id=await self._interface.create(batch.local_id, file_id))
            except NotMadeError as refused:
                unsure = 0.0
                await self._ledger.remove_batch(batch)
                raise refused.error from None
            await self._ledger.put_batch(batch)
            self._show(batch, BatchState(len(batch.lines)))
            ended = await self._ended(batch, needed=True)
            if ended is None:
                raise ServiceError(
                    f"{self._interface.where} lost the batch {batch.batch_id}; run the same command again"
                )
            if ended.status == "failed":
                unsure = 0.0
                await self._ledger.remove_batch(batch)
                raise self._refused(ended)
            intake = await self._take_in(batch, ended, {call.key: call for call in order.calls})
            paid, unsure = intake.paid, intake.unsure
            return intake.failures
        finally:
            self._orders.end(order, paid, unsure)

    async def _join(self, known: SubmittedBatch, wanted: Mapping[str, Call], needed: bool) -> dict[str, Failure]:
        """Takes in a batch that somebody else handed in, or waits until that one has done so."""
        while not await self._ledger.lock(known.local_id):
            if not needed:
                return {}
            await self._caller.stop.pause(self._poll_s)
        try:
            there = await self._ledger.batches(self._endpoint)
            batch = next((each for each in there if each.local_id == known.local_id), None)
            if batch is not None and batch.batch_id is None:
                batch = await recovered(self._interface, self._ledger, batch, patiently=True)
            ended = batch and await self._ended(batch, needed)
            if not batch or not ended:
                return {}
            if ended.status == "failed":  # it was not worked on: what is still wanted is handed in again
                await self._ledger.remove_batch(batch)
                return {}
            intake = await self._take_in(batch, ended, wanted)
            self._caller.budget.release(0.0, intake.paid, intake.unsure, reservations=0)
            # What was not answered then may be now; what was rejected will be again.
            return {key: failure for key, failure in intake.failures.items() if failure.reason == "rejected"}
        finally:
            self._ledger.unlock(known.local_id)

    async def _ended(self, batch: SubmittedBatch, needed: bool) -> Batch | None:
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

    async def _forget_gone(self, batch: SubmittedBatch) -> None:
        """Forgets a batch that its endpoint does not know, where it is old; else another account may be in use."""
        if not is_old(batch):
            raise ServiceError(
                f"{self._interface.where} does not know the batch {batch.batch_id} of {batch.created_at[:16]}; check "
                "base_url and whose key it is, or run again when two days have passed, and it is asked anew"
            )
        await self._ledger.remove_batch(batch)

    async def _take_in(self, batch: SubmittedBatch, ended: Batch, calls: Mapping[str, Call]) -> BatchResults:
        """Keeps the replies of a batch that has ended, makes known what is fresh and paid, then forgets it.

        What nobody says the tokens of counts at its most; where it is none of these calls, the run that handed it in
        has counted it.
        """

        def most(key: str) -> float:
            call = calls.get(key)
            return most_of(call, batch.prices) if call is not None else 0.0

        intake = BatchResults(self._ledger, batch, self._interface.secret, most)
        for file_id in (ended.output_file_id, ended.error_file_id):
            if file_id:
                try:
                    await self._interface.read(file_id, intake.take)
                except GoneError:
                    continue
        intake.end(ended.status)
        await self._ledger.remove_batch(batch)
        caller = self._caller
        caller.fresh |= {batch.lines[key] for key in intake.kept | intake.failures.keys()}
        caller.paid |= {batch.lines[key]: paid for key, paid in intake.costs.items() if paid}
        caller.uncounted += intake.uncounted
        self._show(batch, BatchState(len(batch.lines), len(intake.kept), len(batch.lines) - len(intake.kept)))
        if not batch.structured and self._orders.plain & intake.kept:
            self._orders.plain_models.add(batch.model)
        self._orders.plain |= intake.again
        return intake

    def _refused(self, ended: Batch) -> ServiceError:
        errors = (ended.errors and ended.errors.data) or []
        words = one_line(
            next((each.message for each in errors if each.message), "no reason given"), self._interface.secret
        )
        return ServiceError(f"{self._interface.where} refuses the batch {ended.id}: {words.rstrip('.')}; see there")

    def _show(self, batch: SubmittedBatch, state: BatchState) -> None:
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
