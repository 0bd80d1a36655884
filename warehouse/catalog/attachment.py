"""Attaching a DuckLake catalog to a DuckDB connection, as it is or was, wherever its data lies now."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import duckdb

from warehouse.catalog.extensions import SERVER_SECRET, quoted, use_object_store
from warehouse.catalog.opened import ALIAS
from warehouse.catalog.patience import UNREACHABLE
from warehouse.errors import InputError

At: TypeAlias = int | datetime | Literal["opened"] | None
NOT_FOUND = "No snapshot found"
STORED_PATH = re.compile(r'catalog "([^"\n]+)"')


def shown(target: str | Path) -> str:
    """The catalog for a person to read, without a connection string, which may hold a password."""
    return "on PostgreSQL" if isinstance(target, str) else str(target)


def see(connection: duckdb.DuckDBPyConnection, target: str | Path, data_path: str | Path | None, at: At) -> int:
    """Attach the catalog anew as it was at a snapshot or time; the number of the snapshot."""
    current = f"SELECT id FROM ducklake_current_snapshot('{ALIAS}')"
    if at == "opened":
        at = int(connection.execute(current).fetchall()[0][0])
    connection.execute("USE memory")
    connection.execute(f"DETACH {ALIAS}")
    try:
        attach(connection, target, data_path, True, at)
        number = int(connection.execute(current).fetchall()[0][0])
    except duckdb.Error as error:
        if NOT_FOUND not in str(error):
            raise
        raise InputError(_no_snapshot(at)) from error
    later = f"SELECT min(snapshot_id) FROM ducklake_snapshots('{ALIAS}') WHERE snapshot_id > {number}"
    # Numbers have no gaps unless snapshots expired: what was true at a time in a gap is not known any more.
    if isinstance(at, datetime) and connection.execute(later).fetchall()[0][0] not in (None, number + 1):
        raise InputError(_no_snapshot(at))
    return number


def _no_snapshot(at: At) -> str:
    return (
        f"The warehouse has no snapshot {_shown_moment(at)}: it is older than the warehouse, not there yet, or it "
        "has expired; `odds snapshots` lists them"
    )


def _shown_moment(at: At) -> str:
    return f"of {at:%Y-%m-%d %H:%M:%S} UTC" if isinstance(at, datetime) else str(at)


def data_path_of(connection: duckdb.DuckDBPyConnection) -> str:
    """Where the data of the attached catalog lies."""
    return str(connection.execute(f"SELECT data_path FROM ducklake_settings('{ALIAS}')").fetchall()[0][0])


def attach(
    connection: duckdb.DuckDBPyConnection,
    target: str | Path,
    data_path: str | Path | None,
    read_only: bool,
    at: At = None,
) -> None:
    """Attach the catalog under its name and use it. `data_path` is an `s3://` address where it is a text.

    Raises:
        InputError: it is not a catalog, or not one for this program.
    """

    def once(override: Path | None = None) -> None:
        options = _options(target, override or data_path, read_only, at)
        moved = ", OVERRIDE_DATA_PATH true" if override else ""
        connection.execute(f"ATTACH {quoted(_uri(target))} AS {ALIAS} ({options}{moved})")

    try:
        try:
            once()
        except duckdb.Error as error:
            # A catalog may keep its data in an object store without the caller knowing, or have been moved with it.
            if "extension httpfs" in str(error):
                use_object_store(connection)
                once()
            elif (stored := STORED_PATH.search(str(error))) and (moved := _moved(target, data_path, stored[1])):
                once(moved)
            else:
                raise
        by_default = isinstance(target, Path) and data_path is None
        if by_default and (moved := _moved(target, None, data_path_of(connection))):
            connection.execute(f"DETACH {ALIAS}")
            once(moved)
        connection.execute(f"USE {ALIAS}")
    except duckdb.Error as error:
        _raise_unless_readable(error, target)
        raise


def _moved(target: str | Path, data_path: str | Path | None, stored: str) -> Path | None:
    """Where the data lies of a catalog that was moved or copied: its stored path is gone, and the other one is there.

    Beside a SQLite catalog the folder `data` may not be there yet: while all rows are few, they stay in the catalog.
    """
    beside = target.parent / "data" if isinstance(target, Path) else None
    given = data_path.expanduser().absolute() if isinstance(data_path, Path) else beside
    if given is None or isinstance(data_path, str) or "://" in stored or Path(stored).exists():
        return None
    if Path(stored) == given or not (given.is_dir() or given == beside):
        return None
    return given


def _raise_unless_readable(error: duckdb.Error, target: str | Path) -> None:
    """Raise an InputError where the error says that the catalog is not one, or not one for this program."""
    text = str(error)
    name = shown(target)
    if "version mismatch" in text:
        raise InputError(
            f"The catalog {name} has another DuckLake version: use the `odds` that wrote it, or make a new catalog"
        ) from error
    if "DATA_PATH" in text:
        raise InputError(
            f"The catalog {name} keeps its data elsewhere than the data path given: {text.splitlines()[0]}"
        ) from error
    if "explicitly disabled" in text and isinstance(target, str):
        raise InputError("There is no warehouse on PostgreSQL yet: any writing command makes it") from error
    if any(sign in text for sign in ("not a database", "explicitly disabled", "malformed")):
        raise InputError(
            f"The catalog {name} is corrupt or not an Odds warehouse: restore it from a backup, or name another file"
        ) from error
    if isinstance(target, str) and "onnect" in text:
        # The message may hold parts of the connection string, so neither it nor its cause is shown.
        raise InputError(UNREACHABLE) from None


def _uri(target: str | Path) -> str:
    return f"ducklake:sqlite:{target}" if isinstance(target, Path) else f"ducklake:{target}"


def _options(target: str | Path, data_path: str | Path | None, read_only: bool, at: At = None) -> str:
    """The options of ATTACH. Write-ahead logging lets readers read on while one process writes, and is twice as fast.

    DuckLake keeps its default of putting transactions of up to ten rows into the catalog instead of a parquet file.
    """
    options = ["READ_ONLY"] if read_only else []
    if isinstance(target, str):
        options.append(f"META_SECRET {SERVER_SECRET}")
    if isinstance(at, datetime):
        options.append(f"SNAPSHOT_TIME {quoted(at.astimezone(UTC).isoformat())}")
    elif at is not None:
        options.append(f"SNAPSHOT_VERSION {at}")
    if isinstance(target, Path) and not read_only:
        options.append("META_JOURNAL_MODE 'WAL'")
        # A file that is there is a catalog or a mistake: DuckLake would add its tables to any SQLite file.
        if target.exists() and target.stat().st_size > 0:
            options.append("CREATE_IF_NOT_EXISTS false")
        elif data_path is None:
            data_path = target.parent / "data"
    if data_path is not None:
        place = data_path if isinstance(data_path, str) else str(data_path.expanduser().absolute())
        options.append(f"DATA_PATH {quoted(place)}")
    return ", ".join(options) or "CREATE_IF_NOT_EXISTS true"
