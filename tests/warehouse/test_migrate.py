from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.store import Place
from tests.fixtures.traced import made_request
from warehouse import Warehouse, open_warehouse
from warehouse.catalog import migrate
from warehouse.catalog.migrate import Script
from warehouse.catalog.schema import arrow_schema, sql_type, to_table
from warehouse.catalog.statistics import WITHOUT
from warehouse.catalog.store import merge, read
from warehouse.errors import InputError
from warehouse.queries.pending import count_premises
from warehouse.queries.stages import describe_tables
from warehouse.records import TABLES, Annotator, Premise, Request


def test_the_columns_of_a_table_are_the_fields_of_its_record(warehouse: Warehouse) -> None:
    rows = warehouse.sql(
        "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE database_name = 'odds' "
        "ORDER BY table_name, column_index"
    ).to_pylist()
    for record in TABLES:
        columns = [
            (c["column_name"], c["data_type"], c["is_nullable"]) for c in rows if c["table_name"] == record.table
        ]
        assert columns == [(field.name, sql_type(field.type), field.nullable) for field in arrow_schema(record)]
        assert list(record.model_fields) == [name for name, _, _ in columns]


@pytest.mark.slow
def test_every_table_view_and_column_says_what_it_means(warehouse: Warehouse) -> None:
    described = describe_tables(warehouse)
    assert {one.name for one in described} >= {record.table for record in TABLES} | {
        "valid_judgments",
        "first_judgments",
        "current_statuses",
        "check_results",
        "repeated_judgments",
        "annotator_habits",
        "proposition_overview",
        "disagreement",
        "annotator_quality",
        "labeler_quality",
        "labeler_cost",
        "progress",
    }
    assert not [one.name for one in described if not one.comment]
    assert not [(one.name, column.name) for one in described for column in one.columns if not column.comment]


def test_opening_again_writes_nothing(place: Place, warehouse: Warehouse) -> None:
    before = warehouse.snapshot_id()
    with place.open(read_only=False) as again:
        assert again.snapshot_id() == before


def test_every_table_has_statistics_though_no_snapshot_ever_had_a_row(place: Place, warehouse: Warehouse) -> None:
    assert warehouse.connection.execute(WITHOUT).fetchall() == []
    for number in range(warehouse.snapshot_id(), warehouse.snapshot_id() - 4, -1):  # the views, and what is below
        with place.open(at=number) as then:
            there = then.sql("SELECT table_name FROM duckdb_tables() WHERE database_name = 'odds'")["table_name"]
            held = {name: then.sql(f"SELECT count(*) AS n FROM {name}")["n"][0].as_py() for name in there.to_pylist()}
        held.pop("migrations", None)
        assert not any(held.values()), held
    merge(warehouse, [Premise(premise_id="p", text="It rains.", source="test")])
    assert read(warehouse, Premise, "premise_id > 'o'") == read(warehouse, Premise)


def test_a_changed_view_is_made_anew_once(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = Script(1, "only_view", "-- A view.\n-- x: A number.\nCREATE VIEW only_view AS SELECT 1 AS x;")
    monkeypatch.setattr(migrate, "views", lambda: (changed,))
    migrate.migrate(warehouse)
    assert [one.name for one in describe_tables(warehouse) if one.kind == "view"] == ["only_view"]
    before = warehouse.snapshot_id()
    migrate.migrate(warehouse)
    assert warehouse.snapshot_id() == before


@pytest.mark.slow
def test_a_catalog_from_before_versions_of_proposers_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, request = tmp_path / "catalog.sqlite", made_request("propose", "a premise", "p")
    before = migrate.migrations()[:3]
    with monkeypatch.context() as older:
        older.setattr(migrate, "migrations", lambda: before)
        older.setattr(migrate, "views", tuple)
        with open_warehouse(path, read_only=False) as opened:
            there = to_table(Request, [request]).drop_columns(["asker_version"])
            opened.connection.register("there", there)
            opened.connection.execute("INSERT INTO requests SELECT * FROM there")
    with open_warehouse(path, read_only=False) as opened:
        assert read(opened, Request) == [request]
        assert opened.sql("SELECT count(*) AS n FROM labelers")["n"].to_pylist() == [0]
        which = {"asker": "p", "asker_version": "any", "model": request.model, "prompt_version": request.prompt_version}
        merge(opened, [Premise(premise_id="a premise", text="It rains.", source="test")])
        assert count_premises(opened, **which) == 0


@pytest.mark.slow
def test_a_broken_migration_leaves_neither_table_nor_record(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Script(99, "broken", "CREATE TABLE half (x INTEGER); SELECT * FROM no_such_table;")
    before = migrate.applied(warehouse)
    monkeypatch.setattr(migrate, "migrations", lambda: (broken,))
    with pytest.raises(Exception, match="no_such_table"):
        migrate.migrate(warehouse)
    assert "half" not in {one.name for one in describe_tables(warehouse)}
    assert migrate.applied(warehouse) == before


@pytest.mark.parametrize("read_only", [True, False])
def test_an_older_program_refuses_a_newer_catalog(place: Place, read_only: bool) -> None:
    with place.open(read_only=False) as opened:
        opened.connection.execute("INSERT INTO migrations VALUES (99, 'later', 'x', now())")
    with pytest.raises(InputError, match=r"version 99.*upgrade"):
        place.open(read_only=read_only)


@pytest.mark.slow
def test_names_of_people_leave_the_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, before = tmp_path / "catalog.sqlite", migrate.migrations()[:13]
    with monkeypatch.context() as older:
        older.setattr(migrate, "migrations", lambda: before)
        older.setattr(migrate, "views", tuple)
        with open_warehouse(path, read_only=False) as opened:
            opened.connection.execute("""
                INSERT INTO annotators (annotator_id, kind, source, source_id, name, status, created_at) VALUES
                ('0123456789abcdef', 'human', 'label-studio', '7', 'Ada Lovelace', 'active', now()),
                ('1123456789abcdef', 'simulated', 'label-studio', '8', 'simulated-fine', 'active', now()),
                ('2123456789abcdef', 'imported', 'survey', 'P17', NULL, 'active', now())
            """)
    with open_warehouse(path, read_only=False) as opened:
        known = {each.source_id: each.pseudonym for each in read(opened, Annotator)}
        assert known == {"7": "A-01234567", "8": "simulated-fine", "P17": "P17"}
        assert "name" not in opened.sql("SELECT * FROM annotators").column_names
