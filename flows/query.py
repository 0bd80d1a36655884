"""What researchers ask of the warehouse from the command line."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.services import reading
from flows.settings import Settings
from warehouse.queries import describe_tables, select, write_rows


def print_query(settings: Settings, query: str, limit: int, console: Console) -> None:
    """Print the first `limit` rows of a query as a table, and say how many there are."""
    with reading(settings) as warehouse:
        rows = select(warehouse, query)
    table = Table(header_style="bold")
    for name, kind in zip(rows.schema.names, rows.schema.types, strict=True):
        numeric = str(kind).startswith(("int", "uint", "double", "float", "decimal"))
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows.slice(0, limit).to_pylist():
        table.add_row(*(shown(value) for value in row.values()))
    console.print(table)
    if rows.num_rows > limit:
        console.print(f"{limit} of {rows.num_rows:,} rows; --limit shows more, --output writes all", highlight=False)


def write_query(settings: Settings, query: str, output: Path) -> int:
    """Write all rows of a query to a .parquet, .csv or .jsonl file; gives their number."""
    with reading(settings) as warehouse:
        return write_rows(warehouse, query, output)


def print_tables(settings: Settings, console: Console) -> None:
    """Print every table and view with what it holds, and its columns with their meaning and unit."""
    with reading(settings) as warehouse:
        described = describe_tables(warehouse)
    for one in described:
        console.print(f"\n[bold]{one.name}[/bold] ({one.kind}, {one.rows:,} rows): {one.comment}", highlight=False)
        columns = Table(show_header=False, box=None, padding=(0, 2))
        for column in one.columns:
            columns.add_row(column.name, column.type, column.comment)
        console.print(columns)


def shown(value: object) -> str:
    """A value as a person reads it: floats with four digits, lists shortened, nothing as an empty cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.6g}"
    if isinstance(value, list):
        inside = ", ".join(shown(item) for item in value[:6])
        return f"[{inside}{', …' if len(value) > 6 else ''}]"
    return str(value)
