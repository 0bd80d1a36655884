"""Who is measured in an evaluation: the estimator, the panel and the baselines, from the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synthesis.panel.versions import estimator_version
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.queries.stages import current_estimates
from warehouse.records import Model, Score

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


def stored_scores(warehouse: Warehouse, model: Model) -> dict[str, Answer]:
    """Return an estimator's stored answers."""
    from training.evaluation.families import Answer

    rows = read(warehouse, Score, "model_id = ?", [model.model_id])
    return {row.proposition_id: Answer(row.score, row.level_probabilities) for row in rows}


def calibration_of(warehouse: Warehouse, model: Model) -> Calibration | None:
    """Return what the intervals of an estimator come from, if it has been calibrated."""
    from training.model.calibration import read_calibration

    return read_calibration(warehouse.place(model.path))
