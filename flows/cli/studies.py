"""The commands for whoever runs a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.console import out, print_parts, say, settings
from warehouse.queries.disagreement import DisagreementKind

studies = typer.Typer()


@studies.command()
def design(
    propositions: Annotated[int, typer.Option(min=2, help="How many propositions the study has.")],
    *,
    precision: Annotated[
        float | None, typer.Option(metavar="P", help="The wanted half-width of alpha's 95% interval, such as 0.05.")
    ] = None,
    reliability: Annotated[
        float | None, typer.Option(metavar="R", help="The wanted reliability of a proposition's mean, such as 0.9.")
    ] = None,
    consensus_sd: Annotated[
        float | None, typer.Option(metavar="SD", help="The wanted SD of a proposition's consensus, such as 0.1.")
    ] = None,
    cost_per_judgment: Annotated[
        float | None,
        typer.Option(metavar="COST", min=0, help="What one judgment costs; by default annotation.cost_per_judgment."),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="The alpha you expect, 0 to 1; by default as in the warehouse.")
    ] = None,
    sd: Annotated[
        float | None, typer.Option(help="The SD you expect of the judgments of one proposition, 0 to 1.")
    ] = None,
    mean: Annotated[float | None, typer.Option(help="The mean you expect of all judgments, 0 to 1.")] = None,
    most: Annotated[int, typer.Option(min=2, max=1000, help="The most judgments of a proposition to consider.")] = 30,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write every row to a .jsonl, .csv or .parquet file.")
    ] = None,
) -> None:
    """Tell how many judgments a study needs, and what they cost, before anybody is paid.

    A warehouse without 30 propositions that were judged twice tells too little; the literature replaces it.
    """
    from flows.design import design as planned
    from flows.design import design_parts

    study = planned(
        propositions,
        precision=precision,
        reliability=reliability,
        consensus_sd=consensus_sd,
        cost_per_judgment=cost_per_judgment,
        alpha=alpha,
        sd=sd,
        mean=mean,
        most=most,
        output=output,
        config=settings(),
    )
    print_parts(design_parts(study))
    if output is not None:
        say(f"{len(study.plans)} rows are in {output}")


@studies.command()
def disagreement(
    kind: Annotated[
        DisagreementKind | None,
        typer.Option(help="Only these: two groups, a few far from the rest, one wide group, one narrow group."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 12,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw each judgment of each of them to this .svg file.")
    ] = None,
) -> None:
    """Show the propositions that people disagree on most, and how their judgments differ."""
    from flows.research.disagreement import disagreement as found
    from flows.research.disagreement import disagreement_table

    out.print(disagreement_table(found(kind, limit=limit, picture=picture, config=settings())), highlight=False)
    if picture is not None:
        say(f"the judgments are drawn in {picture}")


@studies.command()
def listen(
    *,
    register: Annotated[
        bool, typer.Option("--register", help="First create the webhook in each Label Studio project of the settings.")
    ] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 lets the system choose one.")] = 8711,
    url: Annotated[
        str | None, typer.Option(help="The address that Label Studio calls, if it is another, such as a proxy's.")
    ] = None,
    every: Annotated[
        float,
        typer.Option(metavar="MINUTES", help="Pull at least this often, whether a webhook came or not; up to a week."),
    ] = 60,
) -> None:
    """Pull judgments within seconds after Label Studio's webhooks tell of them, until Ctrl-C."""
    from flows.listen import Listening
    from flows.listen import listen as run

    def ready(found: Listening) -> None:
        created = "" if found.registered is None else f"; webhooks created or corrected: {found.registered}"
        say(f"listening for webhooks at {found.url}{created}; Ctrl-C ends it")

    run(host=host, port=port, register=register, url=url, every_minutes=every, ready=ready, config=settings())
