"""The commands that are no flows: asking the warehouse, and the embedded Label Studio."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.terminal.console import out, say, settings
from warehouse.errors import InputError

studio = typer.Typer(no_args_is_help=True, help="Start and stop the embedded Label Studio.")


AtOption = Annotated[
    str | None,
    typer.Option(
        "--at", help="Answer as it was then: the number of a snapshot, or a time such as '2026-11-20 14:00' (UTC)."
    ),
]


AllowOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow", help="A file or folder that the query may read, as in read_csv('mine.csv'). Give it once for each."
    ),
]
FormulasOption = Annotated[
    bool,
    typer.Option(
        "--keep-formulas",
        help="In CSV, leave texts as they are that a spreadsheet would run as formulas; an apostrophe stops them.",
    ),
]


def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="A SELECT, @FILE, or - for the standard input; `odds tables` shows what there is."),
    ] = None,
    *,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A file with the query.")] = None,
    at: AtOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all rows to a .parquet, .csv or .jsonl file instead.")
    ] = None,
    form: Annotated[
        Literal["table", "csv", "json", "jsonl", "markdown"],
        typer.Option("--format", help="What to print: a table to read, or all rows and nothing else, for a pipe."),
    ] = "table",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Rows to print at most: 40 in a table by default, else all.")
    ] = None,
    allow: AllowOption = None,
    keep_formulas: FormulasOption = False,
) -> None:
    """Query the warehouse, read-only, now or as it was."""
    from flows.research.query import asked_files, moment, print_query, query_text, stream_query, write_query

    chosen, text, then, files = settings(), query_text(query, file), moment(at), allow or []
    if output is not None and (form != "table" or limit is not None):
        raise InputError("odds sql: --output writes all rows in the form of its extension; leave --format and --limit")
    if output is not None:
        inputs = [*files, *asked_files(query, file)]
        rows = write_query(chosen, text, output, then, files, inputs=inputs, formulas=keep_formulas)
        say(f"{rows:,} rows in {output}")
    elif form == "table":
        print_query(chosen, text, limit or 40, out, at=then, allow=files)
    else:
        stream_query(chosen, text, form, limit, at=then, allow=files, formulas=keep_formulas)


def tables(at: AtOption = None) -> None:
    """List the tables and views with the meaning of their columns."""
    from flows.research.query import moment, print_tables

    print_tables(settings(), out, moment(at))


def export(
    what: Annotated[str, typer.Argument(help="A table or view, a SELECT, @FILE, or - for the standard input.")],
    output: Annotated[Path, typer.Argument(help="A .parquet, .csv or .jsonl file; without an extension, a folder.")],
    *,
    format_: Annotated[
        Literal["parquet", "csv", "jsonl", "hf"] | None,
        typer.Option("--format", help="Where the extension does not say it; hf: a Hugging Face dataset folder."),
    ] = None,
    at: AtOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder of an earlier export.")] = False,
    allow: AllowOption = None,
    keep_formulas: FormulasOption = False,
) -> None:
    """Write a table, a view or a query to a file (which is replaced if there), or to a dataset folder with a card."""
    from flows.research.export import export_rows

    done = export_rows(
        settings(),
        what,
        output,
        at=at,
        chosen=format_,
        overwrite=overwrite,
        allow=allow or [],
        formulas=keep_formulas,
    )
    say(done)


def attach(
    client: Annotated[
        Literal["duckdb", "python", "r", "notebook", "all"], typer.Option("--for", help="What the line is for.")
    ] = "all",
    at: AtOption = None,
) -> None:
    """Print the line that opens the same tables, read-only, in DuckDB's command line, Python, R or a notebook."""
    from flows.research.attach import attach_lines

    lines, notes = attach_lines(settings(), client, at)
    for title, line in lines:
        # For one client the line stands alone, so that a script can run it.
        say(line if len(lines) == 1 else f"# {title}\n{line}\n")
    for note in notes:
        print(f"# {note}", file=sys.stderr)


def trace(
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="The id of anything, or its beginning: at least six characters.")
    ],
    direction: Annotated[
        Literal["back", "forward", "both"],
        typer.Option(help="What it rests on (back), what it is used by (forward), or both."),
    ] = "both",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of each kind to show at each place.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="The same tree as JSON, for programs.")] = False,
) -> None:
    """Show what something rests on and what it is used by: from a score back to the judgments, and forward."""
    from flows.research.trace import as_values, print_trace, trace_of

    found = trace_of(settings(), id_, direction, limit)
    if as_json:
        out.print_json(data=as_values(found.subject), ensure_ascii=True)
        return
    print_trace(found, out)


def snapshots(
    limit: Annotated[int, typer.Option(min=1, help="Snapshots to show at most, the newest first.")] = 40,
) -> None:
    """List the snapshots that `--at` can name: number, time, what changed, and the datasets that rest on them."""
    from flows.maintain import snapshots_table

    out.print(snapshots_table(settings(), limit))


@studio.command("start")
def studio_start() -> None:
    """Start the embedded Label Studio and say where it stands."""
    from flows.studio import studio_address, studio_login

    chosen = settings()
    studio_address(chosen)
    say(studio_login(chosen))


@studio.command("merge")
def studio_merge() -> None:
    """Delete doubled tasks that nobody has judged; the judgments on the others all count."""
    from flows.doubles import merge_doubles

    say(merge_doubles(settings()).line())


@studio.command("stop")
def studio_stop() -> None:
    """Stop the embedded Label Studio; its data stays."""
    from annotation.studio import server

    stopped = server.stop(settings().home_path)
    out.print("Label Studio stopped" if stopped else "Label Studio was not running")
