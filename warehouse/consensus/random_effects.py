"""The default consensus: random effects with a precision for each annotator, fitted by EM, linear in the judgments.

Only propositions with several judgments can separate annotators' errors from the spread of the propositions: single
judgments x = theta + e show the variance tau^2 + s^2, but not how it divides. The fit then relies on the prior's s and
shrinks everything towards mu. If fewer than ENOUGH_OVERLAP of the judgments share a proposition with another, the mean
is the better consensus; on simulated judgments the two tie there (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PRIOR_JUDGMENTS = 8.0  # the weight of the prior on an annotator's SD, in judgments
PRIOR_SD = 0.25
ENOUGH_OVERLAP = 0.25  # share of judgments on propositions with two or more
SMALLEST_VARIANCE = 1e-8


@dataclass(frozen=True)
class RandomEffects:
    """A random-effects fit.

    Attributes:
        theta: The posterior mean of each unit.
        sd: The posterior standard deviation of each unit.
        mu: The mean of the units.
        tau2: The variance of the units.
        annotator_sd: The error SD of each annotator.
        iterations: How many iterations the fit took.
    """

    theta: Floats
    sd: Floats
    mu: float
    tau2: float
    annotator_sd: Floats
    iterations: int


def fit_em(
    unit_index: Ints,
    annotator_index: Ints,
    values: Floats,
    *,
    fixed_sd: Floats | None = None,
    prior_judgments: float = PRIOR_JUDGMENTS,
    prior_sd: float = PRIOR_SD,
    max_iterations: int = 500,
    tolerance: float = 1e-7,
) -> RandomEffects:
    """Fit random effects with a precision for each annotator by EM, in time linear in the judgments.

    x_ij = theta_i + e_ij with e_ij ~ N(0, s_j^2), s_j^2 ~ scaled inverse chi^2(prior_judgments, prior_sd^2) and
    theta_i ~ N(mu, tau^2). E step: theta_i has precision 1/tau^2 + sum_j 1/s_j^2 and the precision-weighted mean.
    M step: s_j^2 = (nu s0^2 + sum_i ((x_ij - theta_i)^2 + var_i)) / (nu + n_j), mu = mean(theta) and
    tau^2 = var(theta) + mean(var_i); without the last term theta would collapse onto mu for few judgments per unit.
    (EM: Dempster, Laird and Rubin 1977.)

    Args:
        unit_index: For each judgment its unit, from 0 without gaps.
        annotator_index: For each judgment its annotator, from 0 without gaps.
        values: For each judgment its probability, in [0, 1].
        fixed_sd: For each annotator a fixed SD; nan to fit it.
        prior_judgments: nu.
        prior_sd: s0.
        max_iterations: The most iterations.
        tolerance: Stop when no theta moves by more than this.
    """
    per_unit, per_annotator = np.bincount(unit_index), np.bincount(annotator_index)
    fixed = np.full(len(per_annotator), np.nan) if fixed_sd is None else fixed_sd
    variance = np.where(np.isnan(fixed), prior_sd**2, fixed**2)
    theta = _sums(unit_index, values) / per_unit
    mu, tau2 = float(theta.mean()), max(float(theta.var()), prior_sd**2)
    unit_variance: Floats = np.full(len(theta), tau2)
    iterations = 0
    while iterations < max_iterations:
        iterations += 1
        moved, unit_variance = posterior(unit_index, values, (1.0 / variance)[annotator_index], mu, tau2)
        mu = float(moved.mean())
        tau2 = max(float(moved.var() + unit_variance.mean()), SMALLEST_VARIANCE)
        errors = values - moved[unit_index]
        errors *= errors
        errors += unit_variance[unit_index]
        squares = _sums(annotator_index, errors)
        fitted = annotator_variance(squares, per_annotator, prior_judgments, prior_sd)
        variance = np.where(np.isnan(fixed), fitted, fixed**2)
        change = float(np.abs(moved - theta).max())
        theta = moved
        if change < tolerance:
            break
    return RandomEffects(theta, np.sqrt(unit_variance), mu, tau2, np.sqrt(variance), iterations)


def overlap(shared: int, values: int) -> bool:
    """Return whether annotators overlap enough for a fit, by how many values are on propositions with two or more."""
    return values > 0 and shared >= ENOUGH_OVERLAP * values


def posterior(unit_index: Ints, values: Floats, precision: Floats, mu: float, tau2: float) -> tuple[Floats, Floats]:
    """Do the E step: return the posterior mean and variance of each unit, given judgment precisions, mu, tau^2."""
    variance: Floats = 1.0 / (1.0 / tau2 + _sums(unit_index, precision))
    theta: Floats = (mu / tau2 + _sums(unit_index, precision * values)) * variance
    return theta, variance


def annotator_variance(
    squares: Floats, n: npt.NDArray[Any], prior_judgments: float = PRIOR_JUDGMENTS, prior_sd: float = PRIOR_SD
) -> Floats:
    """Do the M step: return s_j^2 from each annotator's expected squared errors (summed) and number of judgments."""
    variance: Floats = (prior_judgments * prior_sd**2 + squares) / (prior_judgments + n)
    return variance


def _sums(index: Ints, weights: Floats) -> Floats:
    """The sum of the weights of each index."""
    return np.asarray(np.bincount(index, weights), dtype=np.float64)
