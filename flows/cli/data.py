"""The commands to query the warehouse, and to start and stop the embedded Label Studio."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.terminal.console import out, say, settings
from warehouse.errors import InputError

data = typer.Typer()
studio = typer.Typer(no_args_is_help=True, help="Start and stop the embedded Label Studio; delete duplicate tasks.")

AtOption = Annotated[
    str | None,
    typer.Option("--at", help="Answer as of a snapshot's number or a time such as '2026-11-20 14:00' (UTC)."),
]
AllowOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow", help="A file or folder that the query may read, as in read_csv('mine.csv'). Repeat for more."
    ),
]
FormulasOption = Annotated[
    bool,
    typer.Option(
        "--keep-formulas",
        help="In CSV, don't put an apostrophe before texts that a spreadsheet would run as formulas.",
    ),
]


@data.command()
def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="A SELECT, @FILE, or - for standard input; `odds tables` lists the tables."),
    ] = None,
    *,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A file with the query.")] = None,
    at: AtOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all rows to a .parquet, .csv or .jsonl file.")
    ] = None,
    form: Annotated[
        Literal["table", "csv", "json", "jsonl", "markdown"],
        typer.Option("--format", help="Print a table to read, or all rows and nothing else, for a pipe."),
    ] = "table",
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many rows to print: 40 in a table by default, else all.")
    ] = None,
    allow: AllowOption = None,
    keep_formulas: FormulasOption = False,
) -> None:
    """Query the warehouse, read-only, now or at an earlier time."""
    from flows.research.query import asked_files, moment, print_query, query_text, stream_query, write_query

    chosen, text, then, files = settings(), query_text(query, file), moment(at), allow or []
    if output is not None and (form != "table" or limit is not None):
        raise InputError("odds sql: --output writes all rows in the format of its extension; drop --format and --limit")
    if output is not None:
        inputs = [*files, *asked_files(query, file)]
        rows = write_query(chosen, text, output, then, files, inputs=inputs, formulas=keep_formulas)
        say(f"{rows:,} rows in {output}")
    elif form == "table":
        print_query(chosen, text, limit or 40, out, at=then, allow=files)
    else:
        stream_query(chosen, text, form, limit, at=then, allow=files, formulas=keep_formulas)


@data.command()
def tables(at: AtOption = None) -> None:
    """List the tables and views, and what their columns mean."""
    from flows.research.query import print_tables
    from flows.research.query import tables as describe

    print_tables(describe(at=at, config=settings()), out)


@data.command()
def export(
    what: Annotated[str, typer.Argument(help="A table or view, a SELECT, @FILE, or - for standard input.")],
    output: Annotated[Path, typer.Argument(help="A .parquet, .csv or .jsonl file, or a folder (no extension).")],
    *,
    format_: Annotated[
        Literal["parquet", "csv", "jsonl", "hf"] | None,
        typer.Option("--format", help="If the extension does not tell it; hf: a Hugging Face dataset folder."),
    ] = None,
    at: AtOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder of an earlier export.")] = False,
    allow: AllowOption = None,
    keep_formulas: FormulasOption = False,
) -> None:
    """Write a table, a view or a query to a file, which is replaced, or to a dataset folder with a card."""
    from flows.research.export import export as write

    done = write(
        what,
        output,
        format_=format_,
        at=at,
        overwrite=overwrite,
        allow=allow or [],
        keep_formulas=keep_formulas,
        config=settings(),
    )
    say(f"{done.rows:,} rows in {output}, snapshot {done.snapshot_id}")


@data.command()
def attach(
    client: Annotated[
        Literal["duckdb", "python", "r", "notebook", "all"], typer.Option("--for", help="Where the line is to run.")
    ] = "all",
    at: AtOption = None,
) -> None:
    """Print the line that opens the same tables, read-only, in DuckDB's own command line, Python, R or a notebook."""
    from flows.research.attach import TITLES
    from flows.research.attach import attach as find

    found = find(client, at=at, config=settings())
    for each, line in found.lines.items():
        # For one client only the line is printed, so that a script can run it.
        say(line if len(found.lines) == 1 else f"# {TITLES[each]}\n{line}\n")
    for note in found.notes:
        print(f"# {note}", file=sys.stderr)


@data.command()
def trace(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The id of anything, or its first six characters or more.")],
    direction: Annotated[
        Literal["back", "forward", "both"],
        typer.Option(help="What it rests on (back), what uses it (forward), or both."),
    ] = "both",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of each kind to show in each place.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tree as JSON, for programs.")] = False,
) -> None:
    """Trace an id: from a score back to the judgments and requests behind it, and forward."""
    from flows.research.trace import as_values, print_trace
    from flows.research.trace import trace as find

    found = find(id_, direction, limit, config=settings())
    if as_json:
        out.print_json(data=as_values(found.subject), ensure_ascii=True)
        return
    print_trace(found, out)


@data.command()
def snapshots(
    limit: Annotated[int, typer.Option(min=1, help="How many snapshots to show, the newest first.")] = 40,
) -> None:
    """List the snapshots that `--at` can name: number, time, changes, and the datasets that depend on them."""
    from flows.maintain import snapshots as find
    from flows.maintain import snapshots_table

    out.print(snapshots_table(find(config=settings()), limit))


@studio.command("start")
def studio_start() -> None:
    """Start the embedded Label Studio and print its address."""
    from flows.studio.connection import studio_login
    from flows.studio.connection import studio_start as start

    start(config=settings())
    say(studio_login(settings()))


@studio.command("merge")
def studio_merge() -> None:
    """Delete duplicate tasks that nobody has judged; judged ones stay, and all their judgments count."""
    from flows.studio.duplicates import studio_merge as merge

    say(merge(config=settings()).line())


@studio.command("stop")
def studio_stop() -> None:
    """Stop the embedded Label Studio; its data is kept."""
    from flows.studio.connection import studio_stop as stop

    stopped = stop(config=settings())
    out.print("Label Studio stopped" if stopped else "Label Studio was not running")
