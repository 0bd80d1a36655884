"""Publish: freeze the consensus and its judgments as parquet shards with a manifest, for training."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.outcome import Outcome
from flows.services import code_version, reading, writing
from flows.settings import Settings, load_settings
from warehouse.connect import Warehouse
from warehouse.errors import InputError
from warehouse.publish import dataset_fingerprint, publish_rows
from warehouse.queries import newest_dataset, next_version
from warehouse.records import Dataset, Shard, content_id
from warehouse.shards import Manifest, ManifestHead, verify, write_dataset
from warehouse.store import merge_all, read


@flow(name="publish")
def publish(config: Path | None = None) -> Outcome:
    """Publish the present consensus as the next version of the dataset. The same content is never published twice.

    Raises `InputError` where there is no consensus yet.
    """
    settings = load_settings(config)
    with writing(settings) as warehouse:
        method = settings.agreement.consensus
        dataset_id = content_id("dataset", settings.publish.name, dataset_fingerprint(warehouse, method))
        if read(warehouse, Dataset, "dataset_id = ?", [dataset_id]):
            return Outcome(stage="publish", counts={"new shards": 0}, note="nothing new to publish")
        manifest, folder = _write(settings, warehouse, dataset_id)
        merge_all(warehouse, [[_dataset(manifest, folder)], _shards(manifest)])
    counts = {"new shards": len(manifest.files)} | {str(split): rows for split, rows in manifest.counts.items()}
    return Outcome(stage="publish", counts=counts, note=f"{manifest.name} v{manifest.version}")


def _write(settings: Settings, warehouse: Warehouse, dataset_id: str) -> tuple[Manifest, Path]:
    version = next_version(warehouse, settings.publish.name)
    folder = settings.home_path / "datasets" / settings.publish.name / f"v{version}"
    head = ManifestHead(
        name=settings.publish.name,
        version=version,
        dataset_id=dataset_id,
        snapshot_id=warehouse.snapshot_id(),
        code_version=code_version(),
        consensus=settings.agreement.consensus,
    )
    rows = publish_rows(warehouse, settings.agreement.consensus)
    return write_dataset(rows, folder, head, max_rows_per_shard=settings.publish.max_rows_per_shard), folder


def _dataset(manifest: Manifest, folder: Path) -> Dataset:
    return Dataset(
        dataset_id=manifest.dataset_id,
        name=manifest.name,
        version=manifest.version,
        snapshot_id=manifest.snapshot_id,
        path=str(folder),
        n_train=manifest.counts["train"],
        n_dev=manifest.counts["dev"],
        n_test=manifest.counts["test"],
        n_judgments=manifest.n_judgments,
        n_simulated=manifest.n_simulated,
        code_version=manifest.code_version,
    )


def _shards(manifest: Manifest) -> list[Shard]:
    return [
        Shard(
            shard_id=content_id("shard", manifest.dataset_id, file.path),
            dataset_id=manifest.dataset_id,
            split=file.split,
            path=file.path,
            rows=file.rows,
            bytes=file.bytes,
            sha256=file.sha256,
        )
        for file in manifest.files
    ]


def verify_newest(settings: Settings) -> str:
    """Recheck every hash of the newest dataset; one line that says so. Raises `InputError` for a file that differs."""
    with reading(settings) as warehouse:
        dataset = newest_dataset(warehouse, settings.publish.name)
    if dataset is None:
        raise InputError(f"no dataset {settings.publish.name!r} is published yet; run odds publish")
    manifest = verify(Path(dataset.path))
    return f"{dataset.name} v{dataset.version}: {len(manifest.files)} shards match their manifest"
