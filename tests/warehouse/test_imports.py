from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.store import made_annotator
from warehouse import Warehouse, records
from warehouse.catalog.store import Merged, merge, merge_all
from warehouse.errors import InputError
from warehouse.files.imports import read_judgments
from warehouse.files.judgment_columns import JudgmentMapping
from warehouse.files.times import parse_time

HEADER = ["premise", "hypothesis", "annotator", "rating", "cannot_judge", "status"]
GOOD = [
    ["A dog, barking", "An animal", "ann", "90", "false", "Approved"],
    ["A dog, barking", "A cat", "ann", "5", "true", "Rejected"],
    ["A dog, barking", "An animal", "ben", "100", "", ""],
    ["Ein Hund", "An animal", "ann", "0", "no", ""],
    ["A dog, barking", "An animal", "ann", "80", "0", ""],
]


def write_file(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    """The same rows as text in the format that the extension names."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows))
    else:
        pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(header)}), path)
    return path


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_records(tmp_path: Path, extension: str) -> None:
    batch = read_judgments(write_file(tmp_path / f"file.{extension}", GOOD))
    dog = records.premise_id("A dog, barking")
    assert {row["premise_id"]: row["text"] for row in batch.premises.to_pylist()} == {
        dog: "A dog, barking",
        records.premise_id("Ein Hund"): "Ein Hund",
    }
    assert {(row["premise_id"], row["hypothesis"], row["split"]) for row in batch.propositions.to_pylist()} == {
        (dog, "An animal", records.split_of(dog)),
        (dog, "A cat", records.split_of(dog)),
        (records.premise_id("Ein Hund"), "An animal", records.split_of(records.premise_id("Ein Hund"))),
    }
    assert [(row["source_id"], row["kind"]) for row in batch.annotators.to_pylist()] == [
        ("ann", "imported"),
        ("ben", "imported"),
    ]
    rows = batch.judgments.to_pylist()
    assert [row["probability"] for row in rows] == [0.9, None, 1.0, 0.0, 0.8]
    assert [row["raw_probability"] for row in rows] == [0.9, 0.05, 1.0, 0.0, 0.8]
    assert [row["cannot_judge"] for row in rows] == [False, True, False, False, False]
    assert [row["status"] for row in rows] == ["approved", "rejected", "submitted", "submitted", "submitted"]
    assert [row["proposition_id"] for row in rows[:2]] == [
        records.proposition_id("A dog, barking", "An animal"),
        records.proposition_id("A dog, barking", "A cat"),
    ]
    assert len({row["judgment_id"] for row in rows}) == 5
    assert batch.drops == []


def test_an_annotator_has_one_group(tmp_path: Path) -> None:
    header = ["premise", "hypothesis", "annotator", "rating", "group"]
    rows = [
        ["A", "B", "ann", "10", ""],
        ["A", "C", "ann", "20", "north"],
        ["A", "B", "ben", "30", "south"],
        ["A", "B", "cem", "40", ""],
        ["A", "D", "ann", "50", "north"],
    ]
    batch = read_judgments(write_file(tmp_path / "file.csv", rows, header))
    groups = {row["source_id"]: row["annotator_group"] for row in batch.annotators.to_pylist()}
    assert groups == {"ann": "north", "ben": "south", "cem": None}
    with pytest.raises(InputError, match=r"line 7, column 'group': 'ben' is in 'south' above"):
        read_judgments(write_file(tmp_path / "file.csv", [*rows, ["A", "C", "ben", "60", "north"]], header))


def test_importing_again_changes_nothing_and_a_grown_file_only_adds(warehouse: Warehouse, tmp_path: Path) -> None:
    def imported(rows: Sequence[Sequence[str]]) -> dict[str, Merged]:
        batch = read_judgments(write_file(tmp_path / "file.csv", rows))
        return merge_all(warehouse, [batch.premises, batch.propositions, batch.annotators, batch.judgments])

    assert imported(GOOD)["judgments"] == Merged(inserted=5)
    before = warehouse.snapshot_id()
    assert imported(GOOD)["judgments"] == Merged(unchanged=5)
    assert warehouse.snapshot_id() == before
    more = ["A dog, barking", "An animal", "ann", "70", "", ""]
    assert imported([*GOOD, more])["judgments"] == Merged(inserted=1, unchanged=5)


def test_columns_scale_and_kind_are_mapped(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "file.csv",
        [["c", "h", "w", "5", "Wed Dec 19 16:10:21 PST 2018", "12.5", "B1", "id7"]],
        ["context", "statement", "worker", "likert", "when", "seconds", "hit", "key"],
    )
    mapping = JudgmentMapping(
        premise="context",
        hypothesis="statement",
        annotator="worker",
        rating="likert",
        scale=(1, 5),
        submitted_at="when",
        lead_time="seconds",
        batch="hit",
        source_id="key",
        annotator_kind="simulated",
    )
    batch = read_judgments(path, mapping, source="survey")
    (row,) = batch.judgments.to_pylist()
    assert row["probability"] == 1.0
    assert row["submitted_at"] == datetime(2018, 12, 20, 0, 10, 21, tzinfo=UTC)
    assert (row["lead_time_s"], row["batch"], row["source_id"]) == (12.5, "B1", "id7")
    assert row["judgment_id"] == records.judgment_id("survey", "id7")
    assert batch.annotators["kind"].to_pylist() == ["simulated"]


def test_a_row_that_says_nothing_is_dropped_and_counted(tmp_path: Path) -> None:
    rows = [*GOOD, ["A dog, barking", "A cat", "ben", "", "", ""], ["A dog, barking", "A cat", "ida", "", "yes", ""]]
    batch = read_judgments(write_file(tmp_path / "file.csv", rows))
    assert batch.judgments.num_rows == 6
    assert batch.judgments["raw_probability"].to_pylist()[-1] is None
    assert [(drop.reason, drop.detail) for drop in batch.drops] == [("no rating", "file.csv, line 7")]


def test_texts_that_differ_in_white_space_are_one_proposition(tmp_path: Path) -> None:
    rows = [["A  dog", "b", "ann", "1", "", ""], ["A dog", "b ", "ann", "2", "", ""]]
    batch = read_judgments(write_file(tmp_path / "file.csv", rows))
    assert (batch.premises.num_rows, batch.propositions.num_rows) == (1, 1)
    assert [one[-4:] for one in batch.judgments["source_id"].to_pylist()] == ["0001", "0002"]


def row_with(**changes: str) -> list[str]:
    return list({**dict(zip(HEADER, GOOD[0], strict=True)), **changes}.values())


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"rating": "100.5"}, ["", "'rating'", "100.5", "from 0 to 100"]),
        ({"rating": "-1"}, ["", "'rating'", "-1"]),
        ({"rating": "many"}, ["", "'rating'", "'many'", "not a number"]),
        ({"rating": "inf"}, ["", "'rating'", "not a number"]),
        ({"rating": "1_0"}, ["", "'rating'", "not a number"]),
        ({"rating": "9" * 5000}, ["", "'rating'", "999...", "outside the scale"]),
        ({"premise": "  "}, ["", "'premise'", "empty"]),
        ({"hypothesis": ""}, ["", "'hypothesis'", "empty"]),
        ({"annotator": ""}, ["", "'annotator'", "empty"]),
        ({"cannot_judge": "maybe"}, ["", "'cannot_judge'", "'maybe'"]),
    ],
)
def test_a_bad_value_is_one_line_with_its_place(
    tmp_path: Path, extension: str, changes: dict[str, str], parts: list[str]
) -> None:
    path = write_file(tmp_path / f"file.{extension}", [*GOOD[:2], row_with(**changes), *GOOD[2:]])
    with pytest.raises(InputError) as caught:
        read_judgments(path)
    message = str(caught.value)
    assert "\n" not in message
    parts[0] = {"csv": "line 4", "jsonl": "line 3", "parquet": "row 3"}[extension]
    assert all(part in message for part in [str(path), *parts])
    assert len(message) < 400


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_an_unknown_column_says_which_there_are(tmp_path: Path, extension: str) -> None:
    path = write_file(tmp_path / f"file.{extension}", GOOD)
    for mapping in (JudgmentMapping(rating="score"), JudgmentMapping(batch="score")):
        with pytest.raises(InputError, match=r"'score'.*annotator.*premise|'score'.*premise.*annotator"):
            read_judgments(path, mapping)


def test_an_optional_column_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    path = write_file(tmp_path / "file.csv", [row[:4] for row in GOOD], HEADER[:4])
    batch = read_judgments(path)
    assert batch.judgments["cannot_judge"].to_pylist() == [False] * 5


def test_a_repeated_source_id_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path / "file.csv", GOOD)
    with pytest.raises(InputError, match=r"line 3, column 'annotator': 'ann' appears twice"):
        read_judgments(path, JudgmentMapping(source_id="annotator"))


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("none.csv", None, "does not exist"),
        ("file.xlsx", "x", "extension"),
        ("file.csv", "", "is empty"),
        ("file.csv", "\n \n", "no rows"),
        ("file.csv", ",".join(HEADER) + "\n", "no rows"),
        ("file.csv", ",".join(HEADER) + "\na,b\n", "line 2 has 2 values and the header 6"),
        ("file.parquet", "x", "parquet"),
        ("file.jsonl", "\n", "no rows"),
        (
            "file.jsonl",
            json.dumps(dict(zip(HEADER, GOOD[0], strict=True))) + '\n\n{"premise": \n',
            "line 3: broken JSON",
        ),
        ("file.jsonl", "[1]\n", "line 1: every line must be a JSON object"),
        (
            "file.jsonl",
            '{"premise": {"a": 1}, "hypothesis": "h", "annotator": "a", "rating": 1}\n',
            "it is an object",
        ),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, content: str | None, part: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_judgments(path)
    message = str(caught.value)
    assert str(path) in message
    assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018-12-19T16:10:21Z", datetime(2018, 12, 19, 16, 10, 21, tzinfo=UTC)),
        ("2018-12-19 16:10:21", datetime(2018, 12, 19, 16, 10, 21, tzinfo=UTC)),
        ("2018-12-19T16:10:21+02:00", datetime(2018, 12, 19, 14, 10, 21, tzinfo=UTC)),
        ("Wed Dec 19 16:10:21 PST 2018", datetime(2018, 12, 20, 0, 10, 21, tzinfo=UTC)),
        ("Mon Jul 02 16:10:21 EDT 2018", datetime(2018, 7, 2, 20, 10, 21, tzinfo=UTC)),
        ("2018/12/19 16:10:21", datetime(2018, 12, 19, 16, 10, 21, tzinfo=UTC)),
        ("2018.2.9 4:10 PM", datetime(2018, 2, 9, 16, 10, tzinfo=UTC)),
        ("2018-12-19 16:10:21 CET", datetime(2018, 12, 19, 15, 10, 21, tzinfo=UTC)),
        ("Dec 19, 2018, 4:10 PM", datetime(2018, 12, 19, 16, 10, tzinfo=UTC)),
        ("Sun Nov 04 01:30:00 PDT 2018", datetime(2018, 11, 4, 8, 30, tzinfo=UTC)),
        ("Sun Nov 04 01:30:00 PST 2018", datetime(2018, 11, 4, 9, 30, tzinfo=UTC)),
        ("2018/12/19 4:10:21 PM GMT+1", datetime(2018, 12, 19, 15, 10, 21, tzinfo=UTC)),
        ("2018-12-19 16:10:21 UTC-3", datetime(2018, 12, 19, 19, 10, 21, tzinfo=UTC)),
        ("Wed Dec 19 2018 16:10:21 GMT+0530", datetime(2018, 12, 19, 10, 40, 21, tzinfo=UTC)),
        ("Wed Dec 19 2018 16:10:21 GMT-0800 (Pacific Standard Time)", datetime(2018, 12, 20, 0, 10, 21, tzinfo=UTC)),
        ("19-DEC-2018 16:10", datetime(2018, 12, 19, 16, 10, tzinfo=UTC)),
        ("2018-12-19 16:10:21 BRT+3", None),
        ("2018-13-05", None),
        ("2018/13/05", None),
        ("05 Mar 03", None),
        ("12/19/2018", None),
        ("1545235821", None),
        ("Wed Dec 19 16:10:21 XYZ 2018", None),
        ("Wed", None),
        ("16:10", None),
        ("yesterday", None),
    ],
)
def test_times_are_read_with_their_zone(text: str, expected: datetime | None) -> None:
    assert parse_time(text) == expected


def test_a_bad_date_says_where(tmp_path: Path) -> None:
    path = write_file(tmp_path / "file.csv", [["p", "h", "a", "60", "soon"]], [*HEADER[:4], "submitted_at"])
    with pytest.raises(InputError, match=r"line 2, column 'submitted_at': 'soon' is not a date"):
        read_judgments(path)


def test_real_judgments_arrive_whole(nli_variation: Path) -> None:
    batch = read_judgments(nli_variation)
    expected = duckdb.sql(
        f"SELECT count(*), count(DISTINCT annotator), count(*) FILTER (cannot_judge), sum(rating) / 100, "
        f"count(DISTINCT (premise, hypothesis)) FROM '{nli_variation}'"
    ).fetchone()
    judgments = batch.judgments
    assert expected == (
        judgments.num_rows,
        batch.annotators.num_rows,
        judgments["probability"].null_count,
        pytest.approx(sum(judgments["raw_probability"].to_pylist())),
        batch.propositions.num_rows,
    )
    assert judgments["submitted_at"].null_count == 0
    assert {"rejected", "approved", "submitted"} == set(judgments["status"].to_pylist())


def test_an_import_fits_beside_what_is_there(warehouse: Warehouse, tmp_path: Path) -> None:
    merge(warehouse, [made_annotator("ann")])
    batch = read_judgments(write_file(tmp_path / "file.csv", GOOD), source="file")
    merged = merge_all(warehouse, [batch.annotators])
    assert merged["annotators"] == Merged(inserted=2)


def test_a_lead_time_that_nobody_takes_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [["A.", "B.", who, "50", seconds] for who, seconds in (("a", "86400"), ("b", "86401"), ("c", ""))]
    path = write_file(tmp_path / "file.csv", rows, ["premise", "hypothesis", "annotator", "rating", "lead_time"])
    batch = read_judgments(path)
    assert batch.judgments["lead_time_s"].to_pylist() == [86400, None, None]
    assert [(each.subject_id, each.reason) for each in batch.bounds] == [
        (batch.judgments["judgment_id"][1].as_py(), "lead_time_too_long")
    ]
    assert not batch.drops
