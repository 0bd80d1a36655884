"""The default consensus: random effects with a precision for each annotator, fitted by EM, linear in the judgments.

Only judgments on propositions that others judged as well tell an annotator's errors from the spread of the
propositions: of a single judgment x = theta + e the variance tau^2 + s^2 is known, and how it parts is not. The fit
then takes the prior's s for the truth and draws everything towards mu. Below a share of ENOUGH_OVERLAP the mean is the
better consensus; it was chosen where the two tie on made-up judgments (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PRIOR_JUDGMENTS = 8.0  # how many judgments the prior on an annotator's SD is worth
PRIOR_SD = 0.25
ENOUGH_OVERLAP = 0.25  # of the judgments, the share on propositions with two or more
SMALLEST_VARIANCE = 1e-8


@dataclass(frozen=True)
class RandomEffects:
    """The fit. `theta` and `sd` have one entry a unit, `annotator_sd` one an annotator.

    `theta` is the posterior mean and `sd` the posterior standard deviation of a unit; `mu` and `tau2` are the mean and
    the variance of the units.
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
    """Fit random effects with a precision for each annotator, by EM; linear in the judgments.

    x_ij = theta_i + e_ij with e_ij ~ N(0, s_j^2), s_j^2 ~ scaled inverse chi^2(prior_judgments, prior_sd^2) and
    theta_i ~ N(mu, tau^2). E step: theta_i has precision 1/tau^2 + sum_j 1/s_j^2 and the precision-weighted mean.
    M step: s_j^2 = (nu s0^2 + sum_i ((x_ij - theta_i)^2 + var_i)) / (nu + n_j), mu = mean(theta) and
    tau^2 = var(theta) + mean(var_i); without the last term theta collapses onto mu for few judgments a unit.
    EM is that of Dempster, Laird and Rubin 1977.

    Args:
        unit_index: for each judgment its unit, from 0 and without gaps.
        annotator_index: for each judgment its annotator, from 0 and without gaps.
        values: for each judgment its probability, in [0, 1].
        fixed_sd: for each annotator an SD that is not fitted; nan where it is.
        prior_judgments: nu.
        prior_sd: s0.
        max_iterations: when to stop at the latest.
        tolerance: the fit stops when no theta moves by more.
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


def posterior(unit_index: Ints, values: Floats, precision: Floats, mu: float, tau2: float) -> tuple[Floats, Floats]:
    """The E step: posterior mean and variance of each unit, given the precision of each judgment, mu and tau^2."""
    variance: Floats = 1.0 / (1.0 / tau2 + _sums(unit_index, precision))
    theta: Floats = (mu / tau2 + _sums(unit_index, precision * values)) * variance
    return theta, variance


def annotator_variance(
    squares: Floats, n: npt.NDArray[Any], prior_judgments: float = PRIOR_JUDGMENTS, prior_sd: float = PRIOR_SD
) -> Floats:
    """The M step: s_j^2 from the sum of the expected squared errors of each annotator and the number of judgments."""
    variance: Floats = (prior_judgments * prior_sd**2 + squares) / (prior_judgments + n)
    return variance


def _sums(index: Ints, weights: Floats) -> Floats:
    """The sum of the weights that have the same index."""
    return np.asarray(np.bincount(index, weights), dtype=np.float64)
