"""Cycle: every stage in turn, as one flow. With nothing new it makes no request, no task, no row and no shard."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

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
from flows.settings import load_settings
from flows.simulate import simulate
from flows.stage import stage
from flows.train import train


@stage("cycle", hours=240)
def cycle(config: Path | None = None, max_cost: float | None = None, batch: bool = False) -> list[Outcome]:
    """Run propose, elicit, judge, push, (simulate,) pull, recalibrate, agree, publish, train and evaluate.

    `max_cost` is what all stages together may cost, in the currency of the prices; `batch` asks through the batch
    interface. Gives the outcomes of the stages. Where people have not judged enough yet to train on, it stops after
    `agree` and says so.
    """
    return announced(asking(config, max_cost, batch), judging(config), learning(config))


def announced(*stages: Iterator[Outcome]) -> list[Outcome]:
    """Run the stages, each outcome printed when it is there."""
    outcomes = []
    for outcome in chain(*stages):
        print(outcome.line(), flush=True)
        outcomes.append(outcome)
    return outcomes


def asking(config: Path | None, max_cost: float | None = None, batch: bool = False) -> Iterator[Outcome]:
    """The stages before the annotators. Each may cost what those before it have left of `max_cost`."""
    left = max_cost
    for ask in (propose, elicit, judge):
        outcome = ask(config=config, max_cost=left, batch=batch)
        left = None if left is None else max(left - outcome.spent, 0.0)
        yield outcome
    yield push(config=config)


def judging(config: Path | None) -> Iterator[Outcome]:
    """The annotators' stages. Simulated annotators take part where the settings ask for them."""
    if load_settings(config).annotation.simulated_annotators:
        yield simulate(config=config)
    yield pull(config=config)


def learning(config: Path | None) -> Iterator[Outcome]:
    """The stages behind the judgments, as far as the judgments carry."""
    yield recalibrate(config=config)
    yield agree(config=config)
    judged = judged_splits(load_settings(config))
    if missing := [split for split in ("train", "dev", "test") if not judged.get(split)]:
        note = f"no judged proposition in {' and '.join(missing)} yet; the next cycle goes on from here"
        yield Outcome(stage="waiting for judgments", counts={"judged propositions": sum(judged.values())}, note=note)
        return
    yield publish(config=config)
    yield train(config=config)
    yield evaluate(config=config)
