from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fixtures.store import OBJECT_STORE_KEY, Place, made_rows, on_postgres
from warehouse import Warehouse, open_warehouse
from warehouse.catalog.extensions import connection_with
from warehouse.catalog.store import merge_all, write
from warehouse.errors import InputError


def test_the_records_alone_do_not_load_the_database() -> None:
    code = "import sys, warehouse.records, warehouse.shards; sys.exit('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_nothing_is_installed_or_downloaded(tmp_path: Path) -> None:
    code = f"from warehouse import open_warehouse; open_warehouse({str(tmp_path / 'c.sqlite')!r}, read_only=False)"
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-c", code], check=True, env={"HOME": str(home), "PYTHONPATH": ":".join(sys.path)})
    assert not list(home.iterdir())


def test_a_reader_sees_what_a_writer_in_the_same_moment_commits(place: Place, warehouse: Warehouse) -> None:
    with place.open() as reader:
        merge_all(warehouse, made_rows([("p", "a", 0.5)]))
        assert reader.sql("SELECT count(*) AS n FROM judgments")["n"].to_pylist() == [1]
        assert reader.snapshot_id() == warehouse.snapshot_id()


def test_tables_with_the_same_columns_are_not_taken_for_one(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        for table, value in (("one", 1), ("two", 2)):
            other.execute(f"CREATE TABLE {table} (x INTEGER)")
            other.execute(f"INSERT INTO {table} VALUES ({value})")
        other.commit()
    with connection_with(["sqlite_scanner"]) as connection:
        connection.execute(f"ATTACH '{tmp_path / 'other.db'}' AS other (TYPE sqlite)")
        query = "SELECT sum(x) FROM other.one UNION ALL SELECT sum(x) FROM other.two"
        assert connection.execute(query).fetchall() == [(1,), (2,)]
        assert connection.cursor().execute(query).fetchall() == [(1,), (2,)]


def test_reading_where_there_is_nothing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="odds doctor"):
        open_warehouse(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_catalog_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    text, database = tmp_path / "text.sqlite", tmp_path / "other.sqlite"
    text.write_text("not a database " * 100)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, database):
        with pytest.raises(InputError, match=path.name):
            open_warehouse(path, read_only=read_only)
    assert text.read_text() == "not a database " * 100
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]


def test_a_folder_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        open_warehouse(tmp_path, read_only=False)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_catalog_of_another_ducklake_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "catalog.sqlite"
    open_warehouse(path, read_only=False).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE ducklake_metadata SET value = '99.0' WHERE key = 'version'")
    with pytest.raises(InputError, match="another DuckLake version"):
        open_warehouse(path, read_only=read_only)


@pytest.mark.slow
def test_another_data_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    open_warehouse(path, tmp_path / "one", read_only=False).close()
    with pytest.raises(InputError, match=r"has its data in .*correct warehouse\.data_path"):
        open_warehouse(path, tmp_path / "two", read_only=False)


def test_a_catalog_without_tables_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "catalog.sqlite"
    monkeypatch.setattr("warehouse.catalog.connect.migrate", lambda warehouse: None)
    open_warehouse(path, read_only=False).close()
    with pytest.raises(InputError, match="version 0 of"):
        open_warehouse(path)


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    "catalog",
    ["postgresql://odds@127.0.0.1:1/x?sslkey=/k&sslpassword=hunter2", "postgres:host=127.0.0.1 sslpassword=hunter2"],
)
def test_the_password_of_a_client_key_is_refused_since_queries_could_read_it(catalog: str, read_only: bool) -> None:
    with pytest.raises(InputError, match=r"^warehouse\.catalog: remove sslpassword[^\n]*service=NAME") as caught:
        open_warehouse(catalog, read_only=read_only)
    assert "hunter2" not in str(caught.value)


def test_an_unreachable_server_shows_no_password() -> None:
    with pytest.raises(InputError) as caught:
        open_warehouse("postgres:host=127.0.0.1 port=1 user=u password=hunter2 dbname=x", "/nowhere", read_only=False)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.slow
@pytest.mark.parametrize("rows", [3, 40], ids=["in the catalog", "in files"])
@pytest.mark.parametrize("named", [True, False], ids=["data path given", "default"])
def test_a_folder_that_was_moved_is_found(tmp_path: Path, rows: int, named: bool) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    with open_warehouse(old / "catalog.sqlite", read_only=False) as opened:
        merge_all(opened, made_rows([(f"p{n}", "a", 0.5) for n in range(rows)]))
        number = opened.snapshot_id()
    old.rename(new)
    data_path = new / "data" if named else None
    with open_warehouse(new / "catalog.sqlite", data_path, read_only=False) as opened:
        assert opened.sql("SELECT sum(probability) AS n FROM judgments")["n"].to_pylist() == [rows / 2]
        merge_all(opened, made_rows([(f"q{n}", "a", 0.5) for n in range(20)]))
    assert not old.exists()
    with open_warehouse(new / "catalog.sqlite", data_path) as opened:
        assert opened.sql("SELECT sum(probability) AS n FROM judgments")["n"].to_pylist() == [rows / 2 + 10]
    with open_warehouse(new / "catalog.sqlite", data_path, at=number) as then:
        assert then.sql("SELECT sum(probability) AS n FROM judgments")["n"].to_pylist() == [rows / 2]


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("with_data", [True, False], ids=["with its data", "the catalog alone"])
def test_a_copy_does_not_use_the_data_of_its_original(tmp_path: Path, with_data: bool, read_only: bool) -> None:
    old, new, link = tmp_path / "old", tmp_path / "new", tmp_path / "link"
    with open_warehouse(old / "catalog.sqlite", read_only=False) as opened:
        merge_all(opened, made_rows([("p", "a", 0.5)]))
    (old / "data").mkdir(exist_ok=True)
    link.symlink_to(old)
    open_warehouse(link / "catalog.sqlite").close()
    (tmp_path / "data").mkdir()  # of something else, beside a link to the file
    (tmp_path / "linked.sqlite").symlink_to(old / "catalog.sqlite")
    open_warehouse(tmp_path / "linked.sqlite").close()
    shutil.copytree(old, new)
    if not with_data:
        shutil.rmtree(new / "data")
    with pytest.raises(InputError, match="if this is a copy of a warehouse, move the original away first"):
        open_warehouse(new / "catalog.sqlite", read_only=read_only)
    open_warehouse(new / "catalog.sqlite", old / "data").close()  # whoever names it means it
    old.rename(tmp_path / "away")
    with open_warehouse(new / "catalog.sqlite", read_only=read_only) as opened:
        assert opened.sql("SELECT count(*) AS n FROM judgments")["n"].to_pylist() == [1]


@pytest.mark.parametrize("named", [True, False])
def test_a_copy_of_a_warehouse_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    open_warehouse(tmp_path / "theirs" / "catalog.sqlite", read_only=False).close()
    (tmp_path / "mine").mkdir()
    shutil.copy(tmp_path / "theirs" / "catalog.sqlite", tmp_path / "mine")
    exists = Path.exists

    def only_mine(path: Path) -> bool:  # the superuser, who may run this test, may read everything
        if (tmp_path / "theirs") in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", only_mine)
    with pytest.raises(InputError, match="theirs/data, which you may not read"):
        open_warehouse(tmp_path / "mine" / "catalog.sqlite", tmp_path / "mine" / "data" if named else None)


def test_a_data_path_where_nothing_is_does_not_count_as_a_move(tmp_path: Path) -> None:
    open_warehouse(tmp_path / "catalog.sqlite", tmp_path / "one", read_only=False).close()
    with pytest.raises(InputError, match=r"has its data in .*correct warehouse\.data_path"):
        open_warehouse(tmp_path / "catalog.sqlite", tmp_path / "none", read_only=False)


def test_a_time_among_expired_snapshots_is_refused(place: Place, warehouse: Warehouse) -> None:
    numbers, times = [], []
    for name in "pqrs":
        merge_all(warehouse, made_rows([(name, "a", 0.5)]))
        numbers.append(warehouse.snapshot_id())
        times.append(datetime.now(UTC))
        time.sleep(0.01)
    with place.open(at=times[1]) as then:
        assert then.at == numbers[1]
    write(warehouse, lambda w: w.sql(f"CALL ducklake_expire_snapshots('odds', versions => [{numbers[1]}])"))
    # The first snapshot was true until the second came; when that was, nobody knows any more.
    for moment in times[:2]:
        with pytest.raises(InputError, match="has expired"):
            place.open(at=moment)
    for index in (2, 3):
        with place.open(at=times[index]) as then:
            assert then.at == numbers[index]
    with place.open(at=numbers[0]) as then:
        assert then.sql("SELECT count(*) AS n FROM judgments")["n"].to_pylist() == [1]


@pytest.mark.parametrize("ending", [" nonsense=hunter2", " 'hunter2"])
def test_a_connection_string_that_is_none_is_not_repeated(tmp_path: Path, ending: str) -> None:
    with pytest.raises(InputError, match="not a valid PostgreSQL connection string") as caught:
        open_warehouse("postgres:dbname=x" + ending, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


@on_postgres
def test_no_table_of_the_database_holds_the_password(place: Place, warehouse: Warehouse) -> None:
    with open_warehouse(place.catalog + " password=hunter2", place.data_path) as opened:
        for table in ("duckdb_databases", "duckdb_secrets", "duckdb_settings"):
            assert "hunter2" not in str(opened.sql(f"SELECT * FROM {table}()").to_pylist())
        assert OBJECT_STORE_KEY not in str(opened.sql("SELECT * FROM duckdb_secrets()").to_pylist())
