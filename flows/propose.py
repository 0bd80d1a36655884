"""Propose: ask an LLM for hypotheses at the target probabilities, for each premise that has not been asked yet."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from prefect import flow

from flows.outcome import Outcome
from flows.progress import Tick, progress
from flows.services import ledger, running_endpoints, writing
from flows.settings import Settings, load_settings
from synthesis.client import Caller
from synthesis.propose import propose as propose_for
from synthesis.render import load_prompt
from warehouse.connect import Warehouse
from warehouse.queries import pending_premises
from warehouse.records import Premise, Split, split_of
from warehouse.store import merge_all


@flow(name="propose")
def propose(config: Path | None = None) -> Outcome:
    """Propose hypotheses for every premise that this proposer has not answered or refused yet.

    Raises `InputError` for settings that cannot be used and `ServiceError` where the endpoint does not answer; what was
    proposed until then is kept.
    """
    settings = load_settings(config)
    with writing(settings) as warehouse:
        proposer = settings.proposer
        revision = load_prompt(proposer.prompt).revision
        premises = pending_premises(warehouse, proposer.name, proposer.model, revision)
        if not premises:
            return Outcome(stage="propose", counts={"premises": 0, "requests": 0, "propositions": 0, "dropped": 0})
        with (
            running_endpoints(settings, {settings.proposer.endpoint}) as endpoints,
            ledger(settings) as opened,
            progress("propose") as tick,
        ):
            made = asyncio.run(_propose(settings, warehouse, premises, Caller(endpoints, opened), tick))
    return Outcome(stage="propose", counts={"premises": len(premises), **made})


async def _propose(
    settings: Settings, warehouse: Warehouse, premises: list[Premise], calling: Caller, tick: Tick
) -> Counter[str]:
    made: Counter[str] = Counter({"requests": 0, "propositions": 0, "dropped": 0})
    shares = settings.splits

    def split(premise: str) -> Split:
        return split_of(premise, shares.train, shares.dev)

    async with calling:
        async for batch in propose_for(
            premises, settings.proposer, calling, split, lambda so_far: tick(so_far.done, len(premises))
        ):
            merge_all(warehouse, [batch.requests, batch.propositions, batch.drops])
            made["requests"] += len(batch.requests)
            made["propositions"] += len(batch.propositions)
            made["dropped"] += len(batch.drops)
    return made
