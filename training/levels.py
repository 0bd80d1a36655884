"""Levels: the K equal bins of [0, 1] that an estimator predicts over. The only file with level mathematics.

Level i of K covers [i/K, (i+1)/K] and its centre is (i + 0.5)/K. A level distribution is an array [..., K] of
probabilities that sum to 1 along the last axis. Between the bounds (CDF, quantile), the mass of a level is spread
evenly over its bin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TINY = 1e-12


def level_token(level: int) -> str:
    """Return the token of a level, with its leading space; levels count from 0."""
    return f" <|label_level_{level}|>"


def bounds(levels: int) -> Floats:
    """Return the K + 1 bounds of K levels, from 0 to 1."""
    return np.arange(levels + 1) / levels  # i / K, so that 0.3 is exactly a bound of ten levels


def centres(levels: int) -> Floats:
    """Return the K centres of K levels."""
    return (np.arange(levels) + 0.5) / levels


def level_of(values: npt.ArrayLike, levels: int) -> npt.NDArray[np.int64]:
    """Return the level of each value in [0, 1]; a bound belongs to the level above it, 1 to the last level."""
    return np.clip(np.searchsorted(bounds(levels), np.asarray(values), side="right") - 1, 0, levels - 1)


def one_hot(values: npt.ArrayLike, levels: int) -> Floats:
    """Return the distribution [..., K] with all its mass on the level of each value."""
    result: Floats = np.eye(levels)[level_of(values, levels)]
    return result


def expectation(distribution: npt.ArrayLike) -> Floats:
    """Return the mean of a level distribution, with each level at its centre: the score, in [0, 1]."""
    mass = np.asarray(distribution, dtype=np.float64)
    result: Floats = mass @ centres(mass.shape[-1])
    return result


def sd(distribution: npt.ArrayLike) -> Any:
    """Return the SD of each level distribution; shape [...].

    The mass of a level is spread evenly over its bin, so the SD is at least 1 / (K sqrt(12)), that of a single level.
    """
    mass = np.asarray(distribution, dtype=np.float64)
    levels = mass.shape[-1]
    squares = (centres(levels) - expectation(mass)[..., None]) ** 2
    return np.sqrt(np.sum(mass * squares, axis=-1) + 1 / (12 * levels**2))


def cdf(distribution: npt.ArrayLike) -> Floats:
    """Return the cumulative mass [..., K + 1] at the bounds; it starts at 0 and ends at 1."""
    mass = np.asarray(distribution, dtype=np.float64)
    start = np.zeros((*mass.shape[:-1], 1))
    return np.concatenate([start, np.cumsum(mass, axis=-1)], axis=-1)


def quantile(distribution: npt.ArrayLike, q: float) -> Any:
    """Return the value in [0, 1] below which a share `q` of each distribution's mass lies; shape [...].

    It is interpolated linearly within a level. For q = 0 it is the lower bound of the first level with any mass. A
    distribution of NaN has NaN.
    """
    cumulative = cdf(distribution)
    levels = cumulative.shape[-1] - 1
    reached = cumulative[..., 1:] >= min(max(q, _TINY), 1.0) - _TINY / 2
    above = np.argmax(reached, axis=-1)[..., None]
    low = np.take_along_axis(cumulative, above, axis=-1)
    mass = np.take_along_axis(cumulative, above + 1, axis=-1) - low
    inside = np.divide(q - low, mass, out=np.zeros_like(mass), where=mass > 0)
    found = ((above + np.clip(inside, 0.0, 1.0)) / levels)[..., 0]
    return np.where(np.isnan(cumulative[..., -1]), np.nan, found)


def entropy(distribution: npt.ArrayLike) -> Any:
    """Return the Shannon entropy of each distribution in nats, from 0 (one level) to log K (uniform); shape [...]."""
    mass = np.asarray(distribution, dtype=np.float64)
    return -np.sum(np.where(mass > 0, mass * np.log(np.where(mass > 0, mass, 1.0)), 0.0), axis=-1)


def crps(distribution: npt.ArrayLike, values: npt.ArrayLike) -> Any:
    """Return the continuous ranked probability score of each distribution [..., K] for its value [...]; 0 is best.

    CRPS = (1/K) sum over the inner bounds b_1 .. b_{K-1} of (F(b_k) - 1[y < b_k])^2, which is the integral of Matheson
    and Winkler (1976) with both distribution functions read at the bounds.
    """
    inner = cdf(distribution)[..., 1:-1]
    levels = inner.shape[-1] + 1
    below = np.asarray(values, dtype=np.float64)[..., None] < bounds(levels)[1:-1]
    return np.sum((inner - below) ** 2, axis=-1) / levels


def exact_crps(distribution: npt.ArrayLike, values: npt.ArrayLike) -> Any:
    """Return the CRPS of each distribution [..., K] for its value [...] in [0, 1]; 0 is best.

    CRPS = integral over [0, 1] of (F(x) - 1[y <= x])^2 dx (Matheson and Winkler 1976), in closed form: F is linear
    within a level. Distributions over different numbers of levels compare; a point has the CRPS |answer - value|.
    """
    cumulative = cdf(distribution)
    lower, upper = cumulative[..., :-1], cumulative[..., 1:]
    levels = lower.shape[-1]
    # The share of each level that is below the value, and F at its end.
    below = np.clip(np.asarray(values, dtype=np.float64)[..., None] * levels - np.arange(levels), 0.0, 1.0)
    middle = lower + below * (upper - lower)
    squares = below * _mean_square(lower, middle) + (1 - below) * _mean_square(1 - middle, 1 - upper)
    return np.sum(squares, axis=-1) / levels


def wasserstein(distribution: npt.ArrayLike, other: npt.ArrayLike) -> Any:
    """Return the Wasserstein-1 distance of level distributions [..., K], in [0, 1).

    (1/K) sum over the inner bounds b_1 .. b_{K-1} of |F_p(b_k) - F_q(b_k)|.
    """
    apart = np.abs(cdf(distribution) - cdf(other))
    return np.sum(apart, axis=-1) / (apart.shape[-1] - 1)


def _mean_square(start: Floats, end: Floats) -> Floats:
    """Return the mean of the square of a line that runs from `start` to `end`."""
    return (start**2 + start * end + end**2) / 3
