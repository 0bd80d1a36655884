"""Groups of related propositions, from files and from what was derived in the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.warehouse.test_suites import written
from warehouse import Warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError
from warehouse.files.coherence import read_coherence
from warehouse.files.suites import suite_of
from warehouse.queries.derived import coherence_items
from warehouse.records import Premise, Proposition, PropositionKind, Split, SuiteItem, premise_id, proposition_id

NOTHING = pa.array([], pa.string())
"""The premises that an estimator was trained on: none."""
GROUP: dict[str, Any] = {
    "premise": "It rains.",
    "hypothesis": "Ann is wet.",
    "negation": "Ann is dry.",
    "paraphrases": ["Water is on Ann.", "Ann is not dry."],
    "other": "Bob is wet.",
    "conjunction": "Ann and Bob are wet.",
    "strengtheners": ["Ann has no umbrella."],
    "weakeners": ["Ann is at home.", "Ann has a hat."],
}


def roles(items: list[SuiteItem]) -> list[tuple[str | None, str, str]]:
    return [(each.role, each.premise, each.hypothesis) for each in items]


def test_each_check_of_a_group_is_an_item(tmp_path: Path) -> None:
    file = written(tmp_path / "g.jsonl", GROUP, {"premise": "It snows.", "hypothesis": "It is cold."})
    found = suite_of(read_coherence(file), "mine", "g.jsonl")
    assert (found.suite.family, found.suite.n_items) == ("coherence", 6)
    assert [each.reason for each in found.drops] == ["nothing that it could be checked against"]
    rain, first = "It rains.", ("hypothesis", "It rains.", "Ann is wet.")
    assert roles(found.items) == [
        first, ("negation", rain, "Ann is dry."),
        first, ("paraphrase", rain, "Water is on Ann."), ("paraphrase", rain, "Ann is not dry."),
        first, ("hypothesis", rain, "Bob is wet."), ("conjunction", rain, "Ann and Bob are wet."),
        first, ("strengthened", "It rains. Ann has no umbrella.", "Ann is wet."),
        first, ("weakened", "It rains. Ann is at home.", "Ann is wet."),
        first, ("weakened", "It rains. Ann has a hat.", "Ann is wet."),
    ]  # fmt: skip
    assert {each.premise_group for each in found.items} == {premise_id(rain)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"other": None}, "give both other and conjunction, or neither"),
        ({"weakeners": [1]}, "column 'weakeners': not a list of texts"),
        ({"hypothesis": ""}, "column 'hypothesis': empty"),
    ],
)
def test_a_row_that_is_no_group_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match="line 1, column") as found:
        read_coherence(written(tmp_path / "g.jsonl", GROUP | change))
    assert message in str(found.value)


def made(
    premise: str,
    hypothesis: str,
    kind: PropositionKind = "imported",
    *,
    parent: str | None = None,
    other: str | None = None,
    split: Split = "test",
) -> Proposition:
    return Proposition(
        proposition_id=proposition_id(premise, hypothesis), premise_id=premise_id(premise), hypothesis=hypothesis,
        kind=kind, source="s", split=split, parent_id=parent, other_parent_id=other,
    )  # fmt: skip


def test_derived_propositions_of_the_test_split_stand_beside_their_parents(warehouse: Warehouse) -> None:
    rows: list[Proposition] = []
    for place, split in (("P", "test"), ("T", "train")):
        one, two = made(place, "a", split=split), made(place, "b", split=split)  # type: ignore[arg-type]
        key = one.proposition_id
        rows += [
            one,
            two,
            made(place, "not a", "negation", parent=key, split=split),  # type: ignore[arg-type]
            made(place, "a!", "paraphrase", parent=key, split=split),  # type: ignore[arg-type]
            made(place, "a?", "paraphrase", parent=key, split=split),  # type: ignore[arg-type]
            made(place, "a, b", "conjunction", parent=key, other=two.proposition_id, split=split),  # type: ignore[arg-type]
            made(place, "clear a", "rewritten", parent=key, split=split),  # type: ignore[arg-type]
            made(f"{place} u", "a", "weakened", parent=key, split=split),  # type: ignore[arg-type]
        ]
    premises = [Premise(premise_id=premise_id(text), text=text, source="s") for text in ("P", "P u", "T", "T u")]
    merge_all(warehouse, [premises, rows])
    found: dict[str, list[SuiteItem]] = {}
    for each in coherence_items(warehouse, NOTHING):
        found.setdefault(each.item, []).append(each)
    told = {tuple(roles(sorted(some, key=lambda each: each.place))) for some in found.values()}
    paraphrases = sorted(["a!", "a?"], key=lambda text: proposition_id("P", text))
    assert told == {
        (("hypothesis", "P", "a"), ("negation", "P", "not a")),
        (("hypothesis", "P", "a"), *(("paraphrase", "P", text) for text in paraphrases)),
        (("hypothesis", "P", "a"), ("hypothesis", "P", "b"), ("conjunction", "P", "a, b")),
        (("hypothesis", "P", "a"), ("weakened", "P u", "a")),
    }
    assert coherence_items(warehouse, NOTHING, most=0) == []
    seen = coherence_items(warehouse, pa.array([premise_id("P u")]))
    assert {each.premise for each in seen} == {"P"}  # no update, since nothing is grouped here
