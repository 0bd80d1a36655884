"""`odds recalibrate` and `odds publish` in turn, where premises of train turn out to belong to those of test."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from flows.publish import publish
from flows.recalibrate import recalibrate
from flows.settings.settings import Settings, load_settings
from tests.fixtures.store import made_annotator
from warehouse import open_warehouse
from warehouse.catalog.store import merge, merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.lineage.trace import trace
from warehouse.queries.labelers import labeler_estimates, labeler_quality
from warehouse.records import (
    Estimate,
    Judgment,
    Premise,
    Proposition,
    Recalibration,
    Record,
    Split,
    premise_id,
    proposition_id,
)

ENOUGH = 30
LABELER = "panel"
SENTENCE = "the old man number{n} {walks} his two {dogs} along river{n} every single {morning} with friend{n}"
WORDS = {
    "plain": {"walks": "walks", "dogs": "dogs", "morning": "morning"},
    "near": {"walks": "walks", "dogs": "dogs", "morning": "evening"},
    "far": {"walks": "chases", "dogs": "cats", "morning": "evening"},
}
# Of fifteen words one other leaves .88 in common, two .76 and three .67, as a premise with another number does: what is
# near binds the plain and the far one together, which are strangers without it.


def text(number: int, look: str = "plain") -> str:
    """A premise with a number, in one of three wordings."""
    return SENTENCE.format(n=number, **WORDS[look])


def value_of(number: int) -> float:
    return round((number * 37 % 101) / 100, 2)


def rows_of(premise: str, split: Split, estimate: float, judged: float) -> Iterable[Record]:
    """A premise with a proposition, which is estimated and judged."""
    one = proposition_id(premise, "He is happy.")
    yield Premise(premise_id=premise_id(premise), text=premise, source="made-up")
    yield Proposition(
        proposition_id=one,
        premise_id=premise_id(premise),
        hypothesis="He is happy.",
        kind="imported",
        source="made-up",
        split=split,
    )
    yield Estimate(
        estimate_id=f"estimate {one}",
        proposition_id=one,
        labeler=LABELER,
        labeler_version="1",
        method="token",
        probability=estimate,
    )
    yield Judgment(
        judgment_id=f"judgment {one}",
        proposition_id=one,
        annotator_id=made_annotator("a").annotator_id,
        probability=judged,
        source="made-up",
        source_id=one,
    )


def fill(settings: Settings, numbers: Iterable[int], split: Split, look: str = "plain", wrong: int = 0) -> None:
    """Judged premises; of the first `wrong` people say the contrary of the labeler, of the others its square."""
    rows = []
    for number in numbers:
        estimate = value_of(number)
        judged = 1 - estimate if number < wrong else estimate**2
        rows += list(rows_of(text(number, look), split, estimate, judged))
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge_all(warehouse, [[made_annotator("a")], rows])
        renew_consensus(warehouse, "em")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "odds.toml").write_text("[publish]\nnear_duplicates = 0.75\n")
    return load_settings(tmp_path / "odds.toml")


def run(settings: Settings) -> tuple[dict[str, int], str]:
    outcome = recalibrate.fn(settings.root / "odds.toml")
    return outcome.counts, outcome.note


def published(settings: Settings) -> None:
    publish.fn(settings.root / "odds.toml")


def recalibrated(settings: Settings) -> dict[str, float]:
    """The estimates that go through a map, by the id of the proposition."""
    query = "SELECT proposition_id, recalibrated FROM recalibrated_estimates WHERE recalibrated IS NOT NULL"
    with open_warehouse(settings.catalog) as warehouse:
        return {row["proposition_id"]: row["recalibrated"] for row in warehouse.sql(query).to_pylist()}


def held_out_figures(settings: Settings) -> tuple[int, int]:
    """How many held-out propositions the quality of the labeler rests on, by the view and by the estimates."""
    with open_warehouse(settings.catalog) as warehouse:
        (row,) = labeler_quality(warehouse)
        shown = labeler_estimates(warehouse)["recalibrated"]
        return row["n_held_out"], len(shown) - shown.null_count


def fitted_without(numbers: Iterable[int]) -> dict[str, float]:
    """What every estimate becomes by an isotonic regression on these premises alone, by another's code."""
    x = np.array([value_of(number) for number in numbers])
    model = IsotonicRegression(out_of_bounds="clip").fit(x, x**2)
    return {proposition_id(text(n), "He is happy."): model.predict([value_of(n)])[0] for n in range(60)}


@pytest.mark.slow
def test_what_a_group_holds_out_is_seen_by_no_fit(settings: Settings) -> None:
    fill(settings, range(15), "test", "near")
    fill(settings, range(60), "train", wrong=15)
    assert run(settings) == ({"labelers recalibrated": 1, "as before": 0}, "")
    expected = fitted_without(range(15, 60))
    found = recalibrated(settings)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    published(settings)
    assert recalibrated(settings) == found
    assert held_out_figures(settings) == (30, 30)  # the test split, and what its groups hold out
    assert run(settings) == ({"labelers recalibrated": 0, "as before": 1}, "")


@pytest.mark.slow
def test_a_map_that_saw_what_came_to_be_held_out_is_withdrawn_when_that_is_published(settings: Settings) -> None:
    fill(settings, range(15), "test", "far")
    fill(settings, range(60), "train", wrong=15)
    assert run(settings) == ({"labelers recalibrated": 1, "as before": 0}, "")
    assert len(recalibrated(settings)) == 75
    fill(settings, range(15), "train", "near")
    published(settings)
    assert recalibrated(settings) == {}
    assert held_out_figures(settings) == (0, 0)
    assert run(settings) == ({"labelers recalibrated": 1, "as before": 0}, "")
    expected, found = fitted_without(range(15, 60)), recalibrated(settings)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_too_few_that_are_left_withdraw_the_map_too(settings: Settings) -> None:
    fill(settings, range(15), "test", "far")
    fill(settings, range(42), "train")
    assert run(settings) == ({"labelers recalibrated": 1, "as before": 0}, "")
    fill(settings, range(15), "train", "near")
    counts, note = run(settings)
    assert counts == {"labelers recalibrated": 0, "as before": 0, "withdrawn": 1}
    assert note == f"fewer than {ENOUGH} judged propositions: {LABELER}"
    assert recalibrated(settings) == {}
    assert run(settings)[0] == {"labelers recalibrated": 0, "as before": 0}
    # Enough again: the map has an id of its own, and its three rows tell the story.
    fill(settings, range(100, 110), "dev")
    assert run(settings)[0]["labelers recalibrated"] == 1
    with open_warehouse(settings.catalog) as warehouse:
        story = sorted(read(warehouse, Recalibration), key=lambda each: each.created_at)
    assert [each.n_propositions for each in story] == [42, 0, 37]
    assert story[1].recalibration_id == f"{story[0].recalibration_id}-withdrawn"


@pytest.mark.slow
def test_judgments_that_are_gone_leave_no_map_behind(settings: Settings) -> None:
    fill(settings, range(40), "train")
    run(settings)
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        gone = [one.model_copy(update={"deleted_at": one.created_at}) for one in read(warehouse, Judgment)]
        merge(warehouse, gone[:11])
    assert run(settings)[0] == {"labelers recalibrated": 0, "as before": 0, "withdrawn": 1}
    assert recalibrated(settings) == {}
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge(warehouse, [one.model_copy(update={"deleted_at": None}) for one in gone[:11]])
    assert run(settings)[0] == {"labelers recalibrated": 1, "as before": 0}
    assert len(recalibrated(settings)) == 40


@pytest.mark.slow
def test_a_withdrawn_map_can_be_traced(settings: Settings) -> None:
    fill(settings, range(15), "test", "far")
    fill(settings, range(42), "train")
    run(settings)
    fill(settings, range(15), "train", "near")
    run(settings)
    with open_warehouse(settings.catalog) as warehouse:
        for row in read(warehouse, Recalibration):
            found = trace(warehouse, row.recalibration_id)
            said = json.dumps(found, default=str)
            assert ("withdrawn, snapshot" in said) == (not row.estimates)
            assert "on 0 propositions" not in said
