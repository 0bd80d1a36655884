"""The answers of an estimator: scores, and what follows from their level distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.levels import Floats, expectation, quantile, sd
from training.model.calibration import Calibration
from warehouse.records import Drop

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


@dataclass(frozen=True)
class Scores:
    """The scores of n propositions, and their distributions over the K levels.

    Attributes:
        scores: The probabilities [n]: the means of the distributions, recalibrated if the estimator has a map.
        level_probabilities: The distributions [n, K], as the network gives them.
        raw_scores: The means [n] before recalibration; None if the estimator has no map.
        low: The lower ends [n] of the conformal intervals around the scores; None if the estimator has none.
        high: Their upper ends.
    """

    scores: Floats
    level_probabilities: Floats
    raw_scores: Floats | None = None
    low: Floats | None = None
    high: Floats | None = None

    @property
    def sd(self) -> Floats:
        """The SDs [n] of the level distributions."""
        result: Floats = sd(self.level_probabilities)
        return result

    @property
    def quantiles(self) -> dict[str, Floats]:
        """The quantiles [n] of the level distributions, from `q05` to `q95`."""
        return {name: quantile(self.level_probabilities, share) for name, share in QUANTILES.items()}


@dataclass(frozen=True, kw_only=True)
class ScoredBatch(Scores):
    """The scores of one batch, with the ids of its propositions.

    `truncated` [n] tells of which premises only the end was read; `drops` are propositions whose question alone was too
    long to score.
    """

    proposition_ids: tuple[str, ...]
    truncated: npt.NDArray[np.bool_]
    drops: tuple[Drop, ...]


def scores_of(level_probabilities: Floats, calibration: Calibration | None) -> Scores:
    """Return the scores and intervals that follow from level distributions [n, K]."""
    raw = expectation(level_probabilities)
    if calibration is None:
        return Scores(raw, level_probabilities)
    scores = calibration.mapped(raw)
    low, high = calibration.interval(scores, np.asarray(sd(level_probabilities)))
    return Scores(scores, level_probabilities, None if calibration.map is None else raw, low, high)
