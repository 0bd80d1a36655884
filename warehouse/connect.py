"""Opening the warehouse: a DuckLake catalog on a SQLite file, or on PostgreSQL, seen through one DuckDB connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa

from warehouse.errors import InputError
from warehouse.patience import alone

DEFAULT_CATALOG = Path(".odds/warehouse/catalog.sqlite")
ALIAS = "odds"


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse. Tables and views are plain names in `sql`; times are in UTC.

    `catalog` is the file of the catalog, or `postgres` without its connection string, which may hold a password.
    `lock_folder` is where its writers queue; None for a catalog on a server.
    """

    connection: duckdb.DuckDBPyConnection
    catalog: str
    read_only: bool
    lock_folder: Path | None

    def sql(self, query: str, params: Sequence[object] = ()) -> pa.Table:
        """The result of a query, `?` standing for the params, as an Arrow table."""
        return self.connection.execute(query, list(params)).to_arrow_table()

    def batches(self, query: str, params: Sequence[object] = (), rows: int = 65_536) -> pa.RecordBatchReader:
        """The result of a query as a stream of batches; other queries may run while it is read."""
        cursor = self.connection.cursor()
        cursor.execute(f"USE {ALIAS}")
        return cursor.execute(query, list(params)).to_arrow_reader(rows)

    def snapshot_id(self) -> int:
        """The number of the latest snapshot: it grows with every transaction that wrote something."""
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


def open_warehouse(
    catalog: str | Path = DEFAULT_CATALOG, data_path: str | Path | None = None, *, read_only: bool = True
) -> Warehouse:
    """The warehouse of a catalog: a path of a SQLite file, or `postgres:` with a libpq connection string.

    The parquet files lie under `data_path`, by default the folder `data` beside a SQLite catalog. Opened for writing,
    a catalog is made where there is none, and brought up to date. Nothing is downloaded.

    Raises:
        InputError: no catalog to read, one that cannot be read, or one that a newer program wrote.
        ServiceError: the catalog stayed busy.
    """
    from warehouse.migrate import check_version, migrate

    target = _target(catalog)
    lock_folder = None if isinstance(target, str) else target.parent
    if isinstance(target, Path):
        _check_file(target, read_only)
    connection = _connection(with_postgres=isinstance(target, str))
    warehouse = Warehouse(connection, "postgres" if lock_folder is None else str(target), read_only, lock_folder)
    try:
        if read_only:
            _attach(connection, target, data_path, read_only)
            check_version(warehouse)
        else:
            alone(lambda: _attach(connection, target, data_path, read_only), lock_folder)
            migrate(warehouse)
    except BaseException:
        warehouse.close()
        raise
    return warehouse


def _target(catalog: str | Path) -> str | Path:
    text = str(catalog)
    if text.startswith("postgres:"):
        return text
    return Path(text.removeprefix("sqlite:")).expanduser().absolute()


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


def _connection(with_postgres: bool) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    for extension in ("postgres_scanner" if with_postgres else "sqlite_scanner", "ducklake"):
        connection.execute(f"LOAD {_quoted(str(_extension_file(extension)))}")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def _extension_file(extension: str) -> Path:
    package = f"duckdb-extension-{extension.replace('_', '-')}"
    try:
        module = import_module(f"duckdb_extension_{extension}")
    except ImportError as error:
        raise InputError(f"This catalog needs the package {package}: install it and try again") from error
    path = Path(str(files(module))) / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
    if not path.exists():
        raise InputError(f"The package {package} is not for DuckDB {duckdb.__version__}: install the same version")
    return path


def _attach(
    connection: duckdb.DuckDBPyConnection, target: str | Path, data_path: str | Path | None, read_only: bool
) -> None:
    try:
        connection.execute(f"ATTACH {_quoted(_uri(target))} AS {ALIAS} ({_options(target, data_path, read_only)})")
        connection.execute(f"USE {ALIAS}")
    except duckdb.Error as error:
        raise_unless_readable(error, target)
        raise


def raise_unless_readable(error: duckdb.Error, target: str | Path) -> None:
    """Raise an InputError where the error says that the catalog is not one, or not one for this program."""
    text = str(error)
    shown = target if isinstance(target, Path) else "on PostgreSQL"
    if "version mismatch" in text:
        raise InputError(
            f"The catalog {shown} has another DuckLake version: use the `odds` that wrote it, or make a new catalog"
        ) from error
    if "DATA_PATH" in text:
        raise InputError(
            f"The catalog {shown} keeps its data elsewhere than the data path given: {text.splitlines()[0]}"
        ) from error
    if any(sign in text for sign in ("not a database", "explicitly disabled", "malformed", "unable to open")):
        raise InputError(f"The catalog {shown} cannot be read as a warehouse: name another file, or move it") from error
    if isinstance(target, str) and "onnect" in text:
        # The message may hold the connection string with its password, so neither it nor its cause is shown.
        raise InputError("The PostgreSQL catalog cannot be reached: check its connection string and server") from None


def _uri(target: str | Path) -> str:
    return f"ducklake:sqlite:{target}" if isinstance(target, Path) else f"ducklake:{target}"


def _options(target: str | Path, data_path: str | Path | None, read_only: bool) -> str:
    """The options of ATTACH. Write-ahead logging lets readers read on while one process writes, and is twice as fast.

    DuckLake keeps its default of putting transactions of up to ten rows into the catalog instead of a parquet file.
    """
    options = ["READ_ONLY"] if read_only else []
    if isinstance(target, Path) and not read_only:
        options.append("META_JOURNAL_MODE 'WAL'")
        # A file that is there is a catalog or a mistake: DuckLake would add its tables to any SQLite file.
        if target.exists() and target.stat().st_size > 0:
            options.append("CREATE_IF_NOT_EXISTS false")
        elif data_path is None:
            data_path = target.parent / "data"
    if data_path is not None:
        place = str(data_path) if "://" in str(data_path) else str(Path(data_path).expanduser().absolute())
        options.append(f"DATA_PATH {_quoted(place)}")
    return ", ".join(options) or "CREATE_IF_NOT_EXISTS true"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
