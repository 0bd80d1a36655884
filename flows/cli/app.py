"""The command line: one command a flow, and what a person needs around them. How a command ends is in `__main__`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.data import attach, export, snapshots, sql, studio, tables, trace
from flows.cli.imports import importing
from flows.settings.settings import CONFIG_NAME
from flows.terminal.activity import activity
from flows.terminal.console import Chosen, out, quiet_prefect, say, settings
from warehouse.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.outcome import Outcome

app = typer.Typer(
    name="odds",
    help="Generate propositions, have people and LLMs say how likely they are, agree, learn, evaluate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(importing, name="import")
app.add_typer(studio, name="studio")
app.command()(sql)
app.command()(tables)
app.command()(export)
app.command()(attach)
app.command()(trace)
app.command()(snapshots)


@app.callback()
def options(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help=f"The settings file; ./{CONFIG_NAME} where it is not given.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show tracebacks and the log of Prefect.")] = False,
) -> None:
    """Keep the options for the commands."""
    Chosen.config, Chosen.verbose = config, verbose


def _run(flow: Callable[..., Outcome], **arguments: Any) -> None:
    with activity(flow.__name__):
        outcome = flow(config=settings(), **arguments)
    say(outcome.line())


def _ready() -> None:
    """Settings are read first, so that a mistake in them shows at once."""
    settings()
    quiet_prefect()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to write the settings file.")] = Path(),
) -> None:
    """Write a settings file with every default explained."""
    from flows.settings.template import write_template

    say(f"wrote {write_template(folder)}")


DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say how many requests and tokens it would take, and what it would cost.")
]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0, help="Stop before the cost exceeds this, in your prices' currency.")
]
Batch = Annotated[
    bool, typer.Option("--batch", help="Use the endpoint's batch interface: cheaper, within a day; resumable.")
]


def _ask(stage: str, dry_run: bool, max_cost: float | None, batch: bool) -> None:
    """Run a stage that asks models, or only plan it."""
    _ready()
    module = import_module(f"flows.{stage}")
    if dry_run:
        from flows.llm_runs.dry_run import plan_table

        out.print(plan_table(settings(), module.jobs, batch=batch))
        return
    _run(getattr(module, stage), max_cost=max_cost, batch=batch)


@app.command()
def propose(dry_run: DryRun = False, max_cost: MaxCost = None, batch: Batch = False) -> None:
    """Ask an LLM for hypotheses, and for propositions made from others, where there are none yet."""
    _ask("propose", dry_run, max_cost, batch)


@app.command()
def elicit(dry_run: DryRun = False, max_cost: MaxCost = None, batch: Batch = False) -> None:
    """Have the panel of labelers estimate the propositions that they have not estimated yet."""
    _ask("elicit", dry_run, max_cost, batch)


@app.command()
def judge(dry_run: DryRun = False, max_cost: MaxCost = None, batch: Batch = False) -> None:
    """Where the panel disagrees, have a judge model say how far it trusts each estimate."""
    _ask("judge", dry_run, max_cost, batch)


@app.command()
def labelers(
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw values and calibration of each labeler into this .svg file.")
    ] = None,
) -> None:
    """Show how coarse each labeler is, how it agrees with people, how calibrated it is, and what it costs."""
    from flows.research.figures import check_picture
    from flows.research.labelers import labeler_tables, write_labeler_picture

    if picture is not None:
        check_picture(picture)
    for part in labeler_tables(settings()):
        out.print(part, highlight=False, soft_wrap=isinstance(part, str))
    if picture is not None:
        write_labeler_picture(settings(), picture)
        say(f"the labelers are drawn in {picture}")


@app.command()
def push(
    again: Annotated[
        bool, typer.Option("--again", help="Also give tasks back that were deleted in Label Studio.")
    ] = False,
    new_project: Annotated[
        bool, typer.Option("--new-project", help="Make another project in place of one that has vanished.")
    ] = False,
) -> None:
    """Give the propositions that have no task yet to Label Studio."""
    _ready()
    from flows.push import push as flow

    _run(flow, again=again, new_project=new_project)


@app.command()
def simulate() -> None:
    """Have simulated annotators judge (demonstrations only; marked as simulated everywhere)."""
    _ready()
    from flows.simulate import simulate as flow

    _run(flow)


@app.command()
def pull() -> None:
    """Fetch judgments that were made, changed or deleted in Label Studio."""
    _ready()
    from flows.pull import pull as flow

    _run(flow)


@app.command()
def agree(
    with_cannot_judge: Annotated[
        bool, typer.Option("--with-cannot-judge", help="Count the slider of those who ticked 'cannot judge'.")
    ] = False,
    with_rejected: Annotated[bool, typer.Option("--with-rejected", help="Count rejected judgments.")] = False,
    with_repeats: Annotated[
        bool, typer.Option("--with-repeats", help="Count every judgment of an annotator on a proposition.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Compute the whole consensus anew, not what changed alone.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw interval alpha over time into this .svg file.")
    ] = None,
) -> None:
    """Measure agreement by every slice, and aggregate the judgments of each proposition into its consensus."""
    _ready()
    from flows.agree import agree as flow
    from flows.agree import selection_of
    from flows.research.figures import check_picture, figure_tables, write_picture

    if picture is not None:
        check_picture(picture)
    _run(flow, with_cannot_judge=with_cannot_judge, with_rejected=with_rejected, with_repeats=with_repeats, full=full)
    selection = selection_of(with_cannot_judge, with_rejected, with_repeats)
    for part in figure_tables(settings(), selection):
        out.print(part, highlight=False, soft_wrap=isinstance(part, str))
    if picture is not None:
        write_picture(settings(), selection, picture)
        say(f"agreement over time is drawn in {picture}")


@app.command()
def recalibrate() -> None:
    """Fit a map from each labeler's estimates to the judgments, outside of the test split."""
    _ready()
    from flows.recalibrate import recalibrate as flow

    _run(flow)


@app.command()
def publish(
    verify: Annotated[bool, typer.Option("--verify", help="Recheck the hashes of the newest dataset instead.")] = False,
    name: Annotated[
        str | None, typer.Option(help="With --verify: the dataset; that of the settings otherwise.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="With --verify: an older version.")] = None,
) -> None:
    """Publish the consensus as a training set of parquet shards with a manifest."""
    _ready()
    from flows.publish import publish as flow
    from flows.publish import verify_dataset

    if verify:
        say(verify_dataset(settings(), name, version))
        return
    if name or version:
        raise InputError("odds publish: --name and --version belong to --verify; publish.name in odds.toml names a set")
    _run(flow)


@app.command()
def train() -> None:
    """Fine-tune the estimator on the newest published dataset."""
    _ready()
    from flows.train import train as flow

    _run(flow)


@app.command()
def score(
    file: Annotated[Path | None, typer.Argument(help="Propositions to score: JSONL, CSV or parquet.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the scores go: .jsonl, .csv or .parquet.")
    ] = None,
) -> None:
    """Score the newest dataset's test split, or the propositions of a file, with the newest estimator."""
    _ready()
    from flows.score import score as flow

    if (file is None) != (output is None):
        raise InputError("odds score: a file to score and --output belong together")
    _run(flow, file=file, output=output)


@app.command()
def evaluate() -> None:
    """Score the test split, compare the estimator with labelers and baselines, and write the report."""
    _ready()
    from flows.evaluate import evaluate as flow

    _run(flow)


@app.command()
def cycle(max_cost: MaxCost = None, batch: Batch = False) -> None:
    """Run every stage in turn, all of them within one limit of cost. With nothing new, it does nothing."""
    _ready()
    from flows.cycle import cycle as flow

    with activity("cycle"):
        flow(config=settings(), max_cost=max_cost, batch=batch)


@app.command()
def maintain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long what is no longer needed stays for those who are reading it.")
    ] = 24,
) -> None:
    """Merge small files, expire old snapshots that nothing rests on, and remove files that nobody needs."""
    _ready()
    from flows.maintain import maintain_warehouse as flow

    _run(flow, dry_run=dry_run, grace_hours=grace_hours)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo lives; run it again and it goes on from there.")] = Path(
        "demo"
    ),
    wait_for_people: Annotated[
        bool, typer.Option("--wait-for-people", help="Stop at the annotation step until people have judged.")
    ] = False,
    enough: Annotated[int, typer.Option(min=12, help="With --wait-for-people: go on after so many propositions.")] = 30,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in a browser at the end.")] = False,
) -> None:
    """Run the main job on embedded defaults: no account, no key, no GPU."""
    quiet_prefect()
    with activity("demo") as shown:
        shown.doing("loading the pipeline")
        from flows.demo import run_demo

    run_demo(folder, enough if wait_for_people else None, open_report=open_report)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show what stands where."""
    from flows.status import as_table, status_of

    state = status_of(settings())
    if as_json:
        out.print_json(data=state, ensure_ascii=True)
        return
    out.print(as_table(state))


@app.command()
def doctor() -> None:
    """Say what is missing on this machine, and what to do about it."""
    from flows.doctor import as_table, examine

    findings = examine(settings())
    out.print(as_table(findings))
    if any(finding.needed and not finding.fine for finding in findings):
        raise typer.Exit(1)
