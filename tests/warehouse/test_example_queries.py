from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.store import made_rows
from warehouse import Warehouse
from warehouse.catalog.store import merge_all

TEXT = (Path(__file__).parents[2] / "examples" / "queries.sql").read_text()
STATEMENTS = [statement.strip() for statement in TEXT.split(";") if statement.strip()]


@pytest.mark.parametrize("query", STATEMENTS, ids=range(len(STATEMENTS)))
def test_every_example_query_runs(warehouse: Warehouse, query: str) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.2), ("p", "b", 0.8), ("q", "a", 0.5)]))
    assert warehouse.sql(query).column_names
    if "FROM disagreement ORDER BY sd" in query:
        (row,) = warehouse.sql(query).to_pylist()
        assert row["mean"] == pytest.approx(0.5)
        assert row["sd"] == pytest.approx(0.18**0.5)
