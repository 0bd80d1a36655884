from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn

from training.evaluation import metrics
from training.levels import Floats

PAIRS = arrays(np.float64, st.tuples(st.integers(3, 40), st.just(2)), elements=st.floats(0, 1, width=16))


def sample(n: int = 80, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    labels = rng.uniform(size=n)
    return np.clip(np.round(0.6 * labels + 0.2 * rng.normal(size=n) + 0.2, 1), 0, 1), labels


def test_no_row_gives_no_figure() -> None:
    empty = np.array([])
    for metric in (metrics.calibration_error, metrics.decompose):
        assert metric(empty, empty) is None
    assert metrics.coarseness(empty) is None


def test_calibration_error_by_hand() -> None:
    scores, labels = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.3, 0.4, 0.5, 0.7])
    # two bins: |.15 - .35| and |.85 - .6|
    assert metrics.calibration_error(scores, labels, bins=2) == pytest.approx((0.2 + 0.25) / 2)
    np.testing.assert_allclose(metrics.reliability(scores, labels, bins=2), [(0.15, 0.35, 2), (0.85, 0.6, 2)])


def test_a_constant_has_one_bin_whatever_the_order() -> None:
    labels = np.array([0.0, 0.0, 1.0, 1.0, 0.5])
    np.testing.assert_allclose(metrics.reliability(np.full(5, 0.4), labels), [(0.4, 0.5, 5)])
    assert metrics.calibration_error(np.full(5, 0.5), labels) == 0


@given(PAIRS)
def test_the_calibration_error_ignores_the_order_of_the_rows(pairs: Floats) -> None:
    order = np.random.default_rng(0).permutation(len(pairs))
    one = metrics.calibration_error(pairs[:, 0], pairs[:, 1])
    assert one == pytest.approx(metrics.calibration_error(pairs[order, 0], pairs[order, 1]))


def test_the_decomposition_by_hand() -> None:
    # the isotonic fit pools the last two: 0, .75, .75
    parts = metrics.decompose(np.array([0.1, 0.5, 0.6]), np.array([0.0, 1.0, 0.5]))
    assert parts is not None
    best = (0 + 0.0625 + 0.0625) / 3
    assert parts.miscalibration == pytest.approx((0.01 + 0.25 + 0.01) / 3 - best)
    assert parts.discrimination == pytest.approx(1 / 6 - best)
    assert parts.uncertainty == pytest.approx(1 / 6)


@given(PAIRS)
def test_the_parts_add_up_to_the_mse(pairs: Floats) -> None:
    parts = metrics.decompose(pairs[:, 0], pairs[:, 1])
    assert parts is not None
    assert min(parts) >= -1e-9
    total = parts.miscalibration - parts.discrimination + parts.uncertainty
    assert total == pytest.approx(sklearn.mean_squared_error(pairs[:, 1], pairs[:, 0]), abs=1e-9)


def test_coarseness_by_hand() -> None:
    found = metrics.coarseness(np.array([0.5, 0.5, 0.5, 0.8, 0.8, 0.33, 0.33, 0.12]))
    assert found is not None
    assert found.distinct == pytest.approx(4 / 8)
    assert found.top_three == pytest.approx(7 / 8)
    shares = [3 / 8, 2 / 8, 2 / 8, 1 / 8]
    assert found.entropy == pytest.approx(-sum(share * math.log(share) for share in shares) / math.log(8))
    assert found.multiples_of_5 == pytest.approx(5 / 8 - 21 / 101)


def test_multiples_of_five_percent_survive_rounding() -> None:
    found = metrics.coarseness(np.array([k / 20 for k in range(21)]))
    assert found is not None
    assert found.multiples_of_5 == pytest.approx(1 - 21 / 101)
    whole = metrics.coarseness(np.array([k / 100 for k in range(101)]))
    assert whole is not None
    assert whole.multiples_of_5 == pytest.approx(0)


def test_the_figures_of_coarseness_are_named_and_leave_out_what_is_undefined() -> None:
    found = metrics.coarse_figures(np.array([0.5, 0.5, 0.33, 0.33]))
    assert found == pytest.approx(
        {"distinct_share": 0.5, "top3_mass": 1, "entropy_share": 0.5, "excess_multiples_of_5": 0.5 - 21 / 101}
    )
    assert set(metrics.coarse_figures(np.array([0.5]))) == {"distinct_share", "top3_mass", "excess_multiples_of_5"}
    assert metrics.coarse_figures(np.array([])) == {}
