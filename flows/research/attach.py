"""Attach: the one line that opens the warehouse, read-only, in DuckDB without our code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from flows.research.query import moment
from flows.services import reading
from flows.settings.settings import Config, load_settings
from warehouse.catalog.address import SECRETS, connection_string, parameters_of
from warehouse.catalog.extensions import object_store_options, quoted
from warehouse.errors import InputError
from warehouse.queries.stages import stored_data_path

Client: TypeAlias = Literal["duckdb", "python", "r", "notebook"]
CLIENTS: tuple[Client, ...] = get_args(Client)
TITLES: dict[Client, str] = {
    "duckdb": "The DuckDB command line",
    "python": "Python, with the package duckdb",
    "r": "R, with the package duckdb",
    "notebook": "A notebook (Jupyter, or marimo with its SQL cells): DuckDB's own connection",
}


@dataclass(frozen=True)
class Target:
    """What is attached: the catalog, whether its data lies in an object store, and the snapshot (None: the latest).

    `moved_to` is where the data lies now, where the catalog tells another folder. `secret_left_out` says that the
    connection string holds a password, which stands in no text of this module.
    """

    catalog: str
    on_postgres: bool
    store: Mapping[str, str] | None = None
    snapshot: int | None = None
    secret_left_out: bool = False
    moved_to: str | None = None


def target_of(
    catalog: str, data_path: str, snapshot: int | None = None, environment: Mapping[str, str] | None = None
) -> Target:
    """What there is to attach for a catalog and its data path; of the environment only the store's address is kept.

    Raises `InputError` for a connection string that cannot be read.
    """
    store: dict[str, str] | None = None
    if data_path.startswith("s3://"):
        options = object_store_options(environment or {})
        store = {name: options[name] for name in ("ENDPOINT", "URL_STYLE", "USE_SSL", "REGION") if name in options}
    try:
        parameters = parameters_of(catalog)
    except ValueError as error:
        raise InputError(f"warehouse.catalog: {error}") from None
    if parameters is None:
        return Target(catalog, False, store, snapshot)
    secrets = [word for word in SECRETS if parameters.pop(word, None) is not None]
    return Target(connection_string(parameters), True, store, snapshot, bool(secrets))


def attach_sql(target: Target) -> str:
    """The statements that open the warehouse as `odds` in any DuckDB, as one line."""
    extensions = ["ducklake", "postgres" if target.on_postgres else "sqlite"]
    secret = ""
    if target.store is not None:
        extensions += ["httpfs", "aws"]
        given = {name: value if name == "USE_SSL" else quoted(value) for name, value in target.store.items()}
        options = "".join(f", {name} {value}" for name, value in given.items())
        secret = f"CREATE SECRET odds (TYPE s3, PROVIDER credential_chain{options}); "
    installs = "".join(f"INSTALL {name}; " for name in extensions)
    catalog = quoted(f"ducklake:{'' if target.on_postgres else 'sqlite:'}{target.catalog}")
    then = "" if target.snapshot is None else f", SNAPSHOT_VERSION {target.snapshot}"
    if target.moved_to is not None:
        then += f", DATA_PATH {quoted(target.moved_to)}, OVERRIDE_DATA_PATH true"
    return f"{installs}{secret}ATTACH {catalog} AS odds (READ_ONLY{then}); USE odds;"


def attach_line(target: Target, client: Client) -> str:
    """The one line for a client."""
    sql = attach_sql(target)
    if client == "duckdb":
        return f"duckdb -cmd {_shell(sql)}"
    # A JSON string that keeps what is beyond ASCII as it is, is a string of Python and of R too.
    literal = json.dumps(sql, ensure_ascii=False)
    if client == "python":
        return f"import duckdb; odds = duckdb.connect(); odds.execute({literal})"
    if client == "r":
        return f"library(duckdb); odds <- dbConnect(duckdb()); dbExecute(odds, {literal})"
    return f"import duckdb; duckdb.execute({literal})"


def notes(target: Target) -> list[str]:
    """What a person must know before the line works."""
    said = ["INSTALL fetches DuckDB's extensions once; the DuckDB there must be as new as the one here, or newer."]
    if target.secret_left_out:
        said.append(
            "The password of PostgreSQL is left out: put it into the variable PGPASSWORD or into ~/.pgpass "
            "(PGPASSFILE names another file)."
        )
    if target.store is not None:
        said.append("The keys of the object store come from where AWS tools find them: AWS_... variables, ~/.aws.")
    if not target.on_postgres:
        said.append("The catalog is a file: the line works on machines that see it under this path.")
    return said


@dataclass(frozen=True)
class Attach:
    """The line that opens the warehouse in each client, and what to know before it works."""

    lines: dict[Client, str]
    notes: list[str]


def attach(client: Client | Literal["all"] = "all", *, at: str | None = None, config: Config = None) -> Attach:
    """Return the line that opens the warehouse, read-only, in DuckDB without Odds.

    Args:
        client: The client that runs the line, or "all".
        at: A snapshot's number or a time: open the warehouse as it was then.
        config: The settings, or the file to read them from.

    Raises:
        InputError: there is no warehouse, or it did not exist at that time.
    """
    settings = load_settings(config)
    with reading(settings, moment(at)) as warehouse:
        snapshot = warehouse.at if at is not None else None
        told = stored_data_path(warehouse)
    target = target_of(settings.catalog, settings.data_path, snapshot, os.environ)
    if "://" not in told + settings.data_path and not Path(told).exists() and Path(told) != Path(settings.data_path):
        target = replace(target, moved_to=settings.data_path)
    chosen = CLIENTS if client == "all" else (client,)
    return Attach({one: attach_line(target, one) for one in chosen}, notes(target))


def _shell(text: str) -> str:
    """The text as one word of a POSIX shell, in double quotes, since SQL is full of single ones."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'
