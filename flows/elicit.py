"""Elicit: have every labeler of the panel estimate, or compare, what it has not been asked about yet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prefect import flow

from flows.asking import Limits, Work, ask
from flows.outcome import Outcome
from flows.services import writing
from flows.settings import Settings, load_settings
from synthesis.compare import comparisons
from synthesis.elicit import estimates
from synthesis.panel import Labeler, labeler_version
from synthesis.question import Question
from synthesis.render import load_prompt
from warehouse.connect import Warehouse
from warehouse.pending import count_comparisons, count_estimates, pending_comparisons, pending_estimates

STAGE = "elicit"


@flow(name=STAGE)
def elicit(config: Path | None = None, max_cost: float | None = None, batch: bool = False) -> Outcome:
    """Elicit the estimates that are missing. A reply without a probability is a refusal with its reason, never a guess.

    `max_cost` is what the run may cost, in the currency of the prices; `batch` asks through the batch interface.
    Raises `InputError` for settings that cannot be used and `ServiceError` where an endpoint does not answer; what was
    estimated until then is kept.
    """
    settings = load_settings(config)
    with writing(settings) as warehouse:
        return ask(settings, warehouse, STAGE, work(settings, warehouse), Limits(max_cost, batch))


def work(settings: Settings, warehouse: Warehouse) -> list[Work]:
    """What each labeler is still to be asked."""
    return [_of(labeler, warehouse) for labeler in settings.labelers]


def _of(labeler: Labeler, warehouse: Warehouse) -> Work:
    name, version = labeler.name, labeler_version(labeler, load_prompt(labeler.prompt))
    if labeler.method == "pairwise":
        count = count_comparisons(warehouse, name, version, labeler.compared_with)
        return Work(labeler, count, partial(_compare, warehouse, labeler, version))
    return Work(labeler, count_estimates(warehouse, name, version), partial(_estimate, warehouse, labeler, version))


def _estimate(warehouse: Warehouse, labeler: Labeler, version: str) -> Iterator[Question]:
    return estimates(pending_estimates(warehouse, labeler.name, version), labeler)


def _compare(warehouse: Warehouse, labeler: Labeler, version: str) -> Iterator[Question]:
    return comparisons(pending_comparisons(warehouse, labeler.name, version, labeler.compared_with), labeler)
