"""Publish: freeze consensus, estimates and order pairs as parquet shards with a manifest, for training."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import code_version, reading, writing
from flows.stages.stage import stage
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge_all, read
from warehouse.consensus.calibration import renew_splits
from warehouse.datasets.publish import dataset_fingerprint, licences, publish_rows, queries, unknown_sources
from warehouse.datasets.verify import moved_between, verify
from warehouse.datasets.write import ShardLimits, write_dataset
from warehouse.errors import InputError
from warehouse.places import named
from warehouse.queries.stages import more_held_out, newest_dataset, next_version
from warehouse.records import Dataset, Shard, content_id
from warehouse.shards import Manifest, ManifestHead, Recipe, read_manifest


@stage("publish")
def publish(config: Config = None) -> Outcome:
    """Publish the current consensus as the next version of the dataset. The same content is never published twice.

    Raises:
        InputError: There is no consensus yet, or the settings weigh a source that the warehouse does not have.
    """
    settings = load_settings(config)
    recipe = recipe_of(settings)
    with writing(settings) as warehouse:
        renew_splits(warehouse, recipe.near_duplicates)
    with reading(settings) as warehouse:  # everything comes from one snapshot, even if others write meanwhile
        if unknown := unknown_sources(warehouse, recipe):
            raise InputError(f"publish.source_weights: no propositions come from {unknown[0]!r}; correct its name")
        dataset_id = content_id("dataset", settings.publish.name, dataset_fingerprint(warehouse, recipe))
        known = next(iter(read(warehouse, Dataset, "dataset_id = ?", [dataset_id])), None)
        if known is not None and warehouse.place(known.path).exists():
            read_manifest(warehouse.place(known.path))
            return Outcome(stage="publish", counts={"new shards": 0}, note="nothing new to publish")
        manifest, folder = write_version(settings, warehouse, recipe, dataset_id, known)
        moved = _moved(warehouse, newest_dataset(warehouse, settings.publish.name), folder)
        moved += _held_out(more_held_out(warehouse)) + _circular(settings)
    with writing(settings) as warehouse:
        dataset, shards = rows_of(manifest, folder, settings)
        merge_all(warehouse, [[dataset], shards])
    counts = {"new shards": len(manifest.files)} | {str(split): rows for split, rows in manifest.counts.items()}
    if pairs := sum(manifest.pairs.values()):
        counts["order pairs"] = pairs
    return Outcome(stage="publish", counts=counts, note=f"{manifest.name} v{manifest.version}{moved}")


def _moved(warehouse: Warehouse, before: Dataset | None, folder: Path) -> str:
    """A warning that one version tests on what the other trains on, for people who compare their estimators."""
    if before is None or not (warehouse.place(before.path) / "manifest.json").exists():
        return ""
    moved = moved_between(warehouse.place(before.path), folder)
    return f"; {moved:,} propositions are in another split than in v{before.version}" if moved else ""


def _held_out(moved: int) -> str:
    """What became of the splits that files state, where one group of premises has several."""
    return f"; {moved:,} propositions are more held out than a file states, as their group is" if moved else ""


def _circular(settings: Settings) -> str:
    """A warning if an estimator learns from the answers of an estimator, through the consensus."""
    weights = settings.agreement.labeler_weights
    names = [each.name for each in settings.estimators if weights.get(each.name)]
    if not names:
        return ""
    return (
        f"; the consensus counts the estimates of {', '.join(names)}, so estimators learn from an estimator's answers"
    )


def recipe_of(settings: Settings) -> Recipe:
    """Return the composition of a training set from the settings."""
    mixed = settings.publish.model_dump(include=set(Recipe.model_fields))
    return Recipe(consensus=settings.agreement.consensus, **mixed)


def write_version(
    settings: Settings, warehouse: Warehouse, recipe: Recipe, dataset_id: str, known: Dataset | None
) -> tuple[Manifest, Path]:
    """Write the folder of the next version, or of a known version whose folder is gone.

    A complete folder that an interrupted run did not record is used as it is.
    """
    for version in count(known.version if known else next_version(warehouse, settings.publish.name)):
        folder = settings.home_path / "datasets" / settings.publish.name / f"v{version}"
        if not folder.exists():
            break
        if read_manifest(folder).dataset_id == dataset_id:
            return verify(folder), folder
    head = ManifestHead(
        name=settings.publish.name,
        version=version,
        dataset_id=dataset_id,
        snapshot_id=warehouse.snapshot_id(),
        code_version=code_version(),
        recipe=recipe,
        queries=queries(recipe),
        licences=licences(warehouse, recipe),
    )
    manifest = write_dataset(
        publish_rows(warehouse, recipe),
        folder,
        head,
        pairs=publish_rows(warehouse, recipe, "pairs"),
        limits=ShardLimits(rows=settings.publish.max_rows_per_shard),
    )
    return manifest, folder


def rows_of(manifest: Manifest, folder: Path, settings: Settings) -> tuple[Dataset, list[Shard]]:
    """Return the rows of the warehouse about a version and its shards."""
    key = manifest.dataset_id
    dataset = Dataset(
        dataset_id=key,
        name=manifest.name,
        version=manifest.version,
        snapshot_id=manifest.snapshot_id,
        path=named(folder, settings.home_path),
        n_train=manifest.counts["train"],
        n_dev=manifest.counts["dev"],
        n_test=manifest.counts["test"],
        n_judgments=manifest.n_judgments,
        n_simulated=manifest.n_simulated,
        code_version=manifest.code_version,
        n_human=sum(manifest.origins["human"].values()),
        n_synthetic=sum(manifest.origins["synthetic"].values()),
        n_pairs=sum(manifest.pairs.values()),
    )
    return dataset, [
        Shard(shard_id=content_id("shard", key, file.path), dataset_id=key, **dict(file)) for file in manifest.files
    ]


def verify_dataset(settings: Settings, name: str | None = None, version: int | None = None) -> str:
    """Verify the hashes of a dataset, and that no premise is in two splits. Returns the result in one line.

    The name defaults to that in the settings, the version to the newest. The hashes must also match the catalog.

    Raises:
        InputError: A file differs, or there is no such dataset.
    """
    name = name or settings.publish.name
    with reading(settings) as warehouse:
        if version is None:
            dataset = newest_dataset(warehouse, name)
        else:
            dataset = next(iter(read(warehouse, Dataset, "name = ? AND version = ?", [name, version])), None)
        if dataset is None:
            raise InputError(
                f"no dataset {name!r}{f' v{version}' if version else ''} is published yet; run odds publish"
            )
        folder = warehouse.place(dataset.path)
        recorded = {row.path: row.sha256 for row in read(warehouse, Shard, "dataset_id = ?", [dataset.dataset_id])}
    manifest = verify(folder)
    if {file.path: file.sha256 for file in manifest.files} != recorded:
        raise InputError(f"{folder}: the manifest has changed since it was published; its hashes differ")
    return f"{dataset.name} v{dataset.version}: {len(manifest.files)} shards match their manifest"
