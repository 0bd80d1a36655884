from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.fixtures.estimator import shard_table, with_column
from training.evaluation.families import Answer
from training.evaluation.paired import Figure
from training.evaluation.split import split_items
from training.evaluation.table import measure
from training.levels import sd
from training.model.calibration import Calibration

LEVELS = [0.0, 0.5, 0.5, 0.0]
UNIT = float(sd(LEVELS))


def calibration(judgment: float, consensus: float) -> Calibration:
    """One whose intervals have these half widths around an answer of `LEVELS`."""
    return Calibration(
        coverage=0.9,
        interval_of="judgment",
        widths={"judgment": judgment / UNIT, "consensus": consensus / UNIT},
        n_propositions=100,
        n_judgments=300,
        n_simulated=0,
        mse=0.01,
    )


def figures(table: pa.Table, of: Calibration | None, answered: int) -> dict[str, Figure]:
    answers = dict.fromkeys(table["proposition_id"].to_pylist()[:answered], Answer(0.5, LEVELS))
    found = measure(
        split_items(table), {"estimator": answers}, calibrations={"estimator": of}, annotators=(), resamples=50
    ).figures
    return {metric: each for (_, metric), each in found.items() if metric.startswith(("coverage_", "interval_width_"))}


def test_coverage_and_width_by_hand() -> None:
    table = with_column(shard_table(4), "values", [[0.5, 0.9], [0.3, 0.4, 0.6, 0.9], [0.35], [0.5]])
    table = with_column(with_column(table, "mean", [0.5, 0.4, 0.35, 0.5]), "n_judgments", [2, 4, 1, 1])
    found = figures(table, calibration(judgment=0.2, consensus=0.6), answered=3)
    # Inside .3 to .7: one of two, three of four, the only one.
    assert found["coverage_judgment"].value == pytest.approx((1 / 2 + 3 / 4 + 1) / 3)
    assert found["interval_width_judgment"].value == pytest.approx(0.4)
    assert found["coverage_consensus"].value == 1
    assert found["interval_width_consensus"].value == pytest.approx(1)  # -.1 to 1.1, within [0, 1]
    assert {(each.n, each.n_simulated) for each in found.values()} == {(3, 9)}
    low, high = found["coverage_judgment"].low, found["coverage_judgment"].high
    assert low is not None
    assert high is not None
    assert 0.5 <= low <= 0.75 <= high <= 1


def test_without_a_calibration_or_an_answer_there_are_no_figures() -> None:
    assert figures(shard_table(4), None, answered=4) == {}
    assert figures(shard_table(4), calibration(0.1, 0.1), answered=0) == {}


def test_it_holds_for_new_propositions_of_the_same_kind() -> None:
    """A calibration with the true quantiles covers what it says."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.5, 0.1, (400, 5)).clip(0, 1)
    table = with_column(with_column(shard_table(400), "values", values.tolist()), "mean", values.mean(axis=1).tolist())
    table = with_column(table, "n_judgments", [5] * 400)
    found = figures(table, calibration(0.1 * 1.645, 0.1 / np.sqrt(5) * 1.645), answered=400)
    assert found["coverage_judgment"].value == pytest.approx(0.9, abs=0.03)
    assert found["coverage_consensus"].value == pytest.approx(0.9, abs=0.05)
