"""Elicit: have every labeler of the panel estimate every proposition that it has not estimated yet."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from prefect import flow

from flows.outcome import Outcome
from flows.progress import Tick, progress
from flows.services import ledger, running_endpoints, writing
from flows.settings import load_settings
from synthesis.client import Caller
from synthesis.elicit import elicit as elicit_from
from synthesis.panel import Labeler, labeler_version
from synthesis.render import load_prompt
from warehouse.connect import Warehouse
from warehouse.queries import pending_estimates
from warehouse.records import PropositionText
from warehouse.store import merge_all

Work = list[tuple[Labeler, list[PropositionText]]]


@flow(name="elicit")
def elicit(config: Path | None = None) -> Outcome:
    """Elicit the estimates that are missing. A reply without a probability is a refusal with its reason, never a guess.

    Raises `InputError` for settings that cannot be used and `ServiceError` where an endpoint does not answer; what was
    estimated until then is kept.
    """
    settings = load_settings(config)
    with writing(settings) as warehouse:
        work = [
            (labeler, pending_estimates(warehouse, labeler.name, labeler_version(labeler, load_prompt(labeler.prompt))))
            for labeler in settings.labelers
        ]
        work = [(labeler, propositions) for labeler, propositions in work if propositions]
        if not work:
            return Outcome(stage="elicit", counts={"requests": 0, "estimates": 0, "refused": 0})
        with (
            running_endpoints(settings, {labeler.endpoint for labeler, _ in work}) as endpoints,
            ledger(settings) as opened,
            progress("elicit") as tick,
        ):
            made = asyncio.run(_elicit(warehouse, work, Caller(endpoints, opened), tick))
    return Outcome(stage="elicit", counts=dict(made))


async def _elicit(warehouse: Warehouse, work: Work, calling: Caller, tick: Tick) -> Counter[str]:
    made: Counter[str] = Counter({"requests": 0, "estimates": 0, "refused": 0})
    total = sum(len(propositions) for _, propositions in work)
    before = 0
    async with calling:
        for labeler, propositions in work:
            async for batch in elicit_from(propositions, labeler, calling):
                merge_all(warehouse, [batch.requests, batch.estimates])
                refused = sum(estimate.probability is None for estimate in batch.estimates)
                made["requests"] += len(batch.requests)
                made["estimates"] += len(batch.estimates) - refused
                made["refused"] += refused
                before += len(batch.estimates)
                tick(before, total)
    return made
