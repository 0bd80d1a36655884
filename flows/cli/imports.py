"""The commands that import files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from flows.cli.files import ColumnOption, File, reads
from flows.terminal.console import say, settings
from warehouse.errors import InputError
from warehouse.files.known import ChoiceFormat, JudgmentFormat, PropositionFormat, SuiteFormat
from warehouse.records import AnnotatorKind, Split

importing = typer.Typer(
    no_args_is_help=True, help="Import premises, propositions, judgments, choices, suites, groups or checks."
)

SourceOption = Annotated[
    str | None,
    typer.Option("--source", help="A name for the source of the rows; by default the file's name without its ending."),
]
SplitOption = Annotated[
    Split | None,
    typer.Option("--split", help="The split of the whole file, in place of its column split, if it has one."),
]


@importing.command("premises")
@reads("separator", "encoding", "missing", "entities")
def import_premises(
    file: File,
    *,
    source: SourceOption = None,
    column: ColumnOption = None,
    split: SplitOption = None,
    reading: Any,
) -> None:
    """Import premises.

    Fields: premise (or text); optional: source, license, language and split (train, dev or test).
    """
    from flows.imports import import_premises as run

    say(run(file, config=settings(), source=source, columns=column or [], split=split, reading=reading).line())


@importing.command("propositions")
@reads("separator", "encoding", "decimal", "missing", "entities")
def import_propositions(
    file: File,
    *,
    source: SourceOption = None,
    format_: Annotated[
        PropositionFormat, typer.Option("--format", help="defeasible: the columns of defeasible NLI.")
    ] = "plain",
    column: ColumnOption = None,
    scale: Annotated[str, typer.Option(help="The scale of the probability, LOW:HIGH.")] = "0:1",
    split: SplitOption = None,
    reading: Any,
) -> None:
    """Import propositions with their premises.

    Fields: premise and hypothesis; optional: probability (what the writer meant; it is no judgment), update and
    update_type (strengthener or weakener), source, license, language and split (train, dev or test).
    """
    from flows.imports import import_propositions as run

    outcome = run(
        file,
        config=settings(),
        source=source,
        columns=column or [],
        scale=scale,
        split=split,
        format_=format_,
        reading=reading,
    )
    say(outcome.line())


@importing.command("judgments")
@reads("separator", "encoding", "decimal", "dates", "missing", "entities")
def import_judgments(
    file: File,
    *,
    source: SourceOption = None,
    format_: Annotated[
        JudgmentFormat,
        typer.Option("--format", help="The columns and the scale of MTurk's batch results or of a public data set."),
    ] = "plain",
    column: ColumnOption = None,
    scale: Annotated[
        str | None,
        typer.Option(help="The scale of the rating, LOW:HIGH; 0:100 by default, or that of the format."),
    ] = None,
    ordinal: Annotated[
        str | None,
        typer.Option(
            help="Ratings are labels, LOW:HIGH such as 1:5, or words from low to high such as unlikely,maybe,likely; "
            "each stands for an interval."
        ),
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
    reading: Any,
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
        reading=reading,
    )
    say(outcome.line())


@importing.command("choices")
@reads("separator", "encoding", "missing", "entities")
def import_choices(
    file: File,
    *,
    source: SourceOption = None,
    format_: Annotated[ChoiceFormat, typer.Option("--format", help="The columns of a public data set.")] = "plain",
    column: ColumnOption = None,
    first: Annotated[int, typer.Option(help="The number of the first alternative in the column answer.")] = 0,
    split: SplitOption = None,
    reading: Any,
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
        reading=reading,
    )
    say(outcome.line())


@importing.command("suite")
@reads("separator", "encoding", "decimal", "missing", "entities")
def import_suite(
    file: File,
    name: Annotated[str, typer.Option(help="The name of the suite.")],
    *,
    format_: Annotated[
        SuiteFormat,
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
    ordinal: Annotated[str | None, typer.Option(help="Ratings are labels, as for judgments.")] = None,
    values: Annotated[str | None, typer.Option(help="The column with a list of ratings in each row.")] = None,
    counts: Annotated[str | None, typer.Option(help="The column with counts of ratings, as for judgments.")] = None,
    aggregated: Annotated[
        bool, typer.Option("--aggregated", help="There are no annotators: each label stands for several people.")
    ] = False,
    first: Annotated[int, typer.Option(help="The number of the first alternative in the column answer.")] = 0,
    license_: Annotated[str | None, typer.Option("--license", help="The licence of the texts.")] = None,
    reading: Any,
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
        aggregated=aggregated,
        first=first,
        license_=license_,
        reading=reading,
    )
    say(outcome.line())


@importing.command("groups")
@reads("separator", "encoding", "missing")
def import_groups(file: File, *, column: ColumnOption = None, reading: Any) -> None:
    """Assign annotators to groups, such as teams; agreement is measured for each.

    Fields: annotator and group, and source if a name occurs in several.
    """
    from flows.imports import import_groups as run

    say(run(file, config=settings(), columns=column or [], reading=reading).line())


@importing.command("checks")
@reads("separator", "encoding", "decimal", "missing")
def import_checks(
    file: File,
    *,
    purpose: Annotated[
        Literal["practice", "qualification", "attention"],
        typer.Option(help="The purpose of rows that state none: to practise, to qualify, or among the study's tasks."),
    ] = "attention",
    column: ColumnOption = None,
    scale: Annotated[str, typer.Option(help="The scale of the bands, LOW:HIGH.")] = "0:1",
    reading: Any,
) -> None:
    """Import checks: propositions whose probability is known to lie in a band. They are never trained on.

    Fields: premise, hypothesis, low and high; optional: purpose (practice, qualification or attention).
    """
    from flows.checks import import_checks as run

    say(run(file, config=settings(), purpose=purpose, columns=column or [], scale=scale, reading=reading).line())
