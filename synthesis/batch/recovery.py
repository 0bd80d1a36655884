"""Batches that may or may not exist: the endpoint's answer was lost, or the run was killed before it came.

Without this a kill between sending a batch and recording its id would lose, or pay twice for, up to 50,000 replies.
"""

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
"""The age at which a batch that its endpoint does not know is forgotten; its window is one day."""


def is_old(batch: SubmittedBatch) -> bool:
    """Whether its window ended long ago."""
    return now() - datetime.fromisoformat(batch.created_at) >= FORGOTTEN_AFTER


async def recovered(
    interface: BatchInterface, ledger: Ledger, batch: SubmittedBatch, patiently: bool
) -> SubmittedBatch | None:
    """The batch with the endpoint's id; None, and forgotten, if the endpoint never created it.

    The caller must hold the lock of its id: somebody else may be about to submit it.
    """
    batch_id = await interface.find(batch.local_id, patiently=patiently)
    if batch_id is None:
        await ledger.remove_batch(batch)
        return None
    batch = replace(batch, batch_id=batch_id)
    await ledger.put_batch(batch)
    return batch


async def under_way(caller: Caller, endpoint: str) -> list[SubmittedBatch]:
    """The submitted batches of an endpoint: their calls are paid for and must not be sent otherwise.

    Those without an id are looked up at the endpoint. They are forgotten if it does not have them, or keeps no list of
    batches; if it does not answer, they count until they are old.
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
