"""The commands that are no flows: bringing files in, asking the warehouse, and the embedded Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.console import out, say, settings
from warehouse.records import AnnotatorKind

importing = typer.Typer(no_args_is_help=True, help="Bring in premises, propositions or judgments from a file.")
studio = typer.Typer(no_args_is_help=True, help="Start and stop the embedded Label Studio.")


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; `odds tables` shows what there is.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all rows to a .parquet, .csv or .jsonl file instead.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print at most.")] = 40,
) -> None:
    """Query the warehouse, read-only."""
    from flows.query import print_query, write_query

    chosen = settings()
    if output is not None:
        say(f"{write_query(chosen, query, output):,} rows in {output}")
        return
    print_query(chosen, query, limit, out)


def tables() -> None:
    """List the tables and views with the meaning of their columns."""
    from flows.query import print_tables

    print_tables(settings(), out)


@importing.command("premises")
def import_premises(file: Annotated[Path, typer.Argument(help="JSONL, CSV or parquet with a column `text`.")]) -> None:
    """Import premises."""
    from flows.imports import import_premises as run

    say(run(settings(), file).line())


@importing.command("propositions")
def import_propositions(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV or parquet with columns `premise` and `hypothesis`.")],
) -> None:
    """Import propositions, with their premises."""
    from flows.imports import import_propositions as run

    say(run(settings(), file).line())


@importing.command("judgments")
def import_judgments(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV or parquet, a row a judgment.")],
    source: Annotated[
        str | None, typer.Option(help="A name for where they come from; the file's name if not given.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", help="FIELD=COLUMN where the file's column has another name; FIELD= where it has none."
        ),
    ] = None,
    scale: Annotated[str, typer.Option(help="The ends of the rating's scale, LOW:HIGH.")] = "0:100",
    annotators: Annotated[
        AnnotatorKind, typer.Option(help="What the annotators are; simulated ones are marked everywhere.")
    ] = "imported",
) -> None:
    """Import judgments, with their premises, propositions and annotators."""
    from flows.imports import import_judgments as run

    outcome = run(settings(), file, source=source, columns=column or [], scale=scale, annotators=annotators)
    say(outcome.line())


@studio.command("start")
def studio_start() -> None:
    """Start the embedded Label Studio and say where it stands."""
    from flows.services import studio_address, studio_login

    chosen = settings()
    studio_address(chosen)
    say(studio_login(chosen))


@studio.command("stop")
def studio_stop() -> None:
    """Stop the embedded Label Studio; its data stays."""
    from annotation import server

    stopped = server.stop(settings().home_path)
    out.print("Label Studio stopped" if stopped else "Label Studio was not running")
