from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from training.levels import Floats, bounds, one_hot
from training.settings import TargetKind
from training.targets import Judged, Prior, beta, gaussian, interval, mixture, prior_of, shrunk_mixture, targets

KINDS: list[TargetKind] = ["gaussian", "mixture", "mixture+dirichlet", "beta"]


def judged(*propositions: list[float], weights: list[list[float]] | None = None) -> Judged:
    weights = weights or [[1 / len(each)] * len(each) for each in propositions]
    sizes = [len(each) for each in propositions]
    return Judged(
        np.array([value for each in propositions for value in each], dtype=np.float64),
        np.array([value for each in weights for value in each], dtype=np.float64),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


def prior(data: Judged, levels: int, weights: list[float] | None = None) -> Prior:
    """The prior of propositions that weigh 1 each, or as they are given."""
    n = len(data.offsets) - 1
    return prior_of([(data, np.ones(n) if weights is None else np.array(weights))], levels)


UNIFORM = Prior(np.full(10, 0.1), 0.05)


def test_the_gaussian_is_scipys_with_the_tails_on_the_end_levels() -> None:
    normal = stats.norm(0.12, 0.1)
    steps = normal.cdf(bounds(10)[1:-1])
    np.testing.assert_allclose(gaussian(0.12, 0.1, 10), np.diff([0, *steps, 1]), atol=1e-14)
    assert gaussian(0.0, 0.1, 10)[0] == pytest.approx(stats.norm.cdf(1.0))
    assert gaussian(1.0, 0.1, 10)[-1] == pytest.approx(stats.norm.cdf(1.0))


def test_a_mixture_is_the_weighted_mean_of_its_gaussians() -> None:
    q = mixture(judged([0.1, 0.9], [0.5], weights=[[0.25, 0.75], [1.0]]), 0.1, 10)
    np.testing.assert_allclose(q[0], 0.25 * gaussian(0.1, 0.1, 10) + 0.75 * gaussian(0.9, 0.1, 10))
    np.testing.assert_allclose(q[1], gaussian(0.5, 0.1, 10))


def test_missing_mass_goes_to_uniform() -> None:
    q = mixture(judged([0.1, np.nan], [0.3], [], weights=[[0.5, 0.5], [0.2], []]), 0.1, 10)
    np.testing.assert_allclose(q[0], 0.5 * gaussian(0.1, 0.1, 10) + 0.5 / 10)
    np.testing.assert_allclose(q[1], 0.2 * gaussian(0.3, 0.1, 10) + 0.8 / 10)
    np.testing.assert_allclose(q[2], np.full(10, 0.1))


def test_weights_above_one_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        mixture(judged([0.1, 0.2], weights=[[0.9, 0.9]]), 0.1, 10)


def test_thousands_of_rounded_weights_may_sum_to_a_little_more() -> None:
    n = 6000
    many = judged([0.0, 1.0] * (n // 2), [0.5], weights=[[round(1 / n, 9)] * n, [1.0]])
    assert many.weights[:n].sum() > 1 + 1e-6
    q = mixture(many, 0.1, 10)
    np.testing.assert_allclose(q[0], (gaussian(0.0, 0.1, 10) + gaussian(1.0, 0.1, 10)) / 2, rtol=1e-9)
    np.testing.assert_allclose(q.sum(axis=1), 1.0, rtol=1e-12)
    with pytest.raises(ValueError, match="more than 1"):
        mixture(many._replace(weights=many.weights * (1 + 1e-5)), 0.1, 10)


def test_dirichlet_shrinkage_counts_the_prior_as_two_judgments() -> None:
    prior = Prior(one_hot(0.95, 10), 0.05)
    q = shrunk_mixture(judged([0.1, 0.1, 0.1]), 0.1, prior)
    np.testing.assert_allclose(q[0], (3 * gaussian(0.1, 0.1, 10) + 2 * prior.histogram) / 5)


def test_beta_matches_scipy_on_its_moments() -> None:
    values, prior = [0.2, 0.4, 0.9], Prior(np.full(10, 0.1), 0.04)
    variance = (3 * np.var(values) + 2 * 0.04) / 5
    mean = np.mean(values)
    nu = mean * (1 - mean) / variance - 1
    expected = stats.beta(mean * nu, (1 - mean) * nu)
    assert expected.mean() == pytest.approx(mean)
    assert expected.var() == pytest.approx(variance)
    np.testing.assert_allclose(beta(judged(values), 10, prior)[0], np.diff(expected.cdf(bounds(10))))


def test_the_beta_gives_missing_mass_to_uniform() -> None:
    whole = beta(judged([0.2, 0.4]), 10, UNIFORM)[0]
    q = beta(judged([0.2, 0.4], [0.2, 0.4, np.nan], [], weights=[[0.25, 0.25], [0.3, 0.3, 0.4], []]), 10, UNIFORM)
    np.testing.assert_allclose(q[0], 0.5 * whole + 0.5 / 10)
    np.testing.assert_allclose(q[1], 0.6 * whole + 0.4 / 10)
    np.testing.assert_allclose(q[2], np.full(10, 0.1))


def test_the_prior_is_the_histogram_and_the_pooled_variance() -> None:
    found = prior(judged([0.05, 0.15], [0.15, np.nan], [0.95, 0.85, 0.95]), 10)
    np.testing.assert_allclose(found.histogram * 6, [1, 2, 0, 0, 0, 0, 0, 0, 1, 2])
    squares = 2 * 0.05**2 + np.var([0.95, 0.85, 0.95]) * 3
    assert found.variance == pytest.approx(squares / (1 + 0 + 2))


@pytest.mark.parametrize("kind", KINDS)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=6), min_size=1, max_size=5),
    st.integers(2, 30),
    st.floats(0.01, 0.5),
)
def test_every_target_is_a_distribution(
    kind: TargetKind, propositions: list[list[float]], k: int, spread: float
) -> None:
    data = judged(*propositions)
    means = np.array([np.mean(each) for each in propositions])
    q = targets(kind, data, means, spread, prior(data, k))
    assert q.shape == (len(propositions), k)
    assert (q >= -1e-12).all()
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_mirrored_judgments_give_mirrored_targets(kind: TargetKind) -> None:
    values = [0.11, 0.32, 0.58]
    mirrored = [1 - value for value in values]
    q = targets(kind, judged(values), np.array([np.mean(values)]), 0.1, UNIFORM)
    r = targets(kind, judged(mirrored), np.array([np.mean(mirrored)]), 0.1, UNIFORM)
    np.testing.assert_allclose(q[0], r[0][::-1], atol=1e-12)


def test_the_prior_counts_a_judgment_as_its_proposition_weighs() -> None:
    # A proposition that weighs 3 counts like three of it, one that weighs nothing not at all.
    values = [[0.1, 0.3], [0.6, 0.8, 0.9], [0.05, 0.95]]

    weighed = prior(judged(*values), 10, [3.0, 1.0, 0.0])
    repeated = prior(judged(*[values[0]] * 3, values[1]), 10)
    np.testing.assert_allclose(weighed.histogram, repeated.histogram)
    assert weighed.variance == pytest.approx(repeated.variance)


def softened(value: float, width: float, levels: int) -> Floats:
    """The mass of a uniform plus a normal of SD .05 on each level, by numeric integration."""
    inner = bounds(levels)[1:-1]
    ends = value - width / 2, value + width / 2
    below = [integrate.quad(lambda u, x=x: stats.norm.cdf(x, u, 0.05), *ends)[0] / width for x in inner]
    mass: Floats = np.diff(np.array([0, *below, 1], np.float64))
    return mass


@pytest.mark.parametrize(("value", "width", "levels"), [(0.1, 0.2, 10), (0.5, 1 / 3, 10), (0.9, 0.01, 7), (0.5, 1, 4)])
def test_an_interval_is_the_softened_uniform(value: float, width: float, levels: int) -> None:
    np.testing.assert_allclose(interval(value, width, levels), softened(value, width, levels), atol=1e-9)


def test_a_very_narrow_interval_is_the_gaussian_of_its_softening() -> None:
    np.testing.assert_allclose(interval(0.43, 1e-5, 10), gaussian(0.43, 0.05, 10), atol=1e-8)


def with_widths(data: Judged, *widths: float) -> Judged:
    return data._replace(widths=np.array(widths))


def test_every_target_knows_the_width_of_a_judgment() -> None:
    data = with_widths(judged([0.3], [0.3, 0.8]), 0.2, 0.2, 0.0)
    means, prior = np.array([0.3, 0.55]), prior_of([(data, np.ones(len(data.offsets) - 1))], 10)
    wide, point = softened(0.3, 0.2, 10), gaussian(0.8, 0.1, 10)
    mixed = mixture(data, 0.1, 10)
    np.testing.assert_allclose(mixed, np.stack([wide, (wide + point) / 2]), atol=1e-9)
    shrunk = targets("mixture+dirichlet", data, means, 0.1, prior)
    np.testing.assert_allclose(shrunk[0], (wide + 2 * prior.histogram) / 3, atol=1e-9)
    around = targets("gaussian", data, means, 0.1, prior)
    np.testing.assert_allclose(around, np.stack([wide, softened(0.55, 0.1, 10)]), atol=1e-9)
    np.testing.assert_allclose(prior.histogram, (2 * wide + one_hot(0.8, 10)) / 3, atol=1e-9)
    assert prior.variance == pytest.approx(2 * 0.25**2 + 2 / 3 * 0.2**2 / 12)
    # One label: the uniform's variance is the only one of its own, and the prior's counts twice.
    variance = (0.2**2 / 12 + 2 * 0.04) / 3
    nu = 0.3 * 0.7 / variance - 1
    expected = np.diff(stats.beta(0.3 * nu, 0.7 * nu).cdf(bounds(10)))
    np.testing.assert_allclose(beta(data, 10, Prior(np.full(10, 0.1), 0.04))[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_widths_of_zero_change_nothing(kind: TargetKind) -> None:
    data, means = judged([0.1, 0.4], [0.9]), np.array([0.25, 0.9])
    zero = with_widths(data, 0.0, 0.0, 0.0)
    expected = targets(kind, data, means, 0.1, prior_of([(data, np.ones(len(data.offsets) - 1))], 10))
    np.testing.assert_array_equal(targets(kind, zero, means, 0.1, prior_of([(zero, np.ones(2))], 10)), expected)


def test_a_prior_from_parts_is_that_of_the_whole() -> None:
    rows, weights = [[0.1, 0.3], [0.6, np.nan, 0.9], [0.05, 0.95]], np.array([3.0, 1.0, 0.5])
    whole = prior_of([(judged(*rows), weights)], 10)
    parts = prior_of(((judged(row), weights[place : place + 1]) for place, row in enumerate(rows)), 10)
    np.testing.assert_allclose(parts.histogram, whole.histogram)
    assert parts.variance == pytest.approx(whole.variance)
    np.testing.assert_allclose(prior_of([], 4).histogram, 0.25)
    assert prior_of([], 4).variance == pytest.approx(1 / 12)  # that of the uniform distribution
