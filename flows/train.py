"""Train: fine-tune the estimator on the newest published dataset."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import code_version, estimator_base, estimator_teacher, reading, writing
from flows.stages.stage import stage
from flows.terminal.activity import Activity, activity, duration
from flows.terminal.console import note
from synthesis.panel.versions import estimator_version
from training.fit.record import FitRecord, read_record
from training.fit.watch import FitProgress, Watch
from training.fit.workplace import discard_workplace
from training.identity import base_name, code_hash, model_hash
from training.settings import FitSettings
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import to_table
from warehouse.catalog.store import merge, merge_all, read, replace
from warehouse.datasets.verify import verify
from warehouse.errors import InputError
from warehouse.places import named
from warehouse.queries.models import model_in_use
from warehouse.queries.stages import newest_dataset
from warehouse.records import Dataset, Estimate, Model, Score, content_id, now
from warehouse.shards import read_manifest

if TYPE_CHECKING:
    from training.fit.job import Job
    from training.fit.plan import Plan


@stage("train", hours=168)
def train(config: Config = None, fresh: bool = False, dry_run: bool = False) -> Outcome:
    """Fit an estimator on the newest dataset. The same dataset, settings, base and code are not fitted again.

    An interrupted fit goes on from its last checkpoint.

    Args:
        config: The settings, or the file to read them from.
        fresh: Start an interrupted fit anew.
        dry_run: Make two steps, and return what all of them would take.

    Raises:
        InputError: nothing is published, or a split is empty.
    """
    settings = load_settings(config)
    estimator_base(settings)  # before anything slow, since a mistake in it is a person's
    estimator_teacher(settings)
    if dry_run:
        with reading(settings) as warehouse:
            dataset = required_dataset(warehouse, settings.publish.name)
            plan = planned(settings, warehouse.place(dataset.path))
        counts = {"steps": plan.steps, "tokens": plan.tokens, "minutes": round(plan.seconds / 60)}
        takes = f"about {duration(plan.seconds)} without a time limit and {plan.memory / 2**30:.1f} GiB of memory"
        taught = ", without asking the teacher" if settings.training.teacher else ""
        return Outcome(stage="train", counts=counts, note=f"dry run: {takes}{taught}")
    with writing(settings) as warehouse:
        dataset = required_dataset(warehouse, settings.publish.name)
        if settings.evaluation.promotion == "suites":
            _keep_in_use(warehouse, settings.publish.name)
        model, record = trained(settings, warehouse, dataset, fresh=fresh)
        used = model_in_use(warehouse, model.name)
    if used is not None and used.model_id != model.model_id:
        how = "promote" if settings.evaluation.promotion == "suites" else "use"
        note(f"train: {used.model_id} stays in use; odds models {how} {model.model_id} changes that")
    if record is None:
        return Outcome(stage="train", counts={"steps": 0}, note=f"model {model.model_id} exists already")
    counts = {"steps": record.steps, "seconds": round(record.duration_s), "dropped": len(record.drops)}
    return Outcome(stage="train", counts=counts, note=f"model {model.model_id}, {_losses(record)}")


def _keep_in_use(warehouse: Warehouse, name: str) -> None:
    """Keep the estimator in use, if there is one, also when there is a newer one."""
    used = model_in_use(warehouse, name)
    if used is not None and used.promoted_at is None:
        merge(warehouse, [used.model_copy(update={"promoted_at": now()})])


def trained(
    settings: Settings, warehouse: Warehouse, dataset: Dataset, *, fresh: bool = False, ablation: str | None = None
) -> tuple[Model, FitRecord | None]:
    """Return the estimator of a dataset and the settings, and the record of its fit unless it was there already.

    Args:
        settings: How to fit.
        warehouse: The warehouse, open for writing.
        dataset: What to fit it on.
        fresh: Start an interrupted fit anew.
        ablation: The ablation that it is for. An estimator that was fitted without one stays as it is.
    """
    base = estimator_base(settings)
    model_id = model_id_of(dataset, settings.training, base, estimator_teacher(settings))
    folder = settings.home_path / "models" / model_id
    record = read_record(folder) if folder.exists() else None
    known = next(iter(read(warehouse, Model, "model_id = ? AND deleted_at IS NULL", [model_id])), None)
    if record is not None and known is not None:
        if known.ablation is not None and ablation is None:
            known = known.model_copy(update={"ablation": None})
            merge(warehouse, [known])
        return known, None
    if record is None:
        record = _fitted(settings, base, warehouse.place(dataset.path), folder, fresh=fresh)
    else:
        note(f"train: model {model_id} was fitted by a run that ended before it was recorded; recording it")
        discard_workplace(folder)
    model = Model(
        model_id=model_id,
        name=settings.publish.name,
        dataset_id=dataset.dataset_id,
        base_model=base_name(base),
        settings=settings.training.model_dump_json(),
        code_version=f"{code_version()}+{code_hash()[:12]}",
        path=named(folder, settings.home_path),
        dev_loss=record.dev_loss,
        steps=record.steps,
        duration_s=record.duration_s,
        ablation=ablation,
    )
    _forget_answers(warehouse, model_id)
    merge_all(warehouse, [[model], record.drops])
    return model, record


def _losses(record: FitRecord) -> str:
    """Return the dev loss of a fit beside those that it should be below."""
    others = {"base": record.base_loss, "constant": record.constant_loss}
    known = ", ".join(f"{name} {loss:.4f}" for name, loss in others.items() if loss is not None)
    return f"dev loss {record.dev_loss:.4f}" + (f" ({known})" if known else "")


def _forget_answers(warehouse: Warehouse, model_id: str) -> None:
    """Remove what an earlier fit of the same id answered: on a GPU or within minutes, it had other weights."""
    replace(warehouse, to_table(Score, []), "model_id = ?", [model_id])
    replace(warehouse, to_table(Estimate, []), "labeler_version = ?", [estimator_version(model_id)])


def _fitted(settings: Settings, base: str, dataset: Path, folder: Path, *, fresh: bool) -> FitRecord:
    """Fit an estimator on the dataset in a folder and write it to another one. Returns its record."""
    with activity("train") as shown:
        _checked_job(settings, base, dataset, folder, shown).run(watch_of(shown), fresh=fresh)
    return read_record(folder)


def planned(settings: Settings, dataset: Path) -> Plan:
    """Return what a fit on the dataset in a folder would take."""
    with activity("train") as shown:
        folder = settings.home_path / "models" / "planned"
        return _checked_job(settings, estimator_base(settings), dataset, folder, shown).plan(watch_of(shown))


def _checked_job(settings: Settings, base: str, dataset: Path, folder: Path, shown: Activity) -> Job:
    """Return a fit on the dataset in a folder, whose files are as they were published."""
    shown.doing("checking the dataset")
    verify(dataset)
    shown.doing("loading the training library")
    from training.fit.job import Job

    launch = settings.training.launch
    changes = {"base": base, "teacher": estimator_teacher(settings), "launch": launch and str(settings.path(launch))}
    return Job(
        dataset=dataset,
        settings=settings.training.model_copy(update=changes),
        cache=settings.home_path / "cache",
        folder=folder,
    )


class _Counting:
    """Shows how far a part of a fit is, which may begin again; the time left follows from its own pace alone."""

    def __init__(self, shown: Activity, unit: str) -> None:
        self._shown, self._unit, self._last = shown, unit, sys.maxsize

    def __call__(self, done: int, total: int) -> None:
        begins, self._last = done <= self._last, done
        if begins:
            self._shown.counting(done)
        if not begins or done == total:
            self._shown.at(done, total, unit=self._unit)


def watch_of(shown: Activity) -> Watch:
    """Return callbacks that show how a fit goes."""

    def step(now: FitProgress) -> None:
        dev = "" if now.dev_loss is None else f", dev loss {now.dev_loss:.4f}"
        rate = "" if now.examples_per_s is None else f", {_rounded(now.examples_per_s)} examples/s"
        detail = f"epoch {now.epoch}, loss {now.loss:.4f}{dev}{rate}"
        shown.at(now.step, now.steps, unit="step", detail=detail, left_s=now.left_s)

    return Watch(
        step=step,
        dev=_Counting(shown, "evaluating on dev:"),
        asked=_Counting(shown, "asking the teacher:"),
        doing=shown.doing,
        note=lambda line: note(f"train: {line}"),
    )


def _rounded(rate: float) -> str:
    """Return a rate with the digits that matter: 0.42, 3.7, 1,250."""
    return f"{rate:,.{0 if rate >= 10 else 1 if rate >= 1 else 2}f}"


def required_dataset(warehouse: Warehouse, name: str) -> Dataset:
    """Return the newest dataset of a name. Raises `InputError` if there is none, or its files are gone."""
    dataset = newest_dataset(warehouse, name)
    if dataset is None:
        raise InputError(f"no dataset {name!r} is published yet; run odds publish")
    read_manifest(warehouse.place(dataset.path))
    return dataset


def model_id_of(dataset: Dataset, settings: FitSettings, base: str, teacher: str | None = None) -> str:
    """Return the id of the model that these settings and this code fit on a dataset, from a base in this state.

    Args:
        dataset: What it is fitted on.
        settings: How it is fitted.
        base: The folder of its base, or the name on the Hub.
        teacher: The folder of its teacher.
    """
    found = [model_hash(Path(each)) if Path(each).exists() else each for each in (base, teacher) if each is not None]
    return content_id("model", dataset.dataset_id, json.dumps(settings.how), *found, code_hash())
