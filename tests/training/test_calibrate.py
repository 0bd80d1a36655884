"""Maps and intervals against simulations, a calculation by hand, and other code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression

from training.fit.calibrate import calibrate, conformal_quantile, enough, fit_beta, fit_isotonic, remark
from training.judgments import Judgments
from training.levels import Floats
from training.model.calibration import Beta, Calibration, read_calibration, write_calibration
from training.settings import FitSettings
from warehouse.errors import InputError


def settings(**changes: object) -> FitSettings:
    return FitSettings.model_validate({"base": "-"} | changes)


def judged(means: Floats, judgments: list[Floats], premises: Any = None) -> Judgments:
    n, lengths = len(means), [len(each) for each in judgments]
    rows = np.arange(n)
    return Judgments(
        rows=rows,
        premises=rows if premises is None else premises.astype(np.int64),
        means=means,
        weights=np.ones(n),
        simulated=np.zeros(n, dtype=np.int64),
        values=np.concatenate(judgments),
        owners=np.repeat(rows, lengths),
    )


def made(rng: np.random.Generator, n: int) -> tuple[Floats, Floats, Judgments]:
    """Scores, SDs, and judgments: more of them where people disagree more, so that pooling all would mislead."""
    truth, spread = rng.uniform(0.2, 0.8, n), rng.choice([0.02, 0.2], n)
    judgments = [np.clip(rng.normal(p, s, 1 if s < 0.1 else 12), 0, 1) for p, s in zip(truth, spread, strict=True)]
    scores = np.clip(truth + rng.normal(0, 0.05, n), 0, 1)
    return scores, rng.uniform(0.08, 0.12, n), judged(np.array([each.mean() for each in judgments]), judgments)


def test_the_quantile_by_hand() -> None:
    distances = np.array([0.7, 0.1, 0.4, 0.3, 0.9, 0.2, 0.8, 0.5, 0.6])
    ones = np.ones(9)
    # ceil(10 * 0.8) = 8, ceil(10 * 0.81) = 9; the tenth is infinite.
    assert conformal_quantile(distances, ones, 0.8) == 0.8
    assert conformal_quantile(distances, ones, 0.81) == 0.9
    assert conformal_quantile(distances, ones, 0.9) == 0.9
    assert conformal_quantile(distances, ones, 0.91) == math.inf
    # Two propositions, three in all: half of 3 is 1.5, reached by one judgment of the first and both of the second.
    assert conformal_quantile(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 0.5, 0.5, 0.5]), 0.5) == 0.3


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_with_one_judgment_each_it_is_the_order_statistic(distances: list[float], coverage: float) -> None:
    rank = math.ceil((len(distances) + 1) * coverage - 1e-9)
    expected = sorted(distances)[rank - 1] if rank <= len(distances) else math.inf
    assert conformal_quantile(np.array(distances), np.ones(len(distances)), coverage) == expected


@pytest.mark.slow
@pytest.mark.parametrize("of", ["judgment", "consensus"])
@pytest.mark.parametrize("recalibrate", ["none", "isotonic", "beta"])
def test_a_new_truth_is_inside_as_often_as_it_should(of: str, recalibrate: str) -> None:
    """Each trial calibrates anew and draws one new truth, so that the number inside is binomial."""
    rng, trials, inside = np.random.default_rng(3), 400 if recalibrate == "none" else 80, 0
    chosen = settings(interval_of=of, recalibrate=recalibrate, coverage=0.8)
    for _ in range(trials):
        scores, sd, truth = made(rng, 61)
        dev = judged(truth.means[:60], [truth.values[truth.owners == i] for i in range(60)])
        calibration = calibrate(scores[:60], sd[:60], dev, chosen)
        assert calibration is not None
        low, high = calibration.interval(calibration.mapped(scores[60:]), sd[60:])
        new = truth.means[60] if of == "consensus" else rng.choice(truth.values[truth.owners == 60])
        inside += bool(low[0] <= new <= high[0])
    lowest, highest = stats.binom.interval(0.999, trials, 0.8)
    assert lowest <= inside
    # 1 / (n + 1) more at most without a map, and cross-fitted distances are a little too large.
    assert inside <= highest + trials * (1 / 61 if recalibrate == "none" else 0.05)


def test_pooling_all_judgments_would_be_too_wide() -> None:
    scores, sd, truth = made(np.random.default_rng(5), 2000)
    calibration = calibrate(scores, sd, truth, settings(coverage=0.8))
    assert calibration is not None
    distances = np.abs(truth.values - scores[truth.owners]) / sd[truth.owners]
    pooled = float(np.quantile(distances, 0.8))
    assert calibration.widths["judgment"] < 0.9 * pooled


def test_isotonic_pools_adjacent_violators_by_hand() -> None:
    scores, means = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0.2, 0.5, 0.1, 0.7, 0.6])
    found = fit_isotonic(scores, means, np.array([1.0, 1.0, 3.0, 1.0, 1.0]))
    # .5 and .1 (three times) are pooled to .2, as high as the first; .7 and .6 to .65.
    assert found.mapped(scores) == pytest.approx([0.2, 0.2, 0.2, 0.65, 0.65])
    assert found.mapped(np.array([0.0, 0.35, 1.0])) == pytest.approx([0.2, 0.425, 0.65])


def test_beta_recovers_a_known_distortion() -> None:
    rng = np.random.default_rng(1)
    scores, known = rng.uniform(0.02, 0.98, 4000), Beta(a=0.4, b=1.7, c=0.5)
    probability = 1 / (1 + np.exp(-(0.4 * np.log(scores) - 1.7 * np.log(1 - scores) + 0.5)))
    assert known.mapped(scores) == pytest.approx(probability)
    exact = fit_beta(scores, probability, np.ones(4000))
    assert (exact.a, exact.b, exact.c) == pytest.approx((0.4, 1.7, 0.5), abs=1e-3)
    coins = (rng.uniform(size=4000) < probability).astype(float)
    weights = rng.uniform(0.5, 2, 4000)
    found = fit_beta(scores, coins, weights)
    columns = np.column_stack([np.log(scores), -np.log(1 - scores)])
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(columns, coins, sample_weight=weights)
    assert (found.a, found.b, found.c) == pytest.approx((*other.coef_[0], other.intercept_[0]), abs=1e-3)


def test_beta_never_falls() -> None:
    scores = np.linspace(0.05, 0.95, 50, dtype=np.float64)
    found = fit_beta(scores, 1 - scores, np.ones(50))
    assert (found.a, found.b) == (0, 0)
    assert found.mapped(scores) == pytest.approx(np.full(50, 0.5), abs=1e-6)


@pytest.mark.parametrize("recalibrate", ["isotonic", "beta"])
def test_a_map_is_judged_by_premises_that_it_has_not_seen(recalibrate: str) -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.05, 0.95, 300)
    squeezed, noise = 0.4 + 0.2 * truth, rng.uniform(0.05, 0.95, 300)
    people = judged(truth, [np.array([each]) for each in truth])
    chosen, sd = settings(recalibrate=recalibrate), np.full(300, 0.1)
    helped, random = (calibrate(scores, sd, people, chosen) for scores in (squeezed, noise))
    assert helped is not None
    assert random is not None
    assert helped.mapped_mse is not None
    assert random.mapped_mse is not None
    assert helped.mapped_mse < 0.1 * helped.mse
    assert np.mean((helped.mapped(squeezed) - truth) ** 2) < 0.1 * helped.mse
    # Scores that tell nothing: no map of them is better than the mean by more than chance.
    assert random.mapped_mse > 0.95 * truth.var()
    assert "changes the mean squared error on dev from" in (remark(helped, people, 0.9) or "")


def test_propositions_of_a_premise_share_a_fold() -> None:
    """Scores that only name the premise: a map that had seen others of the premise would know their truth."""
    rng = np.random.default_rng(4)
    premises = np.repeat(np.arange(60), 5)
    truth = rng.uniform(0, 1, 60)[premises]
    people = judged(truth, [np.array([each]) for each in truth], premises)
    found = calibrate(rng.permutation(60)[premises] / 60, np.full(300, 0.1), people, settings(recalibrate="isotonic"))
    assert found is not None
    assert found.mapped_mse is not None
    assert found.mapped_mse > 0.9 * truth.var()


def test_too_little_is_not_calibrated_and_said() -> None:
    scores, sd, truth = made(np.random.default_rng(0), 29)
    assert calibrate(scores, sd, truth, settings()) is None
    assert "need 30 dev propositions" in (remark(None, truth, 0.9) or "")
    scores, sd, truth = made(np.random.default_rng(0), 30)
    assert calibrate(scores, sd, truth, settings()) is not None
    assert calibrate(scores, sd, truth, settings(coverage=0.99)) is None
    few = judged(truth.means, [truth.values[truth.owners == i] for i in range(30)], np.arange(30) % 4)
    assert calibrate(scores, sd, few, settings()) is None
    assert (enough(0.9), enough(0.975), enough(0.99)) == (30, 39, 99)


@pytest.mark.parametrize("recalibrate", ["none", "isotonic", "beta"])
def test_a_calibration_is_read_as_it_was_written(tmp_path: Path, recalibrate: str) -> None:
    calibration = calibrate(*made(np.random.default_rng(0), 50), settings(recalibrate=recalibrate))
    assert read_calibration(tmp_path) is None
    write_calibration(calibration, tmp_path)
    assert read_calibration(tmp_path) == calibration
    assert isinstance(calibration, Calibration)
    (tmp_path / "calibration.json").write_text('{"coverage": 2}')
    with pytest.raises(InputError, match=r"calibration\.json: cannot be read; delete it to score without intervals"):
        read_calibration(tmp_path)
