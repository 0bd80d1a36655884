"""Cycle: every stage in turn, as one flow. With nothing new it makes no request, no task, no row and no shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from flows.agree import agree
from flows.elicit import elicit
from flows.evaluate import evaluate
from flows.judge import judge
from flows.outcome import Outcome
from flows.propose import propose
from flows.publish import publish
from flows.pull import pull
from flows.push import push
from flows.recalibrate import recalibrate
from flows.services import judged_splits
from flows.settings.settings import Config, Settings, load_settings
from flows.simulate import simulate
from flows.stage import stage
from flows.terminal.activity import activity
from flows.terminal.console import harmless, note
from flows.train import train
from warehouse.errors import OddsError


@stage("cycle", hours=240)
def cycle(config: Config = None, max_cost: float | None = None, batch: bool = False) -> list[Outcome]:
    """Run propose, elicit, judge, push, (simulate,) pull, recalibrate, agree, publish, train and evaluate.

    `max_cost` is what all stages together may cost, in the currency of the prices; `batch` asks through the batch
    interface. The settings are read once, so an edit during the run counts from the next one. Where people have not
    judged enough yet to train on, it stops after `agree` and says so.

    A stage that fails does not keep those from running that can do without it; its error is raised at the end.
    """
    settings = load_settings(config)
    _ = settings.panel
    return announced(llm_stages(settings, max_cost, batch), pushing(settings), judging(settings), learning(settings))


def announced(*groups: Iterator[Outcome]) -> list[Outcome]:
    """Run the stages, each outcome printed when it is there, with its seconds. A stage that fails ends its group alone.

    Raises the error of the group that failed, or of several in one, when all have run.
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
                note(f"failed: {error}; going on with the stages that do not need it")
    if not errors:
        return outcomes
    said = dict.fromkeys(str(error) for error in errors)
    raise errors[0] if len(said) == 1 else type(errors[0])("; ".join(said)) from errors[0]


def llm_stages(settings: Settings, max_cost: float | None = None, batch: bool = False) -> Iterator[Outcome]:
    """The stages that ask models. Each may cost what those before it have left of `max_cost`."""
    left = max_cost
    for ask in (propose, elicit, judge):
        outcome = _seen(ask, settings, max_cost=left, batch=batch)
        left = None if left is None else max(left - outcome.spent, 0.0)
        yield outcome


def pushing(settings: Settings) -> Iterator[Outcome]:
    """The stage that gives the annotators their tasks."""
    yield _seen(push, settings)


def judging(settings: Settings) -> Iterator[Outcome]:
    """The annotators' stages. Simulated annotators take part where the settings ask for them."""
    if settings.annotation.simulated_annotators:
        yield _seen(simulate, settings)
    yield _seen(pull, settings)


def learning(settings: Settings) -> Iterator[Outcome]:
    """The stages behind the judgments, as far as the judgments carry."""
    yield _seen(recalibrate, settings)
    yield _seen(agree, settings)
    judged = judged_splits(settings)
    if missing := [split for split in ("train", "dev", "test") if not judged.get(split)]:
        why = f"no judged proposition in {' and '.join(missing)} yet; the next cycle goes on from here"
        yield Outcome(stage="waiting for judgments", counts={"judged propositions": sum(judged.values())}, note=why)
        return
    yield _seen(publish, settings)
    yield _seen(train, settings)
    yield _seen(evaluate, settings)


def _seen(run: Callable[..., Outcome], settings: Settings, **arguments: Any) -> Outcome:
    """Run one stage and show that it goes on."""
    with activity(run.__name__):
        return run(config=settings, **arguments)
