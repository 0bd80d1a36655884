"""Evaluation sets from files: their items, labels and groups, and what keeps them out of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.store import DATA
from warehouse.errors import InputError
from warehouse.files.choices import read_choices
from warehouse.files.imports import read_judgments
from warehouse.files.judgment_columns import JudgmentMapping
from warehouse.files.suites import SuiteBatch, suite_of
from warehouse.files.texts import read_propositions
from warehouse.records import premise_id, proposition_id


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def told(batch: SuiteBatch) -> list[tuple[int, str, str, float | None, list[float]]]:
    return [
        (
            each.place,
            each.premise,
            each.hypothesis,
            None if each.label is None else round(each.label, 9),
            each.judgments,
        )
        for each in batch.items
    ]


def test_judgments_become_means_without_those_that_do_not_count(tmp_path: Path) -> None:
    pair = {"premise": "It rains.", "hypothesis": "The street is wet."}
    file = written(
        tmp_path / "j.jsonl",
        pair | {"annotator": "a", "rating": 90},
        pair | {"annotator": "b", "rating": 70},
        pair | {"annotator": "a", "rating": 20},
        pair | {"annotator": "c", "rating": 5, "status": "Rejected"},
        pair | {"annotator": "d", "rating": 5, "cannot_judge": True},
        {"premise": "It snows.", "hypothesis": "It is warm.", "annotator": "a", "rating": 10},
        {"premise": "Nobody says.", "hypothesis": "So what?", "annotator": "d", "rating": 5, "cannot_judge": True},
    )
    found = suite_of(read_judgments(file), "mine", "j.jsonl", "CC0")
    assert (found.suite.family, found.suite.n_items, found.suite.license) == ("correlation", 2, "CC0")
    assert told(found) == [
        (0, "It rains.", "The street is wet.", 0.8, [0.9, 0.7]),
        (0, "It snows.", "It is warm.", 0.1, [0.1]),
    ]
    assert [each.proposition_id for each in found.items] == [
        proposition_id("It rains.", "The street is wet."), proposition_id("It snows.", "It is warm."),
    ]  # fmt: skip


def test_an_update_is_asked_with_and_without_it_and_belongs_to_the_original_premise(tmp_path: Path) -> None:
    row = {"premise": "A man runs.", "hypothesis": "He is late."}
    file = written(
        tmp_path / "u.jsonl",
        row | {"update": "He looks at his watch.", "update_type": "strengthener"},
        row | {"update": "He wears shorts.", "update_type": "weakener"},
    )
    found = suite_of(read_propositions(file), "updates", "u.jsonl")
    assert found.suite.family == "update"
    assert sorted(told(found)[1::2], key=str) == [
        (1, "A man runs. He looks at his watch.", "He is late.", 1.0, []),
        (1, "A man runs. He wears shorts.", "He is late.", 0.0, []),
    ]
    assert told(found)[0] == (0, "A man runs.", "He is late.", None, [])
    assert {each.premise_group for each in found.items} == {premise_id("A man runs.")}


def test_a_choice_has_all_alternatives_and_the_question_as_its_group(tmp_path: Path) -> None:
    file = written(
        tmp_path / "c.jsonl",
        {"premise": "The street is wet.", "choice1": "It snowed.", "choice2": "It rained.", "label": 1, "idx": 7,
         "question": "cause"},
        {"premise": "It rains.", "choice1": "It gets dry.", "choice2": "It gets wet.", "label": 1, "idx": 8,
         "question": "effect"},
    )  # fmt: skip
    found = suite_of(read_choices(file, format_="copa"), "choices", "c.jsonl")
    assert told(found) == [
        (0, "It rained.", "The street is wet.", 1.0, []),
        (1, "It snowed.", "The street is wet.", 0.0, []),
        (0, "It rains.", "It gets wet.", 1.0, []),
        (1, "It rains.", "It gets dry.", 0.0, []),
    ]
    assert [each.premise_group for each in found.items[::2]] == [
        premise_id("The street is wet."), premise_id("It rains."),
    ]  # fmt: skip


def test_premises_are_stated_as_test_and_the_content_hash_sees_a_change(tmp_path: Path) -> None:
    rows = [{"premise": f"p {n}", "hypothesis": "h", "annotator": "a", "rating": 30 * n} for n in range(3)]
    one = suite_of(read_judgments(written(tmp_path / "a.jsonl", *rows)), "s", "a.jsonl")
    again = suite_of(read_judgments(written(tmp_path / "b.jsonl", *reversed(rows))), "s", "b.jsonl")
    other = suite_of(read_judgments(written(tmp_path / "c.jsonl", *rows[:2])), "s", "c.jsonl")
    assert {(each.premise_id, each.split) for each in one.stated} == {(premise_id(f"p {n}"), "test") for n in range(3)}
    assert one.suite.content == again.suite.content != other.suite.content
    assert {each.suite_item_id for each in other.items} < {each.suite_item_id for each in one.items}


def test_files_without_items_are_refused(tmp_path: Path) -> None:
    plain = written(tmp_path / "p.jsonl", {"premise": "p", "hypothesis": "h"})
    with pytest.raises(InputError, match=r"p\.jsonl has no updates: it needs the columns update and update_type"):
        suite_of(read_propositions(plain), "s", "p.jsonl")
    silent = {"premise": "p", "hypothesis": "h", "annotator": "a", "rating": 5, "cannot_judge": True}
    with pytest.raises(InputError, match=r"j\.jsonl has no valid judgments"):
        suite_of(read_judgments(written(tmp_path / "j.jsonl", silent)), "s", "j.jsonl")


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is absent")
def test_public_files_have_the_items_that_their_readme_counts() -> None:
    joci = JudgmentMapping.model_validate({"format": "joci"})
    found = suite_of(read_judgments(DATA / "joci/dev.parquet", joci), "joci", "dev.parquet")
    assert found.suite.n_items == 2084
    assert sorted({each.label or 0.0 for each in found.items}) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    ecare = suite_of(read_choices(DATA / "ecare/dev.parquet", format_="ecare"), "ecare", "dev.parquet")
    assert ecare.suite.n_items == 2122
