"""Which propositions another judgment would help most: how much each is in doubt, by one of four rules."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from warehouse.consensus.random_effects import Floats

Rule = Literal["consensus", "disagreement", "panel", "uncertainty"]
"""consensus: its SD is largest; disagreement: estimator and consensus differ most, in SDs of the consensus; panel:
estimator and panel differ most; uncertainty: the estimator's level distribution is widest."""


class Known(NamedTuple):
    """What is known of n propositions, each [n] and nan where unknown.

    `mean` and `sd` are those of the consensus, `score` and `level_sd` the mean and SD of the estimator's level
    distribution, and `panel` is the panel's mean.
    """

    mean: Floats
    sd: Floats
    score: Floats
    level_sd: Floats
    panel: Floats


def doubt(rule: Rule, known: Known) -> Floats:
    """Return how much each proposition is in doubt by a rule, [n]: the more, the higher; nan where it is unknown."""
    if rule == "consensus":
        return known.sd
    if rule == "uncertainty":
        return known.level_sd
    if rule == "panel":
        return np.abs(known.score - known.panel)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart: Floats = np.abs(known.score - known.mean) / known.sd
    return np.where(known.sd > 0, apart, np.nan)
