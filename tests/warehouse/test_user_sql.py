from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pyarrow as pa
import pytest

from tests.fixtures.store import made_rows
from warehouse import Warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError
from warehouse.queries.user_sql import head, only_statement, statements, stream


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    merge_all(warehouse, made_rows([("p", "a", 0.25), ("p", "b", 0.5), ("q", "a", 1.0)]))
    return warehouse


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO premises SELECT * FROM premises",
        "DROP TABLE judgments",
        "SELECT 1; DELETE FROM judgments",
        "COPY judgments TO 'judgments.csv'",
        "ATTACH 'other.duckdb'",
        "SET threads = 1",
        "CALL ducklake_expire_snapshots('odds', older_than => now())",
        "WITH a AS (SELECT 1) UPDATE judgments SET probability = 0",
    ],
)
def test_a_query_that_does_more_than_read_is_refused_and_changes_nothing(filled: Warehouse, query: str) -> None:
    before = filled.snapshot_id()
    with pytest.raises(InputError, match="more than read") as raised:
        statements(filled, query)
    assert "\n" not in str(raised.value)
    assert filled.snapshot_id() == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "FROM judgments",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a;",
        "VALUES (1)",
        "DESCRIBE judgments",
        "SHOW TABLES",
        "SUMMARIZE judgments",
        "EXPLAIN SELECT 1",
        "PIVOT judgments ON cannot_judge USING count(*)",
        "-- a comment\nSELECT ';' AS semicolon -- and another",
    ],
)
def test_what_reads_runs(filled: Warehouse, query: str) -> None:
    rows, total = head(filled, only_statement(filled, query), 5)
    assert total > 0
    assert rows.num_rows == min(total, 5)


def test_several_queries_keep_their_comments(filled: Warehouse) -> None:
    text = "-- First.\nSELECT 1;\n\n-- Second; with a semicolon.\nSELECT ';';\n-- the end\n"
    found = statements(filled, text)
    assert [head(filled, one, 5)[0].columns[0].to_pylist() for one in found] == [[1], [";"]]
    assert found[1].startswith("-- Second")
    with pytest.raises(InputError, match="2 queries"):
        only_statement(filled, text)


@pytest.mark.parametrize("query", ["", " ;", "-- nothing", "SELEKT 1", "SELECT nothing FROM judgments", "FROM nobody"])
def test_a_mistake_is_one_line(filled: Warehouse, query: str) -> None:
    with pytest.raises(InputError, match="query") as raised:
        head(filled, only_statement(filled, query), 5)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="query"):
        stream(filled, only_statement(filled, query))


def test_the_first_rows_and_how_many_there_are(filled: Warehouse) -> None:
    rows, total = head(filled, "SELECT i FROM range(200000) t(i) ORDER BY i", 70_000)
    assert (rows.num_rows, total) == (70_000, 200_000)
    assert rows["i"].to_pylist() == list(range(70_000))
    rows, total = head(filled, "SELECT i FROM range(0) t(i)", 3)
    assert (rows.num_rows, total, rows.schema.names) == (0, 0, ["i"])


def test_a_mistake_in_the_middle_of_a_stream_is_one_line_too(filled: Warehouse) -> None:
    late = "SELECT CASE WHEN i = 2900000 THEN ('x' || i)::INTEGER ELSE i END AS x FROM range(3000000) t(i)"
    reader = stream(filled, late)
    assert reader.read_next_batch().num_rows > 0
    with pytest.raises(InputError, match="cannot be run: Conversion Error: Could not convert string 'x2900000'"):
        reader.read_all()
    with pytest.raises(InputError, match="cannot be run"):
        head(filled, late, 1)


def test_a_mistake_is_said_though_the_interrupt_of_other_threads_came_first(
    filled: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = Warehouse.batches
    raced: list[str] = []

    def racing_stub(self: Warehouse, query: str) -> pa.RecordBatchReader:
        """The stream as DuckDB ends it when the race between its threads is lost."""
        whole = batches(self, query)

        def rows() -> Iterator[pa.RecordBatch]:
            try:
                yield from whole
            except OSError:
                raced.append(query)
                raise OSError("INTERRUPT Error: Interrupted!") from None

        return pa.RecordBatchReader.from_batches(whole.schema, rows())

    monkeypatch.setattr(Warehouse, "batches", racing_stub)
    late = "SELECT CASE WHEN i = 290000 THEN ('x' || i)::INTEGER ELSE i END AS x FROM range(300000) t(i)"
    with pytest.raises(InputError, match="cannot be run: Conversion Error: Could not convert string 'x290000'"):
        head(filled, late, 1)
    assert raced == [late]


def test_columns_of_one_name_are_refused_where_one_would_be_lost(filled: Warehouse) -> None:
    with pytest.raises(InputError, match="'a'"):
        stream(filled, "SELECT 1 AS a, 2 AS b, 3 AS a")
    assert head(filled, "SELECT 1 AS a, 3 AS a", 1)[0].num_columns == 2


def test_the_time_between_two_times_is_a_duration(warehouse: Warehouse) -> None:
    query = (
        "SELECT CASE WHEN i % 2 = 0 THEN TIMESTAMP '2024-03-05 01:30:00' + to_days(i) - TIMESTAMP '2024-03-05' END AS t"
    )
    rows, total = head(warehouse, f"{query} FROM range(5000) r(i) ORDER BY i", 3)
    assert (rows.schema.types, total) == ([pa.duration("us")], 5000)
    assert rows["t"].to_pylist() == [timedelta(hours=1, minutes=30), None, timedelta(days=2, hours=1, minutes=30)]
    with pytest.raises(InputError, match="column 'm' of the query has intervals of months"):
        stream(warehouse, "SELECT INTERVAL 1 MONTH AS m")
