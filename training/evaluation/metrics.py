"""Metrics of scores against labels, both arrays [n] of probabilities. An undefined metric is None, never 0."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from training.levels import Floats

Metric = Callable[[Floats, Floats], float | None]

_SAME = 1e-12  # values this close are equal: a constant in floats varies by rounding


class Decomposition(NamedTuple):
    """MSE = miscalibration - discrimination + uncertainty, each >= 0."""

    miscalibration: float
    discrimination: float
    uncertainty: float


class Coarseness(NamedTuple):
    """How few different answers a labeler gives.

    `distinct` is the share of distinct values among the answers, `top_three` the share of answers on the three most
    frequent values, `entropy` the entropy of the answers over log n, `multiples_of_5` the share of answers on multiples
    of 5% minus the 21/101 of answers spread evenly over whole percents.
    """

    distinct: float
    top_three: float
    entropy: float | None
    multiples_of_5: float


class Bin(NamedTuple):
    """One bin of a reliability diagram: the mean score and the mean label of its n propositions."""

    score: float
    label: float
    n: int


def pearson(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float | None:
    """Return Pearson's correlation; None if either side is constant or n < 2."""
    if _constant(scores) or _constant(labels):
        return None
    return _number(np.corrcoef(scores, labels)[0, 1])


def spearman(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float | None:
    """Return Spearman's rank correlation, with mean ranks for ties; None if either side is constant or n < 2."""
    if _constant(scores) or _constant(labels):
        return None
    return pearson(stats.rankdata(scores), stats.rankdata(labels))


def mse(scores: Floats, labels: Floats) -> float | None:
    """Return the mean squared error."""
    return _number(float(np.mean((scores - labels) ** 2))) if len(scores) else None


def mae(scores: Floats, labels: Floats) -> float | None:
    """Return the mean absolute error."""
    return _number(float(np.mean(np.abs(scores - labels)))) if len(scores) else None


def reliability(scores: Floats, labels: Floats, bins: int = 10) -> list[Bin]:
    """Return the bins of a reliability diagram, of about equal mass, by ascending score.

    Equal scores share a bin, so the order of rows does not matter: a constant has one bin.
    """
    if not len(scores):
        return []
    place = np.floor((stats.rankdata(scores) - 0.5) / len(scores) * bins).astype(int)
    return [
        Bin(float(scores[inside].mean()), float(labels[inside].mean()), int(inside.sum()))
        for inside in (place == each for each in np.unique(place))
    ]


def calibration_error(scores: Floats, labels: Floats, bins: int = 10) -> float | None:
    """Return the mean of |mean score - mean label| over bins of about equal mass, weighted by their size."""
    parts = reliability(scores, labels, bins)
    return sum(each.n * abs(each.score - each.label) for each in parts) / len(scores) if parts else None


def decompose(scores: Floats, labels: Floats) -> Decomposition | None:
    """Return the isotonic decomposition of the MSE (CORP; Dimitriadis, Gneiting and Jordan 2021).

    The isotonic fit uses the labels that it is evaluated on: it describes the scores and does not recalibrate them.
    """
    if not len(scores):
        return None
    fitted = IsotonicRegression().fit_transform(scores, labels)
    best = float(np.mean((fitted - labels) ** 2))
    uncertainty = float(np.var(labels))
    return Decomposition(float(np.mean((scores - labels) ** 2)) - best, uncertainty - best, uncertainty)


def coarseness(values: Floats) -> Coarseness | None:
    """Return how coarse the answers [n] are."""
    n = len(values)
    if not n:
        return None
    _, counts = np.unique(np.round(values, 6), return_counts=True)
    entropy = float(stats.entropy(counts)) / np.log(n) if n > 1 else None
    percent = values * 100
    on_five = np.abs(percent - 5 * np.round(percent / 5)) < 1e-6
    return Coarseness(len(counts) / n, float(np.sort(counts)[-3:].sum()) / n, entropy, float(on_five.mean()) - 21 / 101)


def interval(
    statistic: Callable[[npt.NDArray[np.int64]], float | None],
    groups: Sequence[Hashable],
    resamples: int = 1000,
    seed: int = 0,
    share: float = 0.95,
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of a statistic of row indices.

    Args:
        statistic: Computes the figure from the indices of the rows drawn.
        groups: [n] the group of each row (its premise). Whole groups are drawn, since their rows are dependent.
        resamples: How often to draw.
        seed: The seed of the draws.
        share: The coverage of the interval.

    Returns:
        Its ends; None for fewer than two groups, or if the statistic is None in over a tenth of the resamples.
    """
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    rows = [np.array(each) for each in members.values()]
    if len(rows) < 2:
        return None
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(rows), size=len(rows)) for _ in range(resamples))
    found = [statistic(np.concatenate([rows[i] for i in draw])) for draw in draws]
    values = [each for each in found if each is not None]
    if len(values) < 0.9 * resamples:
        return None
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def _constant(values: npt.NDArray[Any]) -> bool:
    return len(values) < 2 or float(np.ptp(values)) < _SAME


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
