"""Figures with 95% intervals from resampling propositions: pure numpy over a few sums.

A figure is a smooth function of the column sums of a block with one row per proposition. Resampling the rows gives the
interval. For many propositions the resampled sums are close to normal, with a mean and covariance that one scan gives;
then no rows are kept, and the time does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

FEW = 2000  # up to this many propositions, the rows themselves are resampled
NOT_ZERO = 1e-12  # equal values leave a rounding error


@dataclass(frozen=True)
class Figure:
    """A figure with its 95% interval; None where undefined."""

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Moments:
    """A summary of the rows of a block: their number, mean and covariance (divided by n)."""

    n: int
    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, block: Floats) -> Moments:
        """Compute the moments of a block (rows x columns)."""
        return cls(len(block), block.mean(axis=0), np.atleast_2d(np.cov(block, rowvar=False, bias=True)))

    @property
    def sums(self) -> Floats:
        """The sums of the columns."""
        return self.n * self.mean


def resampled_sums(block: Floats, draws: int, seed: int) -> Floats:
    """Return the column sums of a block (propositions x columns) for resamples of its rows (draws x columns).

    Draws are made one at a time, so memory grows only with the number of propositions.
    """
    rng = np.random.default_rng(seed)
    n = len(block)
    sums = np.empty((draws, block.shape[1]))
    for draw in range(draws):
        sums[draw] = np.bincount(rng.integers(n, size=n), minlength=n) @ block
    return sums


def normal_sums(moments: Moments, draws: int, seed: int) -> Floats:
    """Return the limit of `resampled_sums` for many rows: normal draws with mean n mu and covariance n C."""
    rng = np.random.default_rng(seed)
    # Columns differ by orders of magnitude. Unscaled, the rounding of the large ones would swamp the small ones.
    spread = np.sqrt(np.diag(moments.covariance))
    scale = np.where(spread > 0, spread, 1.0)
    values, vectors = np.linalg.eigh(moments.covariance / np.outer(scale, scale))
    root = vectors * np.sqrt(np.maximum(values, 0))
    noise = rng.standard_normal((draws, len(scale))) @ root.T * scale
    return np.asarray(moments.sums + np.sqrt(moments.n) * noise)


def figures(
    moments: Moments, block: Floats | None, statistics: Mapping[str, Statistic], draws: int, seed: int
) -> list[Figure]:
    """Compute statistics of the sums, each with the 2.5th and 97.5th percentile of its resamples.

    Args:
        moments: The moments of all rows.
        block: The rows, if they are few; None draws from the normal limit.
        statistics: For each metric a function from sums (draws x columns) to values (draws), nan if undefined.
        draws: The number of resamples.
        seed: The seed of the resamples.
    """
    totals = {metric: statistic(moments.sums[None, :])[0] for metric, statistic in statistics.items()}
    if moments.n < 2 or all(np.isnan(total) for total in totals.values()):
        return [Figure(metric, _known(total)) for metric, total in totals.items()]
    drawn = normal_sums(moments, draws, seed) if block is None else resampled_sums(block, draws, seed)
    return [_figure(metric, totals[metric], statistic(drawn)) for metric, statistic in statistics.items()]


def _figure(metric: str, total: float, drawn: Floats) -> Figure:
    if np.isnan(total) or np.isnan(drawn).all():
        return Figure(metric, _known(total))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Figure(metric, float(total), float(low), float(high))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


UNIT_COLUMNS = ("m", "s", "q", "2 * (m * q - s * s) / (m - 1)", "s * s / m", "m * m")  # for a unit with m >= 2 values


def unit_block(m: Floats, s: Floats, q: Floats) -> Floats:
    """Return the block for agreement (`UNIT_COLUMNS`) from the number, sum and sum of squares of each unit."""
    return np.column_stack([m, s, q, 2 * (m * q - s**2) / (m - 1), s**2 / m, m**2])


def interval_alpha(sums: Floats) -> Floats:
    """Compute interval alpha 1 - D_o / D_e from sums of `UNIT_COLUMNS`.

    Each resample has its own expected disagreement D_e; with that of the whole sample the interval would be too narrow.
    """
    n, s, q, d = sums.T[:4]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 2 * (n * q - s**2) / (n * (n - 1))
        alphas: Floats = np.where(expected > NOT_ZERO, 1 - (d / n) / expected, np.nan)
    return alphas


def icc1(units: int) -> Statistic:
    """Return the statistic ICC(1) for this many units: one-way analysis of variance, k_0 for unequal numbers.

    (MSB - MSW) / (MSB + (k_0 - 1) MSW), k_0 = (N - sum m^2 / N) / (n - 1) (Shrout and Fleiss 1979; Donner 1986).
    """

    def statistic(sums: Floats) -> Floats:
        n, s, q, _, between, squares = sums.T
        with np.errstate(divide="ignore", invalid="ignore"):
            msb = (between - s**2 / n) / (units - 1)
            msw = (q - between) / (n - units)
            k0 = (n - squares / n) / (units - 1)
            total = msb + (k0 - 1) * msw
            icc: Floats = np.where(np.abs(total) > NOT_ZERO, (msb - msw) / total, np.nan)
        return icc

    return statistic


PAIR_COLUMNS = ("x", "y", "x * x", "y * y", "x * y", "abs(x - y)")  # for an estimate x and a mean judgment y


def pair_statistics(n: int) -> dict[str, Statistic]:
    """Return the statistics of n pairs: correlation, mean error, bias, and interval alpha as if of two annotators."""

    def pearson(sums: Floats) -> Floats:
        x, y, xx, yy, xy, _ = sums.T
        spread_x, spread_y = n * xx - x**2, n * yy - y**2
        known = (spread_x > NOT_ZERO * n**2) & (spread_y > NOT_ZERO * n**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            r: Floats = np.where(known, (n * xy - x * y) / np.sqrt(spread_x * spread_y), np.nan)
        return r

    def alpha(sums: Floats) -> Floats:
        x, y, xx, yy, xy, _ = sums.T
        zero = np.zeros_like(x)
        return interval_alpha(np.column_stack([zero + 2 * n, x + y, xx + yy, 2 * (xx + yy - 2 * xy)]))

    return {
        "pearson_with_mean_judgment": pearson,
        "interval_alpha_with_mean_judgment": alpha,
        "mean_absolute_error": lambda sums: sums[:, 5] / n,
        "mean_difference": lambda sums: (sums[:, 0] - sums[:, 1]) / n,
    }


def reliability(alpha: Figure, k: float) -> Figure:
    """Return the reliability of the mean of k judgments: k a / (1 + (k - 1) a), a = alpha (Spearman, Brown 1910)."""

    def stepped_up(a: float | None) -> float | None:
        if a is None or 1 + (k - 1) * a <= 0:
            return None
        return k * a / (1 + (k - 1) * a)

    return Figure("reliability_of_mean", stepped_up(alpha.value), stepped_up(alpha.low), stepped_up(alpha.high))


def judgments_for(alpha: Figure, reached: float) -> Figure:
    """Return how many judgments a proposition needs for their mean to have the reliability R = `reached`.

    That is R (1 - a) / (a (1 - R)), rounded up. Its interval is that of alpha reversed; None if alpha is not positive.
    """

    def needed(a: float | None) -> float | None:
        if a is None or a <= 0:
            return None
        # A rounding error such as 4.000000001 must not add one.
        return float(max(1, np.ceil(round(reached * (1 - a) / (a * (1 - reached)), 9))))

    return Figure(f"judgments_for_reliability_{reached:g}", needed(alpha.value), needed(alpha.high), needed(alpha.low))
