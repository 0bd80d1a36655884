"""Figures with bootstrap intervals that use the same draws for all subjects, so that their differences are paired.

A resample draws whole groups (the propositions of a premise depend on each other) with replacement. It is an array of
how often each row is drawn, and a statistic is computed for many resamples at once from these counts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from training.levels import Floats

Rows = npt.NDArray[np.int64]

RESAMPLES = 2000
_AT_ONCE = 4_000_000  # counts, to bound memory
_SAME = 1e-12


class Statistic(Protocol):
    """A figure of n rows that can be computed for resamples of them."""

    def over(self, counts: Floats) -> Floats:
        """Return the figure [r] for each of r resamples, given how often [r, n] each row is drawn; NaN if undefined."""


@dataclass(frozen=True)
class Mean:
    """The mean of values [n]."""

    values: Floats

    def over(self, counts: Floats) -> Floats:
        """Return the mean of each resample."""
        with np.errstate(invalid="ignore"):
            result: Floats = counts @ self.values / counts.sum(axis=1)
        return result


@dataclass(frozen=True)
class Pearson:
    """Pearson's correlation of two arrays [n]."""

    first: Floats
    second: Floats

    def over(self, counts: Floats) -> Floats:
        """Return the correlation of each resample."""
        first, second = (each - each.mean() if len(each) else each for each in (self.first, self.second))
        return _correlation(counts, *(np.broadcast_to(each, counts.shape) for each in (first, second)))


@dataclass(frozen=True)
class Spearman:
    """Spearman's rank correlation of two arrays [n], with mean ranks for ties, which are ranked in each resample."""

    first: Floats
    second: Floats

    def over(self, counts: Floats) -> Floats:
        """Return the correlation of each resample."""
        return _correlation(counts, _ranks(self.first, counts), _ranks(self.second, counts))


class Figure(NamedTuple):
    """A figure with its interval; the interval is None if the figure is undefined in a tenth of the resamples."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class Difference(NamedTuple):
    """How much a figure of one subject exceeds that of another on the rows that both answered.

    `p` is the two-sided bootstrap p-value of no difference, `p_holm` the same after Holm's correction over a table.
    """

    subject: str
    against: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    p: float
    p_holm: float = 1.0


@dataclass(frozen=True)
class Draws:
    """Resamples of rows: `groups` [n] is the number of each row's group, `taken` [r, groups] how often it is drawn."""

    groups: Rows
    taken: npt.NDArray[np.int32]

    @classmethod
    def of(cls, groups: Sequence[Hashable], resamples: int = RESAMPLES, seed: int = 0) -> Draws:
        """Draw resamples of rows that belong to some groups."""
        places = {name: place for place, name in enumerate(dict.fromkeys(groups))}
        number = len(places)
        rows = np.array([places[each] for each in groups], dtype=np.int64)
        if number < 2:  # a single premise says nothing about others
            return cls(rows, np.zeros((0, number), dtype=np.int32))
        taken = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=resamples)
        return cls(rows, taken.astype(np.int32))

    def apply(self, statistic: Statistic, rows: Rows) -> Floats:
        """Return a statistic of some rows for every resample."""
        groups, at_once = self.groups[rows], max(_AT_ONCE // max(len(rows), 1), 1)
        parts = [
            statistic.over(self.taken[start : start + at_once][:, groups].astype(np.float64))
            for start in range(0, len(self.taken), at_once)
        ]
        return np.concatenate(parts) if parts else np.empty(0)


def figure(statistic: Statistic, rows: Rows, draws: Draws) -> Figure:
    """Return a statistic of some rows with its 95% interval."""
    value = _number(statistic.over(np.ones((1, len(rows))))[0]) if len(rows) else None
    bounds = None if value is None else _interval(draws.apply(statistic, rows))
    low, high = bounds or (None, None)
    return Figure(value, low, high, len(rows))


def difference(
    names: tuple[str, str], metric: str, statistics: tuple[Statistic, Statistic], rows: Rows, draws: Draws
) -> Difference | None:
    """Return how much the first statistic exceeds the second on the same rows; None if that is undefined."""
    if not len(rows):
        return None
    one, other = (each.over(np.ones((1, len(rows))))[0] for each in statistics)
    drawn = draws.apply(statistics[0], rows) - draws.apply(statistics[1], rows)
    value, bounds = _number(one - other), _interval(drawn)
    if value is None or bounds is None:
        return None
    found = drawn[np.isfinite(drawn)]
    # The observed sample counts as one more resample, so that p is never 0 (Davison and Hinkley 1997, section 4.2).
    tail = min((found <= 0).sum(), (found >= 0).sum()) + 1
    return Difference(*names, metric, value, *bounds, len(rows), min(2 * float(tail) / (len(found) + 1), 1.0))


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Return differences with their p-values corrected for their number (Holm 1979)."""
    order = sorted(range(len(differences)), key=lambda place: differences[place].p)
    found, highest = list(differences), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(differences[place].p * (len(order) - rank), 1.0))
        found[place] = differences[place]._replace(p_holm=highest)
    return found


def _correlation(counts: Floats, first: Floats, second: Floats) -> Floats:
    """Return the correlation of each resample, from the values [r, n] of its rows."""
    total = counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = (each - ((counts * each).sum(axis=1) / total)[:, None] for each in (first, second))
        spread = np.sqrt((counts * first**2).sum(axis=1) * (counts * second**2).sum(axis=1))
        result: Floats = np.where(spread > _SAME * total, (counts * first * second).sum(axis=1) / spread, np.nan)
    return result


def _ranks(values: Floats, counts: Floats) -> Floats:
    """Return the mean rank [r, n] of each value within each resample."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))  # of each run of equal values
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)
    middle = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    run = np.empty(len(values), dtype=np.int64)
    run[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))
    return middle[:, run]


def _interval(drawn: Floats) -> tuple[float, float] | None:
    found = drawn[np.isfinite(drawn)]
    if not len(drawn) or len(found) < 0.9 * len(drawn):
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
