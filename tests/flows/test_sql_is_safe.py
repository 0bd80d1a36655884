"""Ways out of `odds sql`: each must end in one line and exit status 2, and leave every row and file as it was."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import duckdb
import pytest

from tests.fixtures.commands import Inside
from tests.fixtures.store import Place, made_rows, on_postgres, on_sqlite
from warehouse import Warehouse, open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError
from warehouse.queries.user_sql import head, statements

WAYS_OUT = [
    # Several statements, one of them behind what DuckDB expands by itself.
    """PIVOT (SELECT 1 a, 2 b) ON a USING sum(b); ATTACH 'ducklake:sqlite:{catalog}' AS w (CREATE_IF_NOT_EXISTS false);
    DELETE FROM w.judgments; SELECT 1 AS x""",
    "PIVOT (SELECT 1 a, 2 b) ON a USING sum(b); COPY (SELECT 1) TO '{data}/victim.csv'",
    "PIVOT (SELECT 1 a, 2 b) ON a USING sum(b); COPY (SELECT 1) TO '{victim}'; SELECT 1 AS x",
    "SELECT 1; ATTACH 'ducklake:sqlite:{catalog}' AS w; DELETE FROM w.judgments",
    "SELECT 1;\u00a0DELETE FROM judgments",
    "SELECT ';' /* ; */ ; DROP TABLE judgments",
    # Statements that write, also where they are only explained.
    "DELETE FROM judgments",
    "INSERT INTO premises SELECT * FROM premises",
    "DROP TABLE judgments",
    "MERGE INTO judgments USING judgments j ON true WHEN MATCHED THEN DELETE",
    "COPY judgments TO '{victim}'",
    "COPY (SELECT 1 AS x) TO '{data}/victim.parquet'",
    "COPY (PIVOT (SELECT 1 a, 2 b) ON a USING sum(b)) TO '{victim}'",
    "EXPORT DATABASE '{data}/exported'",
    "EXPLAIN COPY (SELECT 1) TO '{victim}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{victim}'",
    "EXPLAIN ANALYZE /* */ COPY (SELECT 1) TO '{data}/victim.csv'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{victim}'",
    "EXPLAIN ANALYZE DELETE FROM judgments",
    "EXPLAIN ANALYZE CREATE TABLE memory.main.x AS PIVOT (SELECT 1 a, 2 b) ON a USING sum(b)",
    "CREATE TABLE x AS PIVOT (SELECT 1 a, 2 b) ON a USING sum(b)",
    "CREATE MACRO flush() AS TABLE FROM ducklake_flush_inlined_data('odds')",
    # What changes the connection.
    "ATTACH 'sqlite:{catalog}' AS w",
    "ATTACH '{victim}.duckdb'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "PRAGMA enable_profiling; PRAGMA profiling_output = '{victim}'",
    "CALL enable_logging(storage = 'file', storage_path = '{data}/logs')",
    "LOAD httpfs",
    "INSTALL httpfs",
    "USE memory",
    "PREPARE p AS DELETE FROM judgments",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    # Functions of the lake that write or remove.
    "CALL ducklake_expire_snapshots('odds', older_than => now())",
    "FROM ducklake_flush_inlined_data('odds')",
    "SELECT * FROM \"ducklake_flush_inlined_data\"('odds')",
    "FROM system.main.ducklake_flush_inlined_data('odds')",
    "WITH a AS (FROM ducklake_flush_inlined_data('odds')) SELECT 1",
    "SELECT (SELECT count(*) FROM ducklake_flush_inlined_data('odds'))",
    "SELECT 1 WHERE EXISTS (FROM ducklake_flush_inlined_data('odds'))",
    "DESCRIBE FROM ducklake_flush_inlined_data('odds')",
    "SUMMARIZE FROM ducklake_flush_inlined_data('odds')",
    "EXPLAIN ANALYZE FROM ducklake_flush_inlined_data('odds')",
    "PIVOT (FROM ducklake_flush_inlined_data('odds')) ON table_name USING count(*)",
    "PIVOT (FROM ducklake_flush_inlined_data/* ( */('odds')) ON table_name USING count(*)",
    "PIVOT (FROM odds.set_option('data_inlining_row_limit', '0')) ON 1 USING count(*)",
    "FROM odds.set_option('data_inlining_row_limit', '0')",
    "FROM odds.merge_adjacent_files()",
    "FROM ducklake_merge_adjacent_files('odds')",
    "FROM ducklake_rewrite_data_files('odds')",
    "FROM ducklake_cleanup_old_files('odds', cleanup_all => true)",
    "FROM ducklake_delete_orphaned_files('odds', cleanup_all => true)",
    "FROM ducklake_add_data_files('odds', 'judgments', '{data}/x.parquet')",
    "FROM ducklake_set_option('odds', 'data_inlining_row_limit', 0)",
    # Functions that run or open something else.
    "FROM query('FROM ducklake_flush_inlined_data(''odds'')')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM ducklake_flush_inlined_data(''odds'')'))",
    "SELECT json_serialize_plan('FROM ducklake_flush_inlined_data(''odds'')')",
    "FROM sqlite_scan('{catalog}', 'ducklake_metadata')",
    "FROM sqlite_query('{catalog}', 'DELETE FROM ducklake_data_file')",
    "FROM sqlite_attach('{catalog}')",
    "FROM postgres_query('odds', 'DELETE FROM judgments')",
    "FROM read_duckdb('{victim}')",
    "FROM arrow_scan(1, 2, 3)",
    "FROM enable_logging('QueryLog')",
    "FROM checkpoint('odds')",
    # Files and addresses that are not the warehouse's.
    "FROM read_text('{victim}')",
    "FROM '{victim}'",
    "FROM read_csv('{data}/../../victim.csv')",
    "FROM glob('{folder}/*')",
    "FROM read_text('/etc/hostname')",
    "FROM read_csv('http://127.0.0.1:9/x.csv')",
    "SELECT getenv('HOME')",
    # What the parser reads in another way than it looks.
    "SELECT 1\0; DELETE FROM judgments",
    "SELECT " + "1 + " * 900 + "1",
]


@pytest.fixture
def odds(place: Place, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """Runs the command line on the warehouse of the place."""
    for name, value in place.settings.items():
        monkeypatch.setenv(name, value)
    return inside


@pytest.fixture
def filled(place: Place) -> Place:
    """A warehouse with rows in files, rows that are still in the catalog, and a file that only it knows."""
    with place.open(read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{n}", "a", 0.5) for n in range(20)]))
        merge_all(warehouse, made_rows([("q", "a", 0.25)]))
    return place


def files_of(folder: Path) -> dict[str, str]:
    """Every file under a folder with a hash; of the catalog, whose journal comes and goes with readers, its rows."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "catalog.sqlite":
            with sqlite3.connect(path) as connection:
                found[path.name] = hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()
        elif path.is_file() and not path.name.startswith("catalog.sqlite-"):
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def refusal(warehouse: Warehouse, text: str) -> str | None:
    """The line that refuses one of the queries of a text; None where all of them ran."""
    try:
        for query in statements(warehouse, text):
            head(warehouse, query, 1)
    except InputError as error:
        line = str(error)
    else:
        return None
    assert "\n" not in line
    return line


@pytest.mark.slow
@on_sqlite
def test_every_way_out_is_one_line_and_changes_nothing(odds: Inside, filled: Place, tmp_path: Path) -> None:
    victim = tmp_path / "victim.csv"
    victim.write_text("mine\n1\n")
    names = {"catalog": filled.catalog, "data": filled.data_path, "victim": str(victim), "folder": str(tmp_path)}
    before = files_of(tmp_path)
    assert any(name.endswith(".parquet") for name in before)
    ways = []
    for way in WAYS_OUT:
        for name, value in names.items():
            way = way.replace(f"{{{name}}}", value)  # noqa: PLW2901 - filled in
        ways.append(way)
    with filled.open(at="opened") as warehouse:
        assert [way for way in ways if refusal(warehouse, way) is None] == []
        for way in ways:  # from Python
            with pytest.raises((InputError, duckdb.Error)):
                warehouse.sql(way)
            with pytest.raises((InputError, duckdb.Error)):
                warehouse.batches(way)
    for way in (ways[0], "EXPLAIN ANALYZE COPY (SELECT 1) TO 'victim.csv'", "FROM ducklake_flush_inlined_data('odds')"):
        status, out, said = odds("sql", way)
        assert (status, out, said.startswith("odds: "), said.count("\n")) == (2, "", True, 1)
    assert files_of(tmp_path) == before
    with filled.open() as warehouse:
        assert warehouse.sql("SELECT count(*) AS n FROM judgments")["n"].to_pylist() == [21]


@on_postgres
def test_a_catalog_on_a_server_is_as_safe(filled: Place, database: str) -> None:
    with filled.open() as warehouse:
        snapshot = warehouse.snapshot_id()
        for query in (
            "FROM postgres_query('__ducklake_metadata_odds', 'DELETE FROM ducklake_data_file')",
            "FROM postgres_execute('__ducklake_metadata_odds', 'DELETE FROM ducklake_data_file')",
            "CALL postgres_execute('__ducklake_metadata_odds', 'DELETE FROM ducklake_data_file')",
            f"FROM postgres_scan('{database.removeprefix('postgres:')}', 'public', 'ducklake_data_file')",
            "FROM postgres_attach('')",
            "FROM ducklake_cleanup_old_files('odds', cleanup_all => true)",
            f"COPY (SELECT 1 AS x) TO '{filled.data_path}/victim.parquet'",
            f"PIVOT (SELECT 1 a) ON a USING sum(a); COPY (SELECT 1 AS x) TO '{filled.data_path}/victim.parquet'",
            "FROM 's3://another/bucket.parquet'",
        ):
            assert refusal(warehouse, query) is not None, query
        files = warehouse.sql(f"SELECT count(*) AS n FROM glob('{filled.data_path}/**')")["n"][0].as_py()
        known = warehouse.sql("SELECT count(*) AS n FROM __ducklake_metadata_odds.ducklake_data_file")["n"][0].as_py()
        assert (files, warehouse.snapshot_id()) == (known, snapshot)
        assert head(warehouse, "SELECT sum(probability) AS s FROM judgments", 1)[0]["s"].to_pylist() == [10.25]


@pytest.mark.slow
@on_sqlite
def test_what_is_allowed_is_read(odds: Inside, filled: Place, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("mine.csv", "folder/other.csv"):
        (tmp_path / name).write_text("x\n1\n2\n")
    assert odds("sql", "SELECT sum(x) + 40 AS s FROM 'mine.csv'", "--allow", "mine.csv")[:2][0] == 0
    both = "SELECT count(*) AS n FROM read_csv(['mine.csv', 'folder/other.csv'])"
    status, out, _ = odds("sql", both, "--allow", "mine.csv", "--allow", "folder", "--format", "csv")
    assert (status, out) == (0, "n\n4\n")
    for arguments, line in (
        ((both, "--allow", "mine.csv"), "it may not read folder/other.csv"),
        ((both, "--allow", "none.csv"), "none.csv does not exist"),
        (("FROM 'mine.csv'", "--allow", "mine.csv", "--output", "mine.csv"), "name another output"),
        (("FROM judgments", "--output", filled.catalog.removesuffix("sqlite") + "csv"), ""),
        (("FROM judgements",), "there is no table or view judgements"),
        (("FROM judgments AT (VERSION => 99999)",), "there is no snapshot of version 99999"),
        (("FROM read_csv('folder/none.csv')", "--allow", "folder"), "no file folder/none.csv"),
    ):
        status, _, said = odds("sql", *arguments)
        assert (status, line in said) == ((2, True) if line else (0, True)), said


READS = [
    "PIVOT judgments ON cannot_judge USING count(*)",
    "FROM (PIVOT judgments ON cannot_judge USING count(*) GROUP BY annotator_id)",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT count(*) FROM judgments",
    "FROM odds.snapshots()",
    "FROM ducklake_list_files('odds', 'judgments')",
    "SELECT count(*) FROM judgments AT (VERSION => 3)",
    "SELECT i FROM range(3) t(i), unnest([1, 2]) u(j)",
    "SUMMARIZE judgments",
    "SELECT name FROM duckdb_settings()",
    "SELECT query, checkpoint FROM (SELECT 1 AS query, 2 AS checkpoint)",
]


@on_sqlite
def test_what_reads_is_not_in_the_way(filled: Place) -> None:
    with filled.open() as warehouse:
        for query in READS:
            (one,) = statements(warehouse, query)
            assert head(warehouse, one, 5)[1] > 0, query


@on_sqlite
def test_a_sealed_connection_reads_by_a_link_and_sorts_more_than_its_memory(place: Place, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(Path(place.catalog).parent, target_is_directory=True)
    catalog = link / "new.sqlite"
    with open_warehouse(catalog, link / "new", read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{n}", "a", 0.5) for n in range(20)]))
    with open_warehouse(catalog, link / "new", memory_limit="40MB") as warehouse:
        assert warehouse.sql("SELECT sum(probability) AS s FROM judgments")["s"].to_pylist() == [10.0]
        texts = "md5(i::VARCHAR) || md5((i + 1)::VARCHAR) || md5((i + 2)::VARCHAR)"
        sort = f"SELECT a FROM (SELECT {texts} AS a FROM range(500_000) t(i)) ORDER BY a OFFSET 499_999"
        assert len(head(warehouse, sort, 1)[0]["a"][0].as_py()) == 96
