"""Opening the warehouse: a DuckLake catalog on a SQLite file, or on PostgreSQL, seen through one DuckDB connection."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from warehouse.catalog.address import address_of, data_place
from warehouse.catalog.attachment import At, attach, data_path_of, see, shown
from warehouse.catalog.extensions import connection_with, seal, use_object_store, use_server
from warehouse.catalog.faults import faults_said
from warehouse.catalog.migrate import check_version, migrate
from warehouse.catalog.opened import ALIAS, Warehouse
from warehouse.catalog.patience import PUSH_KEY, PUSH_LOCK, Lock, alone, folder_lock, server_lock
from warehouse.errors import InputError

__all__ = ["ALIAS", "DEFAULT_CATALOG", "At", "Warehouse", "open_warehouse"]

DEFAULT_CATALOG = Path(".odds/warehouse/catalog.sqlite")


def open_warehouse(
    catalog: str | Path = DEFAULT_CATALOG,
    data_path: str | Path | None = None,
    *,
    read_only: bool = True,
    at: At = None,
    memory_limit: str | None = None,
    allow: Sequence[str | Path] = (),
) -> Warehouse:
    """Open the warehouse of a catalog: the path of a SQLite file, or a PostgreSQL connection string.

    The parquet files lie under `data_path`, a folder or an `s3://` address, by default the folder `data` beside a
    SQLite catalog. Opened for writing, a catalog is made where there is none, and brought up to date. Nothing is
    downloaded. Opened for reading, the connection reads no file or address but the warehouse's own and those in
    `allow`, and its settings are locked.

    Args:
        catalog: where the catalog is.
        data_path: where the parquet files are.
        read_only: whether it is only read.
        at: for reading: the number of a snapshot, or a time, and every query answers as it was then. With "opened"
            every query sees the snapshot of the moment of opening; without it, the latest one.
        memory_limit: the memory that queries may take, such as "4GB"; 80% of the machine's without it.
        allow: for reading: more files and folders that queries may read, such as one for `read_csv`.

    Raises:
        InputError: no catalog to read, one that cannot be read, one that a newer program wrote, or nothing at `at`.
        ServiceError: the catalog stayed busy, is damaged, or lies where it cannot be written.
    """
    target = _target(catalog)
    data = None if data_path is None else _data(data_path)
    with faults_said(shown(target)):
        if read_only:
            return _open_to_read(target, data, at, memory_limit, allow)
        if at is not None or allow:
            raise ValueError("at and allow are only for a warehouse that is opened for reading")
        return _open_to_write(target, data, memory_limit)


def _open_to_read(
    target: str | Path, data_path: str | Path | None, at: At, memory_limit: str | None, allow: Sequence[str | Path]
) -> Warehouse:
    if isinstance(target, Path):
        _check_file(target, read_only=True)
    folders, files = _allowed(allow)
    connection = connection_with(_extensions(target), _spill(target), memory_limit)
    try:
        place = _prepared(connection, target, data_path)
        attach(connection, place, data_path, True)
        snapshot = see(connection, place, data_path, at) if at is not None else None
        seal(connection, [*folders, data_path_of(connection)], files)
        warehouse = Warehouse(connection, shown(target), True, _lock(target), _push_lock(target), snapshot)
        check_version(warehouse, past=at not in (None, "opened"))
    except BaseException:
        connection.close()
        raise
    return warehouse


def _open_to_write(target: str | Path, data_path: str | Path | None, memory_limit: str | None) -> Warehouse:
    if isinstance(target, Path):
        _check_file(target, read_only=False)
    connection = connection_with(_extensions(target), _spill(target), memory_limit)
    try:
        place = _prepared(connection, target, data_path)
        alone(lambda: attach(connection, place, data_path, False), _lock(target))
        warehouse = Warehouse(connection, shown(target), False, _lock(target), _push_lock(target))
        warehouse = replace(warehouse, said=migrate(warehouse))
    except BaseException:
        connection.close()
        raise
    return warehouse


def _target(catalog: str | Path) -> str | Path:
    try:
        address = address_of(catalog)
    except ValueError as error:
        raise InputError(f"warehouse.catalog: {error}") from None
    return address if isinstance(address, str) else address.expanduser().absolute()


def _data(data_path: str | Path) -> str | Path:
    try:
        return data_place(data_path)
    except ValueError as error:
        raise InputError(f"warehouse.data_path: {error}") from error


def _push_lock(target: str | Path) -> Lock:
    return server_lock(target, PUSH_KEY) if isinstance(target, str) else folder_lock(target.parent / PUSH_LOCK)


def _lock(target: str | Path) -> Lock:
    return server_lock(target) if isinstance(target, str) else folder_lock(target.parent)


def _prepared(connection: duckdb.DuckDBPyConnection, target: str | Path, data_path: str | Path | None) -> str | Path:
    """What to attach, once the secrets of the server and of the object store are with the connection."""
    if isinstance(data_path, str):
        use_object_store(connection)
    return use_server(connection, target) if isinstance(target, str) else target


def _allowed(allow: Sequence[str | Path]) -> tuple[list[str], list[str]]:
    """The folders and the files among them. Raises `InputError` for what is not there."""
    paths = [Path(path).expanduser().absolute() for path in allow]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder to allow")
    return [str(path) for path in paths if path.is_dir()], [str(path) for path in paths if not path.is_dir()]


def _check_file(target: Path, read_only: bool) -> None:
    if target.is_dir():
        raise InputError(f"The warehouse catalog {target} is a folder: name a file in it, such as catalog.sqlite")
    if read_only:
        if not target.exists():
            raise InputError(
                f"There is no warehouse at {target}: any writing command makes it; `odds doctor` says more"
            )
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {target.parent} of the catalog cannot be made: {error.strerror}") from error


def _extensions(target: str | Path) -> tuple[str, str]:
    return ("postgres_scanner" if isinstance(target, str) else "sqlite_scanner", "ducklake")


def _spill(target: str | Path) -> Path:
    """Where large queries spill to: beside a catalog that is a file, or the system's folder for such things."""
    return target.parent / "spill" if isinstance(target, Path) else Path(tempfile.gettempdir()) / "odds-spill"
