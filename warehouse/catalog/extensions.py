"""DuckDB connections: extensions from Python packages, so that nothing is downloaded, and keys of an S3 store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from warehouse.catalog.address import connection_string, parameters_of
from warehouse.errors import InputError

SERVER_SECRET = "catalog_server"  # noqa: S105 - the name of a secret


def connection_with(
    extensions: Iterable[str], spill: Path | None = None, memory_limit: str | None = None
) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with these extensions, in UTC.

    Args:
        extensions: Names of extensions, such as ducklake or sqlite_scanner.
        spill: The folder for data that a large query cannot keep in memory; created when needed.
        memory_limit: The memory for queries, such as 4GB; by default 80% of the machine's.

    Raises:
        InputError: An extension's package is missing or for another DuckDB, or the limit is not a valid size.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # The packages are as trusted as DuckDB itself, and hashing their 70 MB takes a third of a second at every
        # start.
        "allow_unsigned_extensions": True,
        "allow_persistent_secrets": False,
        # In DuckDB 1.5.5 it takes two tables of an attached SQLite file with the same columns for one
        # (github.com/duckdb/duckdb/issues/24781), and mixes up the columns of like joins (25819).
        "disabled_optimizers": "common_subplan",
    }
    if spill is not None:
        config["temp_directory"] = str(spill)
    if memory_limit is not None:
        config["memory_limit"] = memory_limit
    try:
        connection = duckdb.connect(":memory:", config=config)
    except (duckdb.ParserException, duckdb.InvalidInputException) as error:
        raise InputError(f"warehouse.memory_limit: {memory_limit!r} is not a valid size; use e.g. 4GB") from error
    for extension in extensions:
        load(connection, extension)
    connection.execute("SET allow_unsigned_extensions = false")  # DuckDB cannot turn it on again
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def load(connection: duckdb.DuckDBPyConnection, extension: str) -> None:
    """Load an extension from its package. Raises `InputError` if the package is missing or for another DuckDB."""
    connection.execute(f"LOAD {quoted(str(extension_file(extension)))}")


def extension_file(extension: str) -> Path:
    """Return the file of an extension in its package. Raises `InputError` as `load` does."""
    package = f"duckdb-extension-{extension.replace('_', '-')}"
    try:
        module = import_module(f"duckdb_extension_{extension}")
    except ImportError as error:
        raise InputError(f"This catalog needs the package {package}; install it and try again") from error
    path = Path(str(files(module))) / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
    if not path.exists():
        raise InputError(f"The package {package} does not match DuckDB {duckdb.__version__}; install the same version")
    return path


def use_object_store(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the connection read and write `s3://`, with the keys in the usual AWS variables."""
    load(connection, "httpfs")
    options = ", ".join(f"{name} {quoted(value)}" for name, value in object_store_options(os.environ).items())
    connection.execute(f"CREATE OR REPLACE TEMPORARY SECRET object_store (TYPE s3{', ' if options else ''}{options})")


def use_server(connection: duckdb.DuckDBPyConnection, catalog: str) -> str:
    """Store the password of a PostgreSQL catalog as a secret, and return its connection string without it.

    Then no database message and no table of settings contains the password.
    """
    parameters = parameters_of(catalog) or {}
    password = parameters.pop("password", "")
    option = f", PASSWORD {quoted(password)}" if password else ""
    connection.execute(f"CREATE OR REPLACE TEMPORARY SECRET {SERVER_SECRET} (TYPE postgres{option})")
    return connection_string(parameters)


def seal(connection: duckdb.DuckDBPyConnection, folders: Iterable[str], files: Iterable[str]) -> None:
    """Restrict the connection to these files and folders, and lock its settings for good."""
    connection.execute(f"SET allowed_directories = [{literals(folders)}]")
    connection.execute(f"SET allowed_paths = [{literals(files)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def object_store_options(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the options of an S3 secret from the variables that every AWS tool reads.

    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION (or AWS_DEFAULT_REGION) and, for a store
    other than Amazon's, AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL), addressed by path.
    """
    named = {
        "KEY_ID": ("AWS_ACCESS_KEY_ID",),
        "SECRET": ("AWS_SECRET_ACCESS_KEY",),
        "SESSION_TOKEN": ("AWS_SESSION_TOKEN",),
        "REGION": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "ENDPOINT": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    }
    options = {
        option: value
        for option, variables in named.items()
        if (value := next((environment[one] for one in variables if environment.get(one)), None))
    }
    if "ENDPOINT" in options:
        address = urlsplit(options["ENDPOINT"])
        options |= {"ENDPOINT": address.netloc, "URL_STYLE": "path", "USE_SSL": str(address.scheme != "http").lower()}
    return options


def quoted(text: str) -> str:
    """Return the text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """Return the texts as SQL literals, with commas between them."""
    return ", ".join(map(quoted, texts))
