"""Who is measured in an evaluation: the estimator, the panel and the baselines, from the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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


def beside(warehouse: Warehouse, ids: Sequence[str], mean: float) -> dict[str, Answers]:
    """Return the answers of the panel to some propositions, and those of a constant."""
    from training.evaluation.subjects import CONSTANT, constant, panel

    return {**dict(panel(current_estimates(warehouse, list(ids)))), CONSTANT: constant(ids, mean)}


def stored_scores(warehouse: Warehouse, model: Model) -> dict[str, Answer]:
    """Return an estimator's stored answers."""
    from training.evaluation.families import Answer

    rows = read(warehouse, Score, "model_id = ?", [model.model_id])
    return {row.proposition_id: Answer(row.score, row.level_probabilities) for row in rows}


def calibration_of(warehouse: Warehouse, model: Model) -> Calibration | None:
    """Return what the intervals of an estimator come from, if it has been calibrated."""
    from training.model.calibration import read_calibration

    return read_calibration(warehouse.place(model.path))
