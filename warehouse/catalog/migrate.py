"""Migrating a catalog: numbered migrations, each committed together with its record, and the views."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import duckdb

from warehouse.catalog.extensions import quoted
from warehouse.catalog.opened import ALIAS, Warehouse
from warehouse.catalog.statistics import give_statistics
from warehouse.catalog.store import write
from warehouse.errors import InputError

VIEWS = "views"
# Each reader thread keeps a row group of each column in memory, and texts are wide: with DuckDB's default of 122,880
# rows, a query for a few rows takes 50 MB more.
OPTIONS = {"parquet_row_group_size": "16384"}
COLUMN_COMMENT = re.compile(r"(\w+): (.+)")


@dataclass(frozen=True)
class Script:
    """A numbered file of SQL."""

    number: int
    name: str
    text: str


@cache
def _scripts(package: str) -> tuple[Script, ...]:
    found = sorted((item for item in files(package).iterdir() if item.name.endswith(".sql")), key=lambda i: i.name)
    scripts = []
    for item in found:
        number, _, name = item.name.removesuffix(".sql").partition("_")
        scripts.append(Script(int(number), name, item.read_text(encoding="utf-8")))
    return tuple(scripts)


def migrations() -> tuple[Script, ...]:
    """Return the migrations by number."""
    return _scripts("warehouse.catalog.migrations")


def views() -> tuple[Script, ...]:
    """Return the views in an order in which each comes after those that it reads."""
    return _scripts("warehouse.views")


class Applied(NamedTuple):
    """What a catalog has: the number of its last migration (0 if it is empty), and a hash of its views."""

    version: int = 0
    views: str | None = None


def applied(warehouse: Warehouse) -> Applied:
    """Return what was applied to the catalog."""
    try:
        query = "SELECT coalesce(max(number), 0), any_value(sha256) FILTER (name = ?) FROM migrations"
        return Applied(*warehouse.rows(query, [VIEWS])[0])
    except duckdb.CatalogException:  # there are no tables
        return Applied()


def check_version(warehouse: Warehouse, past: bool = False) -> Applied:
    """Return what was applied to the catalog, and raise `InputError` if this version of Odds cannot use it.

    It must not be newer. For reading it must be up to date, or have tables if it is seen at a `past` snapshot.
    """
    there = applied(warehouse)
    version, latest = there.version, migrations()[-1].number
    if version > latest:
        raise InputError(
            f"The catalog {warehouse.catalog} has version {version}, this program knows {latest}; upgrade `odds`"
        )
    if past and version == 0:
        raise InputError(f"The catalog {warehouse.catalog} had no tables yet at snapshot {warehouse.at}")
    if warehouse.read_only and not past and version < latest:
        raise InputError(
            f"The catalog {warehouse.catalog} has version {version} of {latest}; "
            "any command that writes updates it (see `odds doctor`)"
        )
    return there


def migrate(warehouse: Warehouse) -> tuple[str, ...]:
    """Apply missing migrations, and recreate the views if their texts changed. A second run writes nothing.

    The catalog's options apply to files written from then on.

    Returns:
        Messages for the person: the column `said` of a migration's last query, if it has one.
    """
    there = check_version(warehouse)
    said: list[str] = []
    for script in migrations():
        if script.number > there.version:
            said += write(warehouse, lambda w, script=script: _apply(w, script))  # type: ignore[misc]
    if there.version < migrations()[-1].number:
        write(warehouse, give_statistics)
    if there.views != _views_digest():
        write(warehouse, _apply_views)
    if OPTIONS.items() - _options(warehouse).items():
        write(warehouse, _set_options)
    return tuple(said)


def comment_of(view: Script) -> str:
    """Return the comment at the top of a view's file: its meaning, then lines `column: meaning`."""
    lines = []
    for line in view.text.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return "\n".join(lines)


def column_comments(comment: str) -> dict[str, str]:
    """Return the meaning of each column from the comment on a view, since DuckLake has no comments on view columns."""
    return {match[1]: match[2] for line in comment.splitlines() if (match := COLUMN_COMMENT.fullmatch(line))}


def _apply(warehouse: Warehouse, script: Script) -> list[str]:
    if script.number <= applied(warehouse).version:  # another process was first
        return []
    last = warehouse.sql(script.text)
    _record(warehouse, script.number, script.name, _digest(script.text))
    return [str(line) for line in last["said"].to_pylist()] if "said" in last.column_names else []


def _record(warehouse: Warehouse, number: int | None, name: str, digest: str) -> None:
    warehouse.connection.execute("INSERT INTO migrations VALUES (?, ?, ?, now())", [number, name, digest])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _views_digest() -> str:
    return _digest("\n".join(view.text for view in views()))


def _options(warehouse: Warehouse) -> dict[str, str]:
    return dict(warehouse.rows(f"SELECT option_name, value FROM ducklake_options('{ALIAS}') WHERE scope = 'GLOBAL'"))


def _set_options(warehouse: Warehouse) -> None:
    for name, value in OPTIONS.items():
        warehouse.connection.execute(f"CALL {ALIAS}.set_option('{name}', '{value}')")


def _apply_views(warehouse: Warehouse) -> None:
    if applied(warehouse).views == _views_digest():  # another process was first
        return
    for (name,) in warehouse.rows("SELECT view_name FROM duckdb_views() WHERE database_name = 'odds' AND NOT internal"):
        warehouse.connection.execute(f'DROP VIEW "{name}"')
    for view in views():
        warehouse.connection.execute(view.text)
        warehouse.connection.execute(f"COMMENT ON VIEW {view.name} IS {quoted(comment_of(view))}")
    warehouse.connection.execute("DELETE FROM migrations WHERE name = ?", [VIEWS])
    _record(warehouse, None, VIEWS, _views_digest())
