"""Agree: measure how far annotators agree, and aggregate the judgments of each proposition into its consensus."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from rich.table import Table

from flows.outcome import Outcome
from flows.services import reading, writing
from flows.settings import Settings, load_settings
from warehouse.agreement import Selection, measure_agreement
from warehouse.connect import Warehouse
from warehouse.consensus import consensus_records
from warehouse.queries import current_agreement, valid_judgments
from warehouse.records import Agreement, Consensus
from warehouse.store import merge_all, replace


@flow(name="agree")
def agree(
    config: Path | None = None,
    with_cannot_judge: bool = False,
    with_rejected: bool = False,
    with_repeats: bool = False,
) -> Outcome:
    """Measure the agreement of the chosen judgments, and renew the consensus, which always rests on the valid ones.

    Figures are kept as a history: the same judgments measured again add nothing.
    """
    settings = load_settings(config)
    selection = selection_of(with_cannot_judge, with_rejected, with_repeats)
    with writing(settings) as warehouse:
        figures = measure_agreement(warehouse, selection, settings.agreement.draws, settings.agreement.seed)
        new = _new_figures(warehouse, figures)
        merge_all(warehouse, new)
        method = settings.agreement.consensus
        rows = consensus_records(valid_judgments(warehouse), method, warehouse.snapshot_id())
        consensus = replace(warehouse, Consensus, rows, "method = ?", [method])
    counts = {
        "new figures": len(new),
        "new consensus": consensus.inserted,
        "changed": consensus.updated,
        "withdrawn": consensus.deleted,
    }
    return Outcome(stage="agree", counts=counts, note=_headline(figures))


def selection_of(with_cannot_judge: bool, with_rejected: bool, with_repeats: bool) -> Selection:
    """The selection that the options of the command line describe."""
    return Selection(
        include_cannot_judge=with_cannot_judge,
        include_rejected=with_rejected,
        repeats="all" if with_repeats else "first",
    )


def _new_figures(warehouse: Warehouse, figures: list[Agreement]) -> list[Agreement]:
    """The figures that rest on other judgments than the newest of their kind."""
    known = {(each.metric, each.scope, each.slice): each.fingerprint for each in current_agreement(warehouse)}
    return [each for each in figures if known.get((each.metric, each.scope, each.slice)) != each.fingerprint]


def _headline(figures: list[Agreement]) -> str:
    alpha = next((each for each in figures if (each.metric, each.slice) == ("interval_alpha", "all")), None)
    if alpha is None or alpha.value is None:
        return "no two judgments of one proposition yet"
    interval = f", 95% [{alpha.low:.3f}, {alpha.high:.3f}]" if alpha.low is not None and alpha.high is not None else ""
    simulated = f", {alpha.n_simulated:,} of {alpha.n_judgments:,} judgments simulated" if alpha.n_simulated else ""
    return f"interval alpha {alpha.value:.6f}{interval}{simulated}"


def figures_table(settings: Settings, selection: Selection) -> Table:
    """The newest figures of a selection for a terminal."""
    with reading(settings) as warehouse:
        figures = [each for each in current_agreement(warehouse) if each.scope == selection.scope]
    table = Table("metric", "slice", header_style="bold", title=selection.scope)
    for name in ("value", "95% interval", "propositions", "annotators", "judgments", "simulated"):
        table.add_column(name, justify="right")
    for each in figures:
        value = "" if each.value is None else f"{each.value:.6f}"
        interval = "" if each.low is None or each.high is None else f"{each.low:.3f} to {each.high:.3f}"
        numbers = (each.n_propositions, each.n_annotators, each.n_judgments, each.n_simulated)
        table.add_row(each.metric, each.slice, value, interval, *(f"{number:,}" for number in numbers))
    return table
