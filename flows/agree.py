"""Agree: measure how far annotators agree, and aggregate the judgments of each proposition into its consensus."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from rich.table import Table

from flows.outcome import Outcome
from flows.services import reading, writing
from flows.settings import Settings, load_settings
from warehouse.agreement import measure_agreement, unrecorded
from warehouse.queries import current_agreement
from warehouse.records import Agreement
from warehouse.renew import renew_consensus
from warehouse.selection import Selection
from warehouse.store import merge_all


@flow(name="agree")
def agree(
    config: Path | None = None,
    with_cannot_judge: bool = False,
    with_rejected: bool = False,
    with_repeats: bool = False,
    full: bool = False,
) -> Outcome:
    """Measure the agreement of the chosen judgments, and renew the consensus, which always rests on the valid ones.

    Figures are kept as a history: the same judgments measured again add nothing. Of the consensus only propositions
    with new judgments are computed, unless the annotators' precisions moved, or with `full`.
    """
    settings = load_settings(config)
    selection = selection_of(with_cannot_judge, with_rejected, with_repeats)
    with writing(settings) as warehouse:
        figures = measure_agreement(warehouse, selection, settings.agreement.draws, settings.agreement.seed)
        new = unrecorded(figures, current_agreement(warehouse))
        merge_all(warehouse, [new])
        renewal = renew_consensus(
            warehouse,
            settings.agreement.consensus,
            labeler_weights=settings.agreement.labeler_weights,
            tolerance=settings.agreement.precision_tolerance,
            full=full,
        )
    counts = {
        "new figures": len(new),
        "propositions computed": renewal.computed,
        "new consensus": renewal.inserted,
        "changed": renewal.updated,
        "withdrawn": renewal.withdrawn,
    }
    return Outcome(stage="agree", counts=counts, note=_headline(figures))


def selection_of(with_cannot_judge: bool, with_rejected: bool, with_repeats: bool) -> Selection:
    """The selection that the options of the command line describe."""
    return Selection(
        include_cannot_judge=with_cannot_judge,
        include_rejected=with_rejected,
        repeats="all" if with_repeats else "first",
    )


def _headline(figures: list[Agreement]) -> str:
    alpha = next((each for each in figures if (each.metric, each.slice) == ("interval_alpha", "all")), None)
    if alpha is None or alpha.value is None:
        return "no two judgments of one proposition yet"
    interval = f", 95% [{alpha.low:.3f}, {alpha.high:.3f}]" if alpha.low is not None and alpha.high is not None else ""
    simulated = f", {alpha.n_simulated:,} of {alpha.n_judgments:,} judgments simulated" if alpha.n_simulated else ""
    return f"interval alpha {alpha.value:.6f}{interval}{simulated}"


def shown_figures(figures: list[Agreement], scope: str) -> list[Agreement]:
    """The figures of a scope that a person reads: alpha first, and alpha for each slice where there are several."""
    own = [each for each in figures if each.scope == scope]
    slices = {each.slice for each in own if each.slice != "all"}
    several = len(slices) > len({name.partition("=")[0] for name in slices})
    alpha_first = sorted(own, key=lambda each: (each.metric != "interval_alpha", each.slice != "all"))
    return [each for each in alpha_first if each.slice == "all" or (several and each.metric == "interval_alpha")]


def figures_table(settings: Settings, selection: Selection) -> Table:
    """The newest figures of a selection for a terminal."""
    with reading(settings) as warehouse:
        shown = shown_figures(current_agreement(warehouse), selection.scope)
    table = Table("metric", header_style="bold", title=_caption(shown, selection), title_justify="left")
    table.add_column("value", justify="right")
    table.add_column("95% interval")
    for each in shown:
        name = each.metric if each.slice == "all" else f"{each.metric}, {each.slice}"
        interval = "" if each.low is None or each.high is None else f"{each.low:.4f} to {each.high:.4f}"
        table.add_row(name, "" if each.value is None else f"{each.value:.6f}", interval)
    return table


def _caption(figures: list[Agreement], selection: Selection) -> str:
    """What the figures rest on."""
    if not figures:
        return f"{selection.scope}: no figures yet"
    base = figures[0]
    simulated = f", {base.n_simulated:,} of them simulated" if base.n_simulated else ""
    return (
        f"{selection.scope}: {base.n_judgments:,} judgments{simulated}, {base.n_annotators:,} annotators, "
        f"{base.n_propositions:,} propositions"
    )
