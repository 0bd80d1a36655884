"""Opening the warehouse: a DuckLake catalog on a SQLite file, or on PostgreSQL, seen through one DuckDB connection."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

import duckdb
import pyarrow as pa

from warehouse.errors import InputError
from warehouse.extensions import SERVER_SECRET, connection_with, quoted, use_object_store, use_server
from warehouse.faults import fault_of, faults_said
from warehouse.patience import UNREACHABLE, Lock, alone, folder_lock, server_lock
from warehouse.places import placed

DEFAULT_CATALOG = Path(".odds/warehouse/catalog.sqlite")
ALIAS = "odds"
At = int | datetime | Literal["opened"] | None
NOT_FOUND = "No snapshot found"
STORED_PATH = re.compile(r'catalog "([^"\n]+)"')


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse. Tables and views are plain names in `sql`; times are in UTC.

    `catalog` is the file of the catalog, or `on PostgreSQL` without its connection string, which may hold a password.
    `lock` is what its writers queue for. `at` is the snapshot that every query sees; None for the latest one. `said` is
    what a person should know of bringing it up to date just now. `home` is the folder that paths of datasets
    and models are relative to.
    """

    connection: duckdb.DuckDBPyConnection
    catalog: str
    read_only: bool
    lock: Lock = field(repr=False)
    at: int | None = None
    said: tuple[str, ...] = ()
    home: Path | None = None

    def place(self, path: str) -> Path:
        """The folder of a dataset or model, whose row names it by this path."""
        return placed(path, self.home)

    def sql(self, query: str, params: Sequence[object] = ()) -> pa.Table:
        """The result of a query, `?` standing for the params, as an Arrow table."""
        return self.connection.execute(query, list(params)).to_arrow_table()

    def batches(self, query: str, params: Sequence[object] = (), rows: int = 65_536) -> pa.RecordBatchReader:
        """The result of a query as a stream of batches; other queries may run while it is read."""
        return self.beside().connection.execute(query, list(params)).to_arrow_reader(rows)

    def beside(self) -> Warehouse:
        """The same warehouse through a connection of its own, for another thread: results of one would get mixed up.

        Temporary tables are not shared. To be closed by whoever asked for it.
        """
        cursor = self.connection.cursor()
        cursor.execute(f"USE {ALIAS}")
        return replace(self, connection=cursor)

    def snapshot_id(self) -> int:
        """The number of the snapshot that queries see: it grows with every transaction that wrote something."""
        return int(self.sql(f"SELECT id FROM ducklake_current_snapshot('{ALIAS}')")["id"][0].as_py())

    def close(self) -> None:
        """Give the connection back."""
        self.connection.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # Queries meet a missing file, a full disk or a server that went away wherever they are asked.
        if error is not None and (fault := fault_of(error, self.catalog)):
            raise fault from error


def open_warehouse(
    catalog: str | Path = DEFAULT_CATALOG,
    data_path: str | Path | None = None,
    *,
    read_only: bool = True,
    at: At = None,
    memory_limit: str | None = None,
) -> Warehouse:
    """The warehouse of a catalog: a path of a SQLite file, or `postgres:` with a libpq connection string.

    The parquet files lie under `data_path`, a folder or an `s3://` address, by default the folder `data` beside a
    SQLite catalog. Opened for writing, a catalog is made where there is none, and brought up to date. Nothing is
    downloaded.

    Args:
        catalog: where the catalog is.
        data_path: where the parquet files are.
        read_only: whether it is only read.
        at: for reading: the number of a snapshot, or a time, and every query answers as it was then. With "opened"
            every query sees the snapshot of the moment of opening; without it, the latest one.
        memory_limit: the memory that queries may take, such as "4GB"; 80% of the machine's without it.

    Raises:
        InputError: no catalog to read, one that cannot be read, one that a newer program wrote, or nothing at `at`.
        ServiceError: the catalog stayed busy, is damaged, or lies where it cannot be written.
    """
    with faults_said(_shown(_target(catalog))):
        return _open(catalog, data_path, read_only, at, memory_limit)


def _open(
    catalog: str | Path, data_path: str | Path | None, read_only: bool, at: At, memory_limit: str | None
) -> Warehouse:
    from warehouse.migrate import check_version, migrate

    if at is not None and not read_only:
        raise ValueError("only a warehouse that is opened for reading can be seen at a snapshot")
    target = _target(catalog)
    if isinstance(target, Path):
        _check_file(target, read_only)
    lock = server_lock(target) if isinstance(target, str) else folder_lock(target.parent)
    remote = _is_remote(data_path)
    connection = connection_with(_extensions(target, remote), _spill(target), memory_limit)
    try:
        if isinstance(target, str):
            target = use_server(connection, target)
        if remote:
            use_object_store(connection)
        shown = _shown(target)
        if read_only:
            _attach(connection, target, data_path, read_only)
            snapshot = _see(connection, target, data_path, at) if at is not None else None
            warehouse = Warehouse(connection, shown, read_only, lock, snapshot)
            check_version(warehouse, past=at not in (None, "opened"))
        else:
            alone(lambda: _attach(connection, target, data_path, read_only), lock)
            warehouse = Warehouse(connection, shown, read_only, lock)
            warehouse = replace(warehouse, said=migrate(warehouse))
    except BaseException:
        connection.close()
        raise
    return warehouse


def _target(catalog: str | Path) -> str | Path:
    text = str(catalog)
    if text.startswith("postgres:"):
        return text
    return Path(text.removeprefix("sqlite:")).expanduser().absolute()


def _shown(target: str | Path) -> str:
    return "on PostgreSQL" if isinstance(target, str) else str(target)


def _check_file(target: Path, read_only: bool) -> None:
    if target.is_dir():
        raise InputError(f"The warehouse catalog {target} is a folder: name a file in it, such as catalog.sqlite")
    if read_only and not target.exists():
        raise InputError(f"There is no warehouse at {target}: any writing command makes it; `odds doctor` says more")
    if not read_only:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {target.parent} of the catalog cannot be made: {error.strerror}") from error


def _extensions(target: str | Path, remote: bool) -> tuple[str, ...]:
    catalog = "postgres_scanner" if isinstance(target, str) else "sqlite_scanner"
    return (catalog, "ducklake", *(["httpfs"] if remote else []))


def _spill(target: str | Path) -> Path:
    """Where large queries spill to: beside a catalog that is a file, or the system's folder for such things."""
    return target.parent / "spill" if isinstance(target, Path) else Path(tempfile.gettempdir()) / "odds-spill"


def _is_remote(data_path: str | Path | None) -> bool:
    return str(data_path).startswith("s3://")


def _see(connection: duckdb.DuckDBPyConnection, target: str | Path, data_path: str | Path | None, at: At) -> int:
    """Attach the catalog anew as it was at a snapshot or time; the number of the snapshot."""
    current = f"SELECT id FROM ducklake_current_snapshot('{ALIAS}')"
    if at == "opened":
        at = int(connection.execute(current).fetchall()[0][0])
    connection.execute("USE memory")
    connection.execute(f"DETACH {ALIAS}")
    try:
        _attach(connection, target, data_path, True, at)
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


def _attach(
    connection: duckdb.DuckDBPyConnection,
    target: str | Path,
    data_path: str | Path | None,
    read_only: bool,
    at: At = None,
) -> None:
    def attach(override: Path | None = None) -> None:
        options = _options(target, override or data_path, read_only, at)
        moved = ", OVERRIDE_DATA_PATH true" if override else ""
        connection.execute(f"ATTACH {quoted(_uri(target))} AS {ALIAS} ({options}{moved})")

    try:
        try:
            attach()
        except duckdb.Error as error:
            # A catalog may keep its data in an object store without the caller knowing, or have been moved with it.
            if "extension httpfs" in str(error):
                use_object_store(connection)
                attach()
            elif moved := _moved(target, data_path, STORED_PATH.search(str(error))):
                attach(moved)
            else:
                raise
        if isinstance(target, Path) and data_path is None:
            stored = connection.execute(f"SELECT 'catalog \"' || data_path || '\"' FROM ducklake_settings('{ALIAS}')")
            if moved := _moved(target, None, STORED_PATH.search(stored.fetchall()[0][0])):
                connection.execute(f"DETACH {ALIAS}")
                attach(moved)
        connection.execute(f"USE {ALIAS}")
    except duckdb.Error as error:
        raise_unless_readable(error, target)
        raise


def _moved(target: str | Path, data_path: str | Path | None, stored: re.Match[str] | None) -> Path | None:
    """Where the data lies of a catalog that was moved or copied: its stored path is gone, and the other one is there.

    Beside a SQLite catalog the folder `data` may not be there yet: while all rows are few, they stay in the catalog.
    """
    beside = target.parent / "data" if isinstance(target, Path) else None
    given = beside if data_path is None else Path(data_path).expanduser().absolute()
    if stored is None or given is None or "://" in stored[1] + str(data_path) or Path(stored[1]).exists():
        return None
    if Path(stored[1]) == given or not (given.is_dir() or given == beside):
        return None
    return given


def raise_unless_readable(error: duckdb.Error, target: str | Path) -> None:
    """Raise an InputError where the error says that the catalog is not one, or not one for this program."""
    text = str(error)
    shown = _shown(target)
    if "version mismatch" in text:
        raise InputError(
            f"The catalog {shown} has another DuckLake version: use the `odds` that wrote it, or make a new catalog"
        ) from error
    if "DATA_PATH" in text:
        raise InputError(
            f"The catalog {shown} keeps its data elsewhere than the data path given: {text.splitlines()[0]}"
        ) from error
    if "explicitly disabled" in text and isinstance(target, str):
        raise InputError("There is no warehouse on PostgreSQL yet: any writing command makes it") from error
    if any(sign in text for sign in ("not a database", "explicitly disabled", "malformed")):
        raise InputError(
            f"The catalog {shown} is damaged or no warehouse: restore it from a backup, or name another file"
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
        place = str(data_path) if "://" in str(data_path) else str(Path(data_path).expanduser().absolute())
        options.append(f"DATA_PATH {quoted(place)}")
    return ", ".join(options) or "CREATE_IF_NOT_EXISTS true"
