"""Metrics of scores against labels, both arrays [n] of probabilities. An undefined metric is None, never 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from training.levels import Floats


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


COARSE_FIGURES = ("distinct_share", "top3_mass", "entropy_share", "excess_multiples_of_5")
"""The parts of `Coarseness` by the names that they have as figures, as in the view labeler_quality."""


class Bin(NamedTuple):
    """One bin of a reliability diagram: the mean score and the mean label of its n propositions."""

    score: float
    label: float
    n: int


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
    on_five = np.abs(values * 20 - np.round(values * 20)) < 20e-9
    return Coarseness(len(counts) / n, float(np.sort(counts)[-3:].sum()) / n, entropy, float(on_five.mean()) - 21 / 101)


def coarse_figures(values: Floats) -> dict[str, float]:
    """Return how coarse the answers [n] are, as figures by name; those that are undefined are left out."""
    found = coarseness(values)
    return (
        {}
        if found is None
        else {name: each for name, each in zip(COARSE_FIGURES, found, strict=True) if each is not None}
    )
