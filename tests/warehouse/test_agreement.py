from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.fixtures.store import made_annotator, made_judgment, made_proposition, made_rows
from warehouse import Warehouse
from warehouse.agreement import resample
from warehouse.agreement.measure import interval_alpha, measure_agreement, unrecorded
from warehouse.agreement.selection import Selection
from warehouse.catalog.store import Merged, merge, merge_all
from warehouse.files.imports import read_judgments
from warehouse.queries.stages import current_agreement
from warehouse.records import Agreement, Estimate, Task

# Items 1 to 12 by observers A to D, from the worked example of Krippendorff 2011, interval metric: alpha = 0.849.
KRIPPENDORFF_2011 = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
SELECTIONS = {
    "all": Selection(include_cannot_judge=True, include_rejected=True, repeats="all"),
    "without cannot-judge": Selection(include_rejected=True, repeats="all"),
    "also without Rejected": Selection(repeats="all"),
    "without cannot-judge, first": Selection(include_rejected=True),
}
BY_TEXT = {"all": 0.491669, "without cannot-judge": 0.506339, "also without Rejected": 0.518588}
BY_TEXT["without cannot-judge, first"] = 0.515588
BY_SOURCE_ID = {"all": 0.491642, "without cannot-judge": 0.506311, "also without Rejected": 0.518560}
BY_SOURCE_ID["without cannot-judge, first"] = 0.515335


def alpha_of_pairs(warehouse: Warehouse, units: list[int], values: list[float]) -> float | None:
    warehouse.connection.register("pairs", pa.table({"unit": units, "value": pa.array(values, pa.float64())}))
    return interval_alpha(warehouse, "pairs", "unit", "value", draws=2).value


def reliability_matrix(units: list[Any], values: list[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Values as the package krippendorff wants them: any row for a value, a column for each unit."""
    grouped = defaultdict(list)
    for unit, value in zip(units, values, strict=True):
        grouped[unit].append(value)
    matrix = np.full((max(map(len, grouped.values())), len(grouped)), np.nan)
    for column, own in enumerate(grouped.values()):
        matrix[: len(own), column] = own
    return matrix


def figure(figures: list[Agreement], metric: str, name: str = "all") -> Agreement:
    (found,) = (one for one in figures if one.metric == metric and one.slice == name)
    return found


def test_alpha_of_the_published_example(warehouse: Warehouse) -> None:
    cells = [(item, value) for row in KRIPPENDORFF_2011 for item, value in enumerate(row) if value is not None]
    alpha = alpha_of_pairs(warehouse, [item for item, _ in cells], [float(value) for _, value in cells])
    assert alpha == pytest.approx(0.849, abs=5e-4)


def test_alpha_by_hand(warehouse: Warehouse) -> None:
    # Units {0, 1} and {1, 1}: D_o = (2 * 1 + 0) / 4 = 1/2; of 12 ordered pairs 6 differ by 1, so D_e = 1/2; alpha = 0.
    assert alpha_of_pairs(warehouse, [1, 1, 2, 2], [0.0, 1.0, 1.0, 1.0]) == pytest.approx(0.0)
    # Units {0, 0} and {1, 1}: nobody differs within.
    assert alpha_of_pairs(warehouse, [1, 1, 2, 2], [0.0, 0.0, 1.0, 1.0]) == pytest.approx(1.0)
    # A unit of one value says nothing.
    assert alpha_of_pairs(warehouse, [1, 1, 2, 2, 3], [0.0, 1.0, 1.0, 1.0, 0.3]) == pytest.approx(0.0)


def test_alpha_is_not_defined_without_pairs_or_without_variance(warehouse: Warehouse) -> None:
    assert alpha_of_pairs(warehouse, [1, 2], [0.1, 0.2]) is None
    assert alpha_of_pairs(warehouse, [1, 1], [0.5, 0.5]) is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=2, max_size=40))
def test_alpha_is_that_of_the_package(warehouse: Warehouse, cells: list[tuple[int, int]]) -> None:
    units, values = [unit for unit, _ in cells], [float(value) for _, value in cells]
    paired = [value for unit, value in cells if units.count(unit) > 1]
    assume(len(set(paired)) > 1)
    expected = krippendorff.alpha(reliability_matrix(units, values), level_of_measurement="interval")
    assert alpha_of_pairs(warehouse, units, values) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("selected", SELECTIONS)
def test_real_judgments_give_the_reference_alpha(warehouse: Warehouse, nli_variation: Path, selected: str) -> None:
    conditions = {"all": "true", "also without Rejected": "NOT cannot_judge AND status <> 'Rejected'"}
    condition = conditions.get(selected, "NOT cannot_judge")
    keys = {"source || ' ' || source_id": BY_SOURCE_ID, "premise || ' ' || hypothesis": BY_TEXT}
    for key, expected in keys.items():
        first = f"QUALIFY row_number() OVER (PARTITION BY annotator, {key} ORDER BY file_row_number) = 1"
        rows = f"SELECT rating, {key} AS unit FROM read_parquet('{nli_variation}', file_row_number = true)"
        query = f"({rows} WHERE {condition} {first if 'first' in selected else ''})"
        alpha = interval_alpha(warehouse, query, "unit", "rating", draws=2).value
        assert alpha == pytest.approx(expected[selected], abs=1e-6)


@pytest.mark.slow
def test_imported_real_judgments_give_the_reference_alpha(warehouse: Warehouse, nli_variation: Path) -> None:
    batch = read_judgments(nli_variation)
    merge_all(warehouse, [batch.premises, batch.propositions, batch.annotators, batch.judgments])
    for name, selection in SELECTIONS.items():
        figures = measure_agreement(warehouse, selection, draws=100)
        assert figure(figures, "interval_alpha").value == pytest.approx(BY_TEXT[name], abs=1e-6)
    rows = warehouse.sql("SELECT proposition_id, round(probability * 100) AS rating FROM valid_judgments")
    expected = krippendorff.alpha(
        reliability_matrix(rows["proposition_id"].to_pylist(), rows["rating"].to_pylist()),
        level_of_measurement="interval",
    )
    figures = measure_agreement(warehouse, draws=500)
    alpha = figure(figures, "interval_alpha")
    assert alpha.value == pytest.approx(expected, abs=1e-9)
    assert alpha.low is not None
    assert alpha.high is not None
    assert alpha.low < expected < alpha.high
    # Published for the whole set, of which this is 70%: mean .758, median .816, and an interval .048 wide.
    assert figure(figures, "leave_one_out_r_mean").value == pytest.approx(0.758, abs=0.03)
    assert figure(figures, "leave_one_out_r_median").value == pytest.approx(0.816, abs=0.03)
    assert 0.04 < alpha.high - alpha.low < 0.08


def test_of_repeats_the_first_in_time_counts(warehouse: Warehouse) -> None:
    rows = made_rows([("p", "a", 0.5), ("p", "b", 0.5), ("q", "a", 1.0), ("q", "b", 1.0)])
    earlier = made_judgment("p", "a", 0.0, source_id="z", submitted_at="2025-01-01T00:00:00Z")
    merge_all(warehouse, [*rows[:3], [*rows[3], earlier]])
    values = warehouse.sql(
        "SELECT probability FROM valid_judgments WHERE proposition_id = ? ORDER BY 1",
        [made_proposition("p").proposition_id],
    )
    assert values["probability"].to_pylist() == [0.0, 0.5]
    first = figure(measure_agreement(warehouse, draws=100), "interval_alpha")
    every = figure(measure_agreement(warehouse, Selection(repeats="all"), draws=100), "interval_alpha")
    assert (first.n_judgments, every.n_judgments) == (4, 5)
    assert first.value != every.value


def test_the_order_of_the_source_stands_above_the_time(warehouse: Warehouse) -> None:
    later = made_judgment("p", "a", 0.0, source_id="x", sequence=0, submitted_at="2026-05-01T00:00:00Z")
    earlier = made_judgment("p", "a", 1.0, source_id="y", sequence=1, submitted_at="2026-04-01T00:00:00Z")
    rows = made_rows([("p", "a", 0.5)])
    merge_all(warehouse, [*rows[:3], [later, earlier]])
    assert warehouse.sql("SELECT probability FROM valid_judgments")["probability"].to_pylist() == [0.0]
    first = next(each for each in measure_agreement(warehouse, draws=100) if each.metric == "share_at_0")
    assert first.value == 1.0


def test_simple_figures_by_hand(warehouse: Warehouse) -> None:
    merge_all(
        warehouse, made_rows([("p", "a", 0.0), ("p", "b", 1.0), ("q", "a", 0.5), ("q", "b", 0.5), ("r", "a", 0.25)])
    )
    figures = measure_agreement(warehouse, draws=100)
    assert figure(figures, "within_proposition_sd").value == pytest.approx((0.5**0.5 + 0) / 2, abs=1e-9)
    assert figure(figures, "share_at_0").value == pytest.approx(1 / 5)
    assert figure(figures, "share_at_half").value == pytest.approx(2 / 5)
    assert figure(figures, "share_at_1").value == pytest.approx(1 / 5)
    assert figure(figures, "share_at_twentieths").value == 1.0
    assert figure(figures, "median_judgments").value == 2
    assert figure(figures, "leave_one_out_r_mean").value is None


def test_leave_one_out_correlation_is_that_of_numpy(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(1)
    values = rng.random((12, 3)).round(3)
    merge_all(warehouse, made_rows([(f"p{i}", f"a{j}", float(values[i, j])) for i in range(12) for j in range(3)]))
    expected = [np.corrcoef(values[:, j], np.delete(values, j, axis=1).mean(axis=1))[0, 1] for j in range(3)]
    figures = measure_agreement(warehouse, draws=100)
    assert figure(figures, "leave_one_out_r_mean").value == pytest.approx(np.mean(expected), abs=1e-8)
    assert figure(figures, "leave_one_out_r_median").value == pytest.approx(np.median(expected), abs=1e-8)
    quality = warehouse.sql("SELECT pearson_with_rest AS r FROM annotator_quality ORDER BY annotator_id")
    assert sorted(quality["r"].to_pylist()) == pytest.approx(sorted(expected), abs=1e-8)


def test_reliability_of_the_mean_by_hand() -> None:
    stepped = resample.reliability(resample.Figure("interval_alpha", 0.5, 0.25, 0.75), 3)
    assert (stepped.value, stepped.low, stepped.high) == pytest.approx((0.75, 0.5, 0.9))
    assert resample.reliability(resample.Figure("interval_alpha", -0.9), 3).value is None


def test_how_many_judgments_reach_a_reliability_by_hand() -> None:
    # a = 1/2: k / (1 + k) >= .8 from k = 4; a = 1/4: k / (3 + k) >= .8 from k = 12; a = 3/4: 3k / (1 + 3k) from 4/3.
    needed = resample.judgments_for(resample.Figure("interval_alpha", 0.5, 0.25, 0.75), 0.8)
    assert (needed.metric, needed.value, needed.low, needed.high) == ("judgments_for_reliability_0.8", 4, 2, 12)
    assert resample.reliability(resample.Figure("interval_alpha", 0.5), 4).value == pytest.approx(0.8)
    never = resample.judgments_for(resample.Figure("interval_alpha", 0.1, -0.2, 0.4), 0.8)
    assert (never.value, never.low, never.high) == (36, 6, None)


def made_block(rng: np.random.Generator, units: int) -> resample.Floats:
    """x = theta + e with var(theta) = 1 and var(e) = 1, three to seven judgments a unit: alpha is about 1/2."""
    m = rng.integers(3, 8, units)
    x = [rng.normal() + rng.normal(size=k) for k in m]
    return resample.unit_block(m.astype(float), np.array([v.sum() for v in x]), np.array([(v**2).sum() for v in x]))


STATISTIC = {"interval_alpha": resample.interval_alpha}


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        block = made_block(rng, 60)
        (result,) = resample.figures(resample.Moments.of(block), block, STATISTIC, 200, trial)
        assert result.low is not None
        assert result.high is not None
        inside += result.low <= 0.5 <= result.high
    assert 0.86 <= inside / 200 <= 0.99


def test_the_normal_limit_is_what_exact_resampling_gives() -> None:
    rng = np.random.default_rng(1)
    for units in (resample.FEW + 1, 20_000):
        block = made_block(rng, units)
        moments = resample.Moments.of(block)
        statistics = STATISTIC | {"icc_1": resample.icc1(units)}
        exact = resample.figures(moments, block, statistics, 4000, 0)
        limit = resample.figures(moments, None, statistics, 4000, 1)
        for one, other in zip(exact, limit, strict=True):
            assert one.low is not None
            assert one.high is not None
            assert one.value == other.value
            # Two sets of 4,000 draws differ at an end by about 1.3% of the width for chance alone.
            assert other.low == pytest.approx(one.low, abs=0.05 * (one.high - one.low))
            assert other.high == pytest.approx(one.high, abs=0.05 * (one.high - one.low))


def test_icc_is_that_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(30, 1)) + rng.normal(size=(30, 4))
    f = stats.f_oneway(*values).statistic
    block = resample.unit_block(np.full(30, 4.0), values.sum(axis=1), (values**2).sum(axis=1))
    assert resample.icc1(30)(block.sum(axis=0)[None, :])[0] == pytest.approx((f - 1) / (f + 3), abs=1e-12)


def test_alpha_on_levels_is_that_of_the_package(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(3)
    judged = [(f"p{i}", f"a{j}", float(rng.beta(1, 2))) for i in range(25) for j in range(4) if rng.random() < 0.7]
    merge_all(warehouse, made_rows([*judged, ("alone", "a1", 1.0)]))
    figures = measure_agreement(warehouse, draws=100)
    levels = [float(min(int(value * 10), 9)) for _, _, value in judged]
    matrix = reliability_matrix([unit for unit, _, _ in judged], levels)
    for metric in ("ordinal", "nominal"):
        expected = krippendorff.alpha(matrix, level_of_measurement=metric)
        assert figure(figures, f"{metric}_alpha").value == pytest.approx(expected, abs=1e-9)


def test_every_slice_is_measured_as_if_it_stood_alone(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(4)
    values = {(i, j): float(rng.random()) for i in range(30) for j in range(4)}
    rows = made_rows([(f"p{i}", f"a{j}", value) for (i, j), value in values.items()])
    weeks = {0: "2026-01-05T00:00:00Z", 1: "2026-01-11T23:59:59Z", 2: "2026-01-12T00:00:00Z", 3: None}
    judgments = [
        made_judgment(
            f"p{i}", f"a{j}", value, batch=f"b{i % 2}", submitted_at=weeks[j], source="one" if j < 2 else "two"
        )
        for (i, j), value in values.items()
    ]
    groups = [made_annotator(f"a{j}").model_copy(update={"annotator_group": f"g{j // 2}"}) for j in range(4)]
    task = Task(task_id="t", proposition_id="p0", project="b1", source_id="1")
    merge_all(warehouse, [rows[0], rows[1], groups, judgments, [task]])
    figures = measure_agreement(warehouse, draws=100)
    parts = {
        "all": [(i, j) for i, j in values],
        "annotator_kind=human": [(i, j) for i, j in values],
        "kind=imported": [(i, j) for i, j in values],
        "annotator_group=g0": [(i, j) for i, j in values if j < 2],
        "annotator_group=g1": [(i, j) for i, j in values if j >= 2],
        "source=one": [(i, j) for i, j in values if j < 2],
        "source=two": [(i, j) for i, j in values if j >= 2],
        "batch=b0": [(i, j) for i, j in values if i % 2 == 0],
        "project=b1": [(i, j) for i, j in values if i % 2 == 1],
        "week=2026-01-05": [(i, j) for i, j in values if j < 2],
        "week=2026-01-12": [(i, j) for i, j in values if j == 2],
    }
    assert {one.slice for one in figures} == set(parts)
    for name, own in parts.items():
        alpha = figure(figures, "interval_alpha", name)
        assert (alpha.n_judgments, alpha.n_annotators) == (len(own), len({j for _, j in own}))
        assert alpha.n_propositions == len({i for i, _ in own})
        if name == "week=2026-01-12":
            assert alpha.value is None
            continue
        matrix = reliability_matrix([i for i, _ in own], [values[cell] for cell in own])
        expected = krippendorff.alpha(matrix, level_of_measurement="interval")
        assert alpha.value == pytest.approx(expected, abs=1e-9)
        table = np.array(
            [[values.get((i, j), np.nan) if (i, j) in own else np.nan for j in range(4)] for i in range(30)]
        )
        rs = []
        for j in {j for _, j in own}:
            both = ~np.isnan(table[:, j])
            rest = np.nanmean(np.delete(table, j, axis=1)[both], axis=1)
            rs.append(np.corrcoef(table[both, j], rest)[0, 1])
        assert figure(figures, "leave_one_out_r_mean", name).value == pytest.approx(np.mean(rs), abs=1e-8)
        negative = figure(figures, "leave_one_out_r_negative", name).value
        assert negative == sum(r < 0 for r in rs)


def test_simulated_judgments_are_counted_in_every_figure(warehouse: Warehouse) -> None:
    ratings = [("p", "a", 0.1), ("p", "s", 0.3), ("q", "a", 0.7), ("q", "s", 0.9)]
    merge_all(warehouse, made_rows(ratings, {"s": "simulated"}))
    figures = measure_agreement(warehouse, draws=100)
    assert {(one.slice, one.n_judgments, one.n_simulated) for one in figures} == {
        ("all", 4, 2),
        ("annotator_kind=human", 2, 0),
        ("annotator_kind=simulated", 2, 2),
        ("kind=imported", 4, 2),
        ("source=made-up", 4, 2),
        ("week=2025-12-29", 4, 2),
    }
    people = measure_agreement(warehouse, Selection(annotator_kinds=("human",)), draws=100)
    assert {one.n_simulated for one in people} == {0}
    shown = warehouse.sql("SELECT n_judgments, n_simulated FROM proposition_overview").to_pylist()
    assert shown == [{"n_judgments": 2, "n_simulated": 1}] * 2


@pytest.mark.slow
def test_unchanged_judgments_give_no_new_row_and_changed_ones_do(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.1), ("p", "b", 0.3), ("q", "a", 0.7), ("q", "b", 0.9)]))
    n = merge(warehouse, measure_agreement(warehouse, draws=100)).inserted
    assert n > 0
    before = warehouse.snapshot_id()
    assert merge(warehouse, measure_agreement(warehouse, draws=100)) == Merged(unchanged=n)
    assert warehouse.snapshot_id() == before
    merge(warehouse, [made_judgment("p", "a", 0.2)])
    assert merge(warehouse, measure_agreement(warehouse, draws=100)).inserted == n
    assert merge(warehouse, measure_agreement(warehouse, draws=200)).inserted == n


@pytest.mark.slow
def test_a_return_to_an_earlier_state_is_a_new_point_of_the_history(warehouse: Warehouse) -> None:
    def record() -> int:
        figures = unrecorded(measure_agreement(warehouse, draws=100), current_agreement(warehouse))
        return merge(warehouse, figures).inserted

    merge_all(warehouse, made_rows([("p", "a", 0.1), ("p", "b", 0.3), ("q", "a", 0.7), ("q", "b", 0.9)]))
    n = record()
    assert (n > 0, record()) == (True, 0)
    merge(warehouse, [made_judgment("p", "a", 0.2)])
    assert (record(), record()) == (n, 0)
    merge(warehouse, [made_judgment("p", "a", 0.1)])
    assert (record(), record()) == (n, 0)


def test_without_judgments_there_are_no_figures(warehouse: Warehouse) -> None:
    assert measure_agreement(warehouse) == []


def test_a_labeler_is_compared_with_the_mean_judgment(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(2)
    judged, estimated = rng.random((8, 2)).round(3), rng.random(8).round(3)
    merge_all(warehouse, made_rows([(f"p{i}", f"a{j}", float(judged[i, j])) for i in range(8) for j in range(2)]))
    estimates = [
        Estimate(
            estimate_id=str(i),
            proposition_id=made_proposition(f"p{i}").proposition_id,
            labeler="panel",
            labeler_version="1",
            method="token",
            probability=None if i == 8 else float(estimated[i]),
            reason="unparsed" if i == 8 else None,
        )
        for i in range(9)
    ]
    merge(warehouse, estimates)
    figures = [one for one in measure_agreement(warehouse, draws=100) if one.scope.startswith("labeler panel")]
    pearson = figure(figures, "pearson_with_mean_judgment")
    expected = np.corrcoef(estimated, judged.mean(axis=1))[0, 1]
    assert pearson.value == pytest.approx(expected, abs=1e-8)
    error = np.abs(estimated - judged.mean(axis=1)).mean()
    assert figure(figures, "mean_absolute_error").value == pytest.approx(error, abs=1e-8)
    bias = (estimated - judged.mean(axis=1)).mean()
    assert figure(figures, "mean_difference").value == pytest.approx(bias, abs=1e-8)
    alpha = krippendorff.alpha(np.array([estimated, judged.mean(axis=1)]), level_of_measurement="interval")
    assert figure(figures, "interval_alpha_with_mean_judgment").value == pytest.approx(alpha, abs=1e-8)
    assert {one.slice for one in figures} == {"all", "kind=imported"}
    assert {(one.n_propositions, one.n_judgments, one.n_annotators) for one in figures} == {(8, 16, 2)}
    (quality,) = warehouse.sql("SELECT * FROM labeler_quality").to_pylist()
    assert quality["pearson"] == pytest.approx(expected, abs=1e-8)
    assert quality["mean_absolute_error"] == pytest.approx(error, abs=1e-8)
    assert (quality["n_estimates"], quality["n_without"], quality["n_judged"], quality["n_judgments"]) == (8, 1, 8, 16)
