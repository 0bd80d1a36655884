"""Queries from the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.research.rows import Form, first, write_rows
from flows.settings.settings import CONFIG_NAME, Config, Settings, load_settings
from flows.stages.services import reading
from flows.terminal.console import plain_output
from flows.terminal.tables import plain_list
from warehouse.catalog.address import POSTGRES
from warehouse.catalog.connect import At
from warehouse.errors import InputError
from warehouse.files.export import write_query as write
from warehouse.files.formats import check_output
from warehouse.queries.stages import TableDescription, describe_tables
from warehouse.queries.user_sql import head, only_statement, statements, stream

NARROWEST = 8  # the fewest characters for a column of a table
AT_FORMS = "give the number of a snapshot, or a time such as 2026-11-20 or '2026-11-20 14:00' (UTC)"


def moment(text: str | None, now: datetime | None = None) -> At:
    """Parse `--at`: a snapshot's number or a time (UTC unless it names a zone); None is the moment of opening.

    A date means its first moment.

    Raises:
        InputError: It is neither, or a time in the future.
    """
    if text is None:
        return "opened"
    if text.strip().isdecimal():
        return int(text)
    time = _time(text.strip())
    if time is None:
        raise InputError(f"--at {text} is neither a snapshot nor a time; {AT_FORMS}")
    if time > (now or datetime.now(UTC)):
        raise InputError(f"--at {text} is in the future; leave out --at for the latest state")
    return time


def _time(text: str) -> datetime | None:
    """An ISO 8601 time in UTC, with an offset, or a name such as Europe/Berlin after it; None for anything else."""
    for part, zone in ((text, "UTC"), text.rpartition(" ")[::2]):
        try:
            read = datetime.fromisoformat(part)
            return (read.replace(tzinfo=ZoneInfo(zone)) if read.tzinfo is None else read).astimezone(UTC)
        except (ValueError, ZoneInfoNotFoundError, OverflowError, OSError):
            continue
    return None


def query_text(query: str | None, file: Path | None) -> str:
    """Return the text of a query, given as text, @FILE, - for the standard input, or a file.

    Raises:
        InputError: There is none, or two, or the file cannot be read.
    """
    if (query is None) == (file is None):
        raise InputError("odds sql: give one query: its text, @FILE, or - for the standard input")
    if query == "-":
        return sys.stdin.read()
    if query is not None:
        if not query.startswith("@"):
            return query
        file = Path(query.removeprefix("@"))
    return _text_of(file or Path())


def asked_files(query: str | None, file: Path | None = None) -> list[Path]:
    """Return the file that a query comes from, if any."""
    return [Path(query.removeprefix("@"))] if query and query.startswith("@") else [file] if file else []


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def print_query(
    settings: Settings, text: str, limit: int, console: Console, *, at: At = "opened", allow: Sequence[Path] = ()
) -> None:
    """Print the first `limit` rows of each query of a text as a table, and say how many there are."""
    with reading(settings, at, allow) as warehouse:
        queries = statements(warehouse, text)
        for query in queries:
            rows, total = head(warehouse, query, limit)
            if len(queries) > 1:
                console.print(Text(f"\n{_title(query)}", style="italic"))
            console.print(_wide(rows) if rows.num_columns * NARROWEST > console.width else _table(rows))
            if total > limit:
                console.print(f"{limit} of {total:,} rows; --limit shows more, --output writes all", highlight=False)
        if at != "opened":
            console.print(f"as of snapshot {warehouse.at}", highlight=False)


def _table(rows: pa.Table) -> Table:
    """One line per row."""
    table = Table(header_style="bold")
    for name, kind in zip(rows.schema.names, rows.schema.types, strict=True):
        numeric = str(kind).startswith(("int", "uint", "double", "float", "decimal"))
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for values in _rows(rows):
        table.add_row(*(Text(shown(value)) for value in values))
    return table


def _wide(rows: pa.Table) -> Table:
    """One line per column, for rows with more columns than fit side by side."""
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for values in _rows(rows):
        for name, value in zip(rows.schema.names, values, strict=True):
            table.add_row(Text(name), Text(shown(value)))
        table.add_section()
    return table


def _rows(rows: pa.Table) -> Iterator[tuple[object, ...]]:
    """The rows as tuples, since two columns may have the same name."""
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)


def _title(query: str) -> str:
    """The last comment line before a query."""
    comments = [line for line in query.splitlines() if line.startswith("--")]
    return comments[-1].removeprefix("--").strip() if comments else ""


def write_query(
    settings: Settings,
    query: str,
    output: Path,
    at: At = "opened",
    allow: Sequence[Path] = (),
    *,
    inputs: Sequence[Path] = (),
    formulas: bool = False,
) -> int:
    """Write all rows of a query to a .parquet, .csv or .jsonl file other than `inputs`. Returns their number."""
    check_apart(settings, output, inputs)
    with reading(settings, at, allow) as warehouse:
        return write(warehouse, query, output, formulas=formulas)


def rows_file(settings: Settings, output: Path | str, inputs: Sequence[Path] = ()) -> Path:
    """Return the file to write rows to. Raises `InputError`, before any work, if it cannot or must not be written."""
    path = Path(output)
    check_output(path)
    check_apart(settings, path, inputs)
    return path


def check_apart(settings: Settings, output: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse an output that is an input, or a file of the warehouse, the ledger or the settings."""
    place = output.resolve()
    catalog, data, ledger = settings.catalog, settings.data_path, settings.ledger_path
    files = [*inputs, *([] if catalog.startswith(POSTGRES) else [Path(catalog)])]
    files += [settings.path(CONFIG_NAME), *([ledger] if isinstance(ledger, Path) else [])]
    if place in {file.resolve() for file in files}:
        raise InputError(f"{output} is one of the inputs; name another output")
    if "://" not in data and place.is_relative_to(Path(data).resolve()):
        raise InputError(f"{output} is in the data folder of the warehouse; name another output")


def stream_query(
    settings: Settings,
    text: str,
    form: Form,
    limit: int | None = None,
    *,
    at: At = "opened",
    allow: Sequence[Path] = (),
    formulas: bool = False,
) -> None:
    """Write the rows of one query, or the first `limit`, to the standard output, and nothing else."""
    with reading(settings, at, allow) as warehouse:
        rows = stream(warehouse, only_statement(warehouse, text))
        with plain_output() as file:
            write_rows(rows if limit is None else first(rows, limit), form, file, formulas=formulas)


def sql(query: str, *, at: str | None = None, allow: Sequence[Path] = (), config: Config = None) -> pa.Table:
    """Run one query, read-only, and return all its rows.

    Args:
        query: A SELECT, @FILE, or - for the standard input.
        at: A snapshot's number or a time such as "2026-11-20 14:00" (UTC): answer as it was then.
        allow: Files and folders that the query may read.
        config: The settings, or the file to read them from.

    Raises:
        InputError: the query is wrong, or there is no warehouse.
    """
    with reading(load_settings(config), moment(at), allow) as warehouse:
        return stream(warehouse, only_statement(warehouse, query_text(query, None))).read_all()


def tables(*, at: str | None = None, config: Config = None) -> list[TableDescription]:
    """Describe every table and view: what it holds, how many rows, and the meaning and unit of its columns."""
    with reading(load_settings(config), moment(at)) as warehouse:
        return describe_tables(warehouse)


def print_tables(described: Sequence[TableDescription], console: Console) -> None:
    """Print tables and views with their columns."""
    for one in described:
        console.print(Text.assemble("\n", (one.name, "bold"), f" ({one.kind}, {one.rows or 0:,} rows): {one.comment}"))
        columns = plain_list()
        for column in one.columns:
            columns.add_row(Text(column.name), Text(column.type), Text(column.comment))
        console.print(columns)


def shown(value: object) -> str:
    """Return a value for a table: floats with four digits, lists shortened, None as an empty cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.6g}"
    if isinstance(value, list):
        inside = ", ".join(shown(item) for item in value[:6])
        return f"[{inside}{', …' if len(value) > 6 else ''}]"
    return str(value)
