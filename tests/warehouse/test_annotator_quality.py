"""The figures of each annotator, against numpy, scipy and calculations by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from tests.fixtures.shards import HEAD
from tests.fixtures.store import made_annotator, made_judgment, made_proposition, made_rows, on_sqlite
from tests.fixtures.traced import estimate_of
from warehouse import Warehouse
from warehouse.agreement.measure import measure_agreement
from warehouse.catalog.store import merge, merge_all
from warehouse.consensus.random_effects import PRIOR_JUDGMENTS, PRIOR_SD, fit_em
from warehouse.consensus.renew import renew_consensus
from warehouse.datasets.publish import publish_rows
from warehouse.datasets.write import write_dataset
from warehouse.lineage.kinds import JUDGMENTS, as_of
from warehouse.records import AnnotatorStatus, Check, Status, content_id
from warehouse.shards import Recipe, read_split

START = datetime(2026, 1, 1, tzinfo=UTC)


def made_check(name: str, low: float, high: float, purpose: Any = "attention") -> Check:
    proposition = made_proposition(name).proposition_id
    return Check(
        check_id=content_id("check", proposition), proposition_id=proposition, low=low, high=high, purpose=purpose
    )


def made_status(name: str, status: Status, day: int = 0) -> AnnotatorStatus:
    annotator = made_annotator(name).annotator_id
    since = START + timedelta(days=day)
    return AnnotatorStatus(
        status_id=content_id("status", annotator, status, since.isoformat()),
        annotator_id=annotator, status=status, reason="made up", decided_by="person", since=since,
    )  # fmt: skip


def quality(warehouse: Warehouse, name: str) -> dict[str, Any]:
    query = "SELECT * FROM annotator_quality WHERE pseudonym = ?"
    (row,) = warehouse.sql(query, [name]).to_pylist()
    return dict(row)


@on_sqlite
def test_the_interval_of_the_precision_is_that_of_the_scaled_inverse_chi2_posterior(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.2, 0.8, 30)
    rows = [
        (f"p{i}", f"a{j}", float(np.clip(truth[i] + rng.normal() * (0.05, 0.1, 0.2)[j], 0, 1).round(3)))
        for i in range(30)
        for j in range(3)
    ]
    merge_all(warehouse, made_rows(rows))
    renew_consensus(warehouse, "em")
    units = np.array([int(name[1:]) for name, _, _ in rows])
    judges = np.array([int(name[1:]) for _, name, _ in rows])
    fitted = fit_em(units, judges, np.array([value for _, _, value in rows]))
    for j in range(3):
        sd = fitted.annotator_sd[j]
        df = PRIOR_JUDGMENTS + ((1 - fitted.sd[units[judges == j]] ** 2 / sd**2) ** 2).sum()
        found = quality(warehouse, f"a{j}")
        assert found["error_sd"] == pytest.approx(sd, abs=1e-5)
        assert found["precision"] == pytest.approx(1 / sd**2, rel=1e-3)
        # of s^2 | data ~ df sd^2 / chi^2(df); the quantiles of Wilson and Hilferty are within a percent from 8 on
        assert found["precision_low"] == pytest.approx(chi2.ppf(0.025, df) / (df * sd**2), rel=0.01)
        assert found["precision_high"] == pytest.approx(chi2.ppf(0.975, df) / (df * sd**2), rel=0.01)


def test_the_interval_of_the_precision_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(60):
        true = np.sqrt(PRIOR_JUDGMENTS * PRIOR_SD**2 / rng.chisquare(PRIOR_JUDGMENTS, 10))
        units = np.repeat(np.arange(200), 3)
        judges = np.concatenate([rng.choice(10, 3, replace=False) for _ in range(200)])
        values = rng.uniform(0.1, 0.9, 200)[units] + rng.normal(size=600) * true[judges]
        fitted = fit_em(units, judges, values)
        share = 1 - fitted.sd[units] ** 2 / fitted.annotator_sd[judges] ** 2
        df = PRIOR_JUDGMENTS + np.bincount(judges, share**2, minlength=10)
        scaled = df * fitted.annotator_sd**2 / true**2
        held.append(((chi2.ppf(0.025, df) <= scaled) & (scaled <= chi2.ppf(0.975, df))).mean())
    assert 0.93 < np.mean(held) < 0.99


@on_sqlite
def test_checks_are_passed_within_their_band_by_the_first_judgment(warehouse: Warehouse) -> None:
    rows = [("high", "a", 0.9), ("low", "a", 0.2), ("middle", "a", 0.5), ("high", "b", 0.95), ("plain", "a", 0.4)]
    merge_all(warehouse, made_rows(rows))
    checks = [("high", 0.9, 1.0, "attention"), ("low", 0.0, 0.1, "qualification"), ("middle", 0.0, 1.0, "practice")]
    merge(warehouse, [made_check(*check) for check in checks])
    merge(
        warehouse,
        [
            made_judgment("low", "a", 0.05, source_id="again", sequence=9),  # sequences come before none
            made_judgment("low", "b", None),
            made_judgment("high", "b", 0.1, source_id="later", submitted_at=START + timedelta(days=1)),
        ],
    )
    passed = warehouse.sql(
        "SELECT a.pseudonym AS a, c.low, c.passed, c.probability FROM check_results c "
        "JOIN annotators a USING (annotator_id) ORDER BY a, c.low"
    ).to_pylist()
    assert passed == [
        {"a": "a", "low": 0.0, "passed": True, "probability": 0.05},
        {"a": "a", "low": 0.9, "passed": True, "probability": 0.9},
        {"a": "b", "low": 0.0, "passed": False, "probability": None},
        {"a": "b", "low": 0.9, "passed": True, "probability": 0.95},
    ]
    found = quality(warehouse, "b")
    assert (found["n_checks"], found["n_checks_passed"], found["check_rate"]) == (2, 1, 0.5)
    assert (found["attention_rate"], found["n_judgments"]) == (1.0, 0)
    assert quality(warehouse, "a")["n_judgments"] == 1  # only the plain one


@on_sqlite
def test_self_consistency_is_that_of_numpy(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(2)
    first, later = rng.random(12).round(3), rng.random(12).round(3)
    merge_all(warehouse, made_rows([(f"p{i}", "a", float(first[i])) for i in range(12)]))
    again = START + timedelta(hours=1)
    merge(
        warehouse,
        [made_judgment(f"p{i}", "a", float(later[i]), source_id=f"again {i}", submitted_at=again) for i in range(12)],
    )
    found = quality(warehouse, "a")
    assert (found["n_judgments"], found["n_repeats"]) == (12, 12)
    assert found["repeat_difference"] == pytest.approx(np.abs(later - first).mean())
    assert found["repeat_pearson"] == pytest.approx(np.corrcoef(first, later)[0, 1])
    assert warehouse.sql("SELECT DISTINCT seconds_between AS s FROM repeated_judgments")["s"].to_pylist() == [3600.0]


@on_sqlite
def test_habits_by_hand(warehouse: Warehouse) -> None:
    values = [0.1, 0.5, 0.5, 0.5, 0.2, 0.5, 0.5, 0.0]
    seconds = [1.9, 2.0, 5.0, 9.0, 1.0, None, 7.0, 8.0]
    merge_all(warehouse, made_rows([(f"p{i}", "a", value) for i, value in enumerate(values)]))
    merge(
        warehouse,
        [
            made_judgment(
                f"p{i}", "a", value, lead_time_s=seconds[i], submitted_at=START + timedelta(minutes=i), sequence=99 - i
            )
            for i, value in enumerate(values)
        ],
    )
    long = made_proposition("p6")
    text = "x" * (8 * 60 - len(long.hypothesis))  # eight seconds at 60 characters a second
    warehouse.connection.execute("UPDATE premises SET text = ? WHERE premise_id = ?", [text, long.premise_id])
    found = quality(warehouse, "a")
    assert found["longest_run"] == 3
    assert found["share_same_as_before"] == pytest.approx(3 / 7)
    assert found["share_too_fast"] == pytest.approx(3 / 7)  # 1.9 and 1.0; and 7 seconds for the long one
    assert found["median_lead_time_s"] == 5.0
    assert (found["share_at_ends"], found["share_at_half"]) == (1 / 8, 5 / 8)


@pytest.mark.slow
@on_sqlite
def test_an_excluded_annotator_counts_nowhere_until_taken_back(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(4)
    values = {(i, name): float(rng.random().__round__(3)) for i in range(12) for name in "abc"}
    merge_all(warehouse, made_rows([(f"p{i}", name, value) for (i, name), value in values.items()]))
    both = renew_consensus(warehouse, "em")
    assert both.inserted == 12
    merge(warehouse, [made_status("c", "excluded")])
    counted = "SELECT count(*) AS n, count(*) FILTER (annotator_id = ?) AS own FROM valid_judgments"
    of_c = made_annotator("c").annotator_id
    assert warehouse.sql(counted, [of_c]).to_pylist() == [{"n": 24, "own": 0}]
    assert warehouse.sql("SELECT count(*) AS n FROM judgments")["n"].to_pylist() == [36]
    assert renew_consensus(warehouse, "em").updated == 12
    assert {row["n_judgments"] for row in warehouse.sql("SELECT n_judgments FROM consensus").to_pylist()} == {2}
    assert renew_consensus(warehouse, "em").computed == 0

    own = np.array([[values[i, name] for name in "abc"] for i in range(12)])
    found = quality(warehouse, "c")
    assert (found["status"], found["n_judgments"]) == ("excluded", 12)
    assert found["pearson_with_rest"] == pytest.approx(np.corrcoef(own[:, 2], own[:, :2].mean(axis=1))[0, 1])
    assert quality(warehouse, "a")["pearson_with_rest"] == pytest.approx(np.corrcoef(own[:, 0], own[:, 1])[0, 1])

    merge(warehouse, [made_status("c", "active", day=1)])
    assert warehouse.sql(counted, [of_c]).to_pylist() == [{"n": 36, "own": 12}]
    assert renew_consensus(warehouse, "em").updated == 12


@on_sqlite
def test_judgments_on_checks_make_no_consensus_and_no_agreement(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([(p, a, 0.5) for p in ("p", "check") for a in "ab"]))
    renew_consensus(warehouse, "mean")
    merge(warehouse, [made_check("check", 0.9, 1.0)])
    assert renew_consensus(warehouse, "mean").withdrawn == 1
    assert warehouse.sql("SELECT proposition_id AS p FROM consensus")["p"].to_pylist() == [
        made_proposition("p").proposition_id
    ]
    figures = {each.metric: each for each in measure_agreement(warehouse, draws=100) if each.slice == "all"}
    assert figures["interval_alpha"].n_judgments == 2


@on_sqlite
def test_a_trace_says_why_a_judgment_does_not_count(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.5), ("p", "b", 0.5), ("check", "a", 0.5)]))
    before = warehouse.snapshot_id()
    merge_all(warehouse, [[made_check("check", 0.9, 1.0)], [made_status("b", "excluded")]])
    unused = f"SELECT source_id, unused FROM ({JUDGMENTS.replace('{scope}', 'true')})"
    now = {row["source_id"]: row["unused"] for row in warehouse.sql(as_of(unused, None)).to_pylist()}
    assert now == {"p/a": None, "p/b": "of an excluded annotator", "check/a": "a check"}
    then = warehouse.sql(as_of(unused, before))["unused"].to_pylist()
    assert then == [None, None, None]


@on_sqlite
def test_a_check_is_in_no_training_set_even_with_estimates(warehouse: Warehouse, tmp_path: Path) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.5), ("check", "a", 0.5), ("estimated", "b", 0.5)]))
    estimates = [estimate_of(made_proposition(name).proposition_id, "llm", 0.4) for name in ("check", "estimated")]
    merge_all(warehouse, [estimates, [made_check("check", 0.9, 1.0)], [made_status("b", "excluded")]])
    renew_consensus(warehouse, "em")
    recipe = Recipe(consensus="em", synthetic_weight=0.5)
    write_dataset(publish_rows(warehouse, recipe), tmp_path / "v1", HEAD)
    rows = [row for split in ("train", "dev", "test") for row in read_split(tmp_path / "v1", split).to_pylist()]
    # of the excluded annotator's proposition only the estimate is left
    assert {row["hypothesis"]: row["origin"] for row in rows} == {
        "hypothesis p": "human",
        "hypothesis estimated": "synthetic",
    }
