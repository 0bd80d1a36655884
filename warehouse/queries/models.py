"""The queries about estimators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import select
from warehouse.records import Model

_USABLE = "deleted_at IS NULL AND (ablation IS NULL OR promoted_at IS NOT NULL)"
_IN_USE = "PARTITION BY name ORDER BY promoted_at DESC NULLS LAST, created_at DESC, model_id"


def all_models(warehouse: Warehouse) -> list[Model]:
    """Return every estimator, also the deleted ones, newest first."""
    return select(warehouse, Model, "ORDER BY created_at DESC, model_id")


def models_in_use(warehouse: Warehouse) -> list[Model]:
    """Return the estimator in use of each name: the one that was promoted last, or else the newest.

    That of an ablation is in use only if it was promoted.
    """
    return select(warehouse, Model, f"WHERE {_USABLE} QUALIFY row_number() OVER ({_IN_USE}) = 1")


def model_in_use(warehouse: Warehouse, name: str) -> Model | None:
    """Return the estimator in use of a name; None if there is none."""
    where = f"WHERE {_USABLE} AND name = ? QUALIFY row_number() OVER ({_IN_USE}) = 1"
    return next(iter(select(warehouse, Model, where, [name])), None)


def newest_model(warehouse: Warehouse, name: str) -> Model | None:
    """Return the estimator of a name that was fitted last, those of ablations aside; None if there is none."""
    where = "WHERE deleted_at IS NULL AND ablation IS NULL AND name = ? ORDER BY created_at DESC, model_id LIMIT 1"
    return next(iter(select(warehouse, Model, where, [name])), None)


def dataset_labels(warehouse: Warehouse) -> dict[str, str]:
    """Return the name and version of each dataset by its id, such as "odds v2"."""
    return dict(warehouse.rows("SELECT dataset_id, name || ' v' || version FROM datasets"))


def unscored(warehouse: Warehouse, model_id: str, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows, in order, whose `proposition_id` the estimator has not scored."""
    with warehouse.given(incoming=pa.table({"proposition_id": rows["proposition_id"]})):
        done = warehouse.sql(
            "SELECT s.proposition_id FROM scores s SEMI JOIN incoming i ON i.proposition_id = s.proposition_id "
            "WHERE s.model_id = ?",
            [model_id],
        )
    return rows.filter(pc.invert(pc.is_in(rows["proposition_id"], value_set=done["proposition_id"])))


def scores_by(
    warehouse: Warehouse, model_id: str, propositions: Sequence[str]
) -> Iterator[tuple[str, float, list[float]]]:
    """Yield the id, score and level distribution of each of some propositions that an estimator has scored."""
    with warehouse.given(incoming=pa.table({"proposition_id": pa.array(propositions, pa.string())})):
        rows = warehouse.sql(
            "SELECT proposition_id, score, level_probabilities FROM scores SEMI JOIN incoming USING (proposition_id) "
            "WHERE model_id = ?",
            [model_id],
        )
    yield from zip(*(column.to_pylist() for column in rows.columns), strict=True)
