"""Who is measured in an evaluation: the estimator, the panel and the baselines, from the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from synthesis.panel.versions import estimator_version
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import to_table
from warehouse.catalog.store import Merged, replace
from warehouse.queries.models import scores_by
from warehouse.queries.stages import current_estimates
from warehouse.records import Difference, Evaluation, Model, PropositionText, SuiteItem

if TYPE_CHECKING:
    from training.evaluation.families import Answer, Answers
    from training.model.calibration import Calibration

ESTIMATOR = "estimator"
ANNOTATORS = (1, 3)
"""How many annotators' mean is measured against the others."""


def beside(warehouse: Warehouse, ids: Sequence[str], model: Model, mean: float) -> dict[str, Answers]:
    """Return the answers of the panel, without the estimator itself if it sits there, and those of a constant."""
    from training.evaluation.subjects import CONSTANT, constant, panel

    itself = estimator_version(model.model_id)
    estimates = (each for each in current_estimates(warehouse, list(ids)) if each.labeler_version != itself)
    return {**dict(panel(estimates)), CONSTANT: constant(ids, mean)}


def stored_scores(warehouse: Warehouse, model: Model, ids: Sequence[str]) -> dict[str, Answer]:
    """Return an estimator's stored answers to some propositions."""
    from training.evaluation.families import Answer

    return {key: Answer(score, levels) for key, score, levels in scores_by(warehouse, model.model_id, ids)}


def texts_of(rows: Iterable[SuiteItem]) -> dict[str, PropositionText]:
    """Return the propositions of items by their ids."""
    return {
        row.proposition_id: PropositionText(
            proposition_id=row.proposition_id, premise=row.premise, hypothesis=row.hypothesis
        )
        for row in rows
    }


def record_figures(
    warehouse: Warehouse,
    model: Model,
    suites: Sequence[str],
    figures: Sequence[Evaluation],
    differences: Sequence[Difference],
    *,
    subjects: Sequence[str] | None = None,
) -> Merged:
    """Record the figures of an estimator on some suites. Earlier ones that were not measured again are removed.

    Args:
        warehouse: The warehouse.
        model: The estimator.
        suites: The suites that were measured.
        figures: All figures, of everyone.
        differences: How much they differ from those of the estimator.
        subjects: Who was measured; the figures of others stay. By default everyone.

    Returns:
        How many figures are new, changed or removed.
    """
    where, params = "model_id = ? AND list_contains(?::VARCHAR[], suite)", [model.model_id, list(suites)]
    own, others = "", ""
    if subjects is not None:
        own, others = (f" AND list_contains(?::VARCHAR[], {column})" for column in ("subject", "against"))
        params = [*params, list(subjects)]
    replace(warehouse, to_table(Difference, differences), where + others, params)
    return replace(warehouse, to_table(Evaluation, figures), where + own, params)


def calibration_of(warehouse: Warehouse, model: Model) -> Calibration | None:
    """Return what the intervals of an estimator come from, if it has been calibrated."""
    from training.model.calibration import read_calibration

    return read_calibration(warehouse.place(model.path))
