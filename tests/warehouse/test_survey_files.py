"""What survey tools add to their files, and ratings on a scale that nobody named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from warehouse.errors import InputError
from warehouse.files.imports import JudgmentBatch, read_judgments
from warehouse.files.judgment_columns import JudgmentMapping
from warehouse.files.reading import Reading
from warehouse.files.texts import premise_columns, premises_of

QUALTRICS = (
    "ResponseId,premise,hypothesis,rating,annotator\n"
    'Response ID,"The text\nthat was shown",The statement,How likely? - Probability,PROLIFIC_PID\n'
    + ",".join(f'"{{""ImportId"":""QID{number}""}}"' for number in range(5))
    + "\nR_1,It rains.,It is wet.,90,a\nR_2,It snows.,It is cold.,many,b\n"
)


def read(path: Path, ratings: list[object], mapping: JudgmentMapping | None = None, **how: Any) -> JudgmentBatch:
    """The judgments of annotators with these ratings."""
    rows = [{"premise": "P", "hypothesis": "H", "annotator": n, "rating": one} for n, one in enumerate(ratings)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_judgments(path, mapping, reading=Reading.model_validate(how))


@pytest.mark.parametrize(
    "ratings", [[0.9, 0.3, 1], [0, 1], [0.2], [None, "0.25"]], ids=["shares", "binary", "one", "texts"]
)
def test_ratings_up_to_1_are_not_taken_for_percentages(tmp_path: Path, ratings: list[object]) -> None:
    file = tmp_path / "file.jsonl"
    with pytest.raises(InputError, match=r"line \d, column 'rating': (1|0\.2|0\.25) is the highest; use --scale 0:1"):
        read(file, ratings)
    for scale in (1, 100):
        found = read(file, ratings, JudgmentMapping(scale=(0, scale))).judgments["probability"].to_pylist()
        assert found == [float(one) / scale for one in ratings if one is not None]  # type: ignore[arg-type]
    assert read(file, [*ratings, 30]).said == []


def test_counted_ratings_up_to_1_are_not_either(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text('{"premise": "P", "hypothesis": "H", "label_count": [2, 1, 1]}\n')
    counted = JudgmentMapping(responses="label_count", counted=(1, 0.5, 0))
    with pytest.raises(InputError, match=r"line 1, column 'label_count': 1 is the highest; use --scale 0:1"):
        read_judgments(path, counted)
    there = read_judgments(path, counted.model_copy(update={"scale": (0.0, 1.0)}))
    assert sorted(there.judgments["probability"].to_pylist()) == [0.0, 0.5, 1.0, 1.0]


def test_labels_are_not_taken_for_percentages(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    with pytest.raises(
        InputError, match=r"line 3, column 'rating': 7 is the highest, so these may be labels; name the"
    ):
        read(file, [1, 5, 7, 5])
    for scale, expected in ((1, 7), [0, 4 / 6, 1, 4 / 6]), ((0, 100), [0.01, 0.05, 0.07, 0.05]):
        found = read(file, [1, 5, 7, 5], JudgmentMapping(scale=scale))
        assert found.judgments["probability"].to_pylist() == pytest.approx(expected)
        assert found.said == []
    assert read(file, [1, 7, 1]).said == [
        "the highest rating is 7 on the scale 0:100; --scale or --ordinal name another"
    ]
    assert read(file, [0, 0]).said == []
    assert read(file, [1, 5, 7, 70]).said == []


def test_labels_in_words_are_intervals_in_the_order_given(tmp_path: Path) -> None:
    file, order = tmp_path / "file.jsonl", ("very unlikely", "unlikely", "likely", "very likely")
    words: list[object] = ["Likely", "very unlikely", None, "Very likely "]
    with pytest.raises(InputError, match=r"line 1, .*'Likely' is not a number; if ratings are words, give them from"):
        read(file, words)
    batch = read(file, words, JudgmentMapping(ordinal_words=order))
    assert batch.judgments["probability"].to_pylist() == [0.625, 0.125, 0.875]
    assert batch.judgments["width"].to_pylist() == [0.25] * 3
    with pytest.raises(InputError, match="line 2, column 'rating': 'Maybe' is not one of very unlikely, unlikely, "):
        read(file, ["likely", "Maybe"], JudgmentMapping(ordinal_words=order))
    file.write_text('{"premise": "P", "hypothesis": "H", "answers": {"Likely": 2, "unlikely": 1}}\n')
    counted = read_judgments(file, JudgmentMapping(responses="answers", ordinal_words=order))
    assert counted.judgments["probability"].to_pylist() == [0.625, 0.625, 0.375]


def test_further_judgments_of_an_annotator_are_said(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("premise,hypothesis,rating,annotator\n" + "P,H,20,a\nP,H,20,a\nP,H,30,a\nP,H,40,b\n")
    said = "2 are further judgments of a proposition by the same annotator, and only the first counts"
    assert read_judgments(file).said == [said]
    anonymous = JudgmentMapping(annotator_kind="anonymous")
    assert read_judgments(file, anonymous).said == ["not read: annotator"]


def test_a_share_beside_percent_signs_is_ambiguous(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    with pytest.raises(InputError, match=r"line 2, column 'rating': 0\.7 beside percent signs may be 0\.7% or a share"):
        read(file, ["70%", 0.7])
    for other, scale in (0.7, 1), (30, 100):
        found = read(file, ["70%", other], JudgmentMapping(scale=(0, scale))).judgments["probability"].to_pylist()
        assert found == pytest.approx([0.7, other / scale])


@pytest.mark.parametrize("code", ["na", ".", "-99", "999"])
def test_a_code_for_a_missing_rating_can_be_named(tmp_path: Path, code: str) -> None:
    file = tmp_path / "file.jsonl"
    with pytest.raises(InputError, match=f"if it means that there is none, add --missing {code}$"):
        read(file, ["70", code])
    batch = read(file, ["70", code], missing=(code,))
    assert (batch.judgments["probability"].to_pylist(), [drop.reason for drop in batch.drops]) == ([0.7], ["no rating"])


def test_further_header_rows_of_qualtrics_are_not_data(tmp_path: Path) -> None:
    path = tmp_path / "survey.csv"
    path.write_text(QUALTRICS)
    assert [premise.text for premise in premises_of(premise_columns(path, {}))] == ["It rains.", "It snows."]
    with pytest.raises(InputError, match="line 6, column 'rating': 'many' is not a number"):
        read_judgments(path)
    path.write_text(QUALTRICS.replace("many", "80"))
    batch = read_judgments(path)
    assert batch.judgments["probability"].to_pylist() == [0.9, 0.8]
    assert batch.said == ["Qualtrics' further header rows left out", "not read: ResponseId"]


def test_a_column_per_item_becomes_a_row_per_judgment_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    header = ["ResponseId", "Status", "RecordedDate", "Q1_1", "Q1_2"]
    rows = [
        header,
        ["Response ID", "Response Type", "Recorded Date", "A text,\n\nand a statement", "Another"],
        [json.dumps({"ImportId": name}) for name in header],
        ["R_1", "IP Address", "2024-03-01 10:00:00", "70", "5"],
        ["R_2", "Survey Preview", "2024-03-01 11:00:00", "1", "2"],
        ["R_3", "IP Address", "2024-03-02 10:00:00", "", "95"],
    ]
    with Path("survey.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    Path("items.csv").write_text("item,premise,hypothesis\nQ1_1,It rains.,It is wet.\nQ1_2,It rains.,It is dry.\n")
    with pytest.raises(InputError, match=r"; a file with a column per item is reshaped as docs/importing\.md says$"):
        read_judgments(Path("survey.csv"))
    page = (Path(__file__).parents[2] / "docs/importing.md").read_text()
    exec(page.split("```python\n")[1].split("```")[0], {})
    found = read_judgments(Path("judgments.csv")).judgments
    assert sorted(found["probability"].to_pylist()) == [0.05, 0.7, 0.95]
    assert found["submitted_at"].null_count == 0


def test_statuses_that_may_not_count_are_said(tmp_path: Path) -> None:
    path = tmp_path / "survey.csv"

    def said(*statuses: str) -> list[str]:
        rows = (f"It rains.,It is wet.,90,{number},{status}" for number, status in enumerate(statuses))
        path.write_text("\n".join(("premise,hypothesis,rating,annotator,Status", *rows)))
        batch = read_judgments(path)
        assert batch.judgments["status"].to_pylist() == [status.lower() for status in statuses]
        return batch.said

    preview = "all count but those that are rejected, also those with the status ip address (2), survey preview (1)"
    assert said("IP Address", "Survey Preview", "IP Address") == [preview]
    assert said("Approved", "Rejected", "Submitted") == said("IP Address", "IP Address") == []


def test_a_json_array_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(json.dumps([{"premise": "P"}], indent=1))
    with pytest.raises(InputError, match=r"\.jsonl; write a JSON array as \.jsonl, one object per line$"):
        premise_columns(path.rename(path.with_suffix(".json")), {})
    path.with_suffix(".json").rename(path)
    with pytest.raises(InputError, match=r"line 1: .*a JSON array is not read: write one object per line"):
        premises_of(premise_columns(path, {}))
