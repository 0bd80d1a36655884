from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.store import Place, made_judgment, made_rows, on_postgres, on_sqlite
from warehouse import Warehouse
from warehouse.catalog.maintenance import RESTING, Maintained, maintain, needed_snapshots, snapshots
from warehouse.catalog.store import mark_deleted, merge, merge_all
from warehouse.errors import InputError, ServiceError
from warehouse.records import TABLES, Dataset

NONE, HOUR = timedelta(0), timedelta(hours=1)
NOTHING = Maintained(0, 0, 0, 0, 0)
STATE = "SELECT judgment_id, probability, deleted_at IS NOT NULL AS gone FROM judgments ORDER BY judgment_id"


def publish(warehouse: Warehouse, version: int) -> int:
    """Record a dataset that rests on the present snapshot; the number of that snapshot."""
    number = warehouse.snapshot_id()
    dataset = Dataset(
        dataset_id=f"d{version}",
        name="set",
        version=version,
        snapshot_id=number,
        path="/nowhere",
        n_train=1,
        n_dev=0,
        n_test=0,
        n_judgments=1,
        n_simulated=0,
        code_version="0",
    )
    merge(warehouse, [dataset])
    return number


@pytest.fixture
def history(warehouse: Warehouse) -> dict[int, list[dict[str, object]]]:
    """A warehouse with a history of files, rows in the catalog, updates and deletions; its state at each snapshot.

    It was maintained once before: the first time, DuckLake drops what it kept of tables before they were altered.
    """
    maintain(warehouse, NONE, HOUR)
    states = {}
    for turn in range(4):
        # Ten rows or fewer stay in the catalog, more become a file.
        people = 3 if turn % 2 else 15
        merge_all(warehouse, made_rows([(f"p{turn}", f"a{n}", n / 16) for n in range(people)]))
        states[warehouse.snapshot_id()] = warehouse.sql(STATE).to_pylist()
        mark_deleted(warehouse, "made-up", [f"p{turn}/a0"])
        merge(warehouse, [made_judgment(f"p{turn}", f"a{n}", 1.0) for n in range(1, people, 2)])
        states[warehouse.snapshot_id()] = warehouse.sql(STATE).to_pylist()
    return states


@pytest.mark.slow
def test_what_a_dataset_rests_on_still_answers_and_the_rest_is_refused(
    place: Place, warehouse: Warehouse, history: dict[int, list[dict[str, object]]]
) -> None:
    rests = publish(warehouse, 1)
    merge_all(warehouse, made_rows([("later", f"a{n}", 0.5) for n in range(20)]))
    merge(warehouse, [made_judgment("p0", "a1", 0.0)])
    latest = warehouse.sql(STATE).to_pylist()

    foreseen = maintain(warehouse, NONE, NONE, dry_run=True)
    before = warehouse.snapshot_id()
    assert foreseen.expired == before - len({rests, before}) + 1
    done = maintain(warehouse, NONE, NONE)
    assert done.moved_rows > 0
    assert done.small_files > 0
    assert done.unneeded_files > 0
    assert done.expired >= foreseen.expired

    assert warehouse.sql(STATE).to_pylist() == latest
    assert [one.number for one in snapshots(warehouse)] == [warehouse.snapshot_id(), rests]
    with place.open(at=rests) as then:
        assert then.sql(STATE).to_pylist() == history[rests]
    for number in sorted(history)[:-1]:
        with pytest.raises(InputError, match=f"no snapshot {number}: .*expired; `odds snapshots` lists them"):
            place.open(at=number)
    assert maintain(warehouse, NONE, NONE) == NOTHING
    assert warehouse.sql(STATE).to_pylist() == latest


@on_sqlite  # the same code on every catalog
def test_files_are_written_and_merged_on_one_thread(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 16 threads, a loop of such calls ended the process in three of five tries; docs/log.md tells of it."""
    threads = "SELECT current_setting('threads')::INTEGER AS n"
    warehouse.connection.execute("SET threads = 4")
    seen: dict[str, int] = {}
    call = Warehouse.rows

    def watched(opened: Warehouse, query: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        seen[query.partition("(")[0].removeprefix("CALL ducklake_")] = opened.sql(threads)["n"][0].as_py()
        return call(opened, query, params)

    monkeypatch.setattr(Warehouse, "rows", watched)
    maintain(warehouse, NONE, NONE)
    assert [seen[each] for each in ("flush_inlined_data", "rewrite_data_files", "merge_adjacent_files")] == [1, 1, 1]
    assert warehouse.sql(threads)["n"][0].as_py() == 4


@pytest.mark.slow
def test_merging_changes_no_snapshot(
    place: Place, warehouse: Warehouse, history: dict[int, list[dict[str, object]]]
) -> None:
    done = maintain(warehouse, timedelta(days=30), HOUR)
    assert (done.small_files > 0, done.expired, done.unneeded_files, done.orphan_files) == (True, 0, 0, 0)
    for number, state in history.items():
        with place.open(at=number) as then:
            assert then.sql(STATE).to_pylist() == state


@pytest.mark.slow
def test_a_dry_run_changes_nothing(warehouse: Warehouse, history: dict[int, list[dict[str, object]]]) -> None:
    before = snapshots(warehouse)
    foreseen = maintain(warehouse, NONE, NONE, dry_run=True)
    assert foreseen.moved_rows > 0
    assert foreseen.small_files > 0
    assert foreseen.expired > 0
    assert snapshots(warehouse) == before


@pytest.mark.slow
def test_a_reader_that_began_before_keeps_its_files_for_the_grace(
    place: Place, warehouse: Warehouse, history: dict[int, list[dict[str, object]]]
) -> None:
    number = sorted(history)[3]
    with place.open(at=number) as reader:
        assert maintain(warehouse, NONE, HOUR).expired == 0
        assert reader.sql(STATE).to_pylist() == history[number]
    # Two days later they go, whatever time of the day it is.
    later = datetime.now(UTC) + timedelta(days=2)
    done = maintain(warehouse, NONE, HOUR, now=later)
    assert done.expired > 0
    assert done.unneeded_files > 0


def orphan(place: Place, name: str, age: timedelta) -> Path:
    """A file as a killed writer leaves it in the data folder."""
    path = Path(place.data_path) / "main" / "judgments" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half a parquet file")
    then = time.time() - age.total_seconds()
    os.utime(path, (then, then))
    return path


@on_sqlite  # the age of a file in a bucket cannot be set
def test_orphan_files_are_removed_and_fresh_ones_stay(place: Place, warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", f"a{n}", 0.5) for n in range(20)]))
    state = warehouse.sql(STATE).to_pylist()
    old = orphan(place, "ducklake-01a20a1a-9a0e-7969-872d-4ae312b63af9.parquet", 2 * HOUR)
    deletes = orphan(place, "ducklake-01a20a1a-9a0e-7969-872d-4ae312b63af8-delete.parquet", 2 * HOUR)
    fresh = orphan(place, "ducklake-01a20a1a-9a0e-7969-872d-4ae312b63af7.parquet", HOUR / 2)
    assert maintain(warehouse, NONE, HOUR, dry_run=True).orphan_files == 2
    assert old.exists()
    assert maintain(warehouse, NONE, HOUR).orphan_files == 2
    assert (old.exists(), deletes.exists(), fresh.exists()) == (False, False, True)
    assert warehouse.sql(STATE).to_pylist() == state


@pytest.mark.slow
@on_sqlite  # the same code on every catalog
def test_files_of_somebody_else_are_named_and_left(place: Place, warehouse: Warehouse) -> None:
    theirs = orphan(place, "thesis.parquet", 2 * HOUR)
    ours = orphan(place, "ducklake-01a20a1a-9a0e-7969-872d-4ae312b63af9.parquet", 2 * HOUR)
    done = maintain(warehouse, NONE, HOUR)
    assert done.foreign == (str(theirs),)
    assert done.orphan_files == 0
    assert theirs.exists()
    assert ours.exists()


@on_sqlite  # needs a file that stands in the wrong place
def test_a_file_that_the_catalog_knows_is_no_orphan(place: Place, warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", f"a{n}", 0.5) for n in range(20)]))
    (own,) = (Path(place.data_path) / "main" / "judgments").glob("*.parquet")
    (own.parent / "moved").mkdir()
    own.rename(own.parent / "moved" / own.name)
    with pytest.raises(ServiceError, match="belongs to the warehouse"):
        maintain(warehouse, NONE, NONE, dry_run=True)


@on_postgres
def test_an_orphan_in_a_bucket_is_found(place: Place, warehouse: Warehouse) -> None:
    name = "main/judgments/ducklake-01a20a1a-9a0e-7969-872d-4ae312b63af9.parquet"
    warehouse.connection.execute(f"COPY (SELECT 1 AS x) TO '{place.data_path}/{name}' (FORMAT parquet)")
    assert maintain(warehouse, NONE, HOUR).orphan_files == 0
    assert maintain(warehouse, NONE, NONE, now=datetime.now(UTC) + HOUR).orphan_files == 1


def test_snapshots_say_what_changed_and_who_rests_on_them(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", f"a{n}", 0.5) for n in range(20)]))
    rests = publish(warehouse, 1)
    mark_deleted(warehouse, "made-up", ["p/a0"])
    listed = snapshots(warehouse)
    assert [one.number for one in listed] == sorted((one.number for one in listed), reverse=True)
    by_number = {one.number: one for one in listed}
    assert by_number[rests].datasets == ("set v1",)
    assert "rows into annotators, judgments, premises, propositions" in by_number[rests].changes
    assert "rows deleted from judgments" in listed[0].changes
    assert {rests, warehouse.snapshot_id()} <= needed_snapshots(warehouse)


def test_every_table_that_names_a_snapshot_keeps_it_but_agreement() -> None:
    naming = {record.table for record in TABLES if "snapshot_id" in record.model_fields}
    assert naming == {*RESTING, "agreement"}
