from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from tests.fixtures.estimator import shard_table
from training.evaluation.suites import Naming, consensus_suite
from training.levels import one_hot
from warehouse.records import Estimate, Evaluation

NAMING = Naming("model", "dataset")


def judged_table(n: int = 40, annotators: int = 6, noise: float = 0.1) -> pa.Table:
    """A synthetic table: consensus means spread over [0, 1], judgments around them with a known noise."""
    rng = np.random.default_rng(7)
    truth = rng.uniform(0.2, 0.8, size=n)
    values = [(each + noise * rng.choice([-1, 1], size=annotators)).tolist() for each in truth]
    table = shard_table(n, simulated=False)
    for name, column in (("values", values), ("mean", [float(np.mean(each)) for each in values])):
        table = table.set_column(table.column_names.index(name), name, pa.array(column))
    return table


def estimate(proposition: str, labeler: str, probability: float | None) -> Estimate:
    return Estimate(
        estimate_id=f"{labeler}-{proposition}",
        proposition_id=proposition,
        labeler=labeler,
        labeler_version="1",
        method="verbalised",
        probability=probability,
        reason=None if probability is not None else "unparseable",
    )


def run(table: pa.Table, **changes: object) -> dict[tuple[str, str], Evaluation]:
    ids, means = table["proposition_id"].to_pylist(), table["mean"].to_numpy()
    scores = {key: (float(0.5 * mean + 0.2), one_hot(mean, 10).tolist()) for key, mean in zip(ids, means, strict=True)}
    estimates = [estimate(key, "coarse", round(mean)) for key, mean in zip(ids, means, strict=True)]
    estimates += [estimate(key, "gaps", 0.3 if i % 4 else None) for i, key in enumerate(ids)]
    options: dict[str, object] = {"resamples": 60} | changes
    found = consensus_suite(table, scores, estimates, 0.45, NAMING, **options)  # type: ignore[arg-type]
    assert len({each.evaluation_id for each in found}) == len(found)
    return {(each.subject, each.metric): each for each in found}


def test_every_subject_is_there_with_its_own_n() -> None:
    found = run(judged_table())
    n = {subject: each.n for (subject, metric), each in found.items() if metric == "mse"}
    assert n == {
        "estimator": 40,
        "labeler:coarse": 40,
        "labeler:gaps": 30,
        "panel-mean": 40,
        "constant": 40,
        "one-annotator": 40,
    }


def test_figures_are_those_of_scipy_and_numpy() -> None:
    table = judged_table()
    means = table["mean"].to_numpy()
    found = run(table)
    assert found["estimator", "pearson"].value == pytest.approx(1)
    assert found["estimator", "mse"].value == pytest.approx(np.mean((0.2 - 0.5 * means) ** 2))
    assert found["labeler:coarse", "spearman"].value == pytest.approx(stats.spearmanr(np.round(means), means).statistic)
    panel = np.array([(round(m) + 0.3) / 2 if i % 4 else round(m) for i, m in enumerate(means)])
    assert found["panel-mean", "mae"].value == pytest.approx(np.abs(panel - means).mean())
    assert found["constant", "mse"].value == pytest.approx(np.mean((0.45 - means) ** 2))
    assert found["constant", "uncertainty"].value == pytest.approx(means.var())


def test_the_estimators_own_distribution_is_scored() -> None:
    table = judged_table()
    found = run(table)
    assert found["estimator", "crps"].value == 0  # its distribution stands on the right level
    assert found["constant", "crps"].value > 0  # type: ignore[operator]


def test_a_constant_has_no_correlation_and_an_honest_calibration() -> None:
    table = judged_table()
    found = run(table)
    for metric in ("pearson", "spearman"):
        record = found["constant", metric]
        assert (record.value, record.low, record.high) == (None, None, None)
    assert found["constant", "calibration_error"].value == pytest.approx(abs(0.45 - table["mean"].to_numpy().mean()))
    assert found["constant", "discrimination"].value == pytest.approx(0)


def test_intervals_hold_their_values() -> None:
    found = run(judged_table(), resamples=300)
    for (subject, metric), each in found.items():
        if metric in ("mse", "mae", "crps") and subject != "one-annotator":
            assert each.low is not None
            assert each.high is not None
            assert each.value is not None
            assert each.low <= each.value <= each.high, (subject, metric)
    assert found["estimator", "calibration_error"].low is None


def test_one_annotator_is_measured_against_the_others() -> None:
    noise, annotators = 0.1, 6
    found = run(judged_table(400, annotators, noise))
    # one judgment has variance noise^2 around the truth, the mean of the others noise^2 / 5
    expected = noise**2 * (1 + 1 / (annotators - 1))
    assert found["one-annotator", "mse"].value == pytest.approx(expected, rel=0.1)


def test_more_annotators_come_closer_and_single_judgments_are_left_out() -> None:
    table = judged_table(40)
    values = table["values"].to_pylist()
    values[0], values[1] = values[0][:1], values[1][:3]
    table = table.set_column(table.column_names.index("values"), "values", pa.array(values))
    found = run(table, annotators=(1, 3))
    assert found["one-annotator", "mse"].n == 39
    assert found["3-annotators", "mse"].n == 38
    assert found["3-annotators", "mse"].value < found["one-annotator", "mse"].value  # type: ignore[operator]


def test_simulated_judgments_are_counted_where_they_matter() -> None:
    found = run(shard_table(40, simulated=True))
    assert found["estimator", "mse"].n_simulated == 120
    assert found["labeler:gaps", "mse"].n_simulated == 90
    assert found["one-annotator", "mse"].n_simulated == 120


def test_without_any_score_or_estimate_the_figures_are_empty_and_counted() -> None:
    table = judged_table(5)
    found = {(each.subject, each.metric): each for each in consensus_suite(table, {}, [], 0.5, NAMING, resamples=10)}
    assert (found["estimator", "mse"].value, found["estimator", "mse"].n) == (None, 0)
    assert found["constant", "mse"].n == 5


def test_crps_against_judgments_rewards_the_spread_of_people() -> None:
    table = judged_table(40, 6, 0.2)
    ids, values = table["proposition_id"].to_pylist(), table["values"].to_pylist()
    means = table["mean"].to_numpy()
    narrow = {key: (float(m), one_hot(m, 10).tolist()) for key, m in zip(ids, means, strict=True)}
    wide = {
        key: (float(m), one_hot(np.array(each), 10).mean(axis=0).tolist())
        for key, m, each in zip(ids, means, values, strict=True)
    }
    found = {}
    for name, scores in (("narrow", narrow), ("wide", wide)):
        for each in consensus_suite(table, scores, [], 0.45, NAMING, resamples=20):
            found[name, each.subject, each.metric] = each.value
    assert found["narrow", "estimator", "crps"] < found["wide", "estimator", "crps"]  # type: ignore[operator]
    judged = "crps_judgments"
    assert found["wide", "estimator", judged] < found["narrow", "estimator", judged]  # type: ignore[operator]
    # A number is a point: its CRPS is its distance from each judgment.
    by_hand = np.mean([np.abs(0.45 - np.array(each)).mean() for each in values])
    assert found["wide", "constant", judged] == pytest.approx(by_hand)
    pairs = [np.abs(np.subtract.outer(each, each)).sum() / (len(each) * (len(each) - 1)) for each in values]
    assert found["wide", "one-annotator", judged] == pytest.approx(np.mean(pairs), rel=0.05)


def test_propositions_without_judgments_have_no_crps_against_them() -> None:
    table = judged_table(40)
    values = table["values"].to_pylist()
    values[0] = []
    table = table.set_column(table.column_names.index("values"), "values", pa.array(values))
    found = run(table)
    assert found["estimator", "crps_judgments"].n == 39
    assert found["estimator", "crps"].n == 40
