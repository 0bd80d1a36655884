"""The training sets of variants: the rows of the published one, with other weights of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.publish import rows_of, write_version
from flows.settings.settings import Settings
from flows.stages.services import reading, writing
from warehouse.catalog.store import merge_all, read
from warehouse.datasets.publish import dataset_fingerprint, unknown_sources
from warehouse.errors import InputError
from warehouse.records import Dataset, content_id
from warehouse.shards import Recipe, read_manifest


def reweighted(settings: Settings, dataset: Dataset, weights: Mapping[str, Any], *, write: bool) -> Dataset | None:
    """Return a training set of the snapshot of another one, with other weights; None if there is none, unless `write`.

    It has the name of the other one with "-ablation", so that `odds train` does not take it for the newest. Its splits
    are the same, as they are part of the snapshot.

    Raises:
        InputError: a weight is for a source that the snapshot does not have.
    """
    with reading(settings) as warehouse:
        recipe = read_manifest(warehouse.place(dataset.path)).recipe
    changed = Recipe.model_validate(recipe.model_dump() | dict(weights))
    if changed == recipe:
        return dataset
    named = settings.model_copy(
        update={"publish": settings.publish.model_copy(update={"name": f"{dataset.name}-ablation"})}
    )
    with reading(settings, at=dataset.snapshot_id) as past:
        if unknown := unknown_sources(past, changed):
            raise InputError(f"publish.source_weights: no propositions come from {unknown[0]!r}; correct the plan")
        dataset_id = content_id("dataset", named.publish.name, dataset_fingerprint(past, changed))
        with reading(settings) as warehouse:
            known = next(iter(read(warehouse, Dataset, "dataset_id = ?", [dataset_id])), None)
            if known is not None and warehouse.place(known.path).exists():
                return known
        if not write:
            return None
        manifest, folder = write_version(named, past, changed, dataset_id, known)
    made, shards = rows_of(manifest, folder, settings)
    with writing(settings) as warehouse:
        merge_all(warehouse, [[made], shards])
    return made
