"""The family correlation: what is measured of answers to propositions that have a probability each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
import numpy.typing as npt

from training.evaluation.metrics import calibration_error, coarse_figures, decompose
from training.evaluation.paired import Mean, Pearson, Spearman, Statistic
from training.levels import Floats, crps, entropy, exact_crps, level_of, one_hot, sd, wasserstein
from training.model.calibration import Calibration
from training.settings import IntervalOf
from warehouse.scales import probability_to_slider

LEVELS = 10
"""The levels on which an answer that is a single number is compared with people's judgments."""
_ENOUGH = 3  # judgments, to speak of their spread


@dataclass(frozen=True)
class Answered:
    """A subject's answers to n propositions, their labels, and people's judgments of them.

    Attributes:
        scores: The answers [n].
        levels: Its level distributions [n, K], or None for a subject that answers with numbers.
        labels: The labels [n].
        judgments: The judgments of each proposition.
        slider: Whether the labels were given on the slider of UNLI.
    """

    scores: Floats
    levels: Floats | None
    labels: Floats
    judgments: Sequence[Floats]
    slider: bool = False

    def measure(self) -> dict[str, Statistic]:
        """Return what has an interval, by name.

        Against the labels: pearson, spearman, mse, mae and crps (of the level distribution; a narrow guess wins).
        Against people's judgments, if every proposition has some: crps_judgments (against every judgment, see
        `training.levels.exact_crps`; the distribution wins that spreads as people do), wasserstein (from their
        distribution over levels), and spread_correlation, that of the entropies of both distributions. For labels
        from the slider of UNLI: pearson_slider and spearman_slider, with both sides as positions of it.
        """
        found: dict[str, Statistic] = {
            "pearson": Pearson(self.scores, self.labels),
            "spearman": Spearman(self.scores, self.labels),
            "mse": Mean((self.scores - self.labels) ** 2),
            "mae": Mean(np.abs(self.scores - self.labels)),
            "crps": Mean(crps(self._distributions, self.labels)),
        }
        if self.slider:
            scores, labels = (probability_to_slider(each) for each in (self.scores, self.labels))
            found |= {"pearson_slider": Pearson(scores, labels), "spearman_slider": Spearman(scores, labels)}
        fewest = min(map(len, self.judgments), default=0)
        if fewest:
            found["crps_judgments"] = Mean(self._each(self._distances))
            found["wasserstein"] = Mean(wasserstein(self._distributions, self._judged(self._distributions.shape[1])))
        if fewest >= _ENOUGH and self.levels is not None:
            found["spread_correlation"] = Pearson(entropy(self.levels), entropy(self._judged(LEVELS)))
        return found

    def describe(self) -> dict[str, float | None]:
        """Return the figures of calibration and coarseness without intervals.

        Resampling biases a binned gap upwards, and repeats answers.
        """
        parts = decompose(self.scores, self.labels)
        found: dict[str, float | None] = {"calibration_error": calibration_error(self.scores, self.labels)}
        return found | (parts._asdict() if parts else {}) | coarse_figures(self.scores)

    def coverage(self, calibration: Calibration) -> dict[str, Statistic]:
        """Return how many truths the conformal intervals hold, and how wide these are, for each kind of truth.

        coverage_judgment is the share of judgments inside the intervals of a single judgment; each proposition counts
        the same. coverage_consensus is the share of labels inside the intervals of those. Both should be near the
        coverage that the estimator was calibrated for. There are none without distributions, or without judgments.
        """
        if self.levels is None or not min(map(len, self.judgments), default=0):
            return {}
        found: dict[str, Statistic] = {}
        for of in get_args(IntervalOf):
            low, high = calibration.interval(self.scores, np.asarray(sd(self.levels)), of)
            if of == "consensus":
                inside = ((low <= self.labels) & (self.labels <= high)).astype(np.float64)
            else:
                inside = self._each((low[self._owners] <= self._values) & (self._values <= high[self._owners]))
            found |= {f"coverage_{of}": Mean(inside), f"interval_width_{of}": Mean(high - low)}
        return found

    @cached_property
    def _distributions(self) -> Floats:
        return one_hot(self.scores, LEVELS) if self.levels is None else self.levels

    @cached_property
    def _owners(self) -> npt.NDArray[np.int64]:
        """The proposition of each judgment."""
        return np.repeat(np.arange(len(self.judgments)), [len(each) for each in self.judgments])

    @cached_property
    def _values(self) -> Floats:
        return np.concatenate([*self.judgments, np.empty(0)])

    @property
    def _distances(self) -> Floats:
        if self.levels is None:
            return np.abs(self.scores[self._owners] - self._values)
        return np.asarray(exact_crps(self.levels[self._owners], self._values))

    def _each(self, values: npt.NDArray[np.generic]) -> Floats:
        """Return the mean of what was computed for each judgment, by proposition."""
        n = len(self.judgments)
        result: Floats = np.bincount(self._owners, values, n) / np.bincount(self._owners, minlength=n)
        return result

    def _judged(self, levels: int) -> Floats:
        """Return the distribution [n, K] of the judgments over levels."""
        n = len(self.judgments)
        counts = np.bincount(self._owners * levels + level_of(self._values, levels), minlength=n * levels)
        grid = counts.reshape(n, levels)
        result: Floats = grid / grid.sum(axis=1, keepdims=True)
        return result
