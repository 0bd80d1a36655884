"""The queries about evaluation sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import to_records
from warehouse.catalog.store import read
from warehouse.errors import InputError
from warehouse.records import Dataset, Model, PropositionText, Suite
from warehouse.shards import read_batches

_MIDDLE = 0.5


def suite_of_name(warehouse: Warehouse, name: str) -> Suite:
    """Return a suite. Raises `InputError` if there is none of this name."""
    known = {each.name: each for each in read(warehouse, Suite)}
    if name not in known:
        there = ", ".join(sorted(known)) or "none; odds import suite makes one"
        raise InputError(f"no suite {name}; there are: {there}")
    return known[name]


def unestimated_items(warehouse: Warehouse, suite_id: str, labeler: str, version: str) -> list[PropositionText]:
    """Return the propositions of a suite that a version of a labeler has not estimated."""
    return _lacking(warehouse, suite_id, "estimates WHERE labeler = ? AND labeler_version = ?", [labeler, version])


def unscored_items(warehouse: Warehouse, suite_id: str, model_id: str) -> list[PropositionText]:
    """Return the propositions of a suite that an estimator has no score for."""
    return _lacking(warehouse, suite_id, "scores WHERE model_id = ?", [model_id])


def _lacking(warehouse: Warehouse, suite_id: str, rows: str, params: list[object]) -> list[PropositionText]:
    query = (
        "SELECT DISTINCT i.proposition_id, i.premise, i.hypothesis FROM suite_items i ANTI JOIN "
        f"(SELECT proposition_id FROM {rows}) done ON done.proposition_id = i.proposition_id "
        "WHERE i.suite_id = ? ORDER BY ALL"
    )
    return to_records(PropositionText, warehouse.sql(query, [*params, suite_id]))


def trained_premises(warehouse: Warehouse, models: Iterable[Model]) -> pa.Array:
    """Return the ids of the premises of the training and dev splits of some models, those of order pairs too."""
    found = [pa.array([], pa.string())]
    for dataset_id in {model.dataset_id for model in models}:
        for dataset in read(warehouse, Dataset, "dataset_id = ?", [dataset_id]):
            folder = warehouse.place(dataset.path)
            for split in ("train", "dev"):
                found += [batch["premise_id"] for batch in read_batches(folder, split)]
                for batch in read_batches(folder, split, part="pairs"):
                    found += [batch["premise_id"], batch["lower_premise_id"]]
    return pc.unique(pa.chunked_array(found, pa.string()))


def and_those_like_them(warehouse: Warehouse, premises: pa.Array) -> pa.Array:
    """Return the ids of some premises, and of the premises here that share a group with one of them."""
    with warehouse.given(incoming=pa.table({"premise_id": premises})):
        rows = warehouse.sql(
            "SELECT premise_id FROM incoming UNION SELECT premise_id FROM premise_groups SEMI JOIN ("
            "  SELECT group_id FROM premise_groups SEMI JOIN incoming USING (premise_id)) USING (group_id)"
        )
    return rows["premise_id"].combine_chunks()


def of_premises(warehouse: Warehouse, propositions: Sequence[str], premises: pa.Array) -> set[str]:
    """Return those of some propositions, of suites too, that have one of some premises, by their ids."""
    incoming = pa.table({"premise_id": premises})
    wanted = pa.table({"proposition_id": pa.array(propositions, pa.string())})
    with warehouse.given(incoming=incoming, wanted=wanted):
        rows = warehouse.rows(
            "SELECT DISTINCT proposition_id FROM ("
            "  SELECT proposition_id, premise_id FROM propositions UNION ALL"
            "  SELECT proposition_id, premise_id FROM suite_items"
            ") SEMI JOIN wanted USING (proposition_id) SEMI JOIN incoming USING (premise_id)"
        )
    return {proposition for (proposition,) in rows}


def seen_in_training(warehouse: Warehouse, suite: Suite, trained: pa.Array) -> set[str]:
    """Return the items of a suite with one of the premises that were trained on."""
    with warehouse.given(incoming=pa.table({"premise_id": trained})):
        rows = warehouse.rows(
            "SELECT DISTINCT item FROM suite_items SEMI JOIN incoming USING (premise_id) WHERE suite_id = ?",
            [suite.suite_id],
        )
    return {item for (item,) in rows}


def training_mean(warehouse: Warehouse, model: Model) -> float:
    """Return the mean of the consensus of the propositions that a model was trained on.

    For a model from elsewhere it is that of the newest dataset here. Where nobody judged any of them it is the mean of
    the panel's answers, and 0.5 without any propositions.
    """
    found = read(warehouse, Dataset, "dataset_id = ?", [model.dataset_id])
    found = found or sorted(read(warehouse, Dataset), key=lambda each: each.created_at)[-1:]
    sums = {"human": (0.0, 0), "synthetic": (0.0, 0)}
    for batch in read_batches(warehouse.place(found[0].path), "train") if found else ():
        for origin, (total, n) in sums.items():
            means = batch["mean"].filter(pc.equal(batch["origin"], origin))
            sums[origin] = total + (pc.sum(means).as_py() or 0.0), n + len(means)
    return next((total / n for total, n in sums.values() if n), _MIDDLE)
