"""Scoring a stream of propositions with an estimator, in constant memory; its scores may go into the warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from flows.settings.settings import Settings
from flows.stages.services import load_estimator
from flows.terminal.activity import activity
from flows.terminal.console import note
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge_all
from warehouse.records import Drop, Model, PropositionText, Score, content_id

if TYPE_CHECKING:
    from training import Estimator

ROWS_AT_ONCE = 4096
"""How many propositions are scored before their scores are stored."""


@dataclass(frozen=True)
class Scored:
    """Some propositions, in order, with their scores by proposition id. Those that could not be scored are drops."""

    propositions: list[PropositionText]
    scores: dict[str, Score]
    drops: list[Drop]


def store_scores(
    settings: Settings, warehouse: Warehouse, model: Model, propositions: Iterable[PropositionText], total: int
) -> int:
    """Score propositions, and store scores and drops as they come. Returns the number of scores."""
    made = 0
    if total:
        with scored(settings, model, propositions, total) as parts:
            for part in parts:
                merge_all(warehouse, [part.scores.values(), part.drops])
                made += len(part.scores)
    return made


@contextmanager
def scored(
    settings: Settings, model: Model, propositions: Iterable[PropositionText], total: int
) -> Iterator[Iterator[Scored]]:
    """Yield the scores of a stream of propositions, a few thousand at a time, in order.

    They are scored on the device and in the precision of the settings; those that are too long are drops. Memory does
    not grow with their number. `total` is how many there are, to show the progress.
    """
    with activity("score") as shown:
        shown.doing("loading the estimator")
        estimator = load_estimator(settings, model, "score")
        shown.counting()
        yield _parts(estimator, model.model_id, iter(propositions), lambda done: shown.at(done, total))


def _parts(
    estimator: Estimator, model_id: str, propositions: Iterator[PropositionText], at: Callable[[int], None]
) -> Iterator[Scored]:
    done = cut = 0
    while part := list(islice(propositions, ROWS_AT_ONCE)):
        scores: dict[str, Score] = {}
        drops: list[Drop] = []
        for batch in estimator.score_stream(part):
            rows = zip(batch.proposition_ids, batch.scores, batch.level_probabilities, strict=True)
            scores |= {key: _score(model_id, key, value, levels) for key, value, levels in rows}
            drops += batch.drops
            cut += int(batch.truncated.sum())
            at(done + len(scores) + len(drops))
        done += len(part)
        yield Scored(part, scores, drops)
    if cut:
        most = estimator.info.max_length
        note(f"score: premises that do not fit into {most} tokens: {cut:,}; only their end was read")


def _score(model_id: str, proposition_id: str, value: float, levels: Iterable[float]) -> Score:
    return Score(
        score_id=content_id("score", model_id, proposition_id),
        model_id=model_id,
        proposition_id=proposition_id,
        score=float(value),
        level_probabilities=[min(float(level), 1.0) for level in levels],
    )
