"""The commands that import files, and the options they share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.terminal.console import say, settings
from warehouse.errors import InputError
from warehouse.records import AnnotatorKind, Split

if TYPE_CHECKING:
    from warehouse.files.reading import Reading

importing = typer.Typer(
    no_args_is_help=True, help="Import premises, propositions, judgments, choices, suites, groups or checks."
)

File = Annotated[Path, typer.Argument(help="A CSV (also TSV), JSON Lines or parquet file.")]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", help="A name for the source of the rows; by default the file's name without its ending."),
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


SplitOption = Annotated[
    Split | None,
    typer.Option("--split", help="The split of the whole file, in place of its column split, if it has one."),
]


@importing.command("premises")
def import_premises(
    file: File,
    *,
    source: SourceOption = None,
    column: ColumnOption = None,
    split: SplitOption = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import premises.

    Fields: premise (or text); optional: source, license, language and split (train, dev or test).
    """
    from flows.imports import import_premises as run

    how = reading_of(separator, encoding, missing, entities)
    say(run(file, config=settings(), source=source, columns=column or [], split=split, reading=how).line())


@importing.command("propositions")
def import_propositions(
    file: File,
    *,
    source: SourceOption = None,
    format_: Annotated[
        Literal["plain", "defeasible"], typer.Option("--format", help="defeasible: the columns of defeasible NLI.")
    ] = "plain",
    column: ColumnOption = None,
    scale: Annotated[str, typer.Option(help="The scale of the probability, LOW:HIGH.")] = "0:1",
    split: SplitOption = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import propositions with their premises.

    Fields: premise and hypothesis; optional: probability (what the writer meant; it is no judgment), update and
    update_type (strengthener or weakener), source, license, language and split (train, dev or test).
    """
    from flows.imports import import_propositions as run

    how = reading_of(separator, encoding, missing, entities, decimal=decimal)
    outcome = run(
        file,
        config=settings(),
        source=source,
        columns=column or [],
        scale=scale,
        split=split,
        format_=format_,
        reading=how,
    )
    say(outcome.line())


@importing.command("judgments")
def import_judgments(
    file: File,
    *,
    source: SourceOption = None,
    format_: Annotated[
        Literal["plain", "mturk", "unli", "joci", "chaosnli", "nli-variation", "commitment-bank"],
        typer.Option("--format", help="The columns and the scale of MTurk's batch results or of a public data set."),
    ] = "plain",
    column: ColumnOption = None,
    scale: Annotated[
        str | None,
        typer.Option(help="The scale of the rating, LOW:HIGH; 0:100 by default, or that of the format."),
    ] = None,
    ordinal: Annotated[
        str | None,
        typer.Option(help="Ratings are labels from LOW:HIGH, such as 1:5; each stands for an interval."),
    ] = None,
    values: Annotated[str | None, typer.Option(help="The column with a list of ratings in each row.")] = None,
    counts: Annotated[
        str | None,
        typer.Option(
            help="The column with counts in each row: COLUMN=0,0.5,1 for lists, with the rating that each counts, or "
            "COLUMN for objects by rating."
        ),
    ] = None,
    aggregated: Annotated[
        bool, typer.Option("--aggregated", help="There are no annotators: each label stands for several people.")
    ] = False,
    annotators: Annotated[
        AnnotatorKind | None,
        typer.Option(
            help="The kind of annotators; by default that of the format, mostly imported. Simulated ones are marked "
            "everywhere; aggregate (as --aggregated) and anonymous (each from an unknown person) have no column.",
            show_default=False,
        ),
    ] = None,
    split: SplitOption = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    dates: DatesOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import judgments, one per row, with their premises, propositions and annotators.

    Fields: premise, hypothesis, annotator and rating; optional: cannot_judge, submitted_at, status, batch, group,
    lead_time (seconds), comment and split (train, dev or test); source_id if --column names it.
    """
    from flows.imports import import_judgments as run

    if aggregated and annotators not in (None, "aggregate"):
        raise InputError(f"--aggregated and --annotators {annotators} contradict each other: use one of them")
    outcome = run(
        file,
        config=settings(),
        source=source,
        columns=column or [],
        scale=scale,
        ordinal=ordinal,
        values=values,
        counts=counts,
        annotators="aggregate" if aggregated else annotators,
        format_=format_,
        split=split,
        reading=reading_of(separator, encoding, missing, entities, decimal=decimal, dates=dates),
    )
    say(outcome.line())


@importing.command("choices")
def import_choices(
    file: File,
    *,
    source: SourceOption = None,
    format_: Annotated[
        Literal["plain", "copa", "ecare", "hellaswag"],
        typer.Option("--format", help="The columns of a public data set."),
    ] = "plain",
    column: ColumnOption = None,
    first: Annotated[int, typer.Option(help="The number of the first alternative in the column answer.")] = 0,
    split: SplitOption = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import multiple-choice questions: the right alternative must score higher than each wrong one.

    Fields: premise, alternative_1, alternative_2 and so on (or a list of alternatives), and answer; optional: asks_for
    (effect or cause), source_id and split (train, dev or test).
    """
    from flows.imports import import_choices as run

    outcome = run(
        file,
        config=settings(),
        source=source,
        columns=column or [],
        first=first,
        format_=format_,
        split=split,
        reading=reading_of(separator, encoding, missing, entities),
    )
    say(outcome.line())


@importing.command("suite")
def import_suite(
    file: File,
    name: Annotated[str, typer.Option(help="The name of the suite.")],
    *,
    format_: Annotated[
        Literal[
            "plain",
            "mturk",
            "unli",
            "joci",
            "chaosnli",
            "nli-variation",
            "commitment-bank",
            "defeasible",
            "copa",
            "ecare",
            "hellaswag",
            "bird",
            "maieutic",
            "coherence",
        ],
        typer.Option(
            "--format",
            help="The columns of a public data set; bird has decisions by factors, maieutic trees, coherence groups of "
            "related propositions.",
        ),
    ] = "plain",
    family: Annotated[
        Literal["correlation", "update", "choice"] | None,
        typer.Option(help="What a plain file has: judgments, updates or choices, with the fields of their imports."),
    ] = None,
    column: ColumnOption = None,
    scale: Annotated[str | None, typer.Option(help="The scale of ratings, LOW:HIGH, as for judgments.")] = None,
    ordinal: Annotated[str | None, typer.Option(help="Ratings are labels from LOW:HIGH, as for judgments.")] = None,
    values: Annotated[str | None, typer.Option(help="The column with a list of ratings in each row.")] = None,
    counts: Annotated[str | None, typer.Option(help="The column with counts of ratings, as for judgments.")] = None,
    first: Annotated[int, typer.Option(help="The number of the first alternative in the column answer.")] = 0,
    license_: Annotated[str | None, typer.Option("--license", help="The licence of the texts.")] = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    missing: MissingOption = None,
    entities: EntitiesOption = None,
) -> None:
    """Import an evaluation set. Its premises, and what is much like them, are never trained on from then on."""
    from flows.suites import import_suite as run

    outcome = run(
        file,
        name,
        config=settings(),
        format_=format_,
        family=family,
        columns=column or [],
        scale=scale,
        ordinal=ordinal,
        values=values,
        counts=counts,
        first=first,
        license_=license_,
        reading=reading_of(separator, encoding, missing, entities, decimal=decimal),
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

    how = reading_of(separator, encoding, missing, None)
    say(run(file, config=settings(), columns=column or [], reading=how).line())


def reading_of(
    separator: str | None,
    encoding: str | None,
    missing: list[str] | None = None,
    entities: bool | None = None,
    **others: str | None,
) -> Reading:
    """Return how a file is to be read."""
    from warehouse.files.reading import Reading

    given = {"separator": separator, "encoding": encoding, "missing": missing or (), "entities": entities}
    return Reading.model_validate({**given, **others})
