"""Targets: the level distribution that an estimator should give for a proposition, from its judgments.

Judgments are ragged: `values` has those of all propositions in sequence, `weights` their weights (which sum to at most
1 per proposition), and proposition n has the slice `offsets[n]:offsets[n + 1]`. A NaN value is a missing judgment; the
missing mass of a proposition goes to the uniform distribution.

A judgment may be a point or, with a width, an interval: an ordinal label that stands for every value in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from training.levels import Floats, bounds, one_hot
from training.settings import TargetKind

_EDGE = 0.01  # a Beta needs a mean strictly inside (0, 1)
_WEIGHT_SLACK = 1e-6
_WEIGHT_ROUNDING = 0.5e-9  # the consensus has weights of 9 digits, so thousands of them may sum to more than 1
_SOFTENING = 0.05  # the SD of the normal that softens the ends of an interval


class Judged(NamedTuple):
    """The judgments of n propositions, ragged: values [m], weights [m], offsets [n + 1].

    `widths` [m] are those of the intervals around the values, 0 for points; None if all are points.
    """

    values: Floats
    weights: Floats
    offsets: npt.NDArray[np.int64]
    widths: Floats | None = None


class Prior(NamedTuple):
    """The level histogram [K] of the training split, and the variance within its propositions."""

    histogram: Floats
    variance: float


def gaussian(values: npt.ArrayLike, spread: float, levels: int) -> Floats:
    """Return the mass [..., K] of a normal around each value on each level; the end levels take the tails.

    G(y)_i = Phi((b_{i+1} - y)/s) - Phi((b_i - y)/s), with b_0 = -inf and b_K = +inf.
    """
    edges = bounds(levels)
    edges[0], edges[-1] = -np.inf, np.inf
    steps = special.ndtr((edges - np.asarray(values, dtype=np.float64)[..., None]) / spread)
    return np.diff(steps, axis=-1)


def interval(values: npt.ArrayLike, widths: npt.ArrayLike, levels: int) -> Floats:
    """Return the mass [..., K] of the uniform on [v - w/2, v + w/2], w > 0, softened by a normal of SD s = 0.05.

    Its distribution function at x is (s/w) (H((x - v + w/2)/s) - H((x - v - w/2)/s)) with H(z) = z Phi(z) + phi(z),
    the integral of Phi; the end levels take the tails.
    """
    centre, half = (np.asarray(each, dtype=np.float64)[..., None] for each in (values, np.divide(widths, 2)))
    inner = bounds(levels)[1:-1]
    from_low, from_high = ((inner - end) / _SOFTENING for end in (centre - half, centre + half))
    rise = (_normal_integral(from_low) - _normal_integral(from_high)) * _SOFTENING / (2 * half)
    mass: Floats = np.maximum(np.diff(rise, axis=-1, prepend=0.0, append=1.0), 0.0)
    return mass


def _normal_integral(z: Floats) -> Floats:
    """Return H(z) = z Phi(z) + phi(z), the integral of the standard normal distribution function up to z."""
    result: Floats = z * special.ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return result


def _masses(values: Floats, widths: Floats | None, spread: float, levels: int) -> Floats:
    """Return the mass [m, K] of each value: an interval where it has a width, else a Gaussian."""
    found = gaussian(values, spread, levels)
    if widths is not None and (wide := widths > 0).any():
        found[wide] = interval(values[wide], widths[wide], levels)
    return found


def mixture(judged: Judged, spread: float, levels: int) -> Floats:
    """Return the weighted mean [n, K] of the masses of each proposition's judgments; missing mass is uniform.

    A judgment is a Gaussian of this spread or, if it has a width, its interval.
    """
    present = ~np.isnan(judged.values)
    weights = np.where(present, judged.weights, 0.0)
    parts = weights[:, None] * _masses(np.where(present, judged.values, 0.5), judged.widths, spread, levels)
    found, mass = _sums(parts, judged.offsets), _sums(weights, judged.offsets)
    if (mass > 1 + _WEIGHT_SLACK + _WEIGHT_ROUNDING * np.diff(judged.offsets)).any():
        raise ValueError("the weights of a proposition sum to more than 1")
    whole: Floats = (found + np.maximum(1.0 - mass, 0.0)[:, None] / levels) / np.maximum(mass, 1.0)[:, None]
    return whole


def shrunk_mixture(judged: Judged, spread: float, prior: Prior, strength: float = 2.0) -> Floats:
    """Return the mixture [n, K] shrunk towards the prior, which counts as `strength` judgments (Dirichlet)."""
    own = mixture(judged, spread, len(prior.histogram))
    n = _sums((~np.isnan(judged.values)).astype(np.float64), judged.offsets)[:, None]
    return (n * own + strength * prior.histogram) / (n + strength)


def beta(judged: Judged, levels: int, prior: Prior, strength: float = 2.0) -> Floats:
    """Return the mass [n, K] of a Beta with each proposition's mean, and its variance shrunk towards the prior's.

    variance = (n v + strength v_0)/(n + strength) with v over the n judgments of the proposition, including w^2/12 for
    an interval of width w; then the Beta of these two moments: nu = m(1 - m)/variance - 1, alpha = m nu,
    beta = (1 - m) nu. Missing mass goes to uniform.
    """
    mean, variance, n = _moments(judged)
    shrunk = (n * (variance + _within(judged)) + strength * prior.variance) / (n + strength)
    m = np.clip(mean, _EDGE, 1 - _EDGE)
    nu = np.maximum(m * (1 - m) / np.maximum(shrunk, 1e-6) - 1, 0.1)
    steps = special.betainc((m * nu)[:, None], ((1 - m) * nu)[:, None], bounds(levels))
    mass = np.clip(_sums(np.where(np.isnan(judged.values), 0.0, judged.weights), judged.offsets), 0.0, 1.0)[:, None]
    q: Floats = mass * np.diff(steps, axis=-1) + (1 - mass) / levels
    return q


def prior_of(parts: Iterable[tuple[Judged, Floats]], levels: int) -> Prior:
    """Return the prior of the training split. Never pass dev or test propositions.

    Args:
        parts: The judgments of some propositions at once, with the weight [n] of each proposition, which its judgments
            count with.
        levels: K.
    """
    histogram: Floats = np.zeros(levels)
    mass, first, second, spread, free, within = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for judged, rows in parts:
        there = ~np.isnan(judged.values)
        values, weights = judged.values[there], np.repeat(rows, np.diff(judged.offsets))[there]
        widths = np.zeros(len(values)) if judged.widths is None else judged.widths[there]
        _, variance, n = _moments(judged)
        levelled = one_hot(values, levels)
        levelled[widths > 0] = interval(values[widths > 0], widths[widths > 0], levels)
        histogram += weights @ levelled
        within += weights @ widths**2 / 12
        mass, first, second = mass + weights.sum(), first + weights @ values, second + weights @ values**2
        spread += (rows * variance * n).sum()
        free += (rows * np.maximum(n - 1, 0)).sum()
    if not mass:
        return Prior(np.full(levels, 1.0 / levels), 1.0 / 12)
    pooled = spread / free if free else second / mass - (first / mass) ** 2
    return Prior(histogram / mass, float(pooled + within / mass))


def targets(kind: TargetKind, judged: Judged, means: Floats, spread: float, prior: Prior) -> Floats:
    """Return the targets [n, K] of a kind; only the Gaussian uses the consensus means [n].

    If the judgments of a proposition have widths, its Gaussian is an interval of their mean width around its mean.
    """
    levels = len(prior.histogram)
    if kind == "gaussian":
        return _masses(means, _mean_widths(judged), spread, levels)
    if kind == "mixture":
        return mixture(judged, spread, levels)
    if kind == "mixture+dirichlet":
        return shrunk_mixture(judged, spread, prior)
    return beta(judged, levels, prior)


def _sums(parts: Floats, offsets: npt.NDArray[np.int64]) -> Floats:
    """Return the sums of the slices of `parts`; empty ones are 0 (`np.add.reduceat` would give their neighbour)."""
    totals = np.concatenate([np.zeros((1, *parts.shape[1:])), np.cumsum(parts, axis=0)])
    result: Floats = totals[offsets[1:]] - totals[offsets[:-1]]
    return result


def _mean_widths(judged: Judged) -> Floats | None:
    """Return the weighted mean [n] of the widths of the judgments present; None if all are points."""
    return None if judged.widths is None else _mean(judged, judged.widths)


def _within(judged: Judged) -> Floats | float:
    """Return the weighted mean [n] of the variance w^2/12 within the intervals of the judgments present."""
    return 0.0 if judged.widths is None else _mean(judged, judged.widths**2 / 12)


def _mean(judged: Judged, each: Floats) -> Floats:
    weights = np.where(np.isnan(judged.values), 0.0, judged.weights)
    mean: Floats = _sums(weights * each, judged.offsets) / np.maximum(_sums(weights, judged.offsets), 1e-12)
    return mean


def _moments(judged: Judged) -> tuple[Floats, Floats, Floats]:
    """Return the weighted mean, the weighted variance and the number of the judgments present, each [n]."""
    present = ~np.isnan(judged.values)
    weights = np.where(present, judged.weights, 0.0)
    values = np.where(present, judged.values, 0.0)
    mass = np.maximum(_sums(weights, judged.offsets), 1e-12)
    mean = _sums(weights * values, judged.offsets) / mass
    variance = np.maximum(_sums(weights * values**2, judged.offsets) / mass - mean**2, 0.0)
    return mean, variance, _sums(present.astype(np.float64), judged.offsets)
