from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.fixtures.store import made_judgment, made_proposition, made_rows
from warehouse import Warehouse
from warehouse.catalog.store import merge_all, read
from warehouse.consensus.aggregate import Aggregate, Evidence, aggregate
from warehouse.consensus.random_effects import Floats, Ints, fit_em
from warehouse.consensus.renew import renew_consensus
from warehouse.files.imports import read_judgments
from warehouse.queries.stages import valid_judgments
from warehouse.records import Consensus, ConsensusMethod

METHODS: tuple[ConsensusMethod, ...] = ("mean", "median", "trimmed", "em")


def made_judgments(n_units: int, sds: Floats, seed: int, share: float = 1.0) -> tuple[Ints, Ints, Floats, Floats]:
    """Judgments made from the model: unit, annotator and value of each, and the theta of each unit."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0.5, 0.2, n_units)
    units, annotators = np.nonzero(rng.random((n_units, len(sds))) < share)
    units, annotators = np.append(units, np.arange(n_units)), np.append(annotators, np.zeros(n_units, np.int64))
    values = theta[units] + rng.normal(size=len(units)) * sds[annotators]
    return units.astype(np.int64), annotators.astype(np.int64), values, theta


def test_the_fit_finds_planted_precisions() -> None:
    sds = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.15])
    units, annotators, values, theta = made_judgments(600, sds, seed=0)
    fit = fit_em(units, annotators, values)
    assert fit.annotator_sd == pytest.approx(sds, rel=0.2, abs=0.02)
    assert fit.mu == pytest.approx(0.5, abs=0.03)
    assert fit.tau2**0.5 == pytest.approx(0.2, abs=0.02)
    mean = np.bincount(units, values) / np.bincount(units)
    assert np.mean((fit.theta - theta) ** 2) < 0.5 * np.mean((mean - theta) ** 2)
    # The posterior SD means what it says: the errors in units of it are standard normal.
    assert np.std((fit.theta - theta) / fit.sd) == pytest.approx(1.0, abs=0.12)


def test_the_fit_is_a_fixed_point_of_the_formulas() -> None:
    units, annotators, values, _ = made_judgments(40, np.array([0.1, 0.2, 0.3]), seed=1, share=0.7)
    fit = fit_em(units, annotators, values, tolerance=1e-12, max_iterations=5000)
    for unit in range(3):
        own = units == unit
        precision = 1 / fit.annotator_sd[annotators[own]] ** 2
        total = 1 / fit.tau2 + precision.sum()
        assert fit.theta[unit] == pytest.approx((fit.mu / fit.tau2 + (precision * values[own]).sum()) / total, abs=1e-7)
        assert fit.sd[unit] == pytest.approx(total**-0.5, abs=1e-7)
    own = annotators == 1
    squares = ((values[own] - fit.theta[units[own]]) ** 2 + fit.sd[units[own]] ** 2).sum()
    assert fit.annotator_sd[1] ** 2 == pytest.approx((8 * 0.25**2 + squares) / (8 + own.sum()), abs=1e-7)
    assert fit.tau2 == pytest.approx(fit.theta.var() + (fit.sd**2).mean(), abs=1e-7)


def test_theta_does_not_collapse_for_few_judgments() -> None:
    units, annotators, values, theta = made_judgments(300, np.full(40, 0.25), seed=2, share=0.025)
    fit = fit_em(units, annotators, values)
    assert np.bincount(units).mean() < 3
    assert fit.tau2**0.5 == pytest.approx(theta.std(), rel=0.25)
    assert np.ptp(fit.theta) > 0.4


def aggregated(units: Ints, annotators: Ints, values: Floats, method: ConsensusMethod) -> Aggregate:
    return aggregate(Evidence(units, annotators, values, np.full(len(units), np.nan)), method)


def test_simple_methods_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    sizes = [1, 2, 5, 10, 23]
    groups = [rng.random(size) for size in sizes]
    order = rng.permutation(sum(sizes))
    units = np.repeat(np.arange(len(sizes)), sizes)[order]
    values, annotators = np.concatenate(groups)[order], np.zeros(sum(sizes), np.int64)
    by_unit = [values[units == unit] for unit in range(len(sizes))]
    mean = aggregated(units, annotators, values, "mean")
    assert mean.mean == pytest.approx([g.mean() for g in by_unit])
    assert mean.sd[1:] == pytest.approx([stats.sem(g) for g in by_unit[1:]])
    assert np.isnan(mean.sd[0])
    assert aggregated(units, annotators, values, "median").mean == pytest.approx([np.median(g) for g in by_unit])
    trimmed = aggregated(units, annotators, values, "trimmed").mean
    assert trimmed == pytest.approx([stats.trim_mean(g, 0.1) for g in by_unit])


def test_an_estimate_weighs_as_its_weight_says() -> None:
    # Judgments 0 and 1, and an estimate of .5 that is worth two judgments.
    pooled = Evidence(np.zeros(3, np.int64), np.arange(3), np.array([0.0, 1.0, 0.8]), np.array([np.nan, np.nan, 2.0]))
    mean = aggregate(pooled, "mean")
    assert mean.mean == pytest.approx([(0 + 1 + 2 * 0.8) / 4])
    assert mean.weights == pytest.approx([0.25, 0.25, 0.5])
    # Under em it is a value of SD .25 / sqrt(2): with it theta lies nearer to .8 than without it, and is surer.
    units, annotators, values, _ = made_judgments(50, np.array([0.2, 0.25, 0.3]), seed=5)
    without = aggregated(units, annotators, values, "em")
    joined = Evidence(
        np.append(units, 7),
        np.append(annotators, 3),
        np.append(values, 0.8),
        np.append(np.full(len(units), np.nan), 2.0),
    )
    with_estimate = aggregate(joined, "em")
    assert abs(with_estimate.mean[7] - 0.8) < abs(without.mean[7] - 0.8)
    assert with_estimate.sd[7] < without.sd[7]
    fitted = fit_em(joined.unit_index, joined.rater_index, joined.values, fixed_sd=np.array([np.nan] * 3 + [0.1]))
    assert fitted.annotator_sd[3] == 0.1


@pytest.mark.parametrize("method", METHODS)
def test_records_hold_the_judgments_they_rest_on(warehouse: Warehouse, method: ConsensusMethod) -> None:
    ratings = [("p", "a", 0.25), ("p", "b", 0.5), ("p", "s", 1.0), ("q", "a", 0.0)]
    rows = made_rows(ratings, {"s": "simulated"})
    rejected = made_judgment("q", "b", 1.0, status="rejected")
    merge_all(warehouse, [*rows[:3], [*rows[3], rejected, made_judgment("q", "s", None)]])
    renew_consensus(warehouse, method)
    found = read(warehouse, Consensus)
    by_proposition = {one.proposition_id: one for one in found}
    p, q = (by_proposition[made_proposition(name).proposition_id] for name in "pq")
    assert (sorted(p.values), p.n_judgments, p.n_simulated, p.n_estimates) == ([0.25, 0.5, 1.0], 3, 1, 0)
    assert (q.values, q.weights, q.n_judgments, q.n_simulated) == ([0.0], [1.0], 1, 0)
    assert sum(p.weights) == pytest.approx(1, abs=1e-8)
    assert len(p.weights) == 3


def test_on_real_judgments_em_is_nearer_to_the_held_out_ones(warehouse: Warehouse, nli_variation: Path) -> None:
    batch = read_judgments(nli_variation)
    merge_all(warehouse, [batch.premises, batch.propositions, batch.annotators, batch.judgments])
    rows = valid_judgments(warehouse)
    units, annotators = (
        rows[name].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        for name in ("proposition_id", "annotator_id")
    )
    values = rows["probability"].to_numpy()
    correlations = {k: [held_out(units, annotators, values, k, seed) for seed in range(8)] for k in (3, 5, 10)}
    by_k = {k: np.mean(found, axis=0) for k, found in correlations.items()}
    # Published for the whole set, of which this is 70%: mean .858 / .906 / .945, EM .870 / .919 / .957.
    for k, (mean, em) in {3: (0.858, 0.870), 5: (0.906, 0.919), 10: (0.945, 0.957)}.items():
        assert by_k[k] == pytest.approx([mean, em], abs=0.02)
        assert by_k[k][1] > by_k[k][0]


def held_out(units: Ints, annotators: Ints, values: Floats, k: int, seed: int) -> tuple[float, float]:
    """Pearson of the mean and of EM, from k judgments of each unit, with the mean of its other judgments."""
    shuffled = np.random.default_rng(seed).permutation(len(units))
    order = shuffled[np.argsort(units[shuffled], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(units))[:-1]])
    drawn = np.zeros(len(units), bool)
    drawn[order] = np.arange(len(units)) - starts[units[order]] < k
    rest = np.bincount(units[~drawn], values[~drawn]) / np.bincount(units[~drawn])
    _, seen = np.unique(annotators[drawn], return_inverse=True)
    arguments = (units[drawn], seen.astype(np.int64), values[drawn])
    means, ems = aggregated(*arguments, "mean").mean, aggregated(*arguments, "em").mean
    return float(np.corrcoef(means, rest)[0, 1]), float(np.corrcoef(ems, rest)[0, 1])
