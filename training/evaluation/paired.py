"""Figures with bootstrap intervals that use the same draws for all subjects, so that their differences are paired.

A resample draws whole groups (the propositions of a premise depend on each other) with replacement. It is an array of
how often each row is drawn, and a statistic is computed for many resamples at once from these counts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from training.levels import Floats

Rows = npt.NDArray[np.int64]

LEVEL = 0.05
"""A p-value below this counts as proof."""
RESAMPLES = 2000
_AT_ONCE = 4_000_000  # counts, to bound memory
_SAME = 1e-12
_ROUNDING = 1e-10  # a variance that is a smaller share of the mean square is that of a constant


class Statistic(Protocol):
    """A figure of n rows that can be computed for resamples of them."""

    @property
    def n(self) -> int:
        """How many rows have a value."""

    def over(self, counts: Floats) -> Floats:
        """Return the figure [r] for each of r resamples, given how often [r, n] each row is drawn; NaN if undefined."""


@dataclass(frozen=True)
class Mean:
    """The mean of values; NaN stands for a row without one."""

    values: Floats

    @property
    def n(self) -> int:
        """How many rows have a value."""
        return int(np.isfinite(self.values).sum())

    def over(self, counts: Floats) -> Floats:
        """Return the mean of each resample."""
        known = np.isfinite(self.values)
        if not known.all():
            counts = counts[:, known]
        with np.errstate(invalid="ignore"):
            result: Floats = counts @ self.values[known] / counts.sum(axis=1)
        return result


@dataclass(frozen=True)
class Pearson:
    """Pearson's correlation of two arrays [n]."""

    first: Floats
    second: Floats

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.first)

    def over(self, counts: Floats) -> Floats:
        """Return the correlation of each resample."""
        if not len(self.first):
            return np.full(len(counts), np.nan)
        x, y = (each - each.mean() for each in (self.first, self.second))
        total, sum_x, sum_y, squares_x, squares_y, products = (
            counts @ np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])
        ).T
        with np.errstate(invalid="ignore", divide="ignore"):
            spread_x, spread_y = squares_x - sum_x**2 / total, squares_y - sum_y**2 / total
            varies = (spread_x > _ROUNDING * squares_x) & (spread_y > _ROUNDING * squares_y)
            covariance = products - sum_x * sum_y / total
            result: Floats = np.where(varies, covariance / np.sqrt(spread_x * spread_y), np.nan)
        return result


@dataclass(frozen=True)
class Spearman:
    """Spearman's rank correlation of two arrays [n], with mean ranks for ties, which are ranked in each resample."""

    first: Floats
    second: Floats

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.first)

    def over(self, counts: Floats) -> Floats:
        """Return the correlation of each resample."""
        return _correlation(counts, _ranks(self.first, counts), _ranks(self.second, counts))


class Figure(NamedTuple):
    """A figure of n rows with its interval, which is None if the figure is undefined in a tenth of the resamples.

    `n_simulated` of the judgments behind it come from simulated annotators.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_simulated: int = 0


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
        return self.apply_all({"": statistic}, rows)[""]

    def apply_all(self, statistics: Mapping[str, Statistic], rows: Rows) -> dict[str, Floats]:
        """Return statistics of the same rows for every resample."""
        groups, at_once = self.groups[rows], max(_AT_ONCE // max(len(rows), 1), 1)
        parts: dict[str, list[Floats]] = {name: [np.empty(0)] for name in statistics}
        for start in range(0, len(self.taken), at_once):
            counts = self.taken[start : start + at_once][:, groups].astype(np.float64)
            for name, statistic in statistics.items():
                parts[name].append(statistic.over(counts))
        return {name: np.concatenate(each) for name, each in parts.items()}


def figure(statistic: Statistic, rows: Rows, draws: Draws) -> Figure:
    """Return a statistic of some rows with its 95% interval."""
    return figures({"": statistic}, rows, draws)[""]


def figures(statistics: Mapping[str, Statistic], rows: Rows, draws: Draws) -> dict[str, Figure]:
    """Return statistics of the same rows with their 95% intervals."""
    if not len(rows):
        return {name: Figure(None, None, None, 0) for name in statistics}
    values = {name: _observed(each, len(rows)) for name, each in statistics.items()}
    drawn = draws.apply_all({name: each for name, each in statistics.items() if np.isfinite(values[name])}, rows)
    return {name: bounded(value, drawn.get(name, np.empty(0)), statistics[name].n) for name, value in values.items()}


def bounded(value: float, drawn: Floats, n: int) -> Figure:
    """Return a figure of n rows with the 95% interval of its resamples."""
    low, high = _interval(drawn) or (None, None)
    return Figure(_number(value), low, high, n)


def difference(
    names: tuple[str, str], metric: str, statistics: tuple[Statistic, Statistic], rows: Rows, draws: Draws
) -> Difference | None:
    """Return how much the first statistic exceeds the second on the same rows; None if that is undefined."""
    first, second = statistics
    return next(iter(differences(names, {metric: first}, {metric: second}, rows, draws)), None)


def differences(
    names: tuple[str, str], ours: Mapping[str, Statistic], theirs: Mapping[str, Statistic], rows: Rows, draws: Draws
) -> list[Difference]:
    """Return how much each statistic of one subject exceeds that of another on the same rows, where that is defined."""
    metrics = [metric for metric in ours if metric in theirs]
    if not len(rows):
        return []
    least = least_p(len(np.unique(draws.groups[rows])))
    one, other = (draws.apply_all({each: some[each] for each in metrics}, rows) for some in (ours, theirs))
    found = [
        apart(
            names,
            metric,
            _observed(ours[metric], len(rows)) - _observed(theirs[metric], len(rows)),
            one[metric] - other[metric],
            ours[metric].n,
            least=least,
        )
        for metric in metrics
    ]
    return [each for each in found if each is not None]


def least_p(groups: int) -> float:
    """Return the least p-value that so many groups can give: 2^(1 - n), the probability that the signs of n are equal.

    Resamples of two premises that agree all agree, and would give a p-value that says far more than two premises do.
    """
    return 2.0 ** (1 - groups)


def apart(
    names: tuple[str, str], metric: str, value: float, drawn: Floats, n: int, *, least: float = 0.0
) -> Difference | None:
    """Return a difference on n rows with what its resamples say of it; None if it is undefined.

    Its p-value is `least` at the least.
    """
    bounds = _interval(drawn)
    if not np.isfinite(value) or bounds is None:
        return None
    found = drawn[np.isfinite(drawn)]
    # The observed sample counts as one more resample, so that p is never 0 (Davison and Hinkley 1997, section 4.2).
    tail = min((found <= 0).sum(), (found >= 0).sum()) + 1
    p = max(2 * float(tail) / (len(found) + 1), least)
    return Difference(*names, metric, float(value), *bounds, n, min(p, 1.0))


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Return differences with their p-values corrected for their number (Holm 1979)."""
    corrected = holm_values([each.p for each in differences])
    return [each._replace(p_holm=p) for each, p in zip(differences, corrected, strict=True)]


def holm_values(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979)."""
    found, highest = list(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        highest = max(highest, min(values[place] * (len(values) - rank), 1.0))
        found[place] = highest
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


def _observed(statistic: Statistic, n: int) -> float:
    return float(statistic.over(np.ones((1, n)))[0])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
