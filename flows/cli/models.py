"""The commands about estimators: list, choose, delete, merge, serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.console import out, say, settings
from warehouse.errors import InputError

models = typer.Typer(invoke_without_command=True, help="List the estimators, choose the one in use, delete others.")
estimators = typer.Typer()

ModelArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of an estimator, or the start of it.")]


@models.callback()
def list_models(
    context: typer.Context,
    deleted: Annotated[bool, typer.Option("--all", help="Also list the deleted ones.")] = False,
) -> None:
    """List the estimators: dataset, base, dev loss and that of a constant answer, date, size, and which is in use."""
    if context.invoked_subcommand:
        return
    from flows.models import models as find
    from flows.models import models_table

    found = [each for each in find(config=settings()) if deleted or each.state != "deleted"]
    if found:
        out.print(models_table(found))
    else:
        say("no estimators yet; run odds train")


@models.command("use")
def models_use(
    model: Annotated[str, typer.Argument(metavar="ID", help="The id of an estimator, or the start of it; or newest.")],
) -> None:
    """Score and evaluate with this estimator instead of the newest, also after further fits; newest undoes it."""
    from flows.models import models_use as use

    say(f"{use(model, config=settings()).model_id} is in use")


@models.command("promote")
def models_promote(
    model: ModelArgument,
    suite: Annotated[
        list[str] | None, typer.Option(help="Decide by this evaluation set; by default by all. Repeatable.")
    ] = None,
) -> None:
    """Use an estimator from now on if it is better than the one in use on evaluation sets, and worse on none."""
    from flows.promote import models_promote as promote

    found = promote(model, suites=suite or [], config=settings())
    say(f"{found.candidate.model_id} is {'in use' if found.promoted else 'not promoted'}: {found.reason}")


@models.command("delete")
def models_delete(
    model: ModelArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete the files of an estimator or an unfinished fit. Its scores and figures stay in the warehouse."""
    from rich.filesize import decimal

    from flows.models import deletable
    from flows.models import models_delete as delete

    found = deletable(model, config=settings())
    what = f"{found.path} ({found.state}, {decimal(found.bytes)})"
    if not yes and not sys.stdin.isatty():
        raise InputError(f"odds models delete: {what} would be deleted; add --yes, since nobody can be asked here")
    if not yes and not typer.confirm(f"Delete {what}?"):
        say("nothing was deleted")
        return
    delete(found.model_id, config=settings())
    say(f"deleted {what}")


@estimators.command()
def merge(
    model: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="The id of an estimator or its start; by default the one in use."),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write; it must not exist.")],
) -> None:
    """Write an estimator as one folder in Hugging Face format, with a model card, for transformers or vLLM."""
    settings()
    from flows.merge import merge as write

    say(f"wrote {write(output, model, config=settings())}")


@estimators.command()
def serve(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="An id or its start, pretrained, pretrained-large, or a folder; by default the one in use.",
        ),
    ] = None,
    *,
    host: Annotated[
        str, typer.Option(help="The address to listen on. If other machines reach it, ODDS_SERVE_TOKEN must be set.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 lets the system choose one.")] = 8710,
) -> None:
    """Answer POST /score over HTTP with the scores of an estimator, until Ctrl-C."""
    settings()
    from flows.serve import serve as run

    def ready(estimator: str, address: str) -> None:
        say(f"serving {estimator} at {address}; Ctrl-C ends it")

    run(model, host=host, port=port, ready=ready, config=settings())
