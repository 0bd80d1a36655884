"""Multiple-choice questions from files: COPA, e-CARE, HellaSwag and plain ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.store import DATA
from warehouse.errors import InputError
from warehouse.files.choices import ChoiceBatch, read_choices
from warehouse.records import premise_id


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pairs(batch: ChoiceBatch) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """The (premise, hypothesis) that must score higher, and the one that must score lower."""
    texts = {row["premise_id"]: row["text"] for row in batch.premises.to_pylist()}
    propositions = {
        row["proposition_id"]: (texts[row["premise_id"]], row["hypothesis"]) for row in batch.propositions.to_pylist()
    }
    return [(propositions[row["higher_id"]], propositions[row["lower_id"]]) for row in batch.choices.to_pylist()]


def refused(path: Path, **more: Any) -> str:
    with pytest.raises(InputError) as error:
        read_choices(path, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_copa_swaps_premise_and_hypothesis_where_a_cause_is_asked_for(tmp_path: Path) -> None:
    question = {"premise": "The street is wet.", "choice1": "It snowed.", "choice2": "It rained.", "label": 1, "idx": 7}
    path = written(
        tmp_path / "copa.jsonl",
        {**question, "question": "cause"},
        {**question, "premise": "It rains.", "choice2": "It gets wet.", "question": "effect", "label": 0, "idx": 8},
    )
    batch = read_choices(path, format_="copa")
    assert pairs(batch) == [
        (("It rained.", "The street is wet."), ("It snowed.", "The street is wet.")),
        (("It rains.", "It snowed."), ("It rains.", "It gets wet.")),
    ]
    assert batch.choices["source_id"].to_pylist() == ["7", "8"]
    assert read_choices(path, format_="copa").choices["choice_id"] == batch.choices["choice_id"]


def test_ecare_as_published(tmp_path: Path) -> None:
    row = {"index": "train-0", "premise": "p", "ask-for": "effect", "hypothesis1": "a", "hypothesis2": "b", "label": 1}
    assert pairs(read_choices(written(tmp_path / "e.jsonl", row), format_="ecare")) == [(("p", "b"), ("p", "a"))]


def test_hellaswag_has_a_pair_for_each_wrong_ending_and_its_split(tmp_path: Path) -> None:
    row = {"ind": 4, "ctx": "A man sits. He", "endings": ["a", "b", "c", "d"], "label": "2", "split": "val"}
    path = written(tmp_path / "h.jsonl", row, {**row, "ind": 5, "label": ""})
    batch = read_choices(path, format_="hellaswag")
    assert pairs(batch) == [(("A man sits. He", "c"), ("A man sits. He", other)) for other in "abd"]
    assert [(each.premise_id, each.split) for each in batch.stated] == [(premise_id("A man sits. He"), "dev")]
    assert set(batch.propositions["split"].to_pylist()) == {"dev"}
    assert [(drop.subject_id, drop.reason) for drop in batch.drops] == [("5", "no answer")]


def test_every_alternative_of_a_cause_has_the_stated_split(tmp_path: Path) -> None:
    row = {"premise": "p", "alternative_1": "a", "alternative_2": "b", "alternative_3": "c", "answer": 1}
    batch = read_choices(written(tmp_path / "c.jsonl", {**row, "asks_for": "cause"}), split="test")
    assert {each.premise_id for each in batch.stated} == {premise_id(text) for text in "abc"}
    assert set(batch.propositions["split"].to_pylist()) == {"test"}


def test_answers_may_count_from_one(tmp_path: Path) -> None:
    path = written(tmp_path / "c.jsonl", {"premise": "p", "alternatives": ["a", "b"], "answer": 2})
    assert pairs(read_choices(path, first=1)) == [(("p", "b"), ("p", "a"))]
    assert "'2' is not the number of an alternative, from 0 to 1" in refused(path)


def test_an_alternative_like_the_right_one_is_dropped(tmp_path: Path) -> None:
    row = {"premise": "p", "alternatives": ["a  b", "a b", "c"], "answer": 0}
    batch = read_choices(written(tmp_path / "c.jsonl", row))
    assert pairs(batch) == [(("p", "a  b"), ("p", "c"))]
    assert [drop.reason for drop in batch.drops] == ["an alternative says the same as the right one"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"alternatives": ["a"], "answer": 0}, "at least two alternatives"),
        ({"alternative_1": "a", "answer": 0}, "at least two alternatives"),
        ({"alternatives": "a, b", "answer": 0}, "broken JSON"),
        ({"alternatives": ["a", 2], "answer": 0}, "not a list of texts"),
        ({"alternatives": ["a", "b"], "answer": "a"}, "'a' is not the number of an alternative"),
        ({"alternatives": ["a", "b"], "answer": 1, "asks_for": "reason"}, "'reason' is neither cause nor effect"),
        ({"alternative_1": None, "alternative_2": "b", "alternative_3": "c", "answer": 0}, "an alternative is empty"),
        ({"alternatives": ["a", "b"], "answer": None}, "has no answers"),
    ],
)
def test_rows_that_are_no_question_are_refused(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    assert said in refused(written(tmp_path / "c.jsonl", {"premise": "p", **row}))


def test_the_published_questions_are_read(tmp_path: Path) -> None:
    path = DATA / "ecare" / "dev.parquet"
    if not path.exists():
        pytest.skip(f"{path} is missing: it holds real questions that are not part of the project")
    batch = read_choices(path, format_="ecare")
    assert batch.choices.num_rows == 2_122
    assert batch.drops == []
