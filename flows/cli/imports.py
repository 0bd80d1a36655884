"""The commands that bring files in, and the options they share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.terminal.console import say, settings
from warehouse.records import AnnotatorKind

if TYPE_CHECKING:
    from warehouse.files.reading import Reading

importing = typer.Typer(no_args_is_help=True, help="Bring in premises, propositions or judgments from a file.")

File = Annotated[Path, typer.Argument(help="A CSV (also TSV), JSON Lines or parquet file.")]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="A name for where the rows come from; the file's name if not given.")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="FIELD=COLUMN where the column has another name, FIELD= where there is none; "
        "COLUMN:/0/KEY reads JSON in its cells. Repeat it for each field.",
    ),
]
SeparatorOption = Annotated[
    str | None,
    typer.Option("--separator", help="Of a CSV: comma, semicolon, tab, pipe or a character. Found if not given."),
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", help="Such as utf-8, utf-16 or windows-1250. Found if not given, where it can be."),
]
DecimalOption = Annotated[
    Literal["point", "comma"] | None, typer.Option("--decimal", help="The mark before decimals. Found if not given.")
]
DatesOption = Annotated[
    Literal["day-first", "month-first", "epoch", "epoch-ms", "excel"] | None,
    typer.Option(
        "--dates",
        help="The order of day and month in dates such as 03/04/2024, found where only one fits; "
        "or what numbers count: seconds (epoch) or milliseconds (epoch-ms) since 1970, or Excel's days.",
    ),
]
MissingOption = Annotated[
    list[str] | None,
    typer.Option("--missing", help="A word for no value, such as -99, beside NA, NaN, NULL and None. May be repeated."),
]
EntitiesOption = Annotated[
    bool | None,
    typer.Option(
        "--entities/--no-entities",
        help="Read texts as HTML: &amp; is &. By default only for MTurk.",
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

    Fields: premise (its column may be called text), and where the file has them source, license and language.
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
    scale: Annotated[str, typer.Option(help="The ends of the probability's scale, LOW:HIGH.")] = "0:1",
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import propositions, with their premises.

    Fields: premise and hypothesis; where the file has them probability, update and update_type (strengthener or
    weakener), source, license and language.
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
        Literal["plain", "mturk"], typer.Option("--format", help="mturk: the columns of a batch's results.")
    ] = "plain",
    column: ColumnOption = None,
    scale: Annotated[str, typer.Option(help="The ends of the rating's scale, LOW:HIGH.")] = "0:100",
    annotators: Annotated[
        AnnotatorKind, typer.Option(help="What the annotators are; simulated ones are marked everywhere.")
    ] = "imported",
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    dates: DatesOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import judgments, one a row, with their premises, propositions and annotators.

    Fields: premise, hypothesis, annotator and rating; where the file has them cannot_judge, submitted_at, status,
    batch, group, lead_time (seconds) and comment; source_id where --column names it.
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
    """Put annotators into groups, such as teams, which agreement is measured for.

    Fields: annotator and group, and source where a name is known from several.
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
