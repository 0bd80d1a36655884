"""Attach: the line that opens the warehouse, read-only, in DuckDB without Odds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from flows.research.query import moment
from flows.settings.settings import Config, load_settings
from flows.stages.services import reading
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
    """What to attach.

    Attributes:
        catalog: The catalog, without a password.
        on_postgres: Whether it is on PostgreSQL.
        store: The options of the object store with its data; None for a folder.
        snapshot: The snapshot; None for the latest.
        secret_left_out: Whether the connection string had a password, which is never printed.
        moved_to: The folder of the data, if the catalog has another path for it.
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
    """Return what to attach for a catalog and its data path. Only the store's address is taken from the environment.

    Raises:
        InputError: The connection string cannot be read.
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
    """Return the statements that open the warehouse as `odds` in any DuckDB, on one line."""
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
    """Return the line for a client."""
    sql = attach_sql(target)
    if client == "duckdb":
        return f"duckdb -cmd {_shell(sql)}"
    # A JSON string with unescaped non-ASCII characters is also valid in Python and R.
    literal = json.dumps(sql, ensure_ascii=False)
    if client == "python":
        return f"import duckdb; odds = duckdb.connect(); odds.execute({literal})"
    if client == "r":
        return f"library(duckdb); odds <- dbConnect(duckdb()); dbExecute(odds, {literal})"
    return f"import duckdb; duckdb.execute({literal})"


def notes(target: Target) -> list[str]:
    """Return what a person must know before the line works."""
    said = ["INSTALL downloads DuckDB's extensions once; DuckDB there must be at least as new as the one here."]
    if target.secret_left_out:
        said.append(
            "The PostgreSQL password is left out: put it into the variable PGPASSWORD or into ~/.pgpass "
            "(PGPASSFILE names another file)."
        )
    if target.store is not None:
        said.append("The keys of the object store come from where AWS tools find them: AWS_... variables, ~/.aws.")
    if not target.on_postgres:
        said.append("The catalog is a file; the line works on machines that have it under this path.")
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
    """The text as one POSIX shell word, in double quotes, since SQL is full of single quotes."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'
