"""Coherence: whether answers on derived propositions of the test split fit those on what they were derived from."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from flows.score import scored
from flows.settings.settings import Settings
from flows.subjects import ESTIMATOR, beside, stored_scores, texts_of
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge_all
from warehouse.queries.models import unscored
from warehouse.records import Difference, Evaluation, Model, SuiteItem

SUITE = "coherence"
"""The suite that the figures on derived propositions of the test split belong to in `evaluations`."""


def score_items(settings: Settings, warehouse: Warehouse, model: Model, rows: Sequence[SuiteItem]) -> int:
    """Score the propositions of items that the estimator has not scored. Returns the number of new scores."""
    texts = texts_of(rows)
    ids = pa.RecordBatch.from_pydict({"proposition_id": pa.array(list(texts), pa.string())})
    waiting = [texts[key] for key in unscored(warehouse, model.model_id, ids)["proposition_id"].to_pylist()]
    made = 0
    if waiting:
        with scored(settings, model, waiting, len(waiting)) as parts:
            for part in parts:
                merge_all(warehouse, [part.scores.values(), part.drops])
                made += len(part.scores)
    return made


def coherence_figures(
    settings: Settings, warehouse: Warehouse, model: Model, rows: Sequence[SuiteItem], mean: float
) -> tuple[list[Evaluation], list[Difference]]:
    """Return the figures of coherence of the estimator, the labelers and the constant `mean`; none without items."""
    from training.evaluation.families import Items
    from training.evaluation.recording import Naming, differences, evaluations
    from training.evaluation.table import measure

    if not rows:
        return [], []
    ids = list(dict.fromkeys(row.proposition_id for row in rows))
    others = beside(settings, warehouse, ids, model, mean)
    subjects = {ESTIMATOR: stored_scores(warehouse, model, ids), **others}
    measured = measure(Items.of("coherence", rows), subjects, annotators=(), seed=settings.agreement.seed)
    naming = Naming(model.model_id, model.dataset_id, SUITE)
    return list(evaluations(measured, naming)), list(differences(measured, naming))
