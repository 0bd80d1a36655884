from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from training import levels

LEVELS = st.integers(2, 40)


@st.composite
def distributions(draw: st.DrawFn) -> levels.Floats:
    raw = np.array(draw(st.lists(st.floats(0, 1), min_size=2, max_size=20)))
    mass: levels.Floats = (raw + 1e-3) / (raw + 1e-3).sum()
    return mass


def test_ten_levels_by_hand() -> None:
    assert levels.level_token(3) == " <|label_level_3|>"
    np.testing.assert_allclose(levels.bounds(10), [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
    np.testing.assert_allclose(levels.centres(10), [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95])
    assert levels.level_of([0.0, 0.0999, 0.1, 0.3, 0.55, 0.999, 1.0], 10).tolist() == [0, 0, 1, 3, 5, 9, 9]


def test_figures_of_a_distribution_by_hand() -> None:
    mass = [0.5, 0.25, 0.25, 0.0]
    assert levels.expectation(mass) == pytest.approx(0.5 * 0.125 + 0.25 * 0.375 + 0.25 * 0.625)
    np.testing.assert_allclose(levels.cdf(mass), [0, 0.5, 0.75, 1, 1])
    assert levels.entropy(mass) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    assert levels.quantile(mass, 0.25) == pytest.approx(0.125)
    assert levels.quantile(mass, 0.75) == pytest.approx(0.5)
    assert levels.quantile(mass, 1.0) == pytest.approx(0.75)
    assert levels.quantile([0.0, 0.0, 1.0, 0.0], 0.0) == pytest.approx(0.5)
    assert np.isnan(levels.quantile([[math.nan] * 4, mass], 0.5)).tolist() == [True, False]
    assert levels.sd([0.0, 0.0, 1.0, 0.0]) == pytest.approx(0.25 / math.sqrt(12))


@given(distributions())
def test_the_sd_is_that_of_mass_spread_evenly_within_levels(mass: levels.Floats) -> None:
    edges = levels.bounds(len(mass))
    square = np.sum(mass * (edges[1:] ** 3 - edges[:-1] ** 3) / 3) * len(mass)
    assert levels.sd(mass) == pytest.approx(math.sqrt(square - float(levels.expectation(mass)) ** 2))


def test_crps_by_hand() -> None:
    # inner bounds .25 .5 .75, F = .5 .75 1, y = .4 lies below .5 and .75
    assert levels.crps([0.5, 0.25, 0.25, 0.0], 0.4) == pytest.approx((0.5**2 + 0.25**2 + 0) / 4)
    assert levels.crps([0.0, 1.0, 0.0, 0.0], 0.4) == 0


def test_crps_is_the_integral_with_steps_at_the_bounds() -> None:
    mass, y, n = np.array([0.1, 0.2, 0.4, 0.2, 0.1]), 0.63, 5

    def gap(x: float) -> float:
        return float((mass[: math.ceil(x * n)].sum() - (math.ceil(x * n) / n > y)) ** 2)

    steps = [integrate.quad(gap, k / n, (k + 1) / n)[0] for k in range(n - 1)]
    assert levels.crps(mass, y) == pytest.approx(sum(steps))


@given(distributions(), st.floats(0, 1))
def test_the_quantile_inverts_the_cdf(mass: levels.Floats, q: float) -> None:
    value = float(levels.quantile(mass, q))
    assert 0 <= value <= 1
    assert np.interp(value, levels.bounds(len(mass)), levels.cdf(mass)) == pytest.approx(q, abs=1e-6)


@given(LEVELS)
def test_entropy_is_largest_for_the_uniform(k: int) -> None:
    assert levels.entropy(np.full(k, 1 / k)) == pytest.approx(math.log(k))
    assert levels.entropy(np.eye(k)[0]) == 0


@given(st.floats(0, 1), LEVELS)
def test_a_value_lies_in_its_level(value: float, k: int) -> None:
    level = int(levels.level_of(value, k))
    edges = levels.bounds(k)
    assert edges[level] <= value <= edges[level + 1]
    assert levels.one_hot(value, k)[level] == 1
    assert abs(levels.expectation(levels.one_hot(value, k)) - value) <= 0.5 / k + 1e-12


@pytest.mark.parametrize("k", [2, 3, 10])
def test_exact_crps_is_the_integral(k: int) -> None:
    mass = np.random.default_rng(k).dirichlet(np.ones(k))
    x = (np.arange(200_000) + 0.5) / 200_000
    below = np.interp(x, levels.bounds(k), levels.cdf(mass))
    for y in (0.0, 0.131, 0.5, 1.0):
        assert levels.exact_crps(mass, y) == pytest.approx(np.mean((below - (y <= x)) ** 2), abs=1e-5)


def test_exact_crps_does_not_depend_on_the_number_of_levels() -> None:
    assert levels.exact_crps([0.2, 0.8], 0.3) == pytest.approx(levels.exact_crps([0.1, 0.1, 0.4, 0.4], 0.3))
