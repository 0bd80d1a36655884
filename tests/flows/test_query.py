from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from flows.research import query as flow
from flows.research.export import export
from flows.research.query import moment, print_query, print_tables, query_text, sql, tables
from flows.settings.sections import WarehouseSettings
from flows.settings.settings import Settings
from tests.fixtures.commands import ODDS, ended_well, one_line
from tests.fixtures.store import Place, made_rows, on_sqlite
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "opened"),
        ("17", 17),
        (" 17 ", 17),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20 14:00", datetime(2026, 11, 20, 14, tzinfo=UTC)),
        ("2026-11-20T14:00:30.5Z", datetime(2026, 11, 20, 14, 0, 30, 500_000, tzinfo=UTC)),
        ("2026-11-20 14:00+05:30", datetime(2026, 11, 20, 8, 30, tzinfo=UTC)),
        ("2026-11-20 14:00 UTC", datetime(2026, 11, 20, 14, tzinfo=UTC)),
        ("2026-07-20 14:00 Europe/Berlin", datetime(2026, 7, 20, 12, tzinfo=UTC)),
        ("2026-01-20 Europe/Berlin", datetime(2026, 1, 19, 23, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_snapshot_or_a_time(text: str | None, expected: object) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "-3",
        "1.5",
        "2026-13-01",
        "20/11/2026",
        "2026-11-20 14:00 Nowhere/Town",
        "2026-11-23 12:01",
        "14:00",
        "2026-11-20 14:00 ../../etc/passwd",
        "2026-11-23 12:30 Asia/Tokyo extra",
    ],
)
def test_what_is_no_moment_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=f"--at {text}".rstrip() if text.isalpha() else "--at") as raised:
        moment(text, NOW)
    assert "\n" not in str(raised.value)


def test_a_query_is_a_text_a_file_or_the_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "query.sql"
    path.write_text("SELECT 1")
    assert query_text("SELECT 2", None) == "SELECT 2"
    assert query_text(f"@{path}", None) == query_text(None, path) == "SELECT 1"
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert query_text("-", None) == "SELECT 1"
    (tmp_path / "latin.sql").write_bytes(b"SELECT '\xe9'")
    for query, file_ in (
        (None, None),
        ("SELECT 1", path),
        ("@none.sql", None),
        (None, tmp_path / "latin.sql"),
        (f"@{tmp_path}", None),
    ):
        with pytest.raises(InputError):
            query_text(query, file_)


@pytest.fixture
def asked(place: Place) -> tuple[Settings, int, datetime]:
    """Settings of a warehouse with three judgments; one at a snapshot, and a time at which it was the latest."""
    with place.open(read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", "a", 0.25)]))
        snapshot = warehouse.snapshot_id()
        (shown,) = warehouse.sql("SELECT max(snapshot_time) AS t FROM ducklake_snapshots('odds')")["t"].to_pylist()
        merge_all(warehouse, made_rows([("q", "a", 0.75), ("q", "b", 0.5)]))
    settings = Settings(warehouse=WarehouseSettings(catalog=place.catalog, data_path=place.data_path))
    return settings, snapshot, shown + timedelta(milliseconds=1)


def printed(settings: Settings, text: str, limit: int = 40, **more: object) -> str:
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    print_query(settings, text, limit, console, **more)  # type: ignore[arg-type]
    return console.export_text()


@pytest.mark.slow
def test_answers_are_those_of_then(asked: tuple[Settings, int, datetime], tmp_path: Path) -> None:
    settings, snapshot, time = asked
    query = "SELECT 'judgments: ' || count(*) AS said FROM judgments"
    assert "judgments: 3" in printed(settings, query)
    for then in (snapshot, time):
        said = printed(settings, query, at=then)
        assert "judgments: 1" in said
        assert f"as of snapshot {snapshot}" in said
    exported = export("judgments", tmp_path / "then.parquet", at=time.isoformat(), config=settings)
    assert (exported.rows, exported.snapshot_id) == (1, snapshot)
    assert sql(query, at=str(snapshot), config=settings).to_pylist() == [{"said": "judgments: 1"}]
    assert flow.write_query(settings, "FROM judgments", tmp_path / "now.parquet") == 3
    assert flow.write_query(settings, "FROM judgments", tmp_path / "then.parquet", snapshot) == 1
    assert pq.read_table(tmp_path / "then.parquet")["probability"].to_pylist() == [0.25]
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    print_tables(tables(at=str(snapshot), config=settings), console)
    assert "judgments (table, 1 rows)" in console.export_text()


@on_sqlite
def test_what_is_printed(asked: tuple[Settings, int, datetime]) -> None:
    settings = asked[0]
    said = printed(settings, "SELECT i, i AS i, '[bold]text[/bold]' AS text FROM range(1000) t(i) ORDER BY i", limit=2)
    assert "2 of 1,000 rows" in said
    assert "[bold]text[/bold]" in said  # what a person wrote is no markup
    assert [line.split()[1::2][:2] for line in said.splitlines() if "text[" in line] == [["0", "0"], ["1", "1"]]
    wide = ", ".join(f"{number} AS column_{number}" for number in range(20))
    said = printed(settings, f"SELECT {wide} FROM range(2)")
    assert [line.split("┃")[0].split("│")[1].strip() for line in said.splitlines() if "column_7" in line] == [
        "column_7"
    ] * 2
    said = printed(settings, "-- How many?\nSELECT count(*) AS judged FROM judgments;\n-- Which?\nSELECT 1 AS one;")
    assert said.index("How many?") < said.index("judged") < said.index("Which?") < said.index("one")
    assert printed(settings, "SELECT 1 AS x WHERE false").splitlines()[1].split() == ["┃", "x", "┃"]


@pytest.mark.slow
@on_sqlite
def test_the_command_line(place: Place, asked: tuple[Settings, int, datetime], tmp_path: Path) -> None:
    def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        environment = os.environ | place.settings | {"COLUMNS": "120"}
        command = [str(ODDS), *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    snapshot = str(asked[1])
    (tmp_path / "q.sql").write_text("SELECT count(*) + 40 AS n FROM judgments;")
    assert "43" in ended_well(run("sql", "-", given="SELECT count(*) + 40 AS n FROM judgments"))
    assert "41" in ended_well(run("sql", "@q.sql", "--at", snapshot))
    assert "3 rows in out.csv" in ended_well(run("sql", "FROM judgments", "-o", "out.csv"))
    assert f"1 rows in set, snapshot {snapshot}" in ended_well(run("export", "judgments", "set", "--at", snapshot))
    attached = run("attach", "--for", "duckdb", "--at", snapshot)
    assert f"SNAPSHOT_VERSION {snapshot}" in ended_well(attached)
    assert len(attached.stdout.splitlines()) == 1
    assert ended_well(run("attach")).count("ATTACH") == 4
    for arguments in (
        ("sql", "FROM judgments", "--at", "99999"),
        ("sql", "FROM judgments", "--at", "1999-01-01"),
        ("tables", "--at", "soon"),
        ("export", "judgments", "other", "--at", "9e9"),
        ("sql", "INSERT INTO premises SELECT * FROM premises"),
        ("sql", "DROP TABLE judgments"),
        ("sql", "-"),
        ("sql",),
        ("export", "judgments", "set"),
        ("attach", "--at", "99999"),
    ):
        one_line(run(*arguments), 2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "warehouse") == ["out.csv", "q.sql", "set"]
