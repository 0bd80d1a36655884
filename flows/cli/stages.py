"""The commands of the stages, from propositions to the report."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.cli.files import ColumnOption, reads
from flows.settings.sections import SeenItems
from flows.terminal.activity import activity
from flows.terminal.console import out, print_parts, quiet_prefect, say, settings
from warehouse.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

stages = typer.Typer()

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show how many requests and tokens it would take, and the cost.")
]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0, help="Stop before the cost exceeds this, in your prices' currency.")
]
Batch = Annotated[
    bool, typer.Option("--batch", help="Use the endpoint's batch interface: cheaper, takes up to a day; resumable.")
]

OnlyProject = Annotated[
    str | None, typer.Option("--project", metavar="TITLE", help="Only this project of the settings; by default all.")
]


def _ready() -> None:
    """Read the settings before anything slow is loaded, so that a mistake in them shows at once."""
    settings()
    quiet_prefect()


def _run(stage: str, **arguments: Any) -> None:
    """Run the stage `flows.STAGE.STAGE` and print its outcome."""
    _ready()
    run: Callable[..., Any] = getattr(import_module(f"flows.{stage}"), stage)
    with activity(stage):
        outcome = run(config=settings(), **arguments)
    say(outcome.line())


def _ask(stage: str, dry_run: bool, max_cost: float | None, batch: bool, **of: str) -> None:
    """Run a stage that asks models, `of` something if that is given, or only plan it."""
    if not dry_run:
        _run(stage, max_cost=max_cost, batch=batch, **of)
        return
    _ready()
    from flows.llm_runs.dry_run import plan_table

    out.print(plan_table(settings(), partial(import_module(f"flows.{stage}").jobs, **of), batch=batch))


@stages.command()
def propose(dry_run: DryRun = False, max_cost: MaxCost = None, batch: Batch = False) -> None:
    """Have an LLM write hypotheses for premises, and derive propositions from others."""
    _ask("propose", dry_run, max_cost, batch)


@stages.command()
def elicit(
    dry_run: DryRun = False,
    max_cost: MaxCost = None,
    batch: Batch = False,
    suite: Annotated[str | None, typer.Option(help="Estimate this evaluation set instead.")] = None,
) -> None:
    """Have each labeler of the panel estimate the propositions it has not seen yet."""
    _ask("elicit", dry_run, max_cost, batch, **({} if suite is None else {"suite": suite}))


@stages.command()
def judge(dry_run: DryRun = False, max_cost: MaxCost = None, batch: Batch = False) -> None:
    """Have a judge model rate each estimate where the panel disagrees."""
    _ask("judge", dry_run, max_cost, batch)


@stages.command()
def labelers(
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw each labeler's values and calibration to this .svg file.")
    ] = None,
) -> None:
    """Show the granularity, accuracy, calibration, refusals and cost of each labeler."""
    from flows.research.figures import check_picture
    from flows.research.labelers import labeler_tables, write_labeler_picture
    from flows.research.labelers import labelers as rows

    if picture is not None:
        check_picture(picture)
    print_parts(labeler_tables(rows(config=settings())))
    if picture is not None:
        write_labeler_picture(settings(), picture)
        say(f"the labelers are drawn in {picture}")


@stages.command()
def push(
    restore: Annotated[
        bool, typer.Option("--restore", help="Also create the tasks again that were deleted in Label Studio.")
    ] = False,
    new_project: Annotated[
        bool, typer.Option("--new-project", help="Create a new project to replace one that has vanished.")
    ] = False,
    selected: Annotated[
        bool, typer.Option("--selected", help="Only those that odds select chose; each is judged once more.")
    ] = False,
    project: OnlyProject = None,
    new_version: Annotated[
        bool, typer.Option("--new-version", help="Show the newest page and instruction even where people have judged.")
    ] = False,
) -> None:
    """Create Label Studio tasks for propositions that have none.

    With annotation.redundancy = "adaptive" it also asks for more judgments where they help.
    """
    _run("push", restore=restore, new_project=new_project, selected=selected, project=project, new_version=new_version)


@stages.command()
def select(
    by: Annotated[
        Literal["consensus", "disagreement", "panel", "uncertainty"],
        typer.Option(
            help="Where the SD of the consensus (consensus) or of the estimator (uncertainty) is largest, or where the "
            "estimator is far from the consensus (disagreement) or the panel (panel)."
        ),
    ] = "consensus",
    limit: Annotated[int, typer.Option(min=1, help="How many to choose.")] = 100,
    with_test: Annotated[bool, typer.Option("--with-test", help="Also choose from the test split.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write them to a .jsonl, .csv or .parquet file.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Another estimator than the one in use: an id, pretrained, pretrained-large, or a folder.",
        ),
    ] = None,
) -> None:
    """Choose the propositions that most need another judgment; odds push --selected asks for it."""
    if model is not None and by == "consensus":
        raise InputError("odds select: --model needs --by disagreement, panel or uncertainty")
    _run("select", by=by, limit=limit, with_test=with_test, output=output, model=model)
    from flows.select import selected, selected_parts

    print_parts(selected_parts(selected(by, config=settings()), by))


@stages.command()
def simulate() -> None:
    """Have simulated annotators judge (for demonstrations; marked as simulated everywhere).

    annotation.simulated_annotators says how many.
    """
    _run("simulate")


@stages.command()
def pull(project: OnlyProject = None) -> None:
    """Fetch new, changed and deleted judgments from Label Studio."""
    _run("pull", project=project)


@stages.command()
def agree(
    with_cannot_judge: Annotated[
        bool, typer.Option("--with-cannot-judge", help="Also count the slider where 'cannot judge' is ticked.")
    ] = False,
    with_rejected: Annotated[bool, typer.Option("--with-rejected", help="Also count rejected judgments.")] = False,
    with_repeats: Annotated[
        bool, typer.Option("--with-repeats", help="Count all judgments of an annotator on a proposition.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Recompute the whole consensus, not only what changed.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw interval alpha over time to this .svg file.")
    ] = None,
) -> None:
    """Measure agreement overall and by slice, and update the consensus of each proposition."""
    _ready()
    from flows.agree import selection_of
    from flows.research.figures import check_picture, figure_tables, write_picture

    if picture is not None:
        check_picture(picture)
    selected = {"with_cannot_judge": with_cannot_judge, "with_rejected": with_rejected, "with_repeats": with_repeats}
    _run("agree", **selected, full=full)
    selection = selection_of(**selected)
    print_parts(figure_tables(settings(), selection))
    if picture is not None:
        write_picture(settings(), selection, picture)
        say(f"agreement over time is drawn in {picture}")


@stages.command()
def recalibrate() -> None:
    """Fit a map from each labeler's estimates to the judgments, excluding the test split."""
    _run("recalibrate")


@stages.command()
def publish(
    verify: Annotated[bool, typer.Option("--verify", help="Only recheck the hashes of the newest dataset.")] = False,
    name: Annotated[str | None, typer.Option(help="With --verify: the dataset, if not that of the settings.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="With --verify: an older version.")] = None,
) -> None:
    """Publish the consensus as a training set: parquet shards with a manifest."""
    if verify:
        from flows.publish import verify_dataset

        say(verify_dataset(settings(), name, version))
        return
    if name or version:
        raise InputError("odds publish: --name and --version need --verify; set publish.name in odds.toml instead")
    _run("publish")


@stages.command()
def train(
    resume: Annotated[
        bool,
        typer.Option("--resume/--fresh", help="Go on from the last checkpoint of an interrupted fit, or start anew."),
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Make two steps, and estimate what all of them take.")
    ] = False,
) -> None:
    """Fine-tune the estimator on the newest published dataset."""
    _run("train", fresh=not resume, dry_run=dry_run)


@stages.command()
def ablate(
    plan: Annotated[Path, typer.Argument(help="The plan (TOML): variants of the settings, and seeds.")],
    suite: Annotated[
        list[str] | None,
        typer.Option(help="Measure on this imported suite instead of the dev split. Repeat for several, or: all."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the fits with the time that each may take, from two steps of it.")
    ] = False,
) -> None:
    """Fit variants of an estimator with several seeds, and compare them in one table. None of them will be in use."""
    _ready()
    from flows.ablate import ablate_figures, ablate_plan
    from flows.ablation.tables import ablation_tables, planned_table

    if dry_run:
        with activity("ablate"):
            fits = ablate_plan(plan, config=settings())
        print_parts(planned_table(fits))
        return
    _run("ablate", plan=plan, suites=suite)
    print_parts(list(ablation_tables(ablate_figures(plan, config=settings(), suites=suite))))


@stages.command()
@reads("separator", "encoding")
def score(
    file: Annotated[Path | None, typer.Argument(help="A CSV, JSON Lines or parquet file.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the scores: .jsonl, .csv or .parquet.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="For a file: an id or its start, pretrained, pretrained-large, a folder; by default the one in use.",
        ),
    ] = None,
    *,
    column: ColumnOption = None,
    reading: Any,
) -> None:
    """Score the test split of the newest dataset, or the propositions of a file.

    Fields of a file: premise and hypothesis; optional: update and update_type (strengthener or weakener).
    """
    if file is None and (column or reading.model_fields_set):
        raise InputError("odds score: --column, --separator and --encoding need a file")
    _run("score", file=file, output=output, model=model, columns=column or [], reading=reading)


@stages.command()
def evaluate(
    *,
    suite: Annotated[
        list[str] | None, typer.Option(help="Only measure on this imported suite. Repeat for several, or: all.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="With --suite: measure this estimator instead of the one in use.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="With --suite: measure this one too: an id, pretrained, pretrained-large, a folder. Repeatable.",
        ),
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="With --suite: another model's scores: premise, hypothesis and score (0 to 1). Repeatable.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=COLUMN if a column of --scores has another name, as in score=p. Repeatable."),
    ] = None,
    base_yes_no: Annotated[
        bool, typer.Option("--base-yes-no", help="With --suite: measure the base without its adapter too.")
    ] = False,
    seen: Annotated[
        SeenItems | None,
        typer.Option(help="With --suite: what becomes of items like those of the training set."),
    ] = None,
) -> None:
    """Compare the estimator with labelers and baselines on the test split or on suites, and write the report."""
    if column and not scores:
        raise InputError("--column names columns of --scores; give a file of scores too")
    if not suite:
        if model or against or scores or base_yes_no or seen:
            raise InputError("--model, --against, --scores, --base-yes-no and --seen need --suite NAME, or --suite all")
        _run("evaluate")
        return
    _ready()
    from flows.evaluate_suites import Subjects, evaluate_suites, result_table

    subjects = Subjects(against or [], dict(map(_named_file, scores or [])), base_yes_no, column or [])
    with activity("evaluate"):
        found = evaluate_suites(
            [] if suite == ["all"] else suite, config=settings(), model=model, subjects=subjects, seen=seen
        )
    if not found:
        raise InputError("there are no suites to measure on; odds import suite makes one")
    print_parts([part for each in found for part in result_table(each)])


def _named_file(option: str) -> tuple[str, Path]:
    name, equals, path = option.partition("=")
    if not (name and equals and path):
        raise InputError(f"--scores {option} must be NAME=FILE, such as deberta=deberta.jsonl")
    return name, Path(path)


@stages.command()
def cycle(max_cost: MaxCost = None, batch: Batch = False) -> None:
    """Run every stage in turn, within one cost limit. With nothing new, it changes nothing.

    These are propose, elicit, judge, push, pull, recalibrate, agree, publish, train and evaluate.
    """
    _ready()
    from flows.cycle import cycle as run

    with activity("cycle"):
        run(config=settings(), max_cost=max_cost, batch=batch)


@stages.command()
def maintain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long unneeded files stay for queries that still read them.")
    ] = 24,
) -> None:
    """Merge small files, expire old snapshots that nothing depends on, and remove unneeded files."""
    _run("maintain", dry_run=dry_run, grace_hours=grace_hours)
