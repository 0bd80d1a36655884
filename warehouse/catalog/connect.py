"""Opening the warehouse: a DuckLake catalog in a SQLite file or on PostgreSQL, through one DuckDB connection."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from warehouse.catalog.address import address_of, data_place, parameters_of
from warehouse.catalog.attachment import At, attach, data_path_of, see, shown
from warehouse.catalog.extensions import connection_with, seal, use_object_store, use_server
from warehouse.catalog.faults import faults_said
from warehouse.catalog.migrate import check_version, migrate
from warehouse.catalog.opened import ALIAS, Warehouse
from warehouse.catalog.patience import TURN_KEYS, Lock, alone, folder_lock, server_lock
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
    """Open a warehouse.

    For writing, the catalog is created if needed and migrated. For reading, the connection reaches no files or
    addresses but the warehouse's own and those in `allow`, and its settings are locked. Nothing is downloaded.

    Args:
        catalog: The path of a SQLite file, or a PostgreSQL connection string.
        data_path: The folder or `s3://` address of the parquet files; by default `data` next to a SQLite catalog.
        read_only: Whether to open it for reading.
        at: For reading: a snapshot's number or a time, to query the warehouse as it was then. "opened" pins the
            snapshot of the moment of opening; by default every query sees the latest one.
        memory_limit: The memory for queries, such as "4GB"; by default 80% of the machine's.
        allow: For reading: more files and folders that queries may read, for instance with `read_csv`.

    Raises:
        InputError: There is no catalog, it cannot be read, a newer version of Odds wrote it, or `at` does not exist.
        ServiceError: The catalog stayed busy, is corrupt, or cannot be written.
    """
    target = _target(catalog)
    data = None if data_path is None else _data(data_path)
    with faults_said(shown(target)):
        if read_only:
            return _open_to_read(target, data, at, memory_limit, allow)
        if at is not None or allow:
            raise ValueError("at and allow need read_only")
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
        warehouse = Warehouse(connection, shown(target), True, *_locks(target), snapshot)
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
        warehouse = Warehouse(connection, shown(target), False, *_locks(target))
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
    if isinstance(address, Path):
        return address.expanduser().absolute()
    if "sslpassword" in (parameters_of(address) or {}):
        # DuckDB shows the connection string to every query; its secrets hold no such option, and no variable does.
        raise InputError(
            "warehouse.catalog: remove sslpassword, which queries could read; put it into a service file "
            "(~/.pg_service.conf) and give service=NAME instead"
        )
    return address


def _data(data_path: str | Path) -> str | Path:
    try:
        return data_place(data_path)
    except ValueError as error:
        raise InputError(f"warehouse.data_path: {error}") from error


def _locks(target: str | Path) -> tuple[Lock, Lock, Lock, Lock]:
    """The locks of writers, and of processes that push, that pull, and that pay."""
    push, pull, pay = (
        server_lock(target, key) if isinstance(target, str) else folder_lock(target.parent / f"{name}.lock")
        for name, key in TURN_KEYS.items()
    )
    return _lock(target), push, pull, pay


def _lock(target: str | Path) -> Lock:
    return server_lock(target) if isinstance(target, str) else folder_lock(target.parent)


def _prepared(connection: duckdb.DuckDBPyConnection, target: str | Path, data_path: str | Path | None) -> str | Path:
    """What to attach, after giving the connection the secrets of the server and the object store."""
    if isinstance(data_path, str):
        use_object_store(connection)
    return use_server(connection, target) if isinstance(target, str) else target


def _allowed(allow: Sequence[str | Path]) -> tuple[list[str], list[str]]:
    """The folders and the files among them. Raises `InputError` if one does not exist."""
    paths = [Path(path).expanduser().absolute() for path in allow]
    for path in paths:
        if not path.exists():
            raise InputError(f"--allow {path} does not exist")
    return [str(path) for path in paths if path.is_dir()], [str(path) for path in paths if not path.is_dir()]


def _check_file(target: Path, read_only: bool) -> None:
    if target.is_dir():
        raise InputError(f"The warehouse catalog {target} is a folder; name a file in it, such as catalog.sqlite")
    if read_only:
        if not target.exists():
            raise InputError(
                f"There is no warehouse at {target}; any command that writes creates it (see `odds doctor`)"
            )
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {target.parent} of the catalog cannot be created: {error.strerror}") from error


def _extensions(target: str | Path) -> tuple[str, str]:
    return ("postgres_scanner" if isinstance(target, str) else "sqlite_scanner", "ducklake")


def _spill(target: str | Path) -> Path:
    """Where large queries spill to: next to a catalog file, or in the system's temporary folder."""
    return target.parent / "spill" if isinstance(target, Path) else Path(tempfile.gettempdir()) / "odds-spill"
