"""The items that an ablation measures on come from as many premises as there are."""

from __future__ import annotations

from flows.ablation.sets import ItemSet, _first
from warehouse.records import SuiteItem


def item(premise: str, number: int) -> SuiteItem:
    return SuiteItem(
        suite_item_id=f"{premise}{number}", suite_id="s", item=f"{premise}{number}", place=0, premise_group=premise,
        label=0.5, judgments=[], proposition_id=f"{premise}{number}", premise_id=premise, premise=premise,
        hypothesis=str(number),
    )  # fmt: skip


def test_few_items_are_of_many_premises() -> None:
    rows = [item("a", number) for number in range(30)] + [item(premise, 0) for premise in "bcdefghijk"]
    kept = _first(ItemSet("s", "correlation", rows), 12).rows
    assert {row.premise_id for row in kept} == set("abcdefghijk")
    assert len(kept) == 12
    assert _first(ItemSet("s", "correlation", rows), None).rows == rows
