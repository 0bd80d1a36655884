"""Addresses of catalogs, ledgers and data: paths, PostgreSQL databases and object stores.

A connection string may contain a password, so no message here repeats it.
"""

from __future__ import annotations

import re
from pathlib import Path

POSTGRES = "postgres:"
SECRETS = ("password", "sslpassword")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # a single letter is a Windows drive
KEYWORD = re.compile(r"\w+\s*=")
USER = re.compile(r"/*[^/]*:[^/]*@")  # what stands before a host, maybe with a password


def parameters_of(address: str) -> dict[str, str] | None:
    """Return the parameters of a PostgreSQL address in any form that libpq reads; None for other addresses.

    The forms are `postgresql://...`, `postgres://...`, `postgres:` before either form, and `host=... dbname=...`.

    Raises:
        ValueError: libpq cannot read it.
    """
    address = address.strip()
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
    given = given.strip()
    if (parameters := parameters_of(given)) is not None:
        return connection_string(parameters)
    path, wanted = given.removeprefix("sqlite:"), "give the path of a SQLite file or a PostgreSQL connection string"
    if scheme := SCHEME.match(given if path.startswith("//") else path):
        raise ValueError(f"odds knows no {scheme[1]}: address here; {wanted} (./ before a name with a colon)")
    _refuse_user(path, wanted)
    if not path:
        raise ValueError(f"it is empty; {wanted}, or leave it out")
    return Path(path)


def data_place(given: str | Path) -> str | Path:
    """Return the folder or `s3://` address. Raises `ValueError` for other addresses and empty text."""
    if isinstance(given, Path):
        return given
    given, wanted = given.strip(), "give a folder or s3://BUCKET/..."
    if re.match("s3://.", given):
        return given
    if scheme := SCHEME.match(given):
        raise ValueError(f"odds knows no {scheme[1]}: address here; {wanted}")
    _refuse_user(given, wanted)
    if not given:
        raise ValueError(f"it is empty; {wanted}, or leave it out")
    return Path(given)


def _refuse_user(path: str, wanted: str) -> None:
    """Raise `ValueError` for what would be a path whose name may hold a password."""
    if USER.match(path):
        raise ValueError(f"it has a user like an address, but none that odds knows; {wanted} (./ before such a name)")
