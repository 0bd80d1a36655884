"""Where a catalog, a ledger or the data is: a path, a PostgreSQL database or an object store.

A connection string may hold a password, so no message here repeats what was given.
"""

from __future__ import annotations

import re
from pathlib import Path

POSTGRES = "postgres:"
SECRETS = ("password", "sslpassword")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # one letter alone is a drive of Windows
KEYWORD = re.compile(r"\s*\w+\s*=")


def parameters_of(address: str) -> dict[str, str] | None:
    """The parameters of a PostgreSQL address, in every form that libpq reads; None for what is no such address.

    The forms are `postgresql://...`, `postgres://...`, `postgres:` before either form, and `host=... dbname=...`.

    Raises:
        ValueError: libpq cannot read it.
    """
    scheme = SCHEME.match(address)
    named = scheme is not None and scheme[1].lower() in ("postgres", "postgresql")
    if not named and not KEYWORD.match(address):
        return None
    # Only PostgreSQL needs its client library.
    from psycopg import Error, conninfo

    rest = address.partition(":")[2] if scheme and named else address
    text = f"postgresql:{rest}" if named and rest.startswith("//") else rest
    try:
        return {name: str(value) for name, value in conninfo.conninfo_to_dict(text).items() if value is not None}
    except Error:
        # The words of the parser repeat parts of the address.
        raise ValueError("this is not a connection string that PostgreSQL's libpq can read") from None


def connection_string(parameters: dict[str, str]) -> str:
    """The address of these parameters in its one form here: `postgres:` and `keyword=value` pairs."""
    from psycopg import conninfo

    return POSTGRES + conninfo.make_conninfo("", **parameters)


def address_of(given: str | Path) -> str | Path:
    """The path that was given, or the `postgres:` connection string.

    Raises:
        ValueError: it is empty, looks like an address of a kind that we do not know, or libpq cannot read it.
    """
    if isinstance(given, Path):
        return given
    if (parameters := parameters_of(given)) is not None:
        return connection_string(parameters)
    path = given.removeprefix("sqlite:")
    if scheme := SCHEME.match(given if path.startswith("//") else path):
        raise ValueError(
            f"odds knows no {scheme[1]}: address here; give the path of a SQLite file (./ before a name with a colon) "
            "or a PostgreSQL connection string"
        )
    if not path.strip():
        raise ValueError("it is empty; give a path or a PostgreSQL connection string, or leave it out")
    return Path(path)


def data_place(given: str | Path) -> str | Path:
    """The folder that was given, or the `s3://` address. Raises `ValueError` for other addresses and nothing."""
    if isinstance(given, Path) or re.match("s3://.", given):
        return given
    if scheme := SCHEME.match(given):
        raise ValueError(f"odds knows no {scheme[1]}: address here; give a folder or s3://BUCKET/...")
    if not given.strip():
        raise ValueError("it is empty; give a folder or s3://BUCKET/..., or leave it out")
    return Path(given)
