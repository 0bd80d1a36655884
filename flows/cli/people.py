"""The commands about annotators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.terminal.activity import activity
from flows.terminal.console import out, say, settings
from warehouse.records import Status

people = typer.Typer(no_args_is_help=True, help="Invite, qualify, watch, exclude and pay annotators.")

Who = Annotated[
    str, typer.Argument(metavar="ANNOTATOR", help="The pseudonym, the id, or a unique beginning of either.")
]
FromOption = Annotated[
    str, typer.Option("--from", metavar="DAY", help="The first day or time of the period (UTC), such as 2026-11-01.")
]
ToOption = Annotated[str, typer.Option("--to", metavar="DAY", help="The day or time before which it ends (UTC).")]
EmailsOption = Annotated[
    bool, typer.Option("--emails", help="Add e-mail addresses, looked up in Label Studio now and stored nowhere else.")
]


@people.command("invite")
def annotators_invite(
    study: Annotated[
        str | None,
        typer.Option(metavar="ANNOTATOR", help="The link to the study's project instead, for a qualified annotator."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(metavar="TITLE", help="The project to lead to; by default annotation.project, or the oldest."),
    ] = None,
) -> None:
    """Print the sign-up link of Label Studio, which is a secret, with the steps for the person."""
    from flows.annotators.invite import annotators_invite as run

    with activity("annotators invite"):
        invitation = run(study=study, project=project, config=settings())
    for line in invitation.lines():
        say(line)


@people.command("list")
def annotators_list(
    emails: EmailsOption = False,
    project: Annotated[
        str | None,
        typer.Option(metavar="TITLE", help="Only those who judged in this project, with their judgments there."),
    ] = None,
) -> None:
    """Show each annotator's pseudonym, status and quality."""
    from flows.annotators.listing import annotators_list as run
    from flows.annotators.listing import as_table

    if rows := run(emails=emails, project=project, config=settings()):
        out.print(as_table(rows))
    elif project is not None:
        say(f'nobody has judged in "{project}" yet; odds pull fetches what was judged')
    else:
        say("no annotators yet; odds annotators review records who signed up, odds pull who judged")


@people.command("review")
def annotators_review() -> None:
    """Record who signed up; decide by the settings' rules who qualified, and who is watched or excluded."""
    from flows.annotators.review import annotators_review as run

    with activity("annotators review"):
        outcome = run(config=settings())
    say(outcome.line())


@people.command("status")
def annotators_status(
    annotator: Who,
    status: Annotated[Status, typer.Argument(help="The status from now on.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Set the status of an annotator from now on. Earlier ones stay on record."""
    from flows.annotators.statuses import annotators_status as run

    say(run(annotator, status, reason=reason, config=settings()).line())


@people.command("exclude")
def annotators_exclude(
    annotator: Who,
    reason: Annotated[str, typer.Option(help="Why; required without --undo.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take the annotator back, with the status from before.")] = False,
) -> None:
    """Leave an annotator's judgments out of agreement, consensus and training. The judgments stay."""
    from flows.annotators.statuses import annotators_exclude as run

    say(run(annotator, reason=reason, undo=undo, config=settings()).line())


@people.command("pay")
def annotators_pay(
    start: FromOption,
    end: ToOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .csv file to write.")],
    *,
    rate_per_judgment: Annotated[
        float | None, typer.Option(min=0, help="The amount for each judgment; or give the other rate.")
    ] = None,
    rate_per_hour: Annotated[float | None, typer.Option(min=0, help="The amount for each hour.")] = None,
    cap_seconds: Annotated[float, typer.Option(min=1, help="The most seconds that one judgment counts for.")] = 300,
    emails: EmailsOption = False,
) -> None:
    """Write what each person is owed for a period, and record it so that no judgment is paid twice."""
    from flows.annotators.pay import annotators_pay as run

    outcome = run(
        start,
        end,
        output=output,
        rate_per_judgment=rate_per_judgment,
        rate_per_hour=rate_per_hour,
        cap_seconds=cap_seconds,
        emails=emails,
        config=settings(),
    )
    say(outcome.line())


@people.command("report")
def annotators_report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The .html file to write.")] = Path("people.html"),
) -> None:
    """Write a page with the progress and quality of each annotator, by pseudonym."""
    from flows.annotators.report import annotators_report as run

    say(f"wrote {run(output, config=settings())}")


@people.command("approve")
def annotators_approve(
    file: Annotated[Path, typer.Argument(help="The submissions as the platform exported them: a CSV.")],
    platform: Annotated[Literal["prolific", "mturk"], typer.Option(help="The crowd platform.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    *,
    min_judgments: Annotated[int, typer.Option(min=1, help="How many judgments somebody must have given.")] = 1,
    min_check_rate: Annotated[
        float, typer.Option(min=0, max=1, help="The share of attention checks that must be passed, if any were met.")
    ] = 0,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="Count only what was judged from this day or time on (UTC)."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Count only what was judged before this day or time.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="TITLE", help="Count only what was judged in this Label Studio project.")
    ] = None,
) -> None:
    """Write whose work to approve: ids for Prolific, or MTurk's batch with Approve and Reject filled in."""
    from flows.annotators.crowd import annotators_approve as run

    outcome = run(
        file,
        platform,
        output=output,
        min_judgments=min_judgments,
        min_check_rate=min_check_rate,
        start=start,
        end=end,
        project=project,
        config=settings(),
    )
    say(outcome.line())


@people.command("bonus")
def annotators_bonus(
    file: Annotated[Path, typer.Argument(help="The submissions as Prolific exported them: a CSV.")],
    start: FromOption,
    end: ToOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    *,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also write bonuses again whose file was lost before it was paid."),
    ] = False,
) -> None:
    """Write Prolific's bulk bonus for a paid period: a line `participant_id,amount` for each, once."""
    from flows.annotators.crowd import annotators_bonus as run

    say(run(file, start, end, output=output, again=again, config=settings()).line())
