from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.fixtures.store import made_proposition, made_rows, on_sqlite
from training.evaluation import metrics
from warehouse import Warehouse
from warehouse.catalog.store import merge, merge_all
from warehouse.records import Comparison, Estimate, Method, Recalibration, Request, RequestStatus

pytestmark = on_sqlite
START = datetime(2026, 1, 1, tzinfo=UTC)


def pid(name: str) -> str:
    return made_proposition(name).proposition_id


def made_estimate(
    name: str,
    value: float | None,
    labeler: str = "panel",
    version: str = "1",
    *,
    method: Method = "token",
    request: str | None = None,
    minute: int = 0,
) -> Estimate:
    return Estimate(
        estimate_id=f"{name} {labeler} {version}",
        proposition_id=pid(name),
        labeler=labeler,
        labeler_version=version,
        method=method,
        probability=value,
        reason="no number" if value is None else None,
        request_id=request,
        created_at=START + timedelta(minutes=minute),
    )


def made_request(
    number: int | str,
    subject: str,
    cost: float | None,
    *,
    labeler: str = "panel",
    status: RequestStatus = "answered",
    key: str | None = None,
    cached: bool = False,
    prompt_version: str = "1",
    minute: int = 0,
    purpose: Any = "elicit",
) -> Request:
    return Request(
        request_id=f"request {number}",
        purpose=purpose,
        subject_id=subject,
        labeler=labeler,
        endpoint="http://127.0.0.1",
        model="m",
        prompt="token",
        prompt_version=prompt_version,
        parameters="{}",
        status=status,
        reason=None if status == "answered" else "made up",
        tokens_in=None if status == "failed" else 10,
        tokens_out=None if status == "failed" else 5,
        cost=cost,
        latency_s=None if status == "failed" else 1.0,
        cached=cached,
        call_key=key,
        created_at=START + timedelta(minutes=minute),
    )


def quality(warehouse: Warehouse, labeler: str = "panel", version: str = "1") -> dict[str, Any]:
    """The row of a labeler version."""
    query = "SELECT * FROM labeler_quality WHERE labeler = ? AND labeler_version = ?"
    (row,) = warehouse.sql(query, [labeler, version]).to_pylist()
    return dict(row)


def test_coarseness_by_hand(warehouse: Warehouse) -> None:
    values = [0.1, 0.1, 0.1, 0.15, 0.15, 0.3, 0.123, 0.77]
    merge(warehouse, [made_estimate(f"p{i}", value) for i, value in enumerate(values)])
    merge(warehouse, [made_estimate("q", None), made_estimate("r", None)])
    row = quality(warehouse)
    assert (row["n_estimates"], row["n_without"], row["n_distinct"]) == (8, 2, 5)
    assert row["refusal_rate"] == pytest.approx(0.2)
    assert row["distinct_share"] == pytest.approx(5 / 8)
    assert row["top3_mass"] == pytest.approx((3 + 2 + 1) / 8)
    assert row["entropy_share"] == pytest.approx(stats.entropy([3, 2, 1, 1, 1]) / np.log(8))
    assert row["share_multiples_of_5"] == pytest.approx(6 / 8)
    assert row["excess_multiples_of_5"] == pytest.approx(6 / 8 - 21 / 101)
    # A labeler without judgments or requests has no figure that would rest on them, not a zero.
    missing = ("pearson", "spearman", "mean_absolute_error", "mean_difference", "calibration_error", "share_in_order")
    assert [row[name] for name in missing] == [None] * 6
    assert (row["n_judged"], row["n_judgments"], row["n_simulated"], row["n_requests"]) == (0, 0, 0, 0)
    assert (row["cost"], row["cost_per_estimate"], row["tokens_per_estimate"]) == (None, None, None)


@pytest.mark.parametrize("digits", [None, 1])
def test_the_view_and_the_evaluation_measure_alike(warehouse: Warehouse, digits: int | None) -> None:
    rng = np.random.default_rng(7)
    values = rng.uniform(size=57) if digits is None else rng.uniform(size=57).round(digits)
    judged = rng.uniform(size=(57, 2)).round(2)
    merge_all(
        warehouse,
        made_rows(
            [(f"p{i}", name, judged[i, j]) for i in range(57) for j, name in enumerate("as")], {"s": "simulated"}
        ),
    )
    merge(warehouse, [made_estimate(f"p{i}", float(value)) for i, value in enumerate(values)])
    row, mean = quality(warehouse), judged.mean(axis=1)
    coarse = metrics.coarseness(values)
    assert coarse is not None
    assert row["distinct_share"] == pytest.approx(coarse.distinct)
    assert row["top3_mass"] == pytest.approx(coarse.top_three)
    assert row["entropy_share"] == pytest.approx(coarse.entropy)
    assert row["excess_multiples_of_5"] == pytest.approx(coarse.multiples_of_5)
    assert row["pearson"] == pytest.approx(np.corrcoef(values, mean)[0, 1])
    assert row["spearman"] == pytest.approx(stats.spearmanr(values, mean.round(9)).statistic)
    assert row["mean_absolute_error"] == pytest.approx(np.abs(values - mean).mean())
    assert row["mean_difference"] == pytest.approx((values - mean).mean())
    assert row["calibration_error"] == pytest.approx(metrics.calibration_error(values, mean))
    assert (row["n_judged"], row["n_judgments"], row["n_simulated"]) == (57, 114, 57)


@pytest.mark.slow
def test_calibration_by_hand(warehouse: Warehouse) -> None:
    # Twenty propositions, ten bins of two: of each bin one estimate is right and one 0.1 too high, 0.05 in the mean.
    estimates = [(i // 2) / 12 + 0.1 + (i % 2) / 100 for i in range(20)]
    judgments = [value if i % 2 else value - 0.1 for i, value in enumerate(estimates)]
    merge_all(warehouse, made_rows([(f"p{i}", "a", max(value, 0.0)) for i, value in enumerate(judgments)]))
    merge(warehouse, [made_estimate(f"p{i}", value) for i, value in enumerate(estimates[:9])])
    assert quality(warehouse)["calibration_error"] is None  # a bin a proposition says nothing about calibration
    merge(warehouse, [made_estimate(f"p{i}", value) for i, value in enumerate(estimates)])
    row = quality(warehouse)
    assert row["calibration_error"] == pytest.approx(0.05)
    assert row["n_simulated"] == 0
    # A constant has one bin.
    merge(warehouse, [made_estimate(f"p{i}", 0.5, "constant") for i in range(20)])
    row = quality(warehouse, "constant")
    assert row["calibration_error"] == pytest.approx(abs(0.5 - np.mean(judgments)))
    assert (row["pearson"], row["spearman"], row["entropy_share"]) == (None, None, 0)


def test_the_recalibrated_are_judged_on_what_the_fit_never_saw(warehouse: Warehouse) -> None:
    names = [f"p{i}" for i in range(120)]
    held_out = [name for name in names if made_proposition(name).split == "test"]
    assert len(held_out) >= 12
    truth = {name: (i % 10) / 10 for i, name in enumerate(names)}
    merge_all(warehouse, made_rows([(name, "s", truth[name]) for name in names], {"s": "simulated"}))
    merge(warehouse, [made_estimate(name, truth[name] / 2) for name in names])
    row = quality(warehouse)
    assert (row["n_held_out"], row["calibration_error_recalibrated"]) == (0, None)
    assert row["is_recalibration_simulated"] is None
    merge(
        warehouse,
        [
            Recalibration(
                recalibration_id="r",
                labeler="panel",
                labeler_version="1",
                estimates=[0.0, 0.5],
                probabilities=[0.0, 1.0],
                n_propositions=80,
                n_judgments=80,
                n_simulated=80,
                fingerprint="f",
                snapshot_id=1,
            )
        ],
    )
    row = quality(warehouse)
    assert row["n_held_out"] == len(held_out)
    mean = np.mean([truth[name] for name in held_out])
    assert row["calibration_error_held_out"] == pytest.approx(mean / 2)
    assert row["calibration_error_recalibrated"] == pytest.approx(0, abs=1e-12)
    assert row["is_recalibration_simulated"] is True
    assert row["calibration_error"] == pytest.approx(np.mean(list(truth.values())) / 2)


@pytest.mark.slow
def test_what_an_estimate_cost_with_refused_tries_and_samples(warehouse: Warehouse) -> None:
    requests = [
        made_request(1, pid("p"), 0.5, status="refused"),
        made_request(2, pid("p"), 0.25),
        made_request(3, pid("q"), 0.25, status="refused"),
        made_request(4, pid("x"), None, status="failed"),
        made_request(5, pid("p"), 8.0, purpose="judge"),
    ]
    merge(warehouse, [*requests, *(made_request(f"s{i}", pid("p"), 0.1, labeler="mean") for i in range(5))])
    merge(warehouse, [made_estimate("p", 0.5, request="request 2"), made_estimate("q", None, request="request 3")])
    merge(warehouse, [made_estimate("p", 0.5, "mean", method="mean_of_samples")])
    row = quality(warehouse)
    assert (row["n_requests"], row["n_unpriced"], row["cost"], row["cost_per_estimate"]) == (4, 0, 1.0, 1.0)
    assert row["tokens_per_estimate"] == 45
    row = quality(warehouse, "mean")
    assert (row["n_requests"], row["tokens_per_estimate"]) == (5, 75)
    assert row["cost_per_estimate"] == pytest.approx(0.5)


@pytest.mark.slow
def test_a_cost_is_counted_once(warehouse: Warehouse) -> None:
    names = "pqr"
    paid = [made_request(name, pid(name), 0.5, key=name) for name in names]
    shared = [
        made_request(f"{name}2", pid(name), None, labeler="twin", key=name, cached=True) for name in names
    ]  # the twin asks the same: the ledger gives the replies
    both = made_request("p3", pid("p"), 0.5, labeler="third", key="p", minute=1)  # two rows that both name the price
    merge(warehouse, [*paid, *shared, both])
    merge(warehouse, [made_estimate(name, 0.5, labeler) for name in names for labeler in ("panel", "twin", "third")])
    assert quality(warehouse)["cost"] == 1.5
    twin = quality(warehouse, "twin")
    assert (twin["n_cached"], twin["n_unpriced"], twin["cost"], twin["cost_per_estimate"]) == (3, 0, None, None)
    assert quality(warehouse, "third")["cost"] is None
    costs = {row["labeler"]: row for row in warehouse.sql("SELECT * FROM labeler_cost").to_pylist()}
    assert {name: row["cost"] for name, row in costs.items()} == {"panel": 1.5, "twin": None, "third": None}
    assert (costs["twin"]["n_cached"], costs["twin"]["tokens_in"], costs["twin"]["mean_latency_s"]) == (3, 30, None)


def test_nothing_paid_is_a_zero_and_a_price_that_nobody_knows_is_none(warehouse: Warehouse) -> None:
    merge(warehouse, [made_request(1, pid("p"), 0.0), made_request(2, pid("p"), 0.5, labeler="dear")])
    merge(warehouse, [made_request(3, pid("q"), None, labeler="dear")])
    merge(warehouse, [made_estimate(name, 0.5, labeler) for name in "pq" for labeler in ("panel", "dear")])
    free, dear = quality(warehouse), quality(warehouse, "dear")
    assert (free["cost"], free["cost_per_estimate"]) == (0.0, 0.0)
    assert (dear["cost"], dear["n_unpriced"], dear["cost_per_estimate"]) == (0.5, 1, None)
    costs = {row["labeler"]: row for row in warehouse.sql("SELECT * FROM labeler_cost").to_pylist()}
    assert (costs["panel"]["cost_per_answer"], costs["dear"]["cost_per_answer"]) == (0.0, None)


def test_each_prompt_version_has_a_cost_of_its_own(warehouse: Warehouse) -> None:
    rows = [made_request(i, pid("p"), 0.25 * (i + 1), prompt_version=str(i % 2), status="answered") for i in range(4)]
    merge(warehouse, [*rows, made_request(9, pid("p"), 1.0, status="refused", prompt_version="0")])
    found = warehouse.sql("SELECT prompt_version, n_refused, cost, cost_per_answer FROM labeler_cost ORDER BY ALL")
    assert [tuple(row.values()) for row in found.to_pylist()] == [("0", 1, 2.0, 1.0), ("1", 0, 1.5, 0.75)]


@pytest.mark.slow
def test_of_several_versions_each_gets_its_own_requests(warehouse: Warehouse) -> None:
    merge(
        warehouse,
        [
            # version 1 was asked at minutes 0 to 2, version 2 with the same prompt at 10, version 3 with another at 3
            made_request(1, pid("p"), 0.1, status="refused", minute=0),
            made_request(2, pid("p"), 0.2, minute=1),
            made_request(3, pid("p"), 0.4, minute=10),
            made_request(4, pid("p"), 0.8, minute=3, prompt_version="2"),
            made_request(5, pid("nobody's"), 1.6, status="refused", minute=3),
        ],
    )
    merge(
        warehouse,
        [
            made_estimate("p", 0.1, version="1", request="request 2", minute=2),
            made_estimate("p", 0.2, version="2", request=None, minute=11, method="mean_of_samples"),
            made_estimate("p", 0.3, version="3", request="request 4", minute=4),
        ],
    )
    costs = {version: quality(warehouse, version=version)["cost"] for version in "123"}
    assert costs == {"1": pytest.approx(0.3), "2": 0.4, "3": 0.8}
    # What no answer tells about is in the cost of the labeler, and in that of no version.
    total = warehouse.sql("SELECT sum(cost) AS cost FROM labeler_cost")["cost"][0].as_py()
    assert total == pytest.approx(3.1)


def test_pairs_are_compared_with_the_order_of_the_judgments(warehouse: Warehouse) -> None:
    means = {"p": 0.2, "q": 0.6, "r": 0.6, "s": 0.9}
    rows = [(name, annotator, value) for name, value in means.items() for annotator in ("a", "b")]
    merge_all(warehouse, made_rows(rows, {"b": "simulated"}))

    def made(one: str, other: str, likelier: str | None) -> Comparison:
        first, second = sorted((pid(one), pid(other)))
        return Comparison(
            comparison_id=one + other,
            first_id=first,
            second_id=second,
            labeler="pairs",
            labeler_version="1",
            more_likely_id=likelier and pid(likelier),
            reason=None if likelier else "the two orders disagree",
        )

    unjudged = made("p", "unjudged", "p")
    merge(
        warehouse,
        [made("p", "q", "q"), made("p", "s", "s"), made("q", "s", "q"), made("q", "r", "r"), made("p", "r", None)],
    )
    merge(warehouse, [unjudged])
    merge(warehouse, [made_request(1, "pq", 0.5, labeler="pairs")])
    row = quality(warehouse, "pairs")
    assert (row["method"], row["n_estimates"], row["n_comparisons"], row["n_without"]) == ("pairwise", 0, 5, 1)
    assert row["refusal_rate"] == pytest.approx(1 / 6)
    assert row["share_in_order"] == pytest.approx(2 / 3)  # q and r are judged alike, one proposition not at all
    assert (row["n_judged"], row["n_judgments"], row["n_simulated"]) == (3, 6, 3)
    assert (row["cost"], row["cost_per_estimate"]) == (0.5, pytest.approx(0.1))
    assert (row["n_distinct"], row["top3_mass"], row["pearson"]) == (0, None, None)
