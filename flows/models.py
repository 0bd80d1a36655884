"""Models: the estimators and unfinished fits of a warehouse, which one is in use, and their deletion."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.filesize import decimal
from rich.table import Table

from flows.estimators.named import SHOWN, model_of, one_of, required_model
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.services import reading, writing
from flows.terminal.tables import narrow_table
from training.fit.record import SUMMARY, UNFINISHED, FitRecord, read_record, workplace_of
from training.fit.workplace import refuse_running
from warehouse.catalog.store import merge
from warehouse.errors import InputError
from warehouse.places import placed
from warehouse.queries.models import all_models, dataset_labels, models_in_use
from warehouse.records import Model, now

State = Literal["in use", "ready", "ablation", "unfinished", "files gone", "deleted"]
NEWEST = "newest"


@dataclass(frozen=True)
class ModelState:
    """An estimator, or a fit that was interrupted, which has no row in the warehouse yet.

    Attributes:
        tuning: What was fitted: lora, upper, full or encoder.
        constant_loss: The dev loss of an answer that is always the same; an estimator should be below it.
        bytes: Its size on disk.
    """

    model_id: str
    state: State
    dataset: str | None
    base: str | None
    tuning: str | None
    dev_loss: float | None
    constant_loss: float | None
    steps: int
    date: datetime
    bytes: int
    path: Path


def models(*, config: Config = None) -> list[ModelState]:
    """Return all estimators, also deleted ones, newest first, and then the unfinished fits."""
    settings = load_settings(config)
    with reading(settings) as warehouse:
        rows, labels = all_models(warehouse), dataset_labels(warehouse)
        used = {each.model_id for each in models_in_use(warehouse)}
    found = [_state(row, settings, labels, in_use=row.model_id in used) for row in rows]
    return [*found, *map(_unfinished, unfinished_fits(settings.home_path))]


def models_use(model: str, *, config: Config = None) -> Model:
    """Use an estimator, instead of the newest of its name, to score and to evaluate.

    Args:
        model: Its id or the start of it, or "newest" to use the newest again.
        config: The settings, or the file to read them from.

    Returns:
        The estimator in use from now on.

    Raises:
        InputError: there is no such estimator, or its files are gone.
    """
    settings = load_settings(config)
    with writing(settings) as warehouse:
        if model == NEWEST:
            name = settings.publish.name
            ours = [row for row in all_models(warehouse) if row.name == name and row.promoted_at is not None]
            merge(warehouse, [row.model_copy(update={"promoted_at": None}) for row in ours])
            return required_model(warehouse, name)
        chosen = model_of(warehouse, model)
        chosen = chosen.model_copy(update={"promoted_at": now()})
        merge(warehouse, [chosen])
    return chosen


def models_delete(model: str, *, config: Config = None) -> ModelState:
    """Delete the folder of an estimator, and of its unfinished fit. Its scores and figures stay.

    Args:
        model: Its id or the start of it.
        config: The settings, or the file to read them from.

    Returns:
        What was deleted.

    Raises:
        InputError: there is no such estimator, it is in use, or it is being fitted.
    """
    settings = load_settings(config)
    found = deletable(model, config=settings)
    refuse_running(found.path.with_name(found.model_id))
    _remove(found.path)
    if found.state == "unfinished":
        return found
    _remove(workplace_of(found.path))
    with writing(settings) as warehouse:
        row = model_of(warehouse, found.model_id, missing=True)
        merge(warehouse, [row.model_copy(update={"deleted_at": now(), "promoted_at": None})])
    return found


def deletable(model: str, *, config: Config = None) -> ModelState:
    """Return the one estimator or unfinished fit that an id or its start names.

    Raises:
        InputError: there is no such estimator, it is in use, or a labeler of the settings is this estimator.
    """
    settings = load_settings(config)
    known = [each for each in models(config=settings) if each.state != "deleted"]
    finished = [each.model_id for each in known if each.state != "unfinished"]
    known = [each for each in known if each.state != "unfinished" or each.model_id not in finished]
    found = known[one_of([each.model_id for each in known], model)]
    if found.state == "in use":
        raise InputError(f"{found.model_id} is in use; choose another one with odds models use, then delete it")
    for labeler in settings.estimators:
        if found.model_id.startswith(labeler.model) or settings.path(labeler.model) == found.path:
            raise InputError(f"{found.model_id} is the labeler {labeler.name}; change its model in the settings first")
    return found


def unfinished_fits(home: Path) -> list[Path]:
    """Return the folders of interrupted fits, newest first, also those that were left beside a complete estimator."""
    folders = [each for each in (home / "models").glob(f"*{UNFINISHED}") if each.is_dir()]
    return sorted(folders, key=lambda each: each.stat().st_mtime, reverse=True)


def finished_fits(home: Path) -> Iterator[Path]:
    """Yield the folders of fits whose estimator is complete: nothing reads them any more."""
    for folder in unfinished_fits(home):
        if _record(folder.with_name(folder.name.removesuffix(UNFINISHED))) is not None:
            yield folder


def models_table(listed: Sequence[ModelState]) -> Table:
    """Return a table for a terminal of 80 columns. Ids are shortened: their start is enough for every command."""
    names, numbers = ("id", "state", "dataset", "tuning"), ("dev loss", "constant", "steps", "date (UTC)", "size")
    table = narrow_table(*names, *numbers, texts=names, tight=True)
    for column in table.columns:
        column.no_wrap = column.header != "dataset"
        column.overflow = "fold"
    for each in listed:
        losses = ("" if loss is None else f"{loss:.4f}" for loss in (each.dev_loss, each.constant_loss))
        table.add_row(
            each.model_id[:SHOWN], "" if each.state == "ready" else each.state, each.dataset or "", each.tuning or "",
            *losses, f"{each.steps:,}", f"{each.date:%Y-%m-%d}", decimal(each.bytes),
        )  # fmt: skip
    return table


def _state(row: Model, settings: Settings, labels: dict[str, str], *, in_use: bool) -> ModelState:
    folder = placed(row.path, settings.home_path)
    record, how = _record(folder), json.loads(row.settings)
    state: State = "in use" if in_use else "ready" if row.ablation is None else "ablation"
    if row.deleted_at is not None:
        state = "deleted"
    elif not folder.is_dir():
        state = "files gone"
    return ModelState(
        model_id=row.model_id,
        state=state,
        dataset=labels.get(row.dataset_id),
        base=row.base_model,
        tuning="encoder" if how.get("kind") == "encoder" else how.get("tuning") or "lora",
        dev_loss=row.dev_loss,
        constant_loss=None if record is None else record.constant_loss,
        steps=row.steps,
        date=row.created_at,
        bytes=_bytes(folder),
        path=folder,
    )


def _unfinished(folder: Path) -> ModelState:
    step, best = _progress(folder)
    return ModelState(
        model_id=folder.name.removesuffix(UNFINISHED),
        state="unfinished",
        dataset=None,
        base=None,
        tuning=None,
        dev_loss=best,
        constant_loss=None,
        steps=step,
        date=datetime.fromtimestamp(folder.stat().st_mtime, UTC),
        bytes=_bytes(folder),
        path=folder,
    )


def _progress(folder: Path) -> tuple[int, float | None]:
    """Return the step and the lowest dev loss of the newest checkpoint in a folder that can be read."""
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))["progress"]
            return int(told["step"]), told["best"] if told["best"] < float("inf") else None
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return 0, None


def _record(folder: Path) -> FitRecord | None:
    try:
        return read_record(folder)
    except InputError:
        return None


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove(folder: Path) -> None:
    """Remove a folder, and first the file that says that it is complete."""
    try:
        (folder / SUMMARY).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be deleted: {error.strerror}") from error
