"""Addresses of catalogs, ledgers and data: paths, PostgreSQL databases and object stores.

A connection string may contain a password, so no message here repeats it.
"""

from __future__ import annotations

import re
from pathlib import Path

POSTGRES = "postgres:"
SECRETS = ("password", "sslpassword")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # a single letter is a Windows drive
KEYWORD = re.compile(r"\s*\w+\s*=")


def parameters_of(address: str) -> dict[str, str] | None:
    """Return the parameters of a PostgreSQL address in any form that libpq reads; None for other addresses.

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
        # The parser's message repeats parts of the address.
        raise ValueError("not a valid PostgreSQL connection string") from None


def connection_string(parameters: dict[str, str]) -> str:
    """Return the canonical address for these parameters: `postgres:` and `keyword=value` pairs."""
    from psycopg import conninfo

    return POSTGRES + conninfo.make_conninfo("", **parameters)


def address_of(given: str | Path) -> str | Path:
    """Return the path, or the canonical `postgres:` connection string.

    Raises:
        ValueError: The address is empty, of an unknown kind, or libpq cannot read it.
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
    """Return the folder or `s3://` address. Raises `ValueError` for other addresses and empty text."""
    if isinstance(given, Path) or re.match("s3://.", given):
        return given
    if scheme := SCHEME.match(given):
        raise ValueError(f"odds knows no {scheme[1]}: address here; give a folder or s3://BUCKET/...")
    if not given.strip():
        raise ValueError("it is empty; give a folder or s3://BUCKET/..., or leave it out")
    return Path(given)
