"""Score: the estimator's probabilities for the test split, or for the propositions of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.estimators.named import ELSEWHERE, estimator_for, learned_from, required_model
from flows.estimators.scoring import Scored, scored, store_scores
from flows.imports import pairs
from flows.research.query import rows_file
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from flows.stages.stage import stage
from flows.terminal.activity import activity
from training.model.calibration import Calibration, read_calibration
from training.model.scores import QUANTILES, scores_of
from training.model.seen import unseen
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.errors import InputError
from warehouse.files import cells
from warehouse.files.formats import write_batches
from warehouse.files.reading import AS_FOUND, Reading
from warehouse.files.stream import FIELDS, PropositionStream, proposition_stream
from warehouse.places import placed
from warehouse.queries.models import unscored
from warehouse.records import Dataset, Model, PropositionText
from warehouse.shards import read_batches

TEXTS = ("proposition_id", "premise", "hypothesis")


@stage("score", hours=24)
def score(
    config: Config = None,
    file: Path | None = None,
    output: Path | None = None,
    model: str | None = None,
    *,
    columns: Sequence[str] = (),
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Score the test split of the dataset of the estimator in use, or the propositions of a file.

    Scores of the test split are stored as they come: a run that was interrupted goes on with the rest.

    Args:
        config: The settings, or the file to read them from.
        file: A file of propositions: JSONL, CSV or parquet. Their scores don't go into the warehouse.
        output: Where to write the scores of the file: .jsonl, .csv or .parquet.
        model: The estimator for a file: its id or the start of it, a folder or "pretrained"; by default the one in use,
            or the pretrained one if none was trained.
        columns: Pairs of `FIELD=COLUMN` for the file.
        reading: How to read the file where that should not be detected.

    Raises:
        InputError: there is no such estimator, the file cannot be read, or it is given without an output or vice versa.
    """
    if (file is None) != (output is None):
        raise InputError("odds score: give both a file to score and --output, or neither")
    if model is not None and file is None:
        raise InputError("odds score: --model needs a file; odds models use changes the estimator in use")
    settings = load_settings(config)
    if file is not None and output is not None:
        file = Path(file)
        output = rows_file(settings, output, [file])
        with activity("score") as shown:
            shown.doing(f"reading {file.name}")
            propositions = proposition_stream(file, pairs(columns, FIELDS), reading)
        return _score_file(settings, propositions, output, model)
    with writing(settings) as warehouse:
        used = required_model(warehouse, settings.publish.name, "; a file is scored by the pretrained one until then")
        made = score_test_split(settings, warehouse, used, learned_from(warehouse, [used]))
    return Outcome(stage="score", counts={"new scores": made}, note=f"model {used.model_id}")


def score_test_split(settings: Settings, warehouse: Warehouse, model: Model, seen: pa.Array) -> int:
    """Score what is not scored yet of the test split of the model's dataset. Returns the number of new scores.

    Premises that were `seen` are left out, as by `held_out`.
    """
    total = sum(rows.num_rows for rows in _unscored(warehouse, model, seen))
    return store_scores(settings, warehouse, model, _waiting(warehouse, model, seen), total)


def held_out(warehouse: Warehouse, model: Model, seen: pa.Array) -> Iterator[pa.RecordBatch]:
    """Yield the propositions that people judged of the test split of a model's dataset, with a shard's columns.

    Those with a premise that was `seen` are left out: the model's base may have learned from it.
    """
    (dataset,) = read(warehouse, Dataset, "dataset_id = ?", [model.dataset_id])
    for batch in read_batches(warehouse.place(dataset.path), "test"):
        yield unseen(batch.filter(pc.equal(batch["origin"], "human")), seen)


def _unscored(warehouse: Warehouse, model: Model, seen: pa.Array) -> Iterator[pa.RecordBatch]:
    for batch in held_out(warehouse, model, seen):
        yield unscored(warehouse, model.model_id, batch)


def _waiting(warehouse: Warehouse, model: Model, seen: pa.Array) -> Iterator[PropositionText]:
    from training.model.texts import batch_texts

    for rows in _unscored(warehouse, model, seen):
        yield from batch_texts(rows)


def _score_file(settings: Settings, propositions: PropositionStream, output: Path, name: str | None) -> Outcome:
    """Score the propositions of a file. Nothing goes into the warehouse."""
    model = estimator_for(settings, name)
    calibration = read_calibration(placed(model.path, settings.home_path))
    schema = scored_schema(calibration)
    with scored(settings, model, propositions, propositions.total) as parts:
        counts, unread = {"scores": 0, "too long": 0}, list[str]()
        batches = _output_batches(parts, calibration, schema, counts, unread)
        write_batches(pa.RecordBatchReader.from_batches(schema, batches), output)
    left_out = [f"no score for what is too long, first the hypothesis {cells.shown(unread[0])}"] if unread else []
    intervals = [] if calibration is None else [f"low and high are {calibration.told}"]
    by = f"by the {model.name} estimator" if model.dataset_id == ELSEWHERE else f"by model {model.model_id}"
    said = "; ".join([f"{output}, {by}", *intervals, *left_out, *propositions.said])
    return Outcome(stage="score", counts=counts, note=said)


def scored_schema(calibration: Calibration | None) -> pa.Schema:
    """The columns of a file of scores. It has raw scores only if the estimator recalibrates."""
    raw = ["raw_score"] if calibration and calibration.map else []
    numbers = ["score", *raw, "sd", *QUANTILES, "low", "high"]
    columns = [(name, pa.string()) for name in TEXTS] + [(name, pa.float64()) for name in numbers]
    return pa.schema([*columns, ("level_probabilities", pa.list_(pa.float64()))])


def _output_batches(
    parts: Iterable[Scored],
    calibration: Calibration | None,
    schema: pa.Schema,
    counts: dict[str, int],
    unread: list[str],
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file of scores, count them, and add the hypothesis of the first that has none to `unread`."""
    for part in parts:
        if part.drops and not unread:
            names = {drop.subject_id for drop in part.drops}
            unread.append(next(each.hypothesis for each in part.propositions if each.proposition_id in names))
        counts["scores"] += len(part.scores)
        counts["too long"] += len(part.drops)
        yield _output_rows(part, calibration, schema)


def _output_rows(part: Scored, calibration: Calibration | None, schema: pa.Schema) -> pa.RecordBatch:
    """The rows that a file of scores has for some propositions."""
    kept = [(text, row) for text in part.propositions if (row := part.scores.get(text.proposition_id))]
    if not kept:
        return pa.RecordBatch.from_pylist([], schema=schema)
    levels = [row.level_probabilities for _, row in kept]
    found = scores_of(np.array(levels), calibration)
    columns: dict[str, Any] = {name: [getattr(text, name) for text, _ in kept] for name in TEXTS}
    columns |= {"score": found.scores, "raw_score": found.raw_scores, "sd": found.sd, **found.quantiles}
    columns |= {"low": found.low, "high": found.high, "level_probabilities": levels}
    rows = {name: [None] * len(kept) if values is None else values for name, values in columns.items()}
    return pa.RecordBatch.from_pydict(rows, schema=schema)
