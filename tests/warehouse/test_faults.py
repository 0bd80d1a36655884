"""What happens to a disk, a file or a catalog ends in one line that says what, where and what to do."""

from __future__ import annotations

import csv
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import duckdb
import pytest

from tests.fixtures.commands import Run, ended_well, one_line
from tests.fixtures.store import Place, made_judgment, made_rows, on_postgres, on_sqlite
from warehouse import Warehouse
from warehouse.catalog.faults import fault_of
from warehouse.catalog.maintenance import maintain
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import OddsError, ServiceError

TOTAL = "SELECT sum(probability) AS n FROM judgments"


def write_judgments(path: Path, name: str, rows: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["premise", "hypothesis", "annotator", "rating"])
        writer.writerows([f"premise {name} {row // 3}", "hypothesis", f"a{row % 3}", row % 100] for row in range(rows))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of six megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs a disk of its own: only root can mount one")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def on_disk(folder: Path) -> dict[str, str]:
    return {
        "ODDS_WAREHOUSE__CATALOG": str(folder / "warehouse" / "catalog.sqlite"),
        "ODDS_WAREHOUSE__DATA_PATH": str(folder / "warehouse" / "data"),
        "ODDS_AGREEMENT__DRAWS": "100",
    }


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_warehouse_works_on_when_there_is_room(
    tmp_path: Path, odds: Run, small_disk: Path
) -> None:
    env = on_disk(small_disk)
    write_judgments(tmp_path / "one.csv", "one", 60)
    write_judgments(tmp_path / "two.csv", "two", 6000)
    ended_well(odds("import", "judgments", "one.csv", env=env))
    before = ended_well(odds("status", "--json", env=env))
    ballast = small_disk / "ballast"
    again = ("import", "judgments", "two.csv")
    for left, commands in ((0, (again, ("agree",))), (100_000, (again,))):  # no room at all, and room for a part
        ballast.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - left))
        for command in commands:
            line = one_line(odds(*command, env=env), 1)
            assert "catalog.sqlite" in line
            assert "the disk is full" in line
            assert "make room" in line
        ballast.unlink()
        assert ended_well(odds("status", "--json", env=env)) == before
    assert "6,000 new judgments" in ended_well(odds("import", "judgments", "two.csv", env=env))
    ended_well(odds("agree", env=env))


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, odds: Run, small_disk: Path) -> None:
    env = on_disk(small_disk)
    write_judgments(tmp_path / "one.csv", "one", 60)
    ended_well(odds("import", "judgments", "one.csv", env=env))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for command in (("import", "judgments", "one.csv"), ("agree",), ("sql", TOTAL)):
        line = one_line(odds(*command, env=env), 1)
        assert "catalog.sqlite" in line
        assert "make the folder writable" in line
    nowhere = env | {"ODDS_WAREHOUSE__CATALOG": str(small_disk / "new" / "catalog.sqlite")}
    line = one_line(odds("import", "judgments", "one.csv", env=nowhere), 2)
    assert f"{small_disk}/new" in line
    assert "Read-only" in line


@pytest.mark.slow
@on_sqlite
def test_a_damaged_or_missing_file_is_named_by_the_commands(tmp_path: Path, odds: Run, place: Place) -> None:
    write_judgments(tmp_path / "one.csv", "one", 60)
    ended_well(odds("import", "judgments", "one.csv", env=place.settings))
    (file,) = (Path(place.data_path) / "main" / "judgments").glob("*.parquet")
    content = file.read_bytes()
    for damaged, said in ((content[: len(content) // 2], "corrupt"), (None, "missing")):
        file.unlink()
        if damaged is not None:
            file.write_bytes(damaged)
        for command in (("sql", TOTAL), ("sql", TOTAL, "--output", "out.csv"), ("agree",), ("tables",)):
            result = odds(*command, env=place.settings)
            if command == ("tables",) and result.returncode == 0:  # counts of rows stand in the catalog
                continue
            line = one_line(result, 1)
            assert str(file) in line
            assert said in line
            assert "restore it" in line
        assert not (tmp_path / "out.csv").exists()
    file.write_bytes(content)
    ended_well(odds("agree", env=place.settings))


@pytest.mark.slow
def test_a_damaged_catalog_or_another_version_is_said_by_the_commands(tmp_path: Path, odds: Run) -> None:
    path = tmp_path / "warehouse" / "catalog.sqlite"
    env = on_disk(tmp_path)
    write_judgments(tmp_path / "one.csv", "one", 60)
    ended_well(odds("import", "judgments", "one.csv", env=env))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ducklake_metadata SET value = '99.0' WHERE key = 'version'")
    for command in (("sql", TOTAL), ("agree",)):
        assert "another DuckLake version" in one_line(odds(*command, env=env), 2)
    path.write_bytes(path.read_bytes()[:5000])
    for command in (("sql", TOTAL), ("agree",)):
        line = one_line(odds(*command, env=env), 2)
        assert str(path) in line
        assert "corrupt or not an Odds warehouse" in line


@on_sqlite
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_file_cut_anywhere_is_named(place: Place, warehouse: Warehouse, share: float) -> None:
    merge_all(warehouse, made_rows([(f"p{n}", "a", 0.5) for n in range(40)]))
    (file,) = (Path(place.data_path) / "main" / "judgments").glob("*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    before = warehouse.snapshot_id()
    with pytest.raises(ServiceError, match=f"{file.name} is corrupt"), place.open() as reader:
        reader.sql(TOTAL)
    with pytest.raises(ServiceError, match=f"{file.name} is corrupt"), place.open(read_only=False) as writer:
        merge(writer, [made_judgment("p1", "a", 1.0)])
    file.write_bytes(content)
    assert warehouse.snapshot_id() == before
    assert merge(warehouse, [made_judgment("p1", "a", 1.0)]).updated == 1


@on_sqlite
@pytest.mark.parametrize("kept", [600, 4096, 50_000, -4096])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_catalog_cut_anywhere_is_named(place: Place, kept: int, read_only: bool) -> None:
    path = Path(place.catalog)
    path.write_bytes(path.read_bytes()[:kept])
    cut = path.read_bytes()
    with pytest.raises(OddsError, match=r"catalog\.sqlite is corrupt"):
        place.open(read_only=read_only)
    assert path.read_bytes() == cut


@on_postgres
def test_a_missing_file_of_a_bucket_and_a_dead_store_are_said(
    place: Place, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_all(warehouse, made_rows([(f"p{n}", "a", 0.5) for n in range(40)]))
    with place.open() as reader:
        (file,) = reader.sql("SELECT data_file FROM ducklake_list_files('odds', 'judgments')")["data_file"].to_pylist()
    with monkeypatch.context() as changed:
        changed.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(ServiceError, match="object store fails"), place.open() as reader:
            reader.sql(TOTAL)
    bucket, _, key = file.removeprefix("s3://").partition("/")
    boto3.client("s3").delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ServiceError, match=f"{key} is missing"), place.open() as reader:
        reader.sql(TOTAL)


def test_the_digits_404_in_the_name_of_a_damaged_file_do_not_make_it_a_missing_one() -> None:
    name = "ducklake-01a20b48-f3a4-75e0-8a35-c404b1200cd3.parquet"
    damaged = duckdb.InvalidInputException(f"No magic bytes found at end of file '/data/{name}'")
    missing = duckdb.IOException(f"HTTP Error: Unable to connect to '/data/{name}': 404 (Not Found)")
    assert "is corrupt" in str(fault_of(damaged, "c.sqlite"))
    assert "is missing" in str(fault_of(missing, "c.sqlite"))


def delete_catalog(place: Place) -> None:
    Path(place.catalog).unlink()


def replace_catalog(place: Place) -> None:
    Path(place.catalog).unlink()
    place.open(read_only=False).close()


def flush(place: Place) -> None:
    with place.open(read_only=False) as warehouse:
        maintain(warehouse, timedelta(0), timedelta(0))


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize(
    ("happens", "read_only", "said"),
    [
        (delete_catalog, True, "was deleted or moved"),
        (delete_catalog, False, "was deleted or moved"),
        (replace_catalog, True, "changed while this command ran"),
        (flush, True, "changed while this command ran"),
    ],
)
def test_a_catalog_that_goes_or_changes_under_a_run_is_said(
    place: Place, happens: Callable[[Place], None], read_only: bool, said: str
) -> None:
    with place.open(read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", "a", 0.25), ("p", "b", 0.5)]))

    def run() -> None:
        with place.open(read_only=read_only, at="opened" if read_only else None) as warehouse:
            warehouse.sql("SELECT count(*) FROM premises")
            happens(place)
            warehouse.sql(TOTAL)

    with pytest.raises(ServiceError, match=rf"{place.catalog} {said}") as raised:
        run()
    assert "kept" in str(raised.value) or "Restore the catalog" in str(raised.value)


@on_sqlite
def test_a_table_that_a_person_misspells_is_no_fault_of_the_catalog(place: Place) -> None:
    with place.open() as warehouse, pytest.raises(duckdb.CatalogException) as raised:
        warehouse.sql("SELECT * FROM nowhere")
    assert fault_of(raised.value, place.catalog) is None
