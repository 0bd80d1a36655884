"""Submits batches to an endpoint and collects their results, from any number of processes."""

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
    """How many requests of a run were submitted, and how many of them the endpoint has answered or failed."""

    submitted: int = 0
    completed: int = 0
    failed: int = 0


class Submitter:
    """Submits batches to one endpoint, and collects their results.

    Only one process submits at a time, so that no call is in two batches; the process with the lock of a batch's id
    takes care of it. `most` is how many lines and bytes one batch may have.
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
        self._planner = Planner(caller, endpoint, most)
        self._poll_s = poll_s
        self._on_state = on_state
        self._states: dict[str, BatchState] = {}

    async def ask(self, calls: Sequence[Call]) -> dict[str, Failure]:
        """Makes calls, as far as the budget allows, and keeps the replies in the ledger.

        Returns the failures by key. A call with neither may be made again. Batches that earlier runs left are collected
        as well, but waited for only if they hold one of the calls.
        """
        self._caller.stop.check()
        wanted = {call.key: call for call in reversed(calls)}
        plans, known, next_most = await self._in_turn(wanted)
        needed = {batch.local_id for batch in known if wanted.keys() & batch.lines.keys()}
        if wanted and not plans and not needed:
            await self._waited(next_most)
        work = [self._join(batch, wanted, batch.local_id in needed) for batch in known]
        try:
            found = await _all([*work, *(self._send(plan) for plan in plans)])
        finally:
            for plan in plans:
                self._planner.end(plan)  # if it was cancelled before it began
        return {key: failure for each in found for key, failure in each.items()}

    async def _waited(self, next_most: float | None) -> None:
        """Waits if nothing can be submitted: for the budget, or for others that make the same calls."""
        if next_most is None:
            await self._caller.stop.pause(self._poll_s)
            return
        await self._caller.budget.reserve(next_most)  # waits for what others have reserved, or ends the run
        self._caller.budget.release(next_most)

    async def _in_turn(
        self, wanted: Mapping[str, Call]
    ) -> tuple[list[PlannedBatch], list[SubmittedBatch], float | None]:
        """The recorded batches for calls that nobody else makes, the known batches, and, if the budget has no room for
        the next call, the most that it can cost."""
        turn = content_id("batches", self._endpoint)
        while not await self._ledger.lock(turn):
            await self._caller.stop.pause(POLL_S)
        try:
            known = await self._ledger.batches(self._endpoint)
            taken = {key for batch in known for key in batch.lines}
            fresh = await self._planner.unasked([call for call in wanted.values() if call.key not in taken])
            affordable, next_most = await self._planner.affordable(fresh)
            plans = await self._planner.placed(affordable)
        finally:
            self._ledger.unlock(turn)
        return plans, known, next_most

    async def _send(self, plan: PlannedBatch) -> dict[str, Failure]:
        """Submits a batch and collects its results.

        A batch that is left with the endpoint may be billed, so it counts at its most. The run that collects it counts
        what it really cost.
        """
        batch = plan.batch
        paid, unsure = 0.0, plan.most
        try:
            with tempfile.TemporaryFile() as file:
                await asyncio.to_thread(write_lines, file, plan)
                try:
                    file_id = await self._interface.upload(batch.local_id, file)
                    self._caller.stop.check()  # an upload takes minutes, in which the run may have been stopped
                except BaseException:
                    unsure = 0.0  # nothing was submitted
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
            results = await self._collect(batch, ended, {call.key: call for call in plan.calls})
            paid, unsure = results.paid, results.unsure
            return results.failures
        finally:
            self._planner.end(plan, paid, unsure)

    async def _join(self, known: SubmittedBatch, wanted: Mapping[str, Call], needed: bool) -> dict[str, Failure]:
        """Collects a batch that somebody else submitted, or waits until they have collected it."""
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
            if ended.status == "failed":  # it never ran: what is still wanted is submitted again
                await self._ledger.remove_batch(batch)
                return {}
            results = await self._collect(batch, ended, wanted)
            self._caller.budget.release(0.0, results.paid, results.unsure, reservations=0)
            # What was not answered then may be answered now; what was rejected will be rejected again.
            return {key: failure for key, failure in results.failures.items() if failure.reason == "rejected"}
        finally:
            self._ledger.unlock(known.local_id)

    async def _ended(self, batch: SubmittedBatch, needed: bool) -> Batch | None:
        """The batch once it has ended; None if it is still running and not needed now, or no longer known."""
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
        """Forgets an old batch that its endpoint does not know; a recent one may belong to another account."""
        if not is_old(batch):
            raise ServiceError(
                f"{self._interface.where} does not know the batch {batch.batch_id} of {batch.created_at[:16]}; check "
                "base_url and whose key it is, or run again in two days, when its requests are sent again"
            )
        await self._ledger.remove_batch(batch)

    async def _collect(self, batch: SubmittedBatch, ended: Batch, calls: Mapping[str, Call]) -> BatchResults:
        """Keeps the replies of a batch that has ended, counts what is fresh and paid, then forgets the batch.

        A reply without a token count counts at its most; if it is not among `calls`, the run that submitted it counted
        it.
        """

        def most(key: str) -> float:
            call = calls.get(key)
            return most_of(call, batch.prices) if call is not None else 0.0

        results = BatchResults(self._ledger, batch, self._interface.secret, most)
        for file_id in (ended.output_file_id, ended.error_file_id):
            if file_id:
                try:
                    await self._interface.read(file_id, results.add)
                except GoneError:
                    continue
        results.end(ended.status)
        await self._ledger.remove_batch(batch)
        caller = self._caller
        caller.fresh |= {batch.lines[key] for key in results.kept | results.failures.keys()}
        caller.paid |= {batch.lines[key]: paid for key, paid in results.costs.items() if paid}
        caller.uncounted += results.uncounted
        self._show(batch, BatchState(len(batch.lines), len(results.kept), len(batch.lines) - len(results.kept)))
        if not batch.structured and self._planner.plain & results.kept:
            self._planner.plain_models.add(batch.model)
        self._planner.plain |= results.again
        return results

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
    """What all return. The first exception ends the others; their batches stay with the endpoint."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
