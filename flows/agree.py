"""Agree: measure how far annotators agree, and aggregate the judgments of each proposition into its consensus."""

from __future__ import annotations

from flows.research.figures import why_no_value
from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from flows.stages.stage import stage
from warehouse.agreement.measure import measure_agreement, unrecorded
from warehouse.agreement.selection import Selection
from warehouse.catalog.store import merge_all
from warehouse.consensus.renew import renew_consensus
from warehouse.queries.stages import current_agreement
from warehouse.records import Agreement


@stage("agree")
def agree(
    config: Config = None,
    with_cannot_judge: bool = False,
    with_rejected: bool = False,
    with_repeats: bool = False,
    full: bool = False,
) -> Outcome:
    """Measure the agreement of the selected judgments, and update the consensus, which always uses the valid ones.

    Figures form a history; measuring the same judgments again adds nothing. The consensus is only computed for
    propositions with new judgments, unless the annotators' precisions moved too far or `full` is set.
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
    note = "; ".join(filter(None, (headline(figures), renewal.by_mean)))
    return Outcome(stage="agree", counts=counts, note=note)


def selection_of(with_cannot_judge: bool, with_rejected: bool, with_repeats: bool) -> Selection:
    """Return the selection for the options of the command line."""
    return Selection(
        include_cannot_judge=with_cannot_judge,
        include_rejected=with_rejected,
        repeats="all" if with_repeats else "first",
    )


def headline(figures: list[Agreement]) -> str:
    """Return interval alpha with its interval, or why there is none."""
    own = {each.metric: each for each in figures if each.slice == "all"}
    alpha = own.get("interval_alpha")
    if alpha is None or alpha.value is None:
        return f"no interval alpha: {why_no_value('interval_alpha', own)}"
    interval = f", 95% [{alpha.low:.3f}, {alpha.high:.3f}]" if alpha.low is not None and alpha.high is not None else ""
    simulated = f", {alpha.n_simulated:,} of {alpha.n_judgments:,} judgments simulated" if alpha.n_simulated else ""
    return f"interval alpha {alpha.value:.6f}{interval}{simulated}"
