"""Merge: an estimator as one folder that other programs load, with a model card."""

from __future__ import annotations

from pathlib import Path

from flows.estimators.model_card import CARD, Lineage, model_card
from flows.estimators.named import model_of, required_model
from flows.settings.settings import Config, load_settings
from flows.stages.services import known_bases, reading
from flows.terminal.activity import activity
from warehouse.atomic import atomic_folder
from warehouse.catalog.store import read
from warehouse.errors import InputError
from warehouse.records import Dataset, Evaluation
from warehouse.shards import Manifest, read_manifest


def merge(output: str | Path, model: str | None = None, *, config: Config = None) -> Path:
    """Write an estimator with whole weights, in Hugging Face format, and a model card.

    Args:
        output: The folder to write; it must not exist.
        model: The id of the estimator or the start of it; by default the one in use.
        config: The settings, or the file to read them from.

    Returns:
        The folder.

    Raises:
        InputError: there is no such estimator, it or its base cannot be read, or the folder exists.
    """
    settings, folder = load_settings(config), Path(output)
    with reading(settings) as warehouse:
        row = model_of(warehouse, model) if model else required_model(warehouse, settings.publish.name)
        (dataset,) = read(warehouse, Dataset, "dataset_id = ?", [row.dataset_id])
        figures = read(warehouse, Evaluation, "model_id = ? AND subject = 'estimator'", [row.model_id])
        source, manifest = warehouse.place(row.path), _manifest(warehouse.place(dataset.path))
    with activity("merge") as shown, atomic_folder(folder) as scratch:
        shown.doing("loading the estimator")
        from training.model.calibration import read_calibration
        from training.model.estimator import write_merged
        from training.model.prompt import render

        tokenizer, info = write_merged(source, scratch, known_bases(settings))
        asked = None if info.weights.startswith("encoder") else render(tokenizer, "{premise}", "{hypothesis}")
        lineage = Lineage(
            model=row,
            dataset=dataset,
            manifest=manifest,
            figures=figures,
            info=info,
            prompt=asked,
            special_tokens=not tokenizer.chat_template,
            calibration=read_calibration(source),
        )
        (scratch / CARD).write_text(model_card(lineage), encoding="utf-8")
    return folder


def _manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a dataset; None if its files are gone."""
    try:
        return read_manifest(folder)
    except InputError:
        return None
