"""Calibration: a monotone map of the scores and split-conformal intervals, fitted on dev at the end of a fit.

An interval goes from score - q u to score + q u, with u the SD of the level distribution and q a quantile of
|truth - score| / u over dev (Papadopoulos et al. 2002, Lei et al. 2018). A share `coverage` of intervals holds the
truth, over propositions like those of dev: on average, not for each kind of proposition.

Three things bend the guarantee a little. Dev also chose the epoch. Propositions of one premise depend on each other:
only premises are exchangeable, so that dev is worth fewer propositions than it has, and the coverage on a test split
varies more than that of independent propositions. And a map that had seen a score would make dev look too good: so each
score is mapped by one that was fitted on other premises (cross-conformal prediction, Vovk 2015), while the map that is
kept has seen all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from training.judgments import Judgments
from training.levels import Floats
from training.model.calibration import Beta, Calibration, Isotonic, log_odds_parts, logistic
from training.settings import FitSettings

ENOUGH = 30
"""The least judged propositions. With 30, the coverage of 90% intervals varies with an SD of 5 points over dev sets."""
FOLDS = 5
"""The parts of dev that a map is fitted without, in turn; also the least premises."""


def enough(coverage: float) -> int:
    """Return the least judged propositions for a coverage: `ENOUGH`, or what a finite quantile needs."""
    return max(ENOUGH, math.ceil(coverage / (1 - coverage) - 1e-9))


def calibrate(scores: Floats, sd: Floats, truth: Judgments, settings: FitSettings) -> Calibration | None:
    """Fit a calibration.

    Args:
        scores: The scores [n] of the propositions of `truth`.
        sd: The SDs [n] of their level distributions.
        truth: What people said about them.
        settings: The map to fit, the coverage, and what intervals are of.

    Returns:
        The calibration; None if there are fewer than `enough` propositions, or than `FOLDS` premises.
    """
    if len(truth) < enough(settings.coverage) or len(np.unique(truth.premises)) < FOLDS:
        return None
    fit = FITS.get(settings.recalibrate)
    held_out = scores if fit is None else _held_out(fit, scores, truth, settings.seed)
    to_means = np.abs(truth.means - held_out) / sd
    to_judgments = np.abs(truth.values - held_out[truth.owners]) / sd[truth.owners]
    return Calibration(
        map=None if fit is None else fit(scores, truth.means, truth.weights),
        coverage=settings.coverage,
        interval_of=settings.interval_of,
        widths={
            "judgment": conformal_quantile(to_judgments, truth.shares, settings.coverage),
            "consensus": conformal_quantile(to_means, np.ones(len(truth)), settings.coverage),
        },
        n_propositions=len(truth),
        n_judgments=len(truth.values),
        n_simulated=int(truth.simulated.sum()),
        mse=_mse(scores, truth),
        mapped_mse=None if fit is None else _mse(held_out, truth),
    )


def remark(calibration: Calibration | None, truth: Judgments, coverage: float) -> str | None:
    """Return a line about a calibration: what it lacks, or what a map changed; None if there is nothing to say."""
    if calibration is None:
        return (
            f"scores will have no intervals: these need {enough(coverage)} dev propositions that people judged, on at "
            f"least {FOLDS} premises; there are {len(truth)} on {len(np.unique(truth.premises))}"
        )
    if calibration.map is None:
        return None
    return (
        f"the {calibration.map.kind} map changes the mean squared error on dev from {calibration.mse:.4f} to "
        f"{calibration.mapped_mse:.4f}, by maps that were fitted on other premises"
    )


def conformal_quantile(distances: Floats, weights: Floats, coverage: float) -> float:
    """Return the distance that the next one stays within with a probability of at least `coverage`.

    With weights of 1 it is the ceil((n + 1) coverage)-th smallest of n. In general it is the smallest one up to which
    the weights reach (n + 1) coverage, with n the sum of all weights: the next proposition counts as one that is
    infinitely far.

    Each proposition has the weight 1, shared by its judgments. That is right for a random judgment of a new
    proposition (Lee, Barber and Willett 2023, hierarchical conformal prediction): judgments of one proposition are
    not exchangeable with those of another, so their number must not count as evidence. Drawing one judgment of each
    is valid too, but the interval would depend on the draw.

    Args:
        distances: The distances [m] that were seen.
        weights: Their weights [m].
        coverage: The probability, in (0, 1).

    Returns:
        The distance; infinite if too few were seen.
    """
    order = np.argsort(distances, kind="stable")
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, coverage * (weights.sum() + 1) - 1e-9))
    return float(distances[order[place]]) if place < len(order) else math.inf


def fit_isotonic(scores: Floats, means: Floats, weights: Floats) -> Isotonic:
    """Return the non-decreasing map with the least weighted squared error (Barlow et al. 1972)."""
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, means, sample_weight=weights)
    return Isotonic(scores=tuple(model.X_thresholds_.tolist()), probabilities=tuple(model.y_thresholds_.tolist()))


def fit_beta(scores: Floats, means: Floats, weights: Floats) -> Beta:
    """Return the beta calibration with the least weighted cross-entropy against the means, with a, b >= 0.

    The loss is convex, so its minimum within the bounds is found directly.
    """
    from scipy.optimize import minimize

    columns = np.column_stack([log_odds_parts(scores), np.ones(len(scores))])
    shares = weights / weights.sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        log_odds = columns @ parameters
        mapped = logistic(log_odds)
        gradient: Floats = columns.T @ (shares * (mapped - means))
        return float(shares @ (np.logaddexp(0, log_odds) - means * log_odds)), gradient

    bounds = [(0, None), (0, None), (None, None)]
    found = minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B", tol=1e-12)
    a, b, c = found.x.tolist()
    return Beta(a=a, b=b, c=c)


FITS: dict[str, Callable[[Floats, Floats, Floats], Isotonic | Beta]] = {"isotonic": fit_isotonic, "beta": fit_beta}
"""How each map is fitted to scores, consensus means and weights [n]."""


def _held_out(
    fit: Callable[[Floats, Floats, Floats], Isotonic | Beta], scores: Floats, truth: Judgments, seed: int
) -> Floats:
    """Return the scores [n], each mapped as the premises of other folds say."""
    premises, codes = np.unique(truth.premises, return_inverse=True)
    folds = np.random.default_rng(seed).permutation(len(premises))[codes] % FOLDS
    mapped = np.empty(len(scores))
    for fold in range(FOLDS):
        inside, outside = folds == fold, folds != fold
        mapped[inside] = fit(scores[outside], truth.means[outside], truth.weights[outside]).mapped(scores[inside])
    return mapped


def _mse(scores: Floats, truth: Judgments) -> float:
    return float(np.average((scores - truth.means) ** 2, weights=truth.weights))
