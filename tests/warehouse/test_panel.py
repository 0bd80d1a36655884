from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.fixtures.store import made_judgment, made_proposition, made_rows
from tests.fixtures.traced import estimate_of, ident, made_labeler
from warehouse import Warehouse
from warehouse.catalog.store import merge, merge_all
from warehouse.datasets.groups import renew_groups
from warehouse.datasets.publish import publish_rows
from warehouse.queries.stages import labeler_answers
from warehouse.records import Comparison, Estimate, Proposition, Recalibration, Verdict
from warehouse.shards import Recipe

TINY = 1e-6


def made_estimate(proposition: str, labeler: str, probability: float | None, **more: object) -> Estimate:
    return estimate_of(made_proposition(proposition).proposition_id, labeler, probability, **more)


def verdict(estimate: Estimate, confidence: float | None, judge: str = "judge", day: int = 1) -> Verdict:
    fields = {
        "verdict_id": ident(estimate.estimate_id, judge),
        "proposition_id": estimate.proposition_id,
        "estimate_id": estimate.estimate_id,
        "judge": judge,
        "judge_version": "1",
        "mode": "confidence",
        "confidence": confidence,
        "reason": "no number" if confidence is None else None,
        "created_at": f"2026-02-{day:02d}T00:00:00Z",
    }
    return Verdict.model_validate(fields)


def panel(warehouse: Warehouse, proposition: str = "p") -> dict[str, Any]:
    query = "SELECT * FROM panel_distribution WHERE proposition_id = ?"
    (row,) = warehouse.sql(query, [made_proposition(proposition).proposition_id]).to_pylist()
    return dict(row)


def test_without_verdicts_all_weigh_alike_and_the_missing_share_is_uniform(warehouse: Warehouse) -> None:
    old = made_estimate("p", "a", 0.9, labeler_version="0", created_at="2025-01-01T00:00:00Z")
    merge(warehouse, [old, *(made_estimate("p", name, value) for name, value in (("b", 0.6), ("a", 0.2), ("c", None)))])
    merge(warehouse, [made_estimate("silent", "a", None), made_estimate("alone", "a", 0.25)])
    row = panel(warehouse)
    assert (row["labelers"], row["values"], row["is_recalibrated"]) == (["a", "b"], [0.2, 0.6], [False, False])
    assert row["missing"] == pytest.approx(1 / 3)
    assert row["weights"] == pytest.approx([1 / 3, 1 / 3])
    assert row["mean"] == pytest.approx((0.2 + 0.6 + 0.5) / 3)
    assert row["sd"] == pytest.approx(np.std([0.2, 0.6], ddof=1))
    assert row["range"] == pytest.approx(0.4)
    assert (row["n_labelers"], row["n_verdicts"], row["judge"]) == (3, 0, None)
    silent, alone = panel(warehouse, "silent"), panel(warehouse, "alone")
    assert (silent["values"], silent["weights"], silent["missing"], silent["mean"]) == ([], [], 1.0, None)
    assert (alone["weights"], alone["mean"], alone["sd"], alone["missing"]) == ([1.0], 0.25, None, 0.0)


def test_a_weight_is_proportional_to_the_squared_confidence(warehouse: Warehouse) -> None:
    a, b, c, d = rows = [
        made_estimate("p", name, value) for name, value in zip("abcd", (0.2, 0.6, 1.0, None), strict=True)
    ]
    merge_all(warehouse, [rows, [verdict(a, 1.0), verdict(b, 0.5)]])
    squares = [1 + TINY, 0.25 + TINY]
    squares.append(sum(squares) / 2)  # one without a verdict weighs like the mean of the others
    expected = [0.75 * square / sum(squares) for square in squares]
    row = panel(warehouse)
    assert row["weights"] == pytest.approx(expected, rel=1e-12)
    assert sum(row["weights"]) + row["missing"] == pytest.approx(1)
    assert row["mean"] == pytest.approx(np.dot(expected, [0.2, 0.6, 1.0]) + 0.25 * 0.5)
    assert (row["n_labelers"], row["n_verdicts"], row["judge"], row["judge_version"]) == (4, 2, "judge", "1")
    # A verdict that could not be read is as none.
    merge(warehouse, [verdict(c, None)])
    assert panel(warehouse)["weights"] == pytest.approx(expected, rel=1e-12)
    assert d.probability is None


def test_a_dropped_estimate_weighs_next_to_nothing_unless_all_are(warehouse: Warehouse) -> None:
    kept, dropped = made_estimate("p", "a", 0.25), made_estimate("p", "b", 1.0)
    merge_all(warehouse, [[kept, dropped], [verdict(kept, 1.0), verdict(dropped, 0.0)]])
    row = panel(warehouse)
    assert row["weights"] == pytest.approx([(1 + TINY) / (1 + 2 * TINY), TINY / (1 + 2 * TINY)], rel=1e-9)
    assert row["mean"] == pytest.approx(0.25, abs=1e-5)
    merge(warehouse, [verdict(kept, 0.0)])
    assert panel(warehouse)["weights"] == pytest.approx([0.5, 0.5])


def test_the_newest_judge_counts_alone_and_stale_verdicts_do_not(warehouse: Warehouse) -> None:
    a, b = made_estimate("p", "a", 0.25), made_estimate("p", "b", 1.0)
    merge_all(warehouse, [[a, b], [verdict(a, 1.0, "old"), verdict(b, 0.0, "old"), verdict(a, 0.25, "new", day=2)]])
    row = panel(warehouse)
    # The new judge said nothing of b, which so weighs like a: what the old one said is on another scale.
    assert (row["weights"], row["judge"], row["n_verdicts"]) == (pytest.approx([0.5, 0.5]), "new", 1)
    newer = made_estimate("p", "a", 0.5, created_at="2026-03-01T00:00:00Z")
    merge(warehouse, [newer])
    row = panel(warehouse)
    assert (row["values"], row["judge"]) == ([0.5, 1.0], "old")
    assert row["weights"] == pytest.approx([0.5, 0.5])  # b alone has a verdict, and a weighs like it


def test_values_are_recalibrated_where_there_is_a_recalibration(warehouse: Warehouse) -> None:
    halved = Recalibration(
        recalibration_id="r", labeler="b", labeler_version="1", estimates=[0.0, 1.0], probabilities=[0.0, 0.5],
        n_propositions=9, n_judgments=9, n_simulated=9, fingerprint="f", snapshot_id=1,
    )  # fmt: skip
    merge_all(warehouse, [[made_estimate("p", "a", 0.5), made_estimate("p", "b", 0.5)], [halved]])
    row = panel(warehouse)
    assert (row["values"], row["is_recalibrated"], row["n_simulated"]) == ([0.5, 0.25], [False, True], 1)


def test_a_synthetic_row_is_the_panel_distribution(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "x", 0.5)]))
    merge(warehouse, [made_judgment("p", "x", None)])
    a, b, c = (made_estimate("p", name, value) for name, value in (("a", 0.2), ("b", 0.6), ("c", None)))
    merge_all(warehouse, [[a, b, c], [verdict(a, 1.0), verdict(b, 0.5)]])
    (batch,) = publish_rows(warehouse, Recipe(consensus="em", synthetic_weight=1.0))
    (row,) = batch.to_pylist()
    expected = panel(warehouse)
    assert [row[name] for name in ("values", "weights", "mean")] == [
        expected[name] for name in ("values", "weights", "mean")
    ]
    assert row["mean"] == pytest.approx(2 / 3 * (0.2 * 0.8 + 0.6 * 0.2) + 1 / 6, abs=1e-5)
    # Two values with the parts u: s^2 = u1 u2 d^2 / (1 - sum u^2) = d^2/2, of the mean s sqrt(sum u^2).
    parts = np.array([0.8, 0.2])
    assert row["sd"] == pytest.approx(2 / 3 * 0.4 / np.sqrt(2) * np.sqrt((parts**2).sum()), abs=1e-5)


def beside(name: str, **more: object) -> Proposition:
    """Another proposition on the premise p."""
    return made_proposition("p").model_copy(update={"proposition_id": name, "hypothesis": name, **more})


def compared(one: str, other: str, more_likely: str | None, labeler: str = "l", **more: object) -> Comparison:
    first, second = sorted([one, other])
    fields: dict[str, object] = {
        "comparison_id": ident(first, second, labeler, str(more)),
        "first_id": first,
        "second_id": second,
        "labeler": labeler,
        "labeler_version": "1",
        "more_likely_id": more_likely,
        "reason": None if more_likely else "the orders disagree",
        "created_at": "2026-01-01T00:00:00Z",
    }
    return Comparison.model_validate(fields | more)


def test_comparisons_that_stand_become_order_pairs(warehouse: Warehouse) -> None:
    p = made_proposition("p").proposition_id
    other_split = made_proposition("q").model_copy(update={"proposition_id": "far"})
    far = "test" if made_proposition("p").split != "test" else "train"
    made = [
        *(beside(name) for name in ("a", "b", "c", "d")),
        beside("strong", kind="strengthened", parent_id=p),
        other_split.model_copy(update={"split": far}),
    ]
    rows = [
        compared("a", "b", "b"),
        compared("a", "b", "b", "k"),
        compared("a", "b", None, "m"),  # one that was not kept says nothing
        compared("a", "c", "a"),
        compared("a", "c", "c", "k"),  # two labelers that disagree
        compared("b", "c", "b"),
        compared("b", "c", "c", labeler_version="2", created_at="2026-02-01T00:00:00Z"),  # the newest counts
        compared("c", "d", None),
        compared("a", "far", "a"),  # in another split
        compared(p, "strong", p),  # there already, by how it was made
    ]
    merge_all(warehouse, made_rows([("p", "x", 0.5), ("q", "x", 0.5)]))
    merge_all(warehouse, [made, rows])
    renew_groups(warehouse, 0.0)
    found = [
        row
        for batch in publish_rows(warehouse, Recipe(consensus="em", pairs_weight=0.5), "pairs")
        for row in batch.to_pylist()
    ]
    told = {(row["kind"], row["higher_proposition_id"], row["lower_proposition_id"]): row for row in found}
    assert set(told) == {("compared", "b", "a"), ("compared", "c", "b"), ("strengthened", "strong", p)}
    assert len(found) == 3
    row = told["compared", "b", "a"]
    assert (row["pair_id"], row["source"], row["weight"]) == ("a-b", "k, l", 0.5)
    assert (row["higher_premise"], row["higher_hypothesis"], row["lower_hypothesis"]) == ("premise p", "b", "a")
    assert row["split"] == made_proposition("p").split


def test_comparisons_of_a_labeler_that_was_given_up_are_no_pairs(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "x", 0.5)]))
    rows = [
        compared("a", "b", "a"),  # the version in use, though another is newer
        compared("a", "b", "b", labeler_version="2", created_at="2026-02-01T00:00:00Z"),
        compared("a", "c", "a", "gone"),
        compared("b", "c", "b", "unknown"),
    ]
    in_use = [made_labeler("l"), made_labeler("l", "2", in_use=False), made_labeler("gone", in_use=False)]
    merge_all(warehouse, [[beside(name) for name in "abc"], rows, in_use])
    renew_groups(warehouse, 0.0)
    found = [
        (row["higher_proposition_id"], row["lower_proposition_id"], row["source"])
        for batch in publish_rows(warehouse, Recipe(consensus="em", pairs_weight=0.5), "pairs")
        for row in batch.to_pylist()
    ]
    assert sorted(found) == [("a", "b", "l"), ("b", "c", "unknown")]


@pytest.mark.slow
def test_the_panel_is_the_labelers_in_use_in_their_versions(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "x", 0.5), ("q", "x", 0.5)]))
    first = made_estimate("p", "a", 0.25, labeler_version="1")
    second = made_estimate("p", "a", 0.75, labeler_version="2", created_at="2026-02-01T00:00:00Z")
    other = made_estimate("p", "b", 0.5)
    late = made_estimate("q", "a", 0.75, labeler_version="2")
    merge(warehouse, [first, second, other, late])

    def seen() -> dict[str, float]:
        row = panel(warehouse)
        values = dict(zip(row["labelers"], row["values"], strict=True))
        (overview,) = warehouse.sql("SELECT * FROM proposition_overview WHERE premise = 'premise p'").to_pylist()
        assert (overview["n_estimates"], overview["estimate_mean"]) == (len(values), np.mean(list(values.values())))
        assert set(labeler_answers(warehouse)["name"].to_pylist()) == set(values)
        return values

    # Where nothing is known of who is in use, the newest of everybody counts.
    assert seen() == {"a": 0.75, "b": 0.5}
    merge(warehouse, [made_labeler("a", "2"), made_labeler("a", "1", in_use=False), made_labeler("b", in_use=False)])
    assert seen() == {"a": 0.75}
    # Back at an earlier version: its answers are there, though they are not the newest.
    merge(warehouse, [made_labeler("a", "1"), made_labeler("a", "2", in_use=False), made_labeler("b")])
    assert seen() == {"a": 0.25, "b": 0.5}
    # A version that is not in use does not stand in where the one in use was not asked yet ...
    rows = warehouse.sql("SELECT * FROM panel_distribution").to_pylist()
    assert [row["proposition_id"] for row in rows] == [made_proposition("p").proposition_id]
    # ... though it is the best that is known of the labeler.
    current = {
        (row["proposition_id"], row["labeler_version"]): row["in_panel"]
        for row in warehouse.sql("SELECT * FROM current_estimates WHERE labeler = 'a'").to_pylist()
    }
    assert current == {(first.proposition_id, "1"): True, (late.proposition_id, "2"): False}
    quality = warehouse.sql("SELECT labeler, labeler_version, in_panel FROM labeler_quality ORDER BY ALL").to_pylist()
    assert [tuple(row.values()) for row in quality] == [("a", "1", True), ("a", "2", False), ("b", "1", True)]


def test_the_overview_counts_the_newest_estimates_alone(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "x", 0.5)]))
    old = made_estimate("p", "a", 0.9, labeler_version="0", created_at="2025-01-01T00:00:00Z")
    merge(warehouse, [old, made_estimate("p", "a", 0.25), made_estimate("p", "b", 0.5)])
    (row,) = warehouse.sql("SELECT n_estimates, estimate_mean, estimate_range FROM proposition_overview").to_pylist()
    assert row == {"n_estimates": 2, "estimate_mean": 0.375, "estimate_range": 0.25}
