"""The conformal intervals of the estimator on a suite: how many truths they hold, and how wide they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import get_args

import numpy as np
import pyarrow as pa

from training.evaluation import metrics
from training.evaluation.suites import Naming, recorder
from training.judgments import Indices, Judgments, judgments_of
from training.levels import Floats, sd
from training.model.calibration import Calibration
from training.settings import IntervalOf
from warehouse.records import Evaluation


def interval_figures(
    test: pa.Table,
    scores: Mapping[str, tuple[float, Sequence[float]]],
    calibration: Calibration | None,
    naming: Naming,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Iterator[Evaluation]:
    """Yield the coverage and the mean width of the estimator's intervals, for each kind of truth.

    `coverage_judgment` is the share of judgments inside the intervals of a single judgment; each proposition counts
    the same. `coverage_consensus` is the share of consensus means inside the intervals of those. They should be near
    the coverage that the estimator was calibrated for. Without a calibration there are no figures.

    Args:
        test: The test propositions, with a shard's columns.
        scores: The estimator's score and level distribution by proposition id.
        calibration: That of the estimator.
        naming: What the figures belong to.
        resamples: The bootstrap resamples, of premises, of their 95% intervals.
        seed: The seed of the resamples.
    """
    ids = test["proposition_id"].to_pylist()
    answered = np.array([row for row, key in enumerate(ids) if key in scores], dtype=np.int64)
    truth = judgments_of(test, answered)
    if calibration is None or not len(truth):
        return
    found = [scores[ids[row]] for row in answered[truth.rows]]
    points, spread = np.array([score for score, _ in found]), sd([levels for _, levels in found])
    record = recorder("estimator", naming, len(truth), int(truth.simulated.sum()))
    for of in get_args(IntervalOf):
        low, high = calibration.interval(points, spread, of)
        inside = coverage_of(truth, low, high, of)
        for name, values in ((f"coverage_{of}", inside), (f"interval_width_{of}", high - low)):
            bounds = metrics.interval(_mean_of(values), truth.premises.tolist(), resamples, seed)
            yield record(name, float(values.mean()), bounds)


def coverage_of(truth: Judgments, low: Floats, high: Floats, of: IntervalOf) -> Floats:
    """Return the share [n] of the truths of each proposition that is between `low` [n] and `high` [n]."""
    if of == "consensus":
        return ((low <= truth.means) & (truth.means <= high)).astype(np.float64)
    inside = (low[truth.owners] <= truth.values) & (truth.values <= high[truth.owners])
    return np.bincount(truth.owners, truth.shares * inside, minlength=len(truth)).astype(np.float64)


def _mean_of(values: Floats) -> Callable[[Indices], float]:
    return lambda rows: float(values[rows].mean())
