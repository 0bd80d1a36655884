"""Estimators by name: the one in use, one of the warehouse, the pretrained one, or that of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flows.settings.settings import Settings
from flows.stages.services import has_warehouse, reading
from synthesis.panel.settings import PRODUCTION
from training.embedded import CARRIED, PRETRAINED, pretrained_path
from training.identity import model_hash
from training.model.seen import read_seen
from warehouse.catalog.connect import Warehouse
from warehouse.errors import InputError
from warehouse.queries.models import all_models, model_in_use
from warehouse.queries.suites import and_those_like_them, trained_premises
from warehouse.records import Model, content_id

SHOWN = 8  # characters of an id in a table
ELSEWHERE = "elsewhere"
"""The dataset of an estimator that was not fitted in this warehouse: nobody here knows what it learned from."""


def required_model(warehouse: Warehouse, name: str, instead: str = "") -> Model:
    """Return the estimator in use of a name. Raises `InputError` if there is none, or its files are gone.

    `instead` is what else can be done before one is trained.
    """
    model = model_in_use(warehouse, name)
    if model is None:
        raise InputError(f"no estimator {name!r} is trained yet; run odds train{instead}")
    return _with_files(warehouse, model)


def model_of(warehouse: Warehouse, model: str, *, missing: bool = False) -> Model:
    """Return the estimator that an id or its start names; its files may be `missing`.

    Raises:
        InputError: there is no such estimator, or its files are gone.
    """
    known = [row for row in all_models(warehouse) if row.deleted_at is None]
    found = known[one_of([row.model_id for row in known], model)]
    return found if missing else _with_files(warehouse, found)


def any_model(warehouse: Warehouse, name: str) -> Model:
    """Return the estimator of a name: one that Odds carries, a folder, or the id of one in the warehouse or its start.

    The first two are not in the warehouse.

    Raises:
        InputError: there is no such estimator, or its files are gone.
    """
    return _elsewhere(name) or model_of(warehouse, name)


def pretrained_model(name: str = PRETRAINED) -> Model:
    """Return an estimator that Odds carries. Raises `InputError` if the package of its base is missing."""
    return _foreign(pretrained_path(name), name)


def learned_from(warehouse: Warehouse, models: Iterable[Model]) -> pa.Array:
    """Return the ids of the premises that some estimators, or what they were fitted from, learned from.

    Of an estimator whose folder does not tell, they are those of its dataset; of a foreign one, none. The premises here
    that are much like one of them are among them.

    Raises:
        InputError: the file that tells cannot be read.
    """
    found = [pa.array([], pa.string())]
    for model in models:
        told = read_seen(warehouse.place(model.path))
        found.append(trained_premises(warehouse, [model]) if told is None else told)
    return and_those_like_them(warehouse, pc.unique(pa.chunked_array(found, pa.string())))


def estimator_for(settings: Settings, name: str | None) -> Model:
    """Return the estimator to answer with outside the warehouse: the one of a name, by default the one in use.

    That one is also called "production". If none was trained, or there is no warehouse yet, that is the pretrained one.

    Raises:
        InputError: there is no such estimator, or its files are gone.
    """
    name = None if name == PRODUCTION else name
    if not has_warehouse(settings) and (found := _elsewhere(PRETRAINED if name is None else name)):
        return found
    with reading(settings) as warehouse:
        if name is not None:
            return any_model(warehouse, name)
        used = model_in_use(warehouse, settings.publish.name)
        return pretrained_model() if used is None else _with_files(warehouse, used)


def label_of(model: Model) -> str:
    """Return what an estimator is called in a table: by the start of its id, or by its name if it is from elsewhere."""
    return model.name if model.dataset_id == ELSEWHERE else f"estimator {model.model_id[:SHOWN]}"


def _elsewhere(name: str) -> Model | None:
    """Return the estimator of a name that needs no warehouse: one that Odds carries, or a folder."""
    if name in CARRIED:
        return pretrained_model(name)
    if not (name and Path(name).is_dir()):
        return None
    folder = Path(name).resolve()
    return _foreign(folder, folder.name)


def _foreign(folder: Path, name: str) -> Model:
    return Model(
        model_id=content_id("folder", model_hash(folder)),
        name=name,
        dataset_id=ELSEWHERE,
        base_model=name,
        settings="{}",
        code_version=ELSEWHERE,
        path=str(folder),
        dev_loss=None,
        steps=0,
        duration_s=0.0,
    )


def one_of(ids: Sequence[str], start: str) -> int:
    """Return the place of the one id that begins so. Raises `InputError` if there is none, or several."""
    places = [place for place, each in enumerate(ids) if each.startswith(start)]
    if not places or not start:
        raise InputError(f"there is no estimator {start!r}; odds models lists them")
    if len(places) > 1:
        raise InputError(f"{len(places)} estimators begin with {start!r}; give more of the id, as odds models lists it")
    return places[0]


def _with_files(warehouse: Warehouse, model: Model) -> Model:
    if not (folder := warehouse.place(model.path)).is_dir():
        raise InputError(f"{folder}: the estimator's files are gone; run odds train")
    return model
