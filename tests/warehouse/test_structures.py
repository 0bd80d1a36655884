"""Decisions by factors and trees of propositions from files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.warehouse.test_suites import told, written
from warehouse.errors import InputError
from warehouse.files.coherence import read_coherence
from warehouse.files.known import StructureFormat
from warehouse.files.structures import read_structures
from warehouse.files.suites import suite_of
from warehouse.records import premise_id

STORY: dict[str, Any] = {
    "story": "Ann goes to work.",
    "outcomes": ["She walks.", "She drives."],
    "factors": {"weather": ["It rains.", "It is dry."], "time": ["She is late."]},
    "answer": 1,
}
TREE: dict[str, Any] = {
    "id": "war",
    "premise": "Two people play war with cards.",
    "propositions": {"root": "A game can end in a tie.", "a": "Somebody wins in the end.", "b": "Cards can be equal."},
    "relations": [["a", "contradicts", "root"], ["b", "entails", "root", 0.5]],
    "answer": False,
}


def test_a_decision_asks_each_value_given_the_story_and_each_outcome_given_the_value(tmp_path: Path) -> None:
    file = written(tmp_path / "d.jsonl", STORY, STORY | {"story": "Bob stays.", "answer": None})
    read = read_structures(file, format_="bird")
    assert [(each.reason, each.detail) for each in read.drops] == [("no answer", "d.jsonl, line 2")]
    found = suite_of(read, "decisions", "d.jsonl")
    assert (found.suite.family, found.suite.n_items) == ("structure", 1)
    assert [(each.role, each.premise, each.hypothesis, each.label) for each in found.items] == [
        ("value of weather", "Ann goes to work.", "It rains.", None),
        ("outcome", "Ann goes to work. It rains.", "She walks.", 0.0),
        ("outcome", "Ann goes to work. It rains.", "She drives.", 1.0),
        ("value of weather", "Ann goes to work.", "It is dry.", None),
        ("outcome", "Ann goes to work. It is dry.", "She walks.", 0.0),
        ("outcome", "Ann goes to work. It is dry.", "She drives.", 1.0),
        ("value of time", "Ann goes to work.", "She is late.", None),
        ("outcome", "Ann goes to work. She is late.", "She walks.", 0.0),
        ("outcome", "Ann goes to work. She is late.", "She drives.", 1.0),
    ]
    assert {each.premise_group for each in found.items} == {premise_id("Ann goes to work.")}
    assert len(found.stated) == 4  # the story, and with each value: none is trained on


def test_a_tree_has_its_answer_and_its_relations_on_the_root(tmp_path: Path) -> None:
    found = suite_of(read_structures(written(tmp_path / "t.jsonl", TREE), format_="maieutic"), "trees", "t.jsonl")
    assert told(found) == [
        (0, TREE["premise"], "A game can end in a tie.", 0.0, []),
        (1, TREE["premise"], "Somebody wins in the end.", None, []),
        (2, TREE["premise"], "Cards can be equal.", None, []),
    ]
    assert [each.role for each in found.items] == ["root", "a", "b"]
    assert json.loads(found.items[0].relations or "") == [[1, "contradicts", 0, 1.0], [2, "entails", 0, 0.5]]
    assert {each.item for each in found.items} == {"war"}


@pytest.mark.parametrize(
    ("format_", "change", "message"),
    [
        ("bird", {"outcomes": ["one"]}, "column 'outcomes': not a list of at least two texts"),
        ("bird", {"factors": {"weather": []}}, "column 'factors': not an object of lists of texts"),
        ("bird", {"factors": ["It rains."]}, "column 'factors': not an object of lists of texts"),
        ("bird", {"answer": 2}, "column 'answer': '2' is not the number of an outcome, from 0 to 1"),
        ("maieutic", {"propositions": {"root": " "}}, "column 'propositions': not an object of texts"),
        ("maieutic", {"relations": [["c", "entails", "root"]]}, "there is no proposition 'c'"),
        (
            "maieutic",
            {"relations": [["a", "implies", "root"]]},
            "write entails or contradicts between two different propositions",
        ),
        ("maieutic", {"relations": [["a", "entails", "root", 0]]}, "the weight must be a number above 0"),
        ("maieutic", {"relations": [["a", "root"]]}, 'a relation is a list such as ["a", "entails", "root", 0.8]'),
        ("maieutic", {"answer": "maybe"}, "column 'answer': 'maybe' is neither true nor false"),
        ("maieutic", {"premise": ""}, "column 'premise': empty"),
    ],
)
def test_a_row_that_is_no_item_is_named(
    tmp_path: Path, format_: StructureFormat, change: dict[str, Any], message: str
) -> None:
    row = (STORY if format_ == "bird" else TREE) | change
    with pytest.raises(InputError) as found:
        read_structures(written(tmp_path / "x.jsonl", row), format_=format_)
    assert str(found.value).startswith(f"{tmp_path / 'x.jsonl'}, line 1, column ")
    assert message in str(found.value)


def test_the_same_row_twice_counts_once_and_a_contradiction_is_refused(tmp_path: Path) -> None:
    assert len(read_structures(written(tmp_path / "a.jsonl", TREE, TREE), format_="maieutic").items) == 1
    with pytest.raises(InputError, match="line 2: an earlier row has the id war and says something else"):
        read_structures(written(tmp_path / "b.jsonl", TREE, TREE | {"answer": True}), format_="maieutic")
    with pytest.raises(InputError, match="line 2: an earlier row has the same texts and says something else"):
        read_structures(written(tmp_path / "c.jsonl", STORY, STORY | {"answer": 0}), format_="bird")
    with pytest.raises(InputError, match="every row was left out: no answer"):
        read_structures(written(tmp_path / "d.jsonl", STORY | {"answer": None}), format_="bird")


def test_the_examples_in_the_documentation_can_be_imported(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    decision, tree, group = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "example.jsonl"
    for text, family, n in ((decision, "structure", 12), (tree, "structure", 3), (group, "coherence", 11)):
        file.write_text(text, encoding="utf-8")
        if text == group:
            read = read_coherence(file)
        else:
            read = read_structures(file, format_="bird" if text == decision else "maieutic")
        assert read.said == []  # every key is read
        found = suite_of(read, "example", file.name)
        assert (found.suite.family, len(found.items)) == (family, n)
