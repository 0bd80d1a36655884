"""Attaching a DuckLake catalog to a DuckDB connection, now or at a snapshot, even if its data was moved."""

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
    """Return the catalog for a message, without a connection string, which may contain a password."""
    return "on PostgreSQL" if isinstance(target, str) else str(target)


def see(connection: duckdb.DuckDBPyConnection, target: str | Path, data_path: str | Path | None, at: At) -> int:
    """Attach the catalog again as of a snapshot or time, and return the number of the snapshot."""
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
    # Numbers have gaps only where snapshots expired; the state at a time within a gap is unknown.
    if isinstance(at, datetime) and connection.execute(later).fetchall()[0][0] not in (None, number + 1):
        raise InputError(_no_snapshot(at))
    return number


def _no_snapshot(at: At) -> str:
    return (
        f"The warehouse has no snapshot {_shown_moment(at)}: it is older than the warehouse, does not exist yet, or "
        "has expired; `odds snapshots` lists them"
    )


def _shown_moment(at: At) -> str:
    return f"of {at:%Y-%m-%d %H:%M:%S} UTC" if isinstance(at, datetime) else str(at)


def data_path_of(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the path of the attached catalog's data."""
    return str(connection.execute(f"SELECT data_path FROM ducklake_settings('{ALIAS}')").fetchall()[0][0])


def attach(
    connection: duckdb.DuckDBPyConnection,
    target: str | Path,
    data_path: str | Path | None,
    read_only: bool,
    at: At = None,
) -> None:
    """Attach the catalog under the name `odds` and use it. A `data_path` that is a string is an `s3://` address.

    Raises:
        InputError: It is not a catalog, or not one for this version of Odds.
    """

    def once(override: Path | None = None) -> None:
        options = _options(target, override or data_path, read_only, at)
        moved = ", OVERRIDE_DATA_PATH true" if override else ""
        connection.execute(f"ATTACH {quoted(_uri(target))} AS {ALIAS} ({options}{moved})")

    try:
        try:
            once()
        except duckdb.Error as error:
            # The caller may not know that the data is in an object store, or that catalog and data were moved.
            if "extension httpfs" in str(error):
                use_object_store(connection)
                once()
            elif (stored := STORED_PATH.search(str(error))) and (moved := _moved(target, data_path, stored[1])):
                once(moved)
            else:
                raise
        if isinstance(target, Path) and data_path is None:
            stored_path = data_path_of(connection)
            _refuse_copy(target, stored_path)
            if moved := _moved(target, None, stored_path):
                connection.execute(f"DETACH {ALIAS}")
                once(moved)
        connection.execute(f"USE {ALIAS}")
    except PermissionError as error:
        raise InputError(
            f"The catalog {shown(target)} has its data in {error.filename}, which you may not read; ask for "
            "permission, or use a warehouse of your own"
        ) from error
    except duckdb.Error as error:
        _raise_unless_readable(error, target)
        raise


def _moved(target: str | Path, data_path: str | Path | None, stored: str) -> Path | None:
    """The data path of a catalog that was moved or copied, so that its stored path is gone.

    The folder `data` next to a SQLite catalog may not exist yet, because small transactions stay in the catalog.
    """
    beside = target.parent / "data" if isinstance(target, Path) else None
    given = data_path.expanduser().absolute() if isinstance(data_path, Path) else beside
    if given is None or isinstance(data_path, str) or "://" in stored or Path(stored).exists():
        return None
    if Path(stored) == given or not (given.is_dir() or given == beside):
        return None
    return given


def _refuse_copy(target: Path, stored: str) -> None:
    """Raise `InputError` if a catalog is a copy whose original is still there: it would read and write its data."""
    beside, data = target.parent / "data", Path(stored)
    if "://" in stored or not data.exists():
        return
    if data.resolve() in {beside.resolve(), target.resolve().parent / "data"}:  # a linked catalog is no copy
        return
    original = data.parent / target.name
    if beside.is_dir() or (original.exists() and not original.samefile(target)):
        raise InputError(
            f"The catalog {shown(target)} has its data in {stored}, not beside it; if this is a copy of a warehouse, "
            "move the original away first; else give data_path"
        )


def _raise_unless_readable(error: duckdb.Error, target: str | Path) -> None:
    """Raise an `InputError` if the error means that this is not a catalog, or not one for this version of Odds."""
    text = str(error)
    name = shown(target)
    if "version mismatch" in text:
        raise InputError(
            f"The catalog {name} has another DuckLake version; use the `odds` that wrote it, or a new catalog"
        ) from error
    if "DATA_PATH" in text:
        stored = STORED_PATH.search(text)
        where = f"its data in {stored[1]}" if stored else f"its data elsewhere: {text.splitlines()[0]}"
        raise InputError(
            f"The catalog {name} has {where}, not at the given data path; correct warehouse.data_path, or, if this is "
            "a copy of a warehouse, move the original away first"
        ) from error
    if "explicitly disabled" in text and isinstance(target, str):
        raise InputError("There is no warehouse on PostgreSQL yet; any command that writes creates it") from error
    if any(sign in text for sign in ("not a database", "explicitly disabled", "malformed")):
        raise InputError(
            f"The catalog {name} is corrupt or not an Odds warehouse; restore it from a backup, or name another file"
        ) from error
    if isinstance(target, str) and "onnect" in text:
        # The message may contain parts of the connection string, so neither it nor its cause is shown.
        raise InputError(UNREACHABLE) from None


def _uri(target: str | Path) -> str:
    return f"ducklake:sqlite:{target}" if isinstance(target, Path) else f"ducklake:{target}"


def _options(target: str | Path, data_path: str | Path | None, read_only: bool, at: At = None) -> str:
    """The options of ATTACH. Write-ahead logging is twice as fast, and readers can read while a process writes.

    DuckLake's default stays: transactions of up to ten rows go into the catalog instead of a parquet file.
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
        # DuckLake would add its tables to any existing SQLite file, so this must be a catalog already.
        if target.exists() and target.stat().st_size > 0:
            options.append("CREATE_IF_NOT_EXISTS false")
        elif data_path is None:
            data_path = target.parent / "data"
    if data_path is not None:
        place = data_path if isinstance(data_path, str) else str(data_path.expanduser().absolute())
        options.append(f"DATA_PATH {quoted(place)}")
    return ", ".join(options) or "CREATE_IF_NOT_EXISTS true"
