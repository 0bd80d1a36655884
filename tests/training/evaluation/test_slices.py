"""Slices: which items belong to which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.evaluation.families import Answer, Item, Items
from training.evaluation.slices import range_of, slices
from training.evaluation.table import measure
from warehouse.records import SuiteItem

ITEM = Item(group="g", propositions=("p",), labels=(0.5,), judgments=np.array([0.5]))


def items(n: int) -> Items:
    """Item i has i + 2 words, and judgments that are i / n apart."""
    return Items(
        "correlation",
        tuple(
            replace(ITEM, propositions=(f"p{i}",), words=i + 2, judgments=np.array([0, i / n]), source="ab"[i % 2])
            for i in range(n)
        ),
    )


def test_bins_have_equal_mass_and_are_ordered() -> None:
    some = items(45)
    found = slices(some)
    names = ["source=a", "source=b"]
    names += [f"length={name}" for name in ("short", "middle", "long")]
    names += [f"spread={name}" for name in ("low", "middle", "high")]
    assert list(found) == names
    assert found["source=b"].tolist() == list(range(1, 45, 2))
    assert [found[f"length={name}"].tolist() for name in ("short", "middle", "long")] == [
        list(range(15)),
        list(range(15, 30)),
        list(range(30, 45)),
    ]
    assert range_of(some, "length=middle", found["length=middle"]) == (17, 31)
    low, high = range_of(some, "spread=high", found["spread=high"]) or (0, 0)
    # the SD of two numbers is their distance over the root of two
    np.testing.assert_allclose((low, high), (30 / 45 / np.sqrt(2), 44 / 45 / np.sqrt(2)))
    assert range_of(some, "source=a", found["source=a"]) is None


def test_equal_values_share_a_slice_and_one_of_everything_is_left_out() -> None:
    some = Items("correlation", tuple(replace(each, words=9, source="a") for each in items(45).items))
    assert [name for name in slices(some) if not name.startswith("spread")] == []


def test_a_single_judgment_has_no_spread_and_small_slices_are_left_out() -> None:
    some = [replace(each, judgments=np.array([0.5])) if i % 3 else each for i, each in enumerate(items(45).items)]
    assert sum(name.startswith("spread") for name in slices(Items("correlation", tuple(some)))) == 0
    assert slices(Items("update", items(45).items)) == {}


def test_marked_updates_are_also_measured_by_whether_they_were_seen() -> None:
    rows = [
        SuiteItem(
            suite_item_id=f"{n}:{place}", suite_id="s", item=f"{n}", place=place, proposition_id=f"{n}:{place}",
            premise_id=f"{n}", premise="p", hypothesis="h", premise_group=f"{n}", label=label, judgments=[],
        )
        for n in range(40) for place, label in enumerate((None, 1.0))
    ]  # fmt: skip
    learned = slices(Items.of("update", rows, seen={f"{n}" for n in range(40)}))
    assert {name: len(places) for name, places in learned.items()} == {"seen=yes": 40}
    assert list(slices(Items.of("coherence", rows, seen={f"{n}" for n in range(12)}))) == ["seen=no", "seen=yes"]
    items = Items.of("update", rows, seen={f"{n}" for n in range(12)})
    answers = {f"{n}:1": Answer(0.6 if n < 12 else 0.4) for n in range(40)}
    found = measure(items, {"x": answers | {f"{n}:0": Answer(0.5) for n in range(40)}}).sliced
    assert {key: (each.value, each.n) for key, each in found.items()} == {
        ("seen=no", "x", "accuracy"): (0.0, 28),
        ("seen=yes", "x", "accuracy"): (1.0, 12),
    }
