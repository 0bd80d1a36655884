"""A file as a stream of propositions: the same ones, checks and messages as when it is read whole."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pytest

from warehouse.errors import InputError
from warehouse.files import delimited, json_lines, reading
from warehouse.files.stream import proposition_stream
from warehouse.files.texts import read_propositions

PREMISE, HYPOTHESIS = "A man is fishing.", "He catches something."


@pytest.fixture(autouse=True)
def three_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every file longer than a part."""
    for module in (delimited, json_lines, reading):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pd.DataFrame(rows)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def plain(n: int, **more: Any) -> dict[str, Any]:
    return {"premise": f"It is day {n}.", "hypothesis": HYPOTHESIS, "update": None, "update_type": None} | more


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_it_has_the_propositions_of_the_file_once_and_in_order(tmp_path: Path, kind: str) -> None:
    update = {"premise": PREMISE, "update": "The lake is frozen.", "update_type": "weakener"}
    rows = [plain(0), plain(1), plain(0), plain(2, **update), plain(3), plain(4, **update), plain(1), plain(5)]
    rows += [plain(6, premise="It  is day 3. "), plain(7, **update | {"update_type": "strengthener"})]
    path = written(tmp_path / f"some.{kind}", [row | {"colour": "red"} for row in rows])
    whole = read_propositions(path)
    premises = dict(zip(*(whole.premises[name].to_pylist() for name in ("premise_id", "text")), strict=True))
    expected = [
        (row["proposition_id"], premises[row["premise_id"]], row["hypothesis"])
        for row in whole.propositions.to_pylist()
    ]
    stream = proposition_stream(path)
    for _ in range(2):
        assert [(each.proposition_id, each.premise, each.hypothesis) for each in stream] == expected
    assert stream.total == len(expected) == 6
    assert stream.said == tuple(whole.said) == ("not read: colour",)


@pytest.mark.parametrize(
    ("kind", "row", "problem"),
    [
        ("jsonl", plain(7, hypothesis=" "), r"line 8, column 'hypothesis': empty"),
        ("csv", plain(7, hypothesis="NA"), r"line 9, column 'hypothesis': empty"),
        ("parquet", plain(7, hypothesis=None), r"row 8, column 'hypothesis': empty"),
        (
            "parquet",
            plain(7, premise="a\x00b"),
            r"row 8, column 'premise': 'a\\x00b' contains a control or invisible character",
        ),
        ("jsonl", plain(7, update="He waits."), r"line 8, column 'update_type': empty"),
        ("csv", plain(7, update="He waits.", update_type="more"), r"line 9, column 'update_type': 'more' is unknown"),
        ("jsonl", {"premise": PREMISE}, r"line 8 has no column 'hypothesis'"),
    ],
)
def test_a_row_at_fault_is_named_before_anything_is_given(
    tmp_path: Path, kind: str, row: dict[str, Any], problem: str
) -> None:
    path = written(tmp_path / f"some.{kind}", [*(plain(n) for n in range(7)), row, plain(8)])
    for read in (proposition_stream, read_propositions):
        with pytest.raises(InputError, match=problem):
            read(path)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("none.jsonl", "\n\n", "none.jsonl has no rows"),
        ("header.csv", "premise,hypothesis\n", "header.csv has no rows"),
        ("other.csv", "text,claim\na,b\n", "'premise'"),
        ("broken.jsonl", '{"premise": 1\n', "line 1: broken JSON"),
        ("not.parquet", "PAR", "not a readable .parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: str, problem: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=problem):
        proposition_stream(tmp_path / name)


def test_what_is_found_in_any_part_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    rows = "".join(f"Tag {n}\ud800;Es regnet.\r\n" for n in range(8))
    path.write_bytes(f"premise;hypothesis\r\n{rows}".encode("utf-8", "surrogatepass"))
    assert proposition_stream(path).said == tuple(read_propositions(path).said)
    assert len(proposition_stream(path).said) == 2


def test_it_reads_no_further_than_it_is_asked(tmp_path: Path) -> None:
    path = written(tmp_path / "some.jsonl", [plain(n) for n in range(9)])
    stream = proposition_stream(path)
    with path.open("a") as file:
        file.write("not JSON\n")
    assert [each.premise for each in islice(stream, 8)] == [f"It is day {n}." for n in range(8)]
    with pytest.raises(InputError, match="line 10"):
        list(stream)


def test_a_file_is_read_as_a_person_says_each_time(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes("story#claim#hypothesis\nJosé fishes.#He is out.#no\n".encode("windows-1250"))
    how = reading.Reading(separator="#", encoding="windows-1250")
    stream = proposition_stream(path, {"premise": "story", "hypothesis": "claim"}, how)
    for _ in range(2):
        assert [(each.premise, each.hypothesis) for each in stream] == [("José fishes.", "He is out.")]
