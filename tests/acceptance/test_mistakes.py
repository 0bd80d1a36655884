"""What a person gets wrong ends in one line that says what, where and what to do; and nothing is half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.commands import Run, ended_well, one_line
from tests.fixtures.studio import StudioServer

GOOD = {"premise": "It rains.", "hypothesis": "The street is wet.", "annotator": "a", "rating": 90}
DEAD = "http://127.0.0.1:9"


def write_rows(path: Path, *rows: object) -> None:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))


@pytest.mark.parametrize(
    ("rows", "arguments", "said"),
    [
        (None, (), ["judgments.jsonl", "does not exist"]),
        ([GOOD], ("--column", "rating=score"), ["judgments.jsonl", "'score'", "rating"]),
        ([GOOD], ("--column", "colour=rating"), ["colour=rating", "FIELD"]),
        ([GOOD], ("--scale", "ten"), ["--scale ten", "0:100"]),
        ([GOOD, GOOD | {"rating": 101}], (), ["line 2", "'rating'", "101"]),
        ([GOOD, GOOD | {"rating": "high"}], (), ["line 2", "'rating'", "high"]),
        ([GOOD, GOOD | {"premise": "  "}], (), ["line 2", "'premise'"]),
        ([GOOD, '{"premise": "It'], (), ["line 2"]),
    ],
)
def test_a_bad_file_changes_nothing(
    tmp_path: Path, odds: Run, rows: list[object] | None, arguments: tuple[str, ...], said: list[str]
) -> None:
    if rows is not None:
        write_rows(tmp_path / "judgments.jsonl", *rows)
    line = one_line(odds("import", "judgments", "judgments.jsonl", *arguments), 2)
    for part in said:
        assert part in line
    assert not (tmp_path / ".odds").exists(), "a refused file left something behind"


@pytest.mark.slow
def test_a_bad_row_leaves_the_warehouse_as_it_was(tmp_path: Path, odds: Run) -> None:
    write_rows(tmp_path / "judgments.jsonl", GOOD)
    ended_well(odds("import", "judgments", "judgments.jsonl"))
    before = ended_well(odds("status", "--json"))
    write_rows(tmp_path / "judgments.jsonl", GOOD | {"annotator": "b"}, GOOD | {"annotator": "c", "rating": -1})
    one_line(odds("import", "judgments", "judgments.jsonl"), 2)
    assert ended_well(odds("status", "--json")) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[annotation]\nprojekt = 'x'", ["annotation.projekt", "not a setting"]),
        ("home = [", ["not valid TOML"]),
        ("[splits]\ntrain = 0.8\ndev = 0.3", ["splits", "train + dev"]),
        ("[proposer]\nendpoint = 'elsewhere'\nname = 'p'\nmodel = 'm'", ["elsewhere", "embedded"]),
    ],
)
def test_bad_settings(tmp_path: Path, odds: Run, text: str, said: list[str]) -> None:
    (tmp_path / "odds.toml").write_text(text)
    line = one_line(odds("status"), 2)
    for part in ["odds.toml", *said]:
        assert part in line


@pytest.mark.slow
def test_before_anything_is_there(tmp_path: Path, odds: Run) -> None:
    assert "no such settings file" in one_line(odds("--config", "none.toml", "status"), 2)
    for command in (("status",), ("sql", "SELECT 1"), ("tables",)):
        assert "no warehouse" in one_line(odds(*command), 2)
    assert "odds agree" in one_line(odds("publish"), 2)
    assert "odds publish" in one_line(odds("train"), 2)
    assert "odds train" in one_line(odds("evaluate"), 2)


def test_bad_queries(tmp_path: Path, odds: Run) -> None:
    write_rows(tmp_path / "judgments.jsonl", GOOD)
    ended_well(odds("import", "judgments", "judgments.jsonl"))
    assert "nowhere" in one_line(odds("sql", "SELECT * FROM nowhere"), 2)
    assert "read" in one_line(odds("sql", "DELETE FROM judgments"), 2)
    assert ".parquet" in one_line(odds("sql", "SELECT 1", "--output", "x.xlsx"), 2)


@pytest.mark.slow
def test_services_that_do_not_answer(tmp_path: Path, odds: Run, studio_server: StudioServer) -> None:
    write_rows(tmp_path / "judgments.jsonl", GOOD)
    ended_well(odds("import", "judgments", "judgments.jsonl"))
    dead = {"ODDS_ENDPOINTS": f'[{{"name": "embedded", "base_url": "{DEAD}/v1", "max_attempts": 2}}]'}
    line = one_line(odds("elicit", env=dead), 1)
    assert DEAD in line
    assert "embedded" in line

    nowhere = {"ODDS_ANNOTATION__URL": DEAD, "LABEL_STUDIO_TOKEN": "t"}
    assert DEAD in one_line(odds("pull", env=nowhere), 1)
    no_token = {"ODDS_ANNOTATION__URL": studio_server.url}
    assert "LABEL_STUDIO_TOKEN" in one_line(odds("pull", env=no_token), 2)
    wrong = {"ODDS_ANNOTATION__URL": studio_server.url, "LABEL_STUDIO_TOKEN": "0" * 40}
    line = one_line(odds("push", env=wrong), 2)
    assert "token" in line
    assert "0" * 40 not in line
    assert "no task" not in line


def test_verbose_shows_the_traceback(tmp_path: Path, odds: Run) -> None:
    result = odds("--verbose", "status")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
