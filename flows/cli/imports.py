"""The commands that import files, and the options they share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.terminal.console import say, settings
from warehouse.records import AnnotatorKind

if TYPE_CHECKING:
    from warehouse.files.reading import Reading

importing = typer.Typer(no_args_is_help=True, help="Import premises, propositions, judgments or groups from a file.")

File = Annotated[Path, typer.Argument(help="A CSV (also TSV), JSON Lines or parquet file.")]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="A name for the source of the rows; the file's name by default.")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="FIELD=COLUMN if the column has another name, FIELD= if there is none; "
        "COLUMN:/0/KEY reads JSON in its cells. Repeat for each field.",
    ),
]
SeparatorOption = Annotated[
    str | None,
    typer.Option("--separator", help="Of a CSV: comma, semicolon, tab, pipe or a character. Detected by default."),
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", help="Such as utf-8, utf-16 or windows-1250. Detected by default, if possible."),
]
DecimalOption = Annotated[
    Literal["point", "comma"] | None, typer.Option("--decimal", help="The decimal mark. Detected by default.")
]
DatesOption = Annotated[
    Literal["day-first", "month-first", "epoch", "epoch-ms", "excel"] | None,
    typer.Option(
        "--dates",
        help="The order of day and month in dates such as 03/04/2024, detected if only one fits; "
        "or the unit of numbers: seconds (epoch) or milliseconds (epoch-ms) since 1970, or Excel's days.",
    ),
]
MissingOption = Annotated[
    list[str] | None,
    typer.Option("--missing", help="A word for a missing value, such as -99, besides NA, NaN, NULL, None. Repeatable."),
]
EntitiesOption = Annotated[
    bool | None,
    typer.Option(
        "--entities/--no-entities",
        help="Read texts as HTML, where &amp; is &. By default only for MTurk.",
        show_default=False,
    ),
]


@importing.command("premises")
def import_premises(
    file: File,
    *,
    source: SourceOption = None,
    column: ColumnOption = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import premises.

    Fields: premise (or text); optional: source, license and language.
    """
    from flows.imports import import_premises as run

    how = _reading(separator, encoding, missing, entities)
    say(run(file, config=settings(), source=source, columns=column or [], reading=how).line())


@importing.command("propositions")
def import_propositions(
    file: File,
    *,
    source: SourceOption = None,
    column: ColumnOption = None,
    scale: Annotated[str, typer.Option(help="The scale of the probability, LOW:HIGH.")] = "0:1",
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import propositions with their premises.

    Fields: premise and hypothesis; optional: probability, update and update_type (strengthener or weakener), source,
    license and language.
    """
    from flows.imports import import_propositions as run

    how = _reading(separator, encoding, missing, entities, decimal=decimal)
    say(run(file, config=settings(), source=source, columns=column or [], scale=scale, reading=how).line())


@importing.command("judgments")
def import_judgments(
    file: File,
    *,
    source: SourceOption = None,
    format_: Annotated[
        Literal["plain", "mturk"], typer.Option("--format", help="mturk: the columns of MTurk's batch results.")
    ] = "plain",
    column: ColumnOption = None,
    scale: Annotated[str, typer.Option(help="The scale of the rating, LOW:HIGH.")] = "0:100",
    annotators: Annotated[
        AnnotatorKind, typer.Option(help="The kind of annotators; simulated ones are marked everywhere.")
    ] = "imported",
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    dates: DatesOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import judgments, one per row, with their premises, propositions and annotators.

    Fields: premise, hypothesis, annotator and rating; optional: cannot_judge, submitted_at, status, batch, group,
    lead_time (seconds) and comment; source_id if --column names it.
    """
    from flows.imports import import_judgments as run

    outcome = run(
        file,
        config=settings(),
        source=source,
        columns=column or [],
        scale=scale,
        annotators=annotators,
        format_=format_,
        reading=_reading(separator, encoding, missing, entities, decimal=decimal, dates=dates),
    )
    say(outcome.line())


@importing.command("groups")
def import_groups(
    file: File,
    column: ColumnOption = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    missing: MissingOption = None,
) -> None:
    """Assign annotators to groups, such as teams; agreement is measured for each.

    Fields: annotator and group, and source if a name occurs in several.
    """
    from flows.imports import import_groups as run

    how = _reading(separator, encoding, missing, None)
    say(run(file, config=settings(), columns=column or [], reading=how).line())


def _reading(
    separator: str | None,
    encoding: str | None,
    missing: list[str] | None,
    entities: bool | None,
    **others: str | None,
) -> Reading:
    from warehouse.files.reading import Reading

    given = {"separator": separator, "encoding": encoding, "missing": missing or (), "entities": entities}
    return Reading.model_validate({**given, **others})
