"""Train: fine-tune the estimator on the newest published dataset."""

from __future__ import annotations

from pathlib import Path

from flows.outcome import Outcome
from flows.services import code_version, estimator_base, writing
from flows.settings.settings import Config, Settings, load_settings
from flows.stage import stage
from flows.terminal.activity import Activity, activity
from flows.terminal.console import note
from training.fit.record import FitRecord, read_record
from training.fit.watch import FitProgress, Watch
from training.settings import FitSettings
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge_all, read
from warehouse.errors import InputError
from warehouse.places import named
from warehouse.queries.stages import newest_dataset
from warehouse.records import Dataset, Model, content_id
from warehouse.shards import read_manifest, read_pairs, read_split


@stage("train", hours=168)
def train(config: Config = None) -> Outcome:
    """Fit an estimator on the newest dataset. The same dataset, settings and code are not fitted again.

    An interrupted fit leaves nothing behind.

    Raises:
        InputError: nothing is published, or a split is empty.
    """
    settings = load_settings(config)
    base = estimator_base(settings)
    with writing(settings) as warehouse:
        dataset = required_dataset(warehouse, settings.publish.name)
        model_id = model_id_of(dataset, settings.training)
        folder = settings.home_path / "models" / model_id
        record = read_record(folder) if folder.exists() else None
        if record is not None and read(warehouse, Model, "model_id = ?", [model_id]):
            return Outcome(stage="train", counts={"steps": 0}, note=f"model {model_id} exists already")
        if record is None:
            record = _fitted(settings, base, warehouse.place(dataset.path), folder)
        else:
            note(f"train: model {model_id} was fitted by a run that ended before it was recorded; recording it")
        model = Model(
            model_id=model_id,
            name=settings.publish.name,
            dataset_id=dataset.dataset_id,
            base_model=Path(base).name,
            settings=settings.training.model_dump_json(),
            code_version=code_version(),
            path=named(folder, settings.home_path),
            dev_loss=record.dev_loss,
            steps=record.steps,
            duration_s=record.duration_s,
        )
        merge_all(warehouse, [[model], record.drops])
    counts = {"steps": record.steps, "seconds": round(record.duration_s), "dropped": len(record.drops)}
    return Outcome(stage="train", counts=counts, note=f"model {model_id}, dev loss {record.dev_loss:.4f}")


def _fitted(settings: Settings, base: str, dataset: Path, folder: Path) -> FitRecord:
    """Fit an estimator on the dataset in a folder and write it to another one. Returns its record."""
    train_split, dev_split = (read_split(dataset, split) for split in ("train", "dev"))
    with activity("train") as shown:
        shown.doing("loading the training library")
        from training.fit.loop import fit

        fit(
            train_split,
            dev_split,
            settings.training.model_copy(update={"base": base}),
            settings.home_path / "cache",
            folder,
            pairs=read_pairs(dataset, "train"),
            watch=_watch(shown),
        )
    return read_record(folder)


def _watch(shown: Activity) -> Watch:
    """Return callbacks that show how a fit goes."""

    def step(now: FitProgress) -> None:
        dev = "" if now.dev_loss is None else f", dev loss {now.dev_loss:.4f}"
        detail = f"epoch {now.epoch}, loss {now.loss:.4f}{dev}"
        shown.at(now.step, now.steps, unit="step", detail=detail, left_s=now.left_s)

    return Watch(
        step=step,
        dev=lambda done, total: shown.at(done, total, unit="evaluating on dev:"),
        doing=shown.doing,
        note=lambda line: note(f"train: {line}"),
    )


def required_dataset(warehouse: Warehouse, name: str) -> Dataset:
    """Return the newest dataset of a name. Raises `InputError` if there is none, or its files are gone."""
    dataset = newest_dataset(warehouse, name)
    if dataset is None:
        raise InputError(f"no dataset {name!r} is published yet; run odds publish")
    read_manifest(warehouse.place(dataset.path))
    return dataset


def model_id_of(dataset: Dataset, settings: FitSettings) -> str:
    """Return the id of the model that these settings and this code fit on a dataset."""
    return content_id("model", dataset.dataset_id, settings.model_dump_json(), code_version())
