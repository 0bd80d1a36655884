"""The figures of the test split: everyone on the consensus of what people judged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from tests.fixtures.estimator import shard_table, with_column
from training.evaluation.families import Answer
from training.evaluation.recording import Naming, evaluations
from training.evaluation.split import split_items
from training.evaluation.subjects import constant, panel
from training.evaluation.table import measure
from training.levels import one_hot
from warehouse.records import Estimate, Evaluation

NAMING = Naming("model", "dataset", "consensus")
Scores = dict[str, tuple[float, list[float]]]


def judged_table(n: int = 40, annotators: int = 6, noise: float = 0.1) -> pa.Table:
    """A synthetic table: consensus means spread over [0, 1], judgments around them with a known noise."""
    rng = np.random.default_rng(7)
    truth = rng.uniform(0.2, 0.8, size=n)
    values = [(each + noise * rng.choice([-1, 1], size=annotators)).tolist() for each in truth]
    table = with_column(shard_table(n, simulated=False), "values", values)
    table = with_column(table, "n_judgments", [annotators] * n)
    return with_column(table, "mean", [float(np.mean(each)) for each in values])


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


def evaluated(
    table: pa.Table,
    scores: Scores,
    estimates: list[Estimate],
    train_mean: float = 0.45,
    *,
    annotators: tuple[int, ...] = (1,),
    resamples: int = 60,
) -> list[Evaluation]:
    items = split_items(table)
    ids = [item.propositions[0] for item in items.items]
    subjects = {
        "estimator": {key: Answer(*each) for key, each in scores.items()},
        **dict(panel(estimates)),
        "constant": constant(ids, train_mean),
    }
    measured = measure(items, subjects, annotators=annotators, resamples=resamples)
    return list(evaluations(measured, NAMING))


def run(table: pa.Table, annotators: tuple[int, ...] = (1,), resamples: int = 60) -> dict[tuple[str, str], Evaluation]:
    ids, means = table["proposition_id"].to_pylist(), table["mean"].to_numpy()
    scores = {key: (float(0.5 * mean + 0.2), one_hot(mean, 10).tolist()) for key, mean in zip(ids, means, strict=True)}
    estimates = [estimate(key, "coarse", round(mean)) for key, mean in zip(ids, means, strict=True)]
    estimates += [estimate(key, "gaps", 0.3 if i % 4 else None) for i, key in enumerate(ids)]
    found = evaluated(table, scores, estimates, annotators=annotators, resamples=resamples)
    assert len({each.evaluation_id for each in found}) == len(found)
    return {(each.subject, each.metric): each for each in found if each.slice is None}


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
    table = with_column(table, "n_judgments", [1, 3] + [6] * 38)
    found = run(table, annotators=(1, 3))
    assert found["one-annotator", "mse"].n == 39
    assert found["3-annotators", "mse"].n == 38
    assert found["3-annotators", "mse"].value < found["one-annotator", "mse"].value  # type: ignore[operator]


def test_an_estimate_that_counts_in_the_consensus_is_not_a_judgment() -> None:
    """Values are judgments, then estimates: of the latter none may stand for an annotator."""
    table = judged_table(40)
    more = [[*each, 0.99] for each in table["values"].to_pylist()]
    pooled = with_column(with_column(table, "values", more), "n_estimates", [1] * 40)
    for metric in ("crps_judgments", "mse"):
        for subject in ("estimator", "one-annotator"):
            assert run(pooled)[subject, metric].value == run(table)[subject, metric].value


def test_simulated_judgments_are_counted_where_they_matter() -> None:
    found = run(shard_table(40, simulated=True))
    assert found["estimator", "mse"].n_simulated == 120
    assert found["labeler:gaps", "mse"].n_simulated == 90
    assert found["one-annotator", "mse"].n_simulated == 120


def test_without_any_score_or_estimate_the_figures_are_empty_and_counted() -> None:
    found = {(each.subject, each.metric): each for each in evaluated(judged_table(5), {}, [])}
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
        for each in evaluated(table, scores, [], resamples=20):
            if each.slice is None:
                found[name, each.subject, each.metric] = each.value
    assert found["narrow", "estimator", "crps"] < found["wide", "estimator", "crps"]  # type: ignore[operator]
    judged = "crps_judgments"
    assert found["wide", "estimator", judged] < found["narrow", "estimator", judged]  # type: ignore[operator]
    # A number is a point: its CRPS is its distance from each judgment.
    by_hand = np.mean([np.abs(0.45 - np.array(each)).mean() for each in values])
    assert found["wide", "constant", judged] == pytest.approx(by_hand)
    pairs = [np.abs(np.subtract.outer(each, each)).sum() / (len(each) * (len(each) - 1)) for each in values]
    assert found["wide", "one-annotator", judged] == pytest.approx(np.mean(pairs), rel=0.05)


def test_rows_that_nobody_judged_are_left_out() -> None:
    table = with_column(judged_table(40), "n_judgments", [0] + [6] * 39)
    found = run(table)
    assert found["estimator", "crps_judgments"].n == found["constant", "mse"].n == 39


def test_slices_have_ids_of_their_own_and_the_figures_of_their_items() -> None:
    table = judged_table(40)
    table = with_column(table, "source", ["a"] * 15 + ["b"] * 25)
    means = table["mean"].to_numpy()
    found = evaluated(table, {}, [])
    assert len({each.evaluation_id for each in found}) == len(found)
    by_slice = {(each.slice, each.subject, each.metric): each for each in found}
    assert by_slice["source=a", "constant", "mse"].value == pytest.approx(np.mean((means[:15] - 0.45) ** 2))
    assert by_slice["source=b", "constant", "mse"].n == 25
    assert by_slice["source=a", "one-annotator", "mse"].n == 15


def test_coarseness_is_measured_for_every_subject_and_for_one_annotator() -> None:
    table = judged_table(noise=0.0)
    found = run(table, annotators=(1, 3))
    distinct = len(np.unique(np.round(table["mean"].to_numpy(), 6))) / 40
    assert found["estimator", "distinct_share"].value == pytest.approx(distinct)
    assert found["one-annotator", "distinct_share"].value == pytest.approx(distinct)
    assert found["one-annotator", "distinct_share"].n == 40
    assert found["labeler:coarse", "distinct_share"].value == pytest.approx(2 / 40)
    assert found["constant", "entropy_share"].value == 0
    assert found["labeler:gaps", "excess_multiples_of_5"].value == pytest.approx(1 - 21 / 101)
    assert found["labeler:gaps", "top3_mass"].n == 30
