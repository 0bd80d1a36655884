"""Figures with a 95% interval from resampling propositions: pure numpy over a few sums for each proposition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A figure with the ends of its 95% interval; None where it is not defined."""

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None


def resampled_sums(block: Floats, draws: int, seed: int) -> Floats:
    """The column sums of a block (propositions x columns) under `draws` resamples of its rows: draws x columns.

    Memory grows with the propositions alone: one draw is at work at a time.
    """
    rng = np.random.default_rng(seed)
    n = len(block)
    sums = np.empty((draws, block.shape[1]))
    for draw in range(draws):
        sums[draw] = np.bincount(rng.integers(n, size=n), minlength=n) @ block
    return sums


def alpha_figure(m: Floats, s: Floats, q: Floats, draws: int, seed: int) -> Figure:
    """Interval alpha from the number, sum and sum of squares of the judgments of each proposition with two or more.

    Each resample of the propositions has an expected disagreement D_e of its own: with the one of the whole sample the
    interval would be too narrow.
    """
    block = np.column_stack([m, s, q, 2 * (m * q - s**2) / (m - 1)])
    return _figure("interval_alpha", block, _alphas, draws, seed)


def pearson_figure(x: Floats, y: Floats, draws: int, seed: int) -> Figure:
    """Pearson's correlation of two values of each proposition."""
    block = np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])
    return _figure("pearson_with_mean_judgment", block, _pearsons, draws, seed)


def reliability_figure(alpha: Figure, k: float) -> Figure:
    """The reliability of the mean of k judgments, k a / (1 + (k - 1) a) with a = alpha (Spearman 1910, Brown 1910)."""

    def stepped_up(a: float | None) -> float | None:
        if a is None or 1 + (k - 1) * a <= 0:
            return None
        return k * a / (1 + (k - 1) * a)

    return Figure("reliability_of_mean", stepped_up(alpha.value), stepped_up(alpha.low), stepped_up(alpha.high))


def _figure(metric: str, block: Floats, statistic: Callable[[Floats], Floats], draws: int, seed: int) -> Figure:
    """The statistic of the sums of the block, with the 2.5th and 97.5th percentile of its resamples."""
    value = float(statistic(block.sum(axis=0, keepdims=True))[0])
    if np.isnan(value):
        return Figure(metric, None)
    if len(block) < 2:
        return Figure(metric, value)
    drawn = statistic(resampled_sums(block, draws, seed))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Figure(metric, value, float(low), float(high))


def _alphas(sums: Floats) -> Floats:
    n, s, q, d = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 2 * (n * q - s**2) / (n * (n - 1))
        # Equal values leave a rounding error instead of zero.
        alphas: Floats = np.where(expected > 1e-12, 1 - (d / n) / expected, np.nan)
    return alphas


def _pearsons(sums: Floats) -> Floats:
    n, x, y, xx, yy, xy = sums.T
    spread_x, spread_y = n * xx - x**2, n * yy - y**2
    known = (spread_x > 1e-9) & (spread_y > 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        r: Floats = np.where(known, (n * xy - x * y) / np.sqrt(spread_x * spread_y), np.nan)
    return r
