"""Planning a study: what a number of propositions and judgments will show, from the agreement that is expected.

A judgment is x_ij = theta_i + e_ij, with variance tau^2 between propositions and sigma^2 within them, and
alpha = tau^2 / (tau^2 + sigma^2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from warehouse.agreement.resample import Figure, reliability
from warehouse.errors import InputError

Z = 1.959964
"""The half-width of a 95% interval, in standard errors."""
SIMULATED = 20_000
"""How many propositions are simulated: the half-widths then vary by about 1% from seed to seed."""
SEED = 0
FEWEST, MOST = 2, 30


class Moments(NamedTuple):
    """What judgments have shown, with the fields of `Prior`; some allow no plan of a study, such as an alpha of 0."""

    alpha: float
    sd: float
    mean: float
    source: str


@dataclass(frozen=True)
class Prior:
    """What is expected of the judgments.

    Attributes:
        alpha: Their interval alpha, between 0 and 1.
        sd: The SD of the judgments of one proposition, a probability.
        mean: Their mean.
        source: Where this is known from.
    """

    alpha: float
    sd: float
    mean: float
    source: str

    def __post_init__(self) -> None:
        """Raise `InputError` if no probabilities have these moments."""
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha must be between 0 and 1, not {self.alpha:g}")
        if not 0 < self.mean < 1:
            raise InputError(f"the mean must be between 0 and 1, not {self.mean:g}")
        largest = (self.mean * (1 - self.mean) * (1 - self.alpha)) ** 0.5
        if not 0 < self.sd < largest:
            raise InputError(
                f"the SD must be between 0 and {largest:.3f}, not {self.sd:g}: probabilities with mean {self.mean:g} "
                f"and alpha {self.alpha:g} cannot spread further within a proposition"
            )

    @property
    def between(self) -> float:
        """The variance tau^2 between propositions."""
        return self.sd**2 * self.alpha / (1 - self.alpha)


LITERATURE = Prior(alpha=0.51, sd=0.27, mean=0.58, source="the slider judgments of Pavlick and Kwiatkowski, 2019")


class Plan(NamedTuple):
    """What a study shows with so many judgments of each proposition.

    `alpha_half_width` is that of the 95% interval of alpha, `reliability` that of the mean of a proposition's
    judgments, and `consensus_sd` the posterior SD of its consensus.
    """

    judgments_each: int
    alpha_half_width: float
    reliability: float
    consensus_sd: float
    judgments: int
    cost: float | None


def plans(prior: Prior, propositions: int, cost_per_judgment: float | None = None, most: int = MOST) -> list[Plan]:
    """Return what 2, 3, ... `most` judgments of each proposition show.

    The reliability of the mean of k is k a / (1 + (k - 1) a) (Spearman, Brown 1910), the variance of the consensus
    1 / (1 / tau^2 + k / sigma^2), and the interval of alpha that of `alpha_errors`.
    """
    errors = alpha_errors(prior, most)
    found = []
    for k in range(FEWEST, most + 1):
        mean_of = reliability(Figure("interval_alpha", prior.alpha), k).value
        assert mean_of is not None
        total = propositions * k
        found.append(
            Plan(
                judgments_each=k,
                alpha_half_width=Z * errors[k - FEWEST] / propositions**0.5,
                reliability=mean_of,
                consensus_sd=(1 / (1 / prior.between + k / prior.sd**2)) ** 0.5,
                judgments=total,
                cost=None if cost_per_judgment is None else total * cost_per_judgment,
            )
        )
    return found


def alpha_errors(prior: Prior, most: int = MOST, simulated: int = SIMULATED) -> list[float]:
    """Return the standard error of alpha for 2 to `most` judgments of one proposition; it falls with the root of n.

    With W the variance within propositions, g_i its part in proposition i, T the variance of all judgments and h_i the
    mean square of their distances from the mean: alpha = 1 - W / T, so to first order (delta method) a proposition
    moves it by u_i / n with u_i = ((1 - alpha) h_i - g_i) / T. The variance of u_i is that of simulated propositions:
    theta_i from a Beta distribution, and x_ij from one with mean theta_i. Both are fixed by the prior, and make
    propositions near 0 and 1 less contested, as they are. For normal judgments it would be
    2 (1 - a)^2 (1 + (k - 1) a)^2 / (k (k - 1)) (Fisher 1925).
    """
    rng = np.random.default_rng(SEED)
    room = prior.mean * (1 - prior.mean)
    outer, inner = room / prior.between - 1, (room - prior.between) / prior.sd**2 - 1
    theta = rng.beta(prior.mean * outer, (1 - prior.mean) * outer, simulated).clip(1e-6, 1 - 1e-6)
    total = prior.between + prior.sd**2
    sums, squares = np.zeros(simulated), np.zeros(simulated)
    errors = []
    for k in range(1, most + 1):
        away = rng.beta(theta * inner, (1 - theta) * inner) - prior.mean
        sums += away
        squares += away**2
        if k >= FEWEST:
            within = (squares - sums**2 / k) / (k - 1)
            errors.append(float((((1 - prior.alpha) * squares / k - within) / total).std()))
    return errors


def first(found: Sequence[Plan], precision: float | None, least: float | None, sd: float | None) -> list[Plan | None]:
    """Return the first plan that reaches each wanted half-width, reliability and consensus SD; None if none does.

    What is not wanted is left out.
    """
    reached = []
    if precision is not None:
        reached.append([plan for plan in found if plan.alpha_half_width <= precision])
    if least is not None:
        reached.append([plan for plan in found if plan.reliability >= least])
    if sd is not None:
        reached.append([plan for plan in found if plan.consensus_sd <= sd])
    return [each[0] if each else None for each in reached]


def fewest_judgments(found: Sequence[Plan], propositions: int, precision: float) -> tuple[int, int]:
    """Return the propositions, and the judgments of each, that reach a half-width of alpha at the least total."""
    needed = [(int(np.ceil(propositions * (p.alpha_half_width / precision) ** 2)), p.judgments_each) for p in found]
    return min(needed, key=lambda each: each[0] * each[1])
