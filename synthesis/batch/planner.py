"""Which calls are submitted as batches: those that nobody else is sending and that fit into the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import IO
from uuid import uuid4

from synthesis.batch.lines import parted, request_line
from synthesis.call import Call
from synthesis.ledger.store import SubmittedBatch
from synthesis.llm.budget import most_of
from synthesis.llm.client import Caller
from synthesis.panel.settings import Prices
from synthesis.run import CHUNK
from warehouse.records import now


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """A batch to submit; `most` is the most it can cost."""

    batch: SubmittedBatch
    calls: Sequence[Call]
    most: float


class Planner:
    """Plans the batches of one endpoint. `most` is how many lines and bytes one batch may have.

    `plain` holds the calls, and `plain_models` the models, that are asked without a response format.
    """

    def __init__(self, caller: Caller, endpoint: str, most: tuple[int, int]) -> None:
        self.plain: set[str] = set()
        self.plain_models: set[str] = set()
        self._caller = caller
        self._ledger = caller.ledger
        self._endpoint = endpoint
        self._share = caller.endpoint(endpoint).batch_price
        self._most = most
        self._placed: set[str] = set()

    async def unasked(self, calls: Sequence[Call]) -> list[Call]:
        """The calls that have no reply and that nobody is sending."""
        free: list[Call] = []
        for first in range(0, len(calls), CHUNK):
            chunk = calls[first : first + CHUNK]
            keys = await self._ledger.unasked(chunk)
            free.extend(call for call in chunk if call.key in keys)
        return free

    async def placed(self, calls: Sequence[Call]) -> list[PlannedBatch]:
        """Batches for affordable calls, recorded and locked; `end` each of them.

        Leaves out calls that somebody else began to send before their batch was recorded. On an error nothing stays
        reserved or locked.
        """
        reserved = {call.key: call for call in calls}
        locked: list[str] = []
        placed: list[PlannedBatch] = []
        try:
            for plan in await self._planned(calls):
                locked.append(plan.batch.local_id)
                written = await self._written(plan)
                left = {call.key for call in written.calls}
                self._release([reserved.pop(call.key) for call in plan.calls if call.key not in left])
                if written.calls:
                    placed.append(written)
                else:
                    self._ledger.unlock(plan.batch.local_id)
        except BaseException:
            self._release(reserved.values())
            for local_id in locked:
                self._ledger.unlock(local_id)
            raise
        self._placed |= {plan.batch.local_id for plan in placed}
        return placed

    def end(self, plan: PlannedBatch, paid: float = 0.0, unsure: float = 0.0) -> None:
        """Ends a batch, unless it has ended, with what was paid for it and what may be billed besides."""
        if plan.batch.local_id in self._placed:
            self._placed.discard(plan.batch.local_id)
            self._caller.budget.release(plan.most, paid, unsure, reservations=len(plan.calls))
            self._ledger.unlock(plan.batch.local_id)

    async def _written(self, plan: PlannedBatch) -> PlannedBatch:
        """The batch, recorded and locked, without the calls that others send; forgotten if none is left."""
        batch = plan.batch
        await self._ledger.lock(batch.local_id)
        await self._ledger.put_batch(batch)
        calls = await self.unasked(plan.calls)
        if len(calls) == len(plan.calls):
            return plan
        batch = replace(batch, lines={call.key: call.request_id for call in calls})
        await (self._ledger.put_batch(batch) if calls else self._ledger.remove_batch(batch))
        return PlannedBatch(batch, calls, sum(map(self._most_of, calls)))

    def _release(self, calls: Collection[Call]) -> None:
        self._caller.budget.release(sum(map(self._most_of, calls)), reservations=len(calls))

    async def affordable(self, calls: Iterable[Call]) -> tuple[list[Call], float | None]:
        """Reserves the budget for as many calls as fit. Returns them, and the most that the next one can cost."""
        budget = self._caller.budget
        affordable: list[Call] = []
        for call in calls:
            most = self._most_of(call)
            if not budget.has_room(most):
                return affordable, most
            await budget.reserve(most)
            affordable.append(call)
        return affordable, None

    def _most_of(self, call: Call) -> float:
        return most_of(call, self._caller.prices(call), self._share)

    async def _planned(self, calls: Iterable[Call]) -> list[PlannedBatch]:
        """The calls in batches of one model, as the interface requires, and one price."""
        groups: dict[tuple[str, bool, Prices], list[Call]] = {}
        for call in calls:
            structured = call.response_format is not None and call.key not in self.plain
            kind = (call.model, structured and call.model not in self.plain_models, self._caller.prices(call))
            groups.setdefault(kind, []).append(call)
        plans = []
        for (model, structured, (price_in, price_out)), group in groups.items():
            prices = (_times(price_in, self._share), _times(price_out, self._share))
            for part in await asyncio.to_thread(list, parted(group, structured, *self._most)):
                batch = SubmittedBatch(
                    local_id=uuid4().hex,
                    endpoint=self._endpoint,
                    batch_id=None,
                    model=model,
                    structured=structured,
                    prices=prices,
                    lines={call.key: call.request_id for call in part},
                    created_at=now().isoformat(),
                )
                plans.append(PlannedBatch(batch, part, sum(map(self._most_of, part))))
        return plans


def write_lines(file: IO[bytes], plan: PlannedBatch) -> None:
    """Writes the lines of a batch."""
    for call in plan.calls:
        file.write(request_line(call, structured=plan.batch.structured))
    file.flush()


def _times(price: float | None, share: float) -> float | None:
    return None if price is None else price * share
