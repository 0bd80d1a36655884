from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.store import Place, made_annotator, made_judgment, made_proposition, made_rows
from warehouse import Warehouse
from warehouse.catalog import patience
from warehouse.catalog.schema import to_table
from warehouse.catalog.store import Merged, mark_deleted, merge, merge_all, read, replace, write
from warehouse.errors import InputError, ServiceError
from warehouse.records import Annotator, Consensus, Judgment, Premise, Proposition, Score

WRITER = """
import sys
from tests.fixtures.store import Place, made_annotator
from warehouse import open_warehouse
from warehouse.catalog.store import merge
catalog, data_path, name, transactions = sys.argv[1:]
with open_warehouse(catalog, data_path, read_only=False) as warehouse:
    for number in range(int(transactions)):
        merge(warehouse, [made_annotator(f"{name}-{number}"), made_annotator("everybody's")])
"""


def start_writer(place: Place, name: str, transactions: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, place.catalog, place.data_path, name, str(transactions)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])})


def test_a_merge_inserts_then_changes_only_what_differs(warehouse: Warehouse) -> None:
    one, two = made_judgment("p", "a", 0.25), made_judgment("p", "b", 0.5)
    assert merge(warehouse, [one, two]) == Merged(inserted=2)
    before = warehouse.snapshot_id()
    later = datetime(2030, 1, 1, tzinfo=UTC)
    assert merge(warehouse, [one.model_copy(update={"created_at": later}), two]) == Merged(unchanged=2)
    assert warehouse.snapshot_id() == before

    changed = one.model_copy(update={"probability": 0.75, "created_at": later})
    assert merge(warehouse, [changed, two]) == Merged(updated=1, unchanged=1)
    (stored,) = read(warehouse, Judgment, "judgment_id = ?", [one.judgment_id])
    assert stored == changed.model_copy(update={"created_at": one.created_at})


def test_a_field_can_become_null_and_come_back(warehouse: Warehouse) -> None:
    given_up = made_judgment("p", "a", None)
    merge(warehouse, [made_judgment("p", "a", 0.5)])
    assert merge(warehouse, [given_up]).updated == 1
    assert read(warehouse, Judgment)[0].probability is None
    assert merge(warehouse, [made_judgment("p", "a", 0.5)]).updated == 1


def test_rows_of_two_kinds_are_refused_before_anything_is_written(warehouse: Warehouse) -> None:
    with pytest.raises(TypeError, match="not of annotators, propositions; use merge_all"):
        merge(warehouse, [made_annotator("a"), made_proposition("p")])
    assert read(warehouse, Annotator) == []


def test_of_rows_with_one_key_the_last_counts(warehouse: Warehouse) -> None:
    rows = [made_judgment("p", "a", value) for value in (0.1, 0.2, 0.3)]
    assert merge(warehouse, rows) == Merged(inserted=1)
    assert read(warehouse, Judgment)[0].probability == 0.3


def test_whoever_brought_a_text_first_stays_its_source(warehouse: Warehouse) -> None:
    premise = Premise(premise_id="1", text="text", source="first")
    merge(warehouse, [premise])
    assert merge(warehouse, [premise.model_copy(update={"source": "second"})]) == Merged(unchanged=1)
    assert read(warehouse, Premise)[0].source == "first"


def test_the_source_of_a_text_may_add_what_it_left_out_and_nobody_else(warehouse: Warehouse) -> None:
    bare = made_proposition("p")
    merge(warehouse, [bare])
    told = bare.model_copy(update={"target_probability": 0.25, "kind": "negation"})
    assert merge(warehouse, [told.model_copy(update={"source": "another"})]) == Merged(unchanged=1)
    assert merge(warehouse, [told]) == Merged(updated=1)
    assert read(warehouse, Proposition) == [bare.model_copy(update={"target_probability": 0.25})]
    for later in (bare, told.model_copy(update={"target_probability": 0.75})):
        assert merge(warehouse, [later]) == Merged(unchanged=1), "what is there stays"
    assert [row.target_probability for row in read(warehouse, Proposition)] == [0.25]

    premise = Premise(premise_id="1", text="text", source="first")
    merge(warehouse, [premise])
    assert merge(warehouse, [premise.model_copy(update={"license": "CC-BY-4.0"})]) == Merged(updated=1)
    assert read(warehouse, Premise)[0].license == "CC-BY-4.0"


def test_arrow_rows_find_their_table(warehouse: Warehouse) -> None:
    records = [made_annotator("a"), made_annotator("b")]
    assert merge(warehouse, to_table(Annotator, records)) == Merged(inserted=2)
    assert merge(warehouse, to_table(Annotator, records).to_reader()) == Merged(unchanged=2)
    with pytest.raises(ValueError, match="schema of a record"):
        merge(warehouse, pa.table({"annotator_id": ["a"]}))


def test_all_kinds_arrive_in_one_transaction_or_none(warehouse: Warehouse) -> None:
    before = warehouse.snapshot_id()
    results = merge_all(warehouse, made_rows([("p", "a", 0.5), ("q", "a", 0.25)]))
    assert {table: result.inserted for table, result in results.items()} == {
        "premises": 2,
        "propositions": 2,
        "annotators": 1,
        "judgments": 2,
    }
    assert results["drops"] == Merged()
    assert warehouse.snapshot_id() == before + 1

    whole = to_table(Proposition, [made_proposition("r")])
    without_text = whole.set_column(2, "hypothesis", pa.nulls(1, pa.string()))
    nameless = pa.Table.from_arrays(without_text.columns, schema=whole.schema)
    with pytest.raises(duckdb.Error):
        merge_all(warehouse, [[made_annotator("b")], nameless])
    assert [row.source_id for row in read(warehouse, Annotator)] == ["a"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(min_size=1).filter(lambda text: text.isprintable()),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), max_size=5),
    st.datetimes(timezones=st.just(UTC)),
)
def test_what_is_read_is_what_was_written(
    warehouse: Warehouse, text: str, score: float, levels: list[float], time: datetime
) -> None:
    row = Score(
        score_id=text, model_id=text, proposition_id="'; --", score=score, level_probabilities=levels, created_at=time
    )
    write(warehouse, lambda w: w.connection.execute("DELETE FROM scores"))
    merge(warehouse, [row])
    assert read(warehouse, Score) == [row]


def test_replace_also_deletes_what_is_missing(warehouse: Warehouse) -> None:
    def rows(*names: str) -> pa.Table:
        return to_table(
            Consensus,
            [
                Consensus(
                    consensus_id=name,
                    proposition_id=name,
                    method="em",
                    mean=0.5,
                    sd=None,
                    values=[0.5],
                    weights=[1.0],
                    n_judgments=1,
                    snapshot_id=1,
                )
                for name in names
            ],
        )

    assert replace(warehouse, rows("a", "b"), "method = ?", ["em"]) == Merged(inserted=2)
    assert replace(warehouse, rows("b", "c"), "method = ?", ["em"]) == Merged(inserted=1, unchanged=1, deleted=1)
    assert replace(warehouse, rows(), "method = ?", ["mean"]) == Merged()
    assert [row.consensus_id for row in read(warehouse, Consensus)] == ["b", "c"]


def test_deleted_judgments_keep_their_row(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.5), ("p", "b", 0.25)]))
    assert mark_deleted(warehouse, "made-up", ["p/a", "unknown"]) == 1
    before = warehouse.snapshot_id()
    assert mark_deleted(warehouse, "made-up", ["p/a"]) == 0
    assert mark_deleted(warehouse, "elsewhere", ["p/b"]) == 0
    assert warehouse.snapshot_id() == before
    assert [row.deleted_at is not None for row in read(warehouse, Judgment, "source_id = 'p/a'")] == [True]
    assert warehouse.sql("SELECT count(*) AS n FROM valid_judgments")["n"].to_pylist() == [1]


def test_a_reader_cannot_write(place: Place, warehouse: Warehouse) -> None:
    with place.open() as reader, pytest.raises(InputError, match="reading only"):
        merge(reader, [made_annotator("a")])


def test_a_failed_transaction_leaves_nothing(warehouse: Warehouse) -> None:
    def broken(w: Warehouse) -> None:
        w.connection.execute("DELETE FROM migrations")
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        write(warehouse, broken)
    assert warehouse.sql("SELECT count(*) AS n FROM migrations")["n"][0].as_py() > 0
    assert merge(warehouse, [made_annotator("a")]).inserted == 1


def faulty(failures: int, message: str) -> tuple[Callable[[Warehouse], int], list[int]]:
    """A stub that fails as DuckLake does on a conflict, a number of times."""
    calls: list[int] = []

    def fn(warehouse: Warehouse) -> int:
        calls.append(1)
        if len(calls) <= failures:
            raise duckdb.TransactionException(message)
        return len(calls)

    return fn, calls


def test_a_conflict_is_tried_again_and_another_error_is_not(warehouse: Warehouse) -> None:
    fn, _ = faulty(3, "Failed to commit DuckLake transaction: database is locked")
    assert write(warehouse, fn) == 4
    fn, calls = faulty(3, "no such column")
    with pytest.raises(duckdb.TransactionException, match="no such column"):
        write(warehouse, fn)
    assert len(calls) == 1


def test_patience_ends(warehouse: Warehouse) -> None:
    fn, calls = faulty(10**6, "Transaction conflict")
    with pytest.raises(ServiceError, match="busy"):
        patience.alone(lambda: fn(warehouse), warehouse.lock, patience_s=0.3)
    assert len(calls) > 1


def test_the_lock_keeps_a_second_writer_out(warehouse: Warehouse) -> None:
    with warehouse.lock(), pytest.raises(BlockingIOError), warehouse.lock():
        pass
    with warehouse.lock():
        pass


@pytest.mark.slow
def test_three_writers_all_arrive_and_a_shared_key_stays_one_row(place: Place, warehouse: Warehouse) -> None:
    writers = [start_writer(place, f"w{number}", 20) for number in range(3)]
    assert [writer.wait(timeout=240) for writer in writers] == [0, 0, 0]
    rows = warehouse.sql("SELECT source_id FROM annotators")["source_id"].to_pylist()
    assert sorted(rows) == sorted(["everybody's", *(f"w{w}-{n}" for w in range(3) for n in range(20))])


def test_of_one_text_twice_in_a_merge_the_first_stays(warehouse: Warehouse) -> None:
    first = made_proposition("p").model_copy(update={"parent_id": "one"})
    second = first.model_copy(update={"parent_id": "two"})
    assert merge(warehouse, to_table(Proposition, [first, second])) == Merged(inserted=1)
    assert [each.parent_id for each in read(warehouse, Proposition)] == ["one"]
