"""The study designer beside formulas for special cases, simulated studies, and studies cut out of real judgments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fixtures.store import made_rows
from warehouse import open_warehouse
from warehouse.agreement import interval_alpha
from warehouse.agreement.design import LITERATURE, Prior, alpha_errors, fewest_judgments, first, plans
from warehouse.agreement.prior import measured
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError


def test_reliability_consensus_and_cost_are_those_of_the_formulas() -> None:
    prior = Prior(alpha=0.5, sd=0.2, mean=0.5, source="")
    three = plans(prior, 500, cost_per_judgment=0.08)[1]
    assert three.judgments_each == 3
    assert three.reliability == pytest.approx(3 * 0.5 / (1 + 2 * 0.5))
    assert three.consensus_sd == pytest.approx((1 / (1 / 0.04 + 3 / 0.04)) ** 0.5)  # tau = sigma at alpha = 1/2
    assert three.judgments == 1500
    assert three.cost == pytest.approx(120)
    assert plans(prior, 500)[0].cost is None


@pytest.mark.parametrize(("alpha", "k"), [(0.3, 2), (0.5, 3), (0.5, 10), (0.8, 5)])
def test_where_probabilities_are_nearly_normal_the_error_of_alpha_is_that_of_fisher(alpha: float, k: int) -> None:
    narrow = Prior(alpha=alpha, sd=0.02, mean=0.5, source="")
    fisher = (2 * (1 - alpha) ** 2 * (1 + (k - 1) * alpha) ** 2 / (k * (k - 1))) ** 0.5
    assert alpha_errors(narrow, k)[-1] == pytest.approx(fisher, rel=0.03)


@pytest.mark.parametrize("k", [2, 5])
def test_simulated_studies_scatter_as_far_as_predicted(k: int) -> None:
    prior, n, rng = LITERATURE, 200, np.random.default_rng(1)
    room = prior.mean * (1 - prior.mean)
    outer, inner = room / prior.between - 1, (room - prior.between) / prior.sd**2 - 1
    found = []
    for _ in range(400):
        theta = rng.beta(prior.mean * outer, (1 - prior.mean) * outer, (n, 1))
        values = rng.beta(theta * inner, (1 - theta) * inner, (n, k))
        found.append(1 - values.var(1, ddof=1).mean() / values.var(ddof=1))
    assert np.mean(found) == pytest.approx(prior.alpha, abs=0.02)
    assert alpha_errors(prior, k)[-1] / n**0.5 == pytest.approx(np.std(found), rel=0.12)  # 400 studies tell it to 4%


def test_the_first_plan_that_reaches_a_goal_is_found() -> None:
    found = plans(LITERATURE, 500, most=12)
    precise, reliable, impossible = first(found, 0.05, 0.9, 0.001)
    assert precise is not None
    assert reliable is not None
    assert precise.alpha_half_width <= 0.05 < found[precise.judgments_each - 3].alpha_half_width
    assert reliable.reliability >= 0.9 > found[reliable.judgments_each - 3].reliability
    assert impossible is None
    assert first(found, None, None, 0.2) == [next(each for each in found if each.consensus_sd <= 0.2)]


def test_the_fewest_judgments_reach_the_precision_and_no_other_plan_needs_fewer() -> None:
    found = plans(LITERATURE, 500)
    n, k = fewest_judgments(found, 500, 0.03)
    assert plans(LITERATURE, n)[k - 2].alpha_half_width <= 0.03
    assert all(n * k <= plan.judgments * (plan.alpha_half_width / 0.03) ** 2 + plan.judgments_each for plan in found)


@pytest.mark.parametrize(
    ("alpha", "sd", "mean", "said"),
    [(1.0, 0.1, 0.5, "alpha must be"), (0.5, 0.4, 0.5, "the SD must be between 0 and 0.354"), (0.5, 0.1, 0.0, "mean")],
)
def test_moments_that_no_probabilities_have_are_refused(alpha: float, sd: float, mean: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Prior(alpha=alpha, sd=sd, mean=mean, source="")


def test_the_warehouse_tells_what_to_expect_once_it_has_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = np.clip(rng.uniform(0.2, 0.8, (40, 1)) + rng.normal(0, 0.1, (40, 3)), 0, 1).round(3)
    catalog = tmp_path / "catalog.sqlite"

    def rows(propositions: range) -> Iterator[tuple[str, str, float]]:
        return ((f"p{i}", f"a{j}", float(values[i, j])) for i in propositions for j in range(3))

    with open_warehouse(catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows(list(rows(range(20)))))
        assert measured(warehouse) is None
        merge_all(warehouse, made_rows(list(rows(range(20, 40)))))
        prior = measured(warehouse)
    assert prior is not None
    proposition, annotator, probability = zip(*rows(range(40)), strict=True)
    frame = {"proposition": proposition, "annotator": annotator, "probability": probability}
    assert prior.alpha == pytest.approx(interval_alpha(frame).value)
    assert prior.sd == pytest.approx(values.var(1, ddof=1).mean() ** 0.5)
    assert prior.mean == pytest.approx(values.mean())
    assert prior.source.startswith("120 judgments of 40 propositions")


def test_predictions_hold_for_studies_cut_out_of_real_judgments(nli_variation: Path) -> None:
    table = pq.read_table(nli_variation).to_pandas()
    table = table[~table["cannot_judge"] & (table["status"] != "Rejected")]
    table = table.drop_duplicates(["premise", "hypothesis", "annotator"])
    values = [each["rating"].to_numpy() / 100 for _, each in table.groupby(["premise", "hypothesis"]) if len(each) > 19]
    every = np.concatenate(values)
    within = np.average([each.var(ddof=1) for each in values], weights=[len(each) for each in values])
    prior = Prior(alpha=1 - within / every.var(ddof=1), sd=within**0.5, mean=every.mean(), source="")
    rng = np.random.default_rng(3)
    for k in (3, 10):
        plan = plans(prior, 100, most=10)[k - 2]
        alphas, correlations = [], []
        for _ in range(300):
            chosen = [values[i] for i in rng.integers(len(values), size=100)]
            drawn = np.array([rng.choice(each, k, replace=False) for each in chosen])
            alphas.append(1 - drawn.var(1, ddof=1).mean() / drawn.var(ddof=1))
        for _ in range(20):
            both = np.array([rng.choice(each, 2 * k, replace=False) for each in values])
            correlations.append(np.corrcoef(both[:, :k].mean(1), both[:, k:].mean(1))[0, 1])
        assert plan.alpha_half_width == pytest.approx(1.959964 * np.std(alphas), rel=0.15)
        assert plan.reliability == pytest.approx(np.mean(correlations), abs=0.03)
