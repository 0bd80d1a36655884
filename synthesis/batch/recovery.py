"""Batches of which nobody knows whether their endpoint made them: the answer was lost, or whoever asked was killed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from synthesis.batch.interface import BatchInterface
from synthesis.ledger.ledger import Ledger
from synthesis.ledger.store import SubmittedBatch
from synthesis.llm.client import Caller
from warehouse.errors import InputError, ServiceError
from warehouse.records import now

FORGOTTEN_AFTER = timedelta(days=2)
"""A batch that its endpoint does not know is forgotten when it is this old; its window is one day."""


def is_old(batch: SubmittedBatch) -> bool:
    """Whether its window was over long ago."""
    return now() - datetime.fromisoformat(batch.created_at) >= FORGOTTEN_AFTER


async def recovered(
    interface: BatchInterface, ledger: Ledger, batch: SubmittedBatch, patiently: bool
) -> SubmittedBatch | None:
    """The batch with the endpoint's id of it; forgotten where the endpoint never made it.

    For whoever holds the lock of its id: somebody else may be about to hand it in.
    """
    batch_id = await interface.find(batch.local_id, patiently=patiently)
    if batch_id is None:
        await ledger.remove_batch(batch)
        return None
    batch = replace(batch, batch_id=batch_id)
    await ledger.put_batch(batch)
    return batch


async def under_way(caller: Caller, endpoint: str) -> list[SubmittedBatch]:
    """The batches of an endpoint that are handed in: what they hold is paid for, and not to be asked otherwise.

    Those without an id are looked for at the endpoint. They are forgotten where it has none of them, or keeps no list
    of batches; where it does not say, they count until they are old.
    """
    known = [await _known(caller, endpoint, batch) for batch in await caller.ledger.batches(endpoint)]
    return [batch for batch in known if batch is not None]


async def _known(caller: Caller, endpoint: str, batch: SubmittedBatch) -> SubmittedBatch | None:
    ledger = caller.ledger
    if batch.batch_id is not None or not await ledger.lock(batch.local_id):
        return batch
    try:
        there = {each.local_id: each for each in await ledger.batches(endpoint)}
        current = there.get(batch.local_id)
        if current is None or current.batch_id is not None:
            return current
        try:
            return await recovered(BatchInterface(caller, endpoint), ledger, current, patiently=False)
        except ServiceError:
            if not is_old(current):
                return current
        except InputError:
            pass
        await ledger.remove_batch(current)
        return None
    finally:
        ledger.unlock(batch.local_id)
