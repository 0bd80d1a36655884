from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pytest

from warehouse import Warehouse
from warehouse.catalog.store import merge, merge_all, read
from warehouse.datasets import similar
from warehouse.datasets.groups import renew_groups
from warehouse.records import Premise, PremiseGroup, Proposition, Split, premise_id, proposition_id

SENTENCE = "the old man walks his two dogs along the river every single morning"


def made(text: str, split: Split, parent: str | None = None) -> tuple[Premise, Proposition]:
    """A premise with one proposition of a split, made from a parent premise where there is one."""
    return (
        Premise(premise_id=premise_id(text), text=text, source="made-up"),
        Proposition(
            proposition_id=proposition_id(text, "h"),
            premise_id=premise_id(text),
            hypothesis="h",
            kind="imported" if parent is None else "strengthened",
            source="made-up",
            split=split,
            parent_id=None if parent is None else proposition_id(parent, "h"),
        ),
    )


def fill(warehouse: Warehouse, rows: Iterable[tuple[Premise, Proposition]]) -> None:
    premises, propositions = zip(*rows, strict=True)
    merge_all(warehouse, [premises, propositions])


def grouped(warehouse: Warehouse) -> dict[str, PremiseGroup]:
    """The groups by the text of the premise."""
    texts = {row.premise_id: row.text for row in read(warehouse, Premise)}
    return {texts[row.premise_id]: row for row in read(warehouse, PremiseGroup)}


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def components(texts: list[str], threshold: float) -> set[frozenset[str]]:
    """The groups by looking at every pair."""
    found = {text: {text} for text in texts}
    for a, b in combinations(texts, 2):
        common = len(words(a) & words(b))
        if common and common >= threshold * len(words(a) | words(b)) and found[a] is not found[b]:
            found[a] |= found[b]
            for text in found[b]:
                found[text] = found[a]
    return {frozenset(group) for group in found.values() if len(group) > 1}


def test_a_premise_that_differs_in_a_word_or_in_its_punctuation_is_in_the_group(warehouse: Warehouse) -> None:
    near = [SENTENCE, f"{SENTENCE.upper()}!!", SENTENCE.replace("river", "lake")]  # 11 of 13 words: .846
    far = [SENTENCE.replace("two dogs", "horse"), "the river", "..."]  # 10 of 13: .77
    fill(warehouse, [made(text, "train") for text in near + far])
    renew_groups(warehouse, 0.8)
    found = grouped(warehouse)
    assert found.keys() == set(near)
    assert {row.group_id for row in found.values()} == {min(map(premise_id, near))}
    assert {row.reason for row in found.values()} == {"near-duplicate"}
    renew_groups(warehouse, 0.9)
    assert grouped(warehouse).keys() == set(near[:2])
    renew_groups(warehouse, 0)
    assert grouped(warehouse) == {}


def test_scripts_without_spaces_are_compared_by_character(warehouse: Warehouse) -> None:
    fill(warehouse, [made(text, "train") for text in ("一个男人在河边钓鱼", "一个男人在河边钓鱼。", "两只狗在跑")])
    renew_groups(warehouse, 0.8)
    assert len(grouped(warehouse)) == 2


def test_a_derived_premise_goes_with_its_parent_and_joins_what_hangs_on_either(warehouse: Warehouse) -> None:
    child, grandchild = (
        f"{SENTENCE}. It rains.",
        f"{SENTENCE}. It rains. He has no coat, no hat and no umbrella with him.",
    )
    twin = SENTENCE.replace("river", "lake")
    fill(warehouse, [made(SENTENCE, "train"), made(child, "train", SENTENCE), made(grandchild, "train", child)])
    fill(
        warehouse,
        [made("apart", "train"), made("apart, though it follows from it", "dev", "apart"), made(twin, "test")],
    )
    renew_groups(warehouse, 0.8)
    found = grouped(warehouse)
    chain = {SENTENCE, child, grandchild, twin}
    assert {(found[text].group_id, found[text].reason, found[text].split) for text in chain} == {
        (min(map(premise_id, chain)), "both", "train")
    }
    assert {(row.reason, row.split) for text, row in found.items() if text not in chain} == {("derived", "train")}


@pytest.mark.parametrize("splits", [("train", "test"), ("test", "train"), ("dev", "test")])
def test_a_group_has_the_split_of_what_came_first_and_keeps_it_as_it_grows(
    warehouse: Warehouse, splits: tuple[Split, Split]
) -> None:
    copies = [f"{SENTENCE}{'!' * n}" for n in range(6)]
    fill(warehouse, [made(copies[0], splits[0])])
    for text in copies[1:]:
        fill(warehouse, [made(text, splits[1])])
        renew_groups(warehouse, 0.8)
        assert {row.split for row in grouped(warehouse).values()} == {splits[0]}
        assert set(warehouse.sql("SELECT split FROM splits")["split"].to_pylist()) == {splits[0]}


def test_what_was_made_from_another_is_no_root_even_where_it_came_first(warehouse: Warehouse) -> None:
    child = f"{SENTENCE}. It rains."
    fill(warehouse, [made(child, "dev", SENTENCE)])
    fill(warehouse, [made(SENTENCE, "test"), made("alone", "dev")])
    renew_groups(warehouse, 0.0)
    rows = warehouse.sql(
        "SELECT m.text, s.split, s.group_id FROM splits s JOIN premises m USING (premise_id)"
    ).to_pylist()
    group = min(premise_id(SENTENCE), premise_id(child))
    assert {(row["text"], row["split"], row["group_id"]) for row in rows} == {
        (SENTENCE, "test", group),
        (child, "test", group),
        ("alone", "dev", premise_id("alone")),
    }


def test_premises_without_propositions_have_no_say(warehouse: Warehouse) -> None:
    bare = [f"{SENTENCE}{'!' * n}" for n in (1, 2)]
    merge(warehouse, [Premise(premise_id=premise_id(text), text=text, source="made-up") for text in bare])
    renew_groups(warehouse, 0.8)
    assert grouped(warehouse) == {}
    fill(warehouse, [made(SENTENCE, "dev")])
    renew_groups(warehouse, 0.8)
    assert {text: row.split for text, row in grouped(warehouse).items()} == dict.fromkeys([SENTENCE, *bare], "dev")


def test_with_nothing_new_nothing_is_written(warehouse: Warehouse) -> None:
    fill(warehouse, [made(SENTENCE, "train"), made(f"{SENTENCE}!", "dev"), made("alone", "dev")])
    assert renew_groups(warehouse, 0.8).inserted == 2
    before = warehouse.snapshot_id()
    assert renew_groups(warehouse, 0.8).unchanged == 2
    assert warehouse.snapshot_id() == before


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 1.0])
def test_the_groups_are_those_of_looking_at_every_pair(warehouse: Warehouse, threshold: float) -> None:
    rng = np.random.default_rng(0)
    vocabulary = [f"w{i}" for i in range(60)]
    texts: set[str] = set()
    for _ in range(100):
        size = int(rng.integers(1, 12))
        text = " ".join(rng.choice(vocabulary[: max(size, int(rng.integers(8, 60)))], size, replace=False))
        texts |= {text, text + " w0", text.replace("w3", "w4")}
    listed = sorted(texts)
    fill(warehouse, [made(text, "train") for text in listed])
    renew_groups(warehouse, threshold)
    found: dict[str, set[str]] = {}
    for text, row in grouped(warehouse).items():
        found.setdefault(row.group_id, set()).add(text)
    assert {frozenset(group) for group in found.values()} == components(listed, threshold)


def test_very_many_copies_are_one_group(warehouse: Warehouse) -> None:
    copies = [f"{SENTENCE}{'!' * n}" for n in range(150)]
    fill(warehouse, [made(text, "train") for text in copies])
    renew_groups(warehouse, 0.8)
    assert len({row.group_id for row in grouped(warehouse).values()}) == 1
    assert len(grouped(warehouse)) == 150


def test_candidates_are_found_as_often_as_the_bands_promise() -> None:
    rng = np.random.default_rng(1)
    for threshold in (0.5, 0.8):
        sets = []
        for _ in range(500):
            words = [f"w{i}" for i in rng.choice(100_000, 30, replace=False)]
            shared = round(
                threshold * 60 / (1 + threshold)
            )  # of 30 words each, so that the similarity is the threshold
            sets += [words, words[:shared] + [f"other{i}" for i in range(30 - shared)]]
        keys = similar.band_keys(sets, threshold)
        assert (keys[::2] == keys[1::2]).any(axis=1).mean() > 0.99
        strangers = (keys[::2] == np.roll(keys[::2], 1, axis=0)).any(axis=1).mean()
        assert strangers < 0.02
