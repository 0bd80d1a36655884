"""Failures of the files, the disk or the server under a warehouse, in one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.errors import ServiceError

# The warehouse's own data files, not files that a query names.
DATA_FILE = re.compile(r"""["']([^"'\n]*ducklake-[0-9a-f-]{36}(?:-delete)?\.(?:parquet|puffin))["']""")
# What DuckDB's message contains, and our message for it.
SIGNS = (
    (
        r"Unable to connect to Postgres|server closed the connection|terminating connection|SSL SYSCALL",
        "{catalog} cannot be reached any more; check the server, then run the command again",
    ),
    (
        r"No space left|database or disk is full|disk I/O error|Disk quota exceeded",
        "{catalog} or its data cannot be written (the disk is full or failing); make room and run the command again",
    ),
    (
        r"don't know what type|TProtocolException|decompression failure",
        "A data file of the warehouse is corrupt ({first}); restore it from a backup",
    ),
    (
        r"malformed|not a database",
        "{catalog} is corrupt or not an Odds warehouse; restore it from a backup, or name another file",
    ),
    (
        r"read-only file system|readonly database|unable to open|permission denied",
        "{catalog} or its data cannot be written; make the folder writable (SQLite needs that for reading, too)",
    ),
    (
        r"Out of Memory",
        "{catalog}: a query needs more memory than allowed ({first}); raise warehouse.memory_limit",
    ),
    (
        r"HTTP|Could not establish connection|Could not connect to server",
        "The object store of the warehouse fails ({first}); check warehouse.data_path and the AWS_ variables",
    ),
)
MISSING = (
    "{catalog} was deleted or moved while this command ran; its data files were left alone. Restore the "
    "catalog from a backup, then run the command again"
)
# What DuckLake says when its own tables have changed under it.
CHANGED = (
    "{catalog} changed while this command ran, by `odds maintain` or because another file replaced it. What was "
    "written before is kept; run the command again"
)
CHANGED_SIGNS = (
    (r"Table with name ducklake_snapshot does not exist", MISSING),
    (r"No snapshot found|Table with name ducklake_inlined_data_\w+ does not exist", CHANGED),
)
FILE_SIGNS = (
    (
        r"No such file|\b404\b",
        "The data file {file} is missing; restore it, or correct warehouse.data_path if the data was moved",
    ),
    SIGNS[1],
    (
        r"read-only file system|permission denied",
        "The data file {file} cannot be read or written; fix its permissions, or correct warehouse.data_path",
    ),
    (
        r"HTTP|Could not establish connection|Could not connect to server",
        "The object store fails at {file}; check warehouse.data_path and the AWS_ variables",
    ),
    (r"", "The data file {file} is corrupt ({first}); restore it from a backup"),
)


def fault_of(error: BaseException, catalog: str) -> ServiceError | None:
    """Return the `ServiceError` for an error about a catalog's files, disk or server; None for any other error.

    Errors from Arrow while a stream is read count, too; other OS errors are about other files.
    """
    if isinstance(error, duckdb.Error):
        if _is_missing(catalog):
            return ServiceError(MISSING.format(catalog=f"The catalog {catalog}"))
        for sign, line in CHANGED_SIGNS:
            if re.search(sign, str(error)):
                return ServiceError(line.format(catalog=f"The catalog {catalog}"))
    if isinstance(error, duckdb.OperationalError | duckdb.InvalidInputException) or type(error) is duckdb.Error:
        text = str(error).partition("\n\nLINE ")[0]
    elif isinstance(error, OSError) and error.errno is None:
        text = str(error)
    else:
        return None
    file = DATA_FILE.search(text)
    first = DATA_FILE.sub("", text.splitlines()[0] if text else "").strip().rstrip(":")
    for sign, line in FILE_SIGNS if file else SIGNS:
        if re.search(sign, text, re.IGNORECASE):
            return ServiceError(line.format(catalog=f"The catalog {catalog}", file=file and file[1], first=first))
    return None


def _is_missing(catalog: str) -> bool:
    """Whether it was a file that no longer exists."""
    return catalog.startswith("/") and not Path(catalog).exists()


@contextmanager
def faults_said(catalog: str) -> Iterator[None]:
    """Turn errors about a catalog's files, disk or server into a `ServiceError` of one line."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        fault = fault_of(error, catalog)
        if fault is None:
            raise
        raise fault from error
