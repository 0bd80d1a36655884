"""Coherence: whether answers on derived propositions of the test split fit those on what they were derived from."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from flows.estimators.scoring import store_scores
from flows.evaluation.subjects import ESTIMATOR, beside, measured, stored_scores, texts_of
from flows.settings.settings import Settings
from training.evaluation.families import Items
from warehouse.catalog.connect import Warehouse
from warehouse.queries.models import unscored
from warehouse.records import Difference, Evaluation, Model, SuiteItem

SUITE = "coherence"
"""The suite that the figures on derived propositions of the test split belong to in `evaluations`."""


def score_items(settings: Settings, warehouse: Warehouse, model: Model, rows: Sequence[SuiteItem]) -> int:
    """Score the propositions of items that the estimator has not scored. Returns the number of new scores."""
    texts = texts_of(rows)
    ids = pa.RecordBatch.from_pydict({"proposition_id": pa.array(list(texts), pa.string())})
    waiting = [texts[key] for key in unscored(warehouse, model.model_id, ids)["proposition_id"].to_pylist()]
    return store_scores(settings, warehouse, model, waiting, len(waiting))


def coherence_figures(
    settings: Settings, warehouse: Warehouse, model: Model, rows: Sequence[SuiteItem], mean: float
) -> tuple[list[Evaluation], list[Difference]]:
    """Return the figures of coherence of the estimator, the labelers and the constant `mean`; none without items."""
    if not rows:
        return [], []
    ids = list(dict.fromkeys(row.proposition_id for row in rows))
    subjects = {ESTIMATOR: stored_scores(warehouse, model, ids), **beside(settings, warehouse, ids, model, mean)}
    items = Items.of("coherence", rows)
    return measured(settings, warehouse, SUITE, items, subjects, estimators={ESTIMATOR: model})
