"""What annotators reach: the mean of k of them against the mean of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.evaluation.families import Answer, Answers, Item, Items
from training.evaluation.paired import Mean, Rows, Statistic
from training.levels import Floats

DRAWS = 20  # of the judgments that stand for k annotators


def name_of(k: int) -> str:
    """Return the name of k annotators as a subject."""
    return "one-annotator" if k == 1 else f"{k}-annotators"


@dataclass(frozen=True)
class Averaged:
    """The mean of statistics of the same rows."""

    statistics: tuple[Statistic, ...]

    @property
    def n(self) -> int:
        """How many rows they are of."""
        return self.statistics[0].n

    def over(self, counts: Floats) -> Floats:
        """Return the mean for each resample."""
        result: Floats = np.mean([each.over(counts) for each in self.statistics], axis=0)
        return result


def averaged(statistics: Sequence[Statistic]) -> Statistic:
    """Return the mean of statistics of the same rows."""
    means = [each.values for each in statistics if isinstance(each, Mean)]
    if len(means) == len(statistics):
        return Mean(np.mean(means, axis=0))
    return Averaged(tuple(statistics))


@dataclass(frozen=True)
class Annotators:
    """The mean of k annotators, drawn many times, as answers to items whose label is the mean of the others.

    The others' mean is noisier than a consensus. `rows` are the places of the items that more than k judged.
    """

    rows: Rows
    draws: tuple[tuple[Items, Answers], ...]

    @classmethod
    def of(cls, items: Items, k: int, seed: int = 0) -> Annotators:
        """Draw k of the judgments of each item, without replacement."""
        judged = items.family == "correlation"
        rows = np.array([row for row, item in enumerate(items.items) if judged and len(item.judgments) > k], np.int64)
        if not len(rows):
            return cls(rows, ())
        some = [items.items[row] for row in rows]
        return cls(rows, tuple(_drawn(some, k, np.random.default_rng([seed, draw])) for draw in range(DRAWS)))

    def measure(self, rows: Rows) -> dict[str, Statistic]:
        """Return what is measured of the items at some of the places in `rows`, each the mean over the draws."""
        places = np.searchsorted(self.rows, rows)
        found = [items.measure(answers, places) for items, answers in self.draws]
        return {name: averaged([each[name] for each in found]) for name in (found[0] if found else ())}

    def describe(self) -> dict[str, float | None]:
        """Return the figures without an interval, each the mean over the draws."""
        found = [items.describe(answers, np.arange(len(self.rows))) for items, answers in self.draws]
        return {name: float(np.mean([each[name] for each in found])) for name in (found[0] if found else ())}


def _drawn(items: list[Item], k: int, rng: np.random.Generator) -> tuple[Items, Answers]:
    others, answers = [], {}
    for item in items:
        shuffled = rng.permutation(item.judgments)
        answers[item.propositions[0]] = Answer(float(shuffled[:k].mean()))
        others.append(replace(item, labels=(float(shuffled[k:].mean()),), judgments=shuffled[k:]))
    return Items("correlation", tuple(others)), answers
