"""The command line: one command per flow, and the ones to set up, check and query. `flows/__main__.py` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.data import data, studio
from flows.cli.imports import importing
from flows.cli.models import estimators, models
from flows.cli.people import people
from flows.cli.stages import stages
from flows.cli.studies import studies
from flows.settings.settings import CONFIG_NAME, CONFIG_VARIABLE
from flows.terminal.activity import activity
from flows.terminal.console import Chosen, out, quiet_prefect, say, settings

app = typer.Typer(
    name="odds",
    help="Generate propositions, have people and LLMs judge how likely they are, agree, learn, evaluate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def options(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help=f"The settings file; by default that of {CONFIG_VARIABLE}, or else ./{CONFIG_NAME}."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show tracebacks and Prefect's log.")] = False,
) -> None:
    """Keep the options for the commands."""
    Chosen.config, Chosen.verbose, Chosen.settings = config, verbose, None


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to write the settings file, odds.toml.")] = Path()) -> None:
    """Write a settings file with every default explained."""
    from flows.settings.template import init as write

    say(f"wrote {write(folder)}")


app.add_typer(importing, name="import")
app.add_typer(stages)
app.add_typer(studies)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo lives; run again, it continues there.")] = Path("demo"),
    wait_for_people: Annotated[
        bool, typer.Option("--wait-for-people", help="Wait at the annotation step until people have judged.")
    ] = False,
    enough: Annotated[
        int, typer.Option(min=12, help="With --wait-for-people: until so many propositions are judged.")
    ] = 30,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in a browser at the end.")] = False,
) -> None:
    """Run the whole pipeline on embedded defaults: no account, no key, no GPU."""
    quiet_prefect()
    with activity("demo") as shown:
        shown.doing("loading the pipeline")
        from flows.demo import demo as run

    run(folder, enough=enough if wait_for_people else None, open_report=open_report)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False) -> None:
    """Show what the warehouse holds and where everything is."""
    from flows.status import as_table
    from flows.status import status as find

    found = find(config=settings())
    if as_json:
        out.print_json(data=found, ensure_ascii=True)
        return
    out.print(as_table(found))


@app.command()
def doctor() -> None:
    """Show what is missing on this machine, and how to fix it."""
    from flows.doctor import as_table
    from flows.doctor import doctor as examine

    findings = examine(config=settings())
    out.print(as_table(findings))
    if any(finding.needed and not finding.fine for finding in findings):
        raise typer.Exit(1)


app.add_typer(data)
app.add_typer(estimators)
app.add_typer(people, name="annotators")
app.add_typer(models, name="models")
app.add_typer(studio, name="studio")
