"""Paired bootstrap: statistics of resamples against the same statistics of the rows written out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy import stats

from training.evaluation.paired import (
    Difference,
    Draws,
    Figure,
    Mean,
    Pearson,
    Spearman,
    Statistic,
    difference,
    figure,
    holm,
)
from training.levels import Floats

RNG = np.random.default_rng(5)
N = 60
X = np.round(RNG.normal(size=N), 1)  # with ties
Y = np.round(X + RNG.normal(size=N), 1)
ALL = np.arange(N)
GROUPS = [f"premise {number // 3}" for number in range(N)]


def pearson(x: Floats, y: Floats) -> float:
    return float(stats.pearsonr(x, y).statistic)


def spearman(x: Floats, y: Floats) -> float:
    return float(stats.spearmanr(x, y).statistic)


@pytest.mark.parametrize(
    ("statistic", "peer"),
    [(Mean(X), lambda x, _: float(x.mean())), (Pearson(X, Y), pearson), (Spearman(X, Y), spearman)],
)
def test_a_statistic_of_counts_is_that_of_the_rows_written_out(
    statistic: Statistic, peer: Callable[[Floats, Floats], float]
) -> None:
    draws = Draws.of(GROUPS, 50)
    found = draws.apply(statistic, ALL)
    for taken, value in zip(draws.taken, found, strict=True):
        rows = np.repeat(ALL, taken[draws.groups])
        assert value == pytest.approx(peer(X[rows], Y[rows]), abs=1e-9)


def test_whole_groups_are_drawn_as_many_as_there_are() -> None:
    draws = Draws.of(GROUPS, 300, seed=3)
    assert (draws.taken.sum(axis=1) == 20).all()
    np.testing.assert_allclose(draws.taken.mean(axis=0), 1, atol=0.3)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth, inside = 0.6, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=80)
        y = truth * x + np.sqrt(1 - truth**2) * rng.normal(size=80)
        found = figure(Pearson(x, y), np.arange(80), Draws.of(range(80), 400, seed))
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    # 95% of 200, three standard errors of the count; a percentile interval of a correlation covers a bit less.
    assert 178 <= inside <= 199


def test_a_difference_is_paired() -> None:
    """Two subjects with the same large errors, one better by a little on each row: only pairing can see that."""
    shared = RNG.exponential(size=200)
    better = shared - 0.05 + 0.01 * RNG.normal(size=200)
    draws, rows = Draws.of(range(200), 1000), np.arange(200)
    found = difference(("a", "b"), "loss", (Mean(better), Mean(shared)), rows, draws)
    assert found is not None
    assert found.value == pytest.approx(float((better - shared).mean()))
    assert found.n == 200
    assert found.high < 0
    assert found.p == pytest.approx(2 / 1001)
    one, other = (figure(Mean(each), rows, draws) for each in (better, shared))
    assert one.high is not None
    assert other.low is not None
    assert one.high > other.low  # their own intervals overlap


def test_no_difference_has_a_p_value_of_one() -> None:
    found = difference(("a", "b"), "loss", (Mean(X), Mean(X)), ALL, Draws.of(GROUPS, 100))
    assert found is not None
    assert (found.value, found.p) == (0, 1)


def test_under_no_difference_p_values_are_uniform() -> None:
    values = []
    for seed in range(150):
        rng = np.random.default_rng(1000 + seed)
        one, other = Mean(rng.normal(size=50)), Mean(rng.normal(size=50))
        found = difference(("a", "b"), "loss", (one, other), np.arange(50), Draws.of(range(50), 300, seed))
        assert found is not None
        values.append(found.p)
    assert stats.kstest(values, "uniform").pvalue > 0.001


def test_what_is_undefined_has_no_figure() -> None:
    flat = np.full(N, 0.5)
    for statistic in (Pearson(flat, Y), Spearman(flat, Y)):
        assert figure(statistic, ALL, Draws.of(GROUPS, 50)) == Figure(None, None, None, N)
        assert difference(("a", "b"), "r", (statistic, Pearson(X, Y)), ALL, Draws.of(GROUPS, 50)) is None
    none = np.arange(0)
    assert figure(Mean(np.empty(0)), none, Draws.of([], 50)) == Figure(None, None, None, 0)
    one = figure(Mean(X[:3]), np.arange(3), Draws.of(GROUPS[:3], 50))  # one premise
    assert one.value == pytest.approx(X[:3].mean())
    assert one.low is None


def test_holms_correction_is_that_of_the_textbook() -> None:
    ps = [0.01, 0.04, 0.03, 0.005]
    given = [Difference("a", "b", str(p), 0.0, 0.0, 0.0, 9, p) for p in ps]
    assert [each.p_holm for each in holm(given)] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_few_premises_prove_nothing(groups: int) -> None:
    """Even if all agree: as many coins fall on the same side with a probability of 2^(1 - n)."""
    names = [f"premise {number % groups}" for number in range(N)]
    better, worse = Mean(np.ones(N)), Mean(np.zeros(N))
    found = difference(("a", "b"), "accuracy", (better, worse), ALL, Draws.of(names))
    assert found is not None
    same = sum(len(set(coins)) == 1 for coins in product("+-", repeat=groups)) / 2**groups
    assert found.p == pytest.approx(same)
