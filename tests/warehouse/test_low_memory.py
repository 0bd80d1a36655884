from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from tests.fixtures.store import made_rows
from warehouse import Warehouse
from warehouse.catalog.low_memory import FreeMemory, seldom_collected, sparing, without_pandas
from warehouse.catalog.store import merge_all

FRAMES = """
import sys
from warehouse.catalog.low_memory import without_pandas
with without_pandas():
    import duckdb
    import pyarrow
    connection = duckdb.connect()
    assert connection.execute("SELECT ?", ["text"]).fetchall() == [("text",)]
    table = pyarrow.table({"n": pyarrow.array([1, None])})
    assert connection.from_arrow(table).fetchall() == [(1,), (None,)]
    assert "pandas" not in sys.modules
assert table.to_pandas()["n"][0] == 1
frame = connection.execute("SELECT 2 AS n").df()
assert connection.sql("SELECT n FROM frame").fetchall() == [(2,)]
"""


def test_pandas_stays_out_while_models_are_asked_and_works_afterwards() -> None:
    pytest.importorskip("pandas")
    done = subprocess.run(
        [sys.executable, "-c", FRAMES], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_pandas_that_is_loaded_stays() -> None:
    pandas = pytest.importorskip("pandas")
    with without_pandas():
        assert import_module("pandas") is pandas


@pytest.fixture
def threshold() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)
    gc.unfreeze()


def test_the_collector_works_as_before_when_all_is_asked(threshold: tuple[int, int, int]) -> None:
    with suppress(KeyError), seldom_collected():
        assert gc.get_threshold()[0] > threshold[0]
        assert gc.get_freeze_count() > 0
        raise KeyError
    assert gc.get_threshold() == threshold
    assert gc.get_freeze_count() == 0


def setting(warehouse: Warehouse, name: str) -> object:
    return warehouse.sql(f"SELECT current_setting('{name}') AS s")["s"][0].as_py()


def test_queries_run_on_one_thread_while_models_are_asked(warehouse: Warehouse) -> None:
    before = setting(warehouse, "threads")
    with sparing(warehouse):
        assert setting(warehouse, "threads") == 1
    assert setting(warehouse, "threads") == before


def test_giving_memory_back_changes_no_limit_and_no_row(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.25), ("p", "b", 0.5)]))
    memory = FreeMemory(warehouse)
    memory.give_back()
    limit = setting(warehouse, "memory_limit")  # as DuckDB rounds it
    for _ in range(3):
        memory.give_back()
    assert setting(warehouse, "memory_limit") == limit
    assert warehouse.sql("SELECT sum(probability) AS s FROM judgments")["s"][0].as_py() == 0.75
