"""Targets: the level distribution that an estimator should give for a proposition, from its judgments.

Judgments are ragged: `values` has those of all propositions in sequence, `weights` their weights (which sum to at most
1 per proposition), and proposition n has the slice `offsets[n]:offsets[n + 1]`. A NaN value is a missing judgment; the
missing mass of a proposition goes to the uniform distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from training.levels import Floats, bounds, one_hot
from training.settings import TargetKind

_EDGE = 0.01  # a Beta needs a mean strictly inside (0, 1)
_WEIGHT_SLACK = 1e-6


class Judged(NamedTuple):
    """The judgments of n propositions, ragged: values [m], weights [m], offsets [n + 1]."""

    values: Floats
    weights: Floats
    offsets: npt.NDArray[np.int64]


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


def mixture(judged: Judged, spread: float, levels: int) -> Floats:
    """Return the weighted mean [n, K] of the Gaussians of each proposition's judgments; missing mass is uniform."""
    present = ~np.isnan(judged.values)
    weights = np.where(present, judged.weights, 0.0)
    parts = weights[:, None] * gaussian(np.where(present, judged.values, 0.5), spread, levels)
    found = _sums(parts, judged.offsets)
    missing = 1.0 - _sums(weights, judged.offsets)
    if missing.size and missing.min() < -_WEIGHT_SLACK:
        raise ValueError("the weights of a proposition sum to more than 1")
    return found + np.maximum(missing, 0.0)[:, None] / levels


def shrunk_mixture(judged: Judged, spread: float, prior: Prior, strength: float = 2.0) -> Floats:
    """Return the mixture [n, K] shrunk towards the prior, which counts as `strength` judgments (Dirichlet)."""
    own = mixture(judged, spread, len(prior.histogram))
    n = _sums((~np.isnan(judged.values)).astype(np.float64), judged.offsets)[:, None]
    return (n * own + strength * prior.histogram) / (n + strength)


def beta(judged: Judged, levels: int, prior: Prior, strength: float = 2.0) -> Floats:
    """Return the mass [n, K] of a Beta with each proposition's mean, and its variance shrunk towards the prior's.

    variance = (n v + strength v_0)/(n + strength) with v over the n judgments of the proposition, then the Beta of
    these two moments: nu = m(1 - m)/variance - 1, alpha = m nu, beta = (1 - m) nu. Missing mass goes to uniform.
    """
    mean, variance, n = _moments(judged)
    shrunk = (n * variance + strength * prior.variance) / (n + strength)
    m = np.clip(mean, _EDGE, 1 - _EDGE)
    nu = np.maximum(m * (1 - m) / np.maximum(shrunk, 1e-6) - 1, 0.1)
    steps = special.betainc((m * nu)[:, None], ((1 - m) * nu)[:, None], bounds(levels))
    mass = np.clip(_sums(np.where(np.isnan(judged.values), 0.0, judged.weights), judged.offsets), 0.0, 1.0)[:, None]
    q: Floats = mass * np.diff(steps, axis=-1) + (1 - mass) / levels
    return q


def prior_of(judged: Judged, levels: int, weights: Floats | None = None) -> Prior:
    """Return the prior of the training split. Never pass dev or test propositions.

    Each judgment counts with the weight of its proposition (`weights` [n]), by default 1.
    """
    rows = np.ones(len(judged.offsets) - 1) if weights is None else weights
    there = ~np.isnan(judged.values)
    present, mass = judged.values[there], np.repeat(rows, np.diff(judged.offsets))[there]
    if not mass.sum():
        return Prior(np.full(levels, 1.0 / levels), 1.0 / 12)
    _, variance, n = _moments(judged)
    free = (rows * np.maximum(n - 1, 0)).sum()
    mean = np.average(present, weights=mass)
    pooled = (rows * variance * n).sum() / free if free else np.average((present - mean) ** 2, weights=mass)
    return Prior(np.average(one_hot(present, levels), axis=0, weights=mass), float(pooled))


def targets(kind: TargetKind, judged: Judged, means: Floats, spread: float, prior: Prior) -> Floats:
    """Return the targets [n, K] of a kind; only the Gaussian uses the consensus means [n]."""
    levels = len(prior.histogram)
    if kind == "gaussian":
        return gaussian(means, spread, levels)
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


def _moments(judged: Judged) -> tuple[Floats, Floats, Floats]:
    """Return the weighted mean, the weighted variance and the number of the judgments present, each [n]."""
    present = ~np.isnan(judged.values)
    weights = np.where(present, judged.weights, 0.0)
    values = np.where(present, judged.values, 0.0)
    mass = np.maximum(_sums(weights, judged.offsets), 1e-12)
    mean = _sums(weights * values, judged.offsets) / mass
    variance = np.maximum(_sums(weights * values**2, judged.offsets) / mass - mean**2, 0.0)
    return mean, variance, _sums(present.astype(np.float64), judged.offsets)
