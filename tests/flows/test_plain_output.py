from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from flows.terminal.console import harmless
from tests.fixtures.commands import ODDS, Inside
from tests.fixtures.store import Place, made_rows, on_sqlite
from warehouse.catalog.store import merge_all
from warehouse.records import Premise, premise_id

ESCAPES = "\x1b]0;mine\x07\x1b[31mred\x9b2J\x7f\u202eesrever\u2066\r\x08"
STEERING = set("\x1b\x07\x9b\x7f\u202e\u2066\r\x08")


@pytest.fixture
def steered(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A warehouse in which texts, a source and an annotator hold orders to a terminal."""
    for name, value in place.settings.items():
        monkeypatch.setenv(name, value)
    text = f"premise {ESCAPES}"
    with place.open(read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", f"a{ESCAPES}", 0.5)]))
        merge_all(warehouse, [[Premise(premise_id=premise_id(text), text=text, source=f"[bold]{ESCAPES}")]])
    return place


def test_what_steers_a_terminal_is_shown_instead() -> None:
    assert harmless("\x1b[31m a\tb\nc \x07\x9b\u202e\ud800\u200f\N{HEBREW LETTER ALEF}") == (
        "␛[31m a\tb\nc ␇\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\u200f\u05d0"
    )


@pytest.mark.slow
@on_sqlite
def test_no_command_lets_a_text_of_the_data_steer_the_terminal(steered: Place, inside: Inside) -> None:
    with steered.open() as warehouse:
        (judgment,) = warehouse.sql("SELECT judgment_id FROM judgments")["judgment_id"].to_pylist()
        (premise,) = warehouse.sql("SELECT premise_id FROM premises WHERE source LIKE '[bold]%'")[0].to_pylist()
    for arguments in (
        ("sql", "FROM premises"),
        ("sql", "SELECT text, source FROM premises"),
        ("sql", f'SELECT 1 AS "{ESCAPES}"'),
        ("sql", "FROM premises", "--format", "json"),
        ("sql", "FROM premises", "--format", "jsonl"),
        ("trace", premise),
        ("trace", judgment, "--json"),
        ("status",),
        ("status", "--json"),
        ("tables",),
        ("snapshots",),
    ):
        status, out, said = inside(*arguments)
        assert (status, said) == (0, ""), arguments
        assert STEERING.isdisjoint(out), arguments
    assert "[bold]" in inside("sql", "SELECT source FROM premises WHERE source LIKE '[bold]%'")[1]
    for arguments in (("sql", f'FROM "{ESCAPES}"'), ("trace", ESCAPES), ("sql", f"@{ESCAPES}")):
        status, out, said = inside(*arguments)
        assert (status, out) == (2, "")
        assert STEERING.isdisjoint(said)


@on_sqlite
def test_rows_for_a_pipe_are_rows_and_nothing_else(
    place: Place, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in place.settings.items():
        monkeypatch.setenv(name, value)
    place.open(read_only=False).close()
    query = "SELECT i AS n, '漢|<b>' || i AS \"a b\", [i, NULL] AS list FROM range(50) t(i) ORDER BY i"

    def rows(form: str, *more: str) -> str:
        status, out, said = inside("sql", query, "--format", form, *more)
        assert (status, said) == (0, "")
        return out

    assert rows("csv").splitlines()[:2] == ["n,a b,list", '0,漢|<b>0,"[0, null]"']
    assert [row["n"] for row in csv.DictReader(io.StringIO(rows("csv")))] == [str(i) for i in range(50)]
    expected = [{"n": i, "a b": f"漢|<b>{i}", "list": [i, None]} for i in range(50)]
    assert json.loads(rows("json")) == expected
    assert [json.loads(line) for line in rows("jsonl").splitlines()] == expected
    assert json.loads(rows("json", "--limit", "3")) == expected[:3]
    assert rows("markdown", "--limit", "1") == (
        "| n | a b | list |\n| --- | --- | --- |\n| 0 | 漢&#124;&#60;b&#62;0 | &#91;0, null&#93; |\n"
    )
    status, out, _ = inside("sql", "SELECT 1 AS x WHERE false", "--format", "json")
    assert (status, json.loads(out)) == (0, [])
    for arguments in (
        ("SELECT 1; SELECT 2", "--format", "csv"),
        ("SELECT 1 AS a, 2 AS a", "--format", "json"),
        ("SELECT 1", "--format", "csv", "--output", "x.csv"),
    ):
        status, out, said = inside("sql", *arguments)
        assert (status, out, said.count("\n")) == (2, "", 1)


@on_sqlite
@pytest.mark.usefixtures("steered")
def test_formulas_do_not_reach_a_spreadsheet(inside: Inside, tmp_path: Path) -> None:
    texts = ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "\t=1", "\r=1", " =1", "\uff1d1", "fine", "a=b", "2-1"]
    values = ", ".join("('" + text.replace("'", "''") + "')" for text in texts)
    query = f'SELECT text, -1 AS "=n", -0.5 AS x FROM (VALUES {values}) t(text)'
    assert inside("sql", query, "-o", "out.csv")[0] == 0
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        header, *found = csv.reader(file)
    assert header == ["text", "'=n", "x"]
    assert [row[0] for row in found] == [f"'{text}" for text in texts[:8]] + texts[8:]
    assert {tuple(row[1:]) for row in found} == {("-1", "-0.5")}
    assert inside("sql", query, "--format", "csv")[1].splitlines()[1].startswith("'=cmd")
    assert inside("export", query, "kept.csv", "--keep-formulas")[0] == 0
    with (tmp_path / "kept.csv").open(newline="", encoding="utf-8") as file:
        assert [row[0] for row in csv.reader(file)] == ["text", *texts]


@on_sqlite
def test_a_pipe_that_closes_and_a_terminal_without_the_letters(place: Place, tmp_path: Path) -> None:
    place.open(read_only=False).close()
    odds = shlex.quote(str(ODDS))
    script = f"""
    {odds} sql "SELECT i, '漢' AS x FROM range(2000000) t(i)" --format csv | head -2
    PYTHONUTF8=0 PYTHONIOENCODING=ascii {odds} sql "SELECT '漢' AS x, 'é' AS y"; echo "ended $?"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | place.settings,
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert lines[:2] == ["i,x", "0,漢"]
    assert any("\\u6f22" in line and "\\xe9" in line for line in lines)
    assert lines[-1] == "ended 0"
