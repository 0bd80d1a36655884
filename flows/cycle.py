"""Cycle: every stage in turn, as one flow. With nothing new, it makes no request, task, row or shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from flows.agree import agree
from flows.elicit import elicit
from flows.evaluate import evaluate
from flows.evaluate_suites import evaluate_all
from flows.judge import judge
from flows.promote import promote_newest
from flows.propose import propose
from flows.publish import publish
from flows.pull import pull
from flows.push import push
from flows.recalibrate import recalibrate
from flows.settings.settings import Config, Settings, load_settings
from flows.simulate import simulate
from flows.stages.outcome import Outcome
from flows.stages.services import judged_splits
from flows.stages.stage import stage
from flows.suites import import_named
from flows.terminal.activity import activity
from flows.terminal.console import harmless, note
from flows.train import train
from warehouse.errors import OddsError, together


@stage("cycle", hours=240, retried=False)
def cycle(config: Config = None, max_cost: float | None = None, batch: bool = False) -> list[Outcome]:
    """Run propose, elicit, judge, push, (simulate,) pull, recalibrate, agree, publish, train and evaluate.

    Suites of the settings are imported first and measured last. With `evaluation.promotion = "suites"`, a new estimator
    is used, and evaluated, only if it is better on them than the one before.

    The settings are read once: an edit during the run affects the next one. Without enough judgments to train on, it
    stops after `agree` and says so. If a stage fails, those that don't need it still run, and its error is raised last:
    `judge` needs `elicit`, and each stage from `agree` on needs the one before it.

    Args:
        config: The settings, or the file to read them from.
        max_cost: The most that all stages together may cost, in the currency of the prices.
        batch: Use the batch interface of the endpoints.

    Returns:
        The outcome of each stage. Each is also printed when the stage ends.
    """
    settings = load_settings(config)
    settings.check_labelers()
    return announced(
        importing(settings),
        *llm_stages(settings, max_cost, batch),
        in_turn(settings, push),
        in_turn(settings, *([simulate] if settings.annotation.simulated_annotators else [])),
        in_turn(settings, pull),
        in_turn(settings, recalibrate),
        learning(settings),
    )


def announced(*groups: Iterator[Outcome]) -> list[Outcome]:
    """Run groups of stages, print each outcome, and return them with their seconds. A failure ends only its group.

    When all have run, the error of the group that failed is raised, or one error for several.
    """
    outcomes: list[Outcome] = []
    errors: list[OddsError] = []
    began = time.monotonic()
    for group in groups:
        try:
            for outcome in group:
                ended = time.monotonic()
                outcomes.append(outcome.model_copy(update={"seconds": ended - began}))
                began = ended
                print(harmless(outcome.line()), flush=True)
        except OddsError as error:
            errors.append(error)
            began = time.monotonic()
            if group is not groups[-1]:
                note(f"failed: {error}; continuing with the stages that don't need it")
    if not errors:
        return outcomes
    raise together(errors)


def importing(settings: Settings) -> Iterator[Outcome]:
    """Import the suites of the settings that are missing, before anything is published."""
    with activity("import suite"):
        yield from (each for each in import_named(settings) if each.counts["new"])


def llm_stages(
    settings: Settings, max_cost: float | None = None, batch: bool = False
) -> tuple[Iterator[Outcome], Iterator[Outcome]]:
    """Run the stages that ask models, in two groups: what is there can be estimated even if proposing fails.

    Each stage may spend what the earlier ones left of `max_cost`, those that failed included.
    """
    left = max_cost

    def run(ask: Callable[..., Outcome]) -> Outcome:
        nonlocal left
        spent = 0.0
        try:
            outcome = _run(ask, settings, max_cost=left, batch=batch)
            spent = outcome.spent
        except OddsError as error:
            spent = error.spent
            raise
        finally:
            left = None if left is None else max(left - spent, 0.0)
        return outcome

    def group(*stages: Callable[..., Outcome]) -> Iterator[Outcome]:
        yield from map(run, stages)

    # a judge that saw only a part of the estimates would have to be asked again once the others are there
    return group(propose), group(elicit, judge)


def in_turn(settings: Settings, *stages: Callable[..., Outcome]) -> Iterator[Outcome]:
    """Run stages as one group."""
    yield from (_run(each, settings) for each in stages)


def learning(settings: Settings) -> Iterator[Outcome]:
    """Run the stages that use the judgments, as far as there are enough."""
    yield _run(agree, settings)
    judged = judged_splits(settings)
    if missing := [split for split in ("train", "dev", "test") if not judged.get(split)]:
        why = f"no judged proposition in {' and '.join(missing)} yet; the next cycle continues from here"
        yield Outcome(stage="waiting for judgments", counts={"judged propositions": sum(judged.values())}, note=why)
        return
    yield from in_turn(settings, publish, train)
    if settings.evaluation.promotion == "suites":
        with activity("promote"):
            yield from promote_newest(settings)
    yield from in_turn(settings, evaluate)
    if settings.suites:
        with activity("evaluate suites"):
            yield evaluate_all(settings)


def _run(run: Callable[..., Outcome], settings: Settings, **arguments: Any) -> Outcome:
    """Run one stage and show its activity."""
    with activity(run.__name__):
        return run(config=settings, **arguments)
