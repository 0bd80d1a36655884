"""Score: the estimator's probabilities for the test split, or for the propositions of a file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from flows.models import required_model
from flows.outcome import Outcome
from flows.research.query import check_apart
from flows.services import known_bases, reading, writing
from flows.settings.settings import Config, Settings, load_settings
from flows.stage import stage
from flows.terminal.activity import activity
from flows.terminal.console import note
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge_all, read
from warehouse.files.formats import check_output, write_table
from warehouse.files.texts import read_propositions
from warehouse.places import placed
from warehouse.records import Dataset, Drop, Model, PropositionText, Score, content_id
from warehouse.shards import read_split

SCORED = pa.schema(
    [(name, pa.string()) for name in ("proposition_id", "premise", "hypothesis")]
    + [("score", pa.float64()), ("level_probabilities", pa.list_(pa.float64()))]
)


@stage("score", hours=24)
def score(config: Config = None, file: Path | None = None, output: Path | None = None) -> Outcome:
    """Score the test split of the dataset of the estimator in use, or the propositions of a file.

    Args:
        config: The settings, or the file to read them from.
        file: A file of propositions: JSONL, CSV or parquet. Their scores don't go into the warehouse.
        output: Where to write the scores of the file: .jsonl, .csv or .parquet.

    Raises:
        InputError: no estimator is trained yet, or the file cannot be read.
    """
    settings = load_settings(config)
    if file is not None and output is not None:
        return _score_file(settings, Path(file), Path(output))
    with writing(settings) as warehouse:
        model = required_model(warehouse, settings.publish.name)
        made = score_test_split(settings, warehouse, model)
    return Outcome(stage="score", counts={"new scores": made}, note=f"model {model.model_id}")


def score_test_split(settings: Settings, warehouse: Warehouse, model: Model) -> int:
    """Score what is not scored yet of the test split of the model's dataset. Returns the number of new scores."""
    (dataset,) = read(warehouse, Dataset, "dataset_id = ?", [model.dataset_id])
    test = read_split(warehouse.place(dataset.path), "test", "human")
    done = {row.proposition_id for row in read(warehouse, Score, "model_id = ?", [model.model_id])}
    waiting = [row for row in proposition_texts(test) if row.proposition_id not in done]
    if not waiting:
        return 0
    scores, drops = scored(settings, model, waiting)
    merge_all(warehouse, [scores, drops])
    return len(scores)


def _score_file(settings: Settings, file: Path, output: Path) -> Outcome:
    """Score a file. Nothing goes into the warehouse."""
    check_output(output)
    check_apart(settings, output, [file])
    read_batch = read_propositions(file)
    premises = dict(zip(*(read_batch.premises[name].to_pylist() for name in ("premise_id", "text")), strict=True))
    waiting = [
        PropositionText(
            proposition_id=row["proposition_id"], premise=premises[row["premise_id"]], hypothesis=row["hypothesis"]
        )
        for row in read_batch.propositions.to_pylist()
    ]
    with reading(settings) as warehouse:
        model = required_model(warehouse, settings.publish.name)
    scores, drops = scored(settings, model, waiting)
    found = {row.proposition_id: row for row in scores}
    rows = [
        {**text.model_dump(), "score": found[text.proposition_id].score, "level_probabilities": levels}
        for text in waiting
        if text.proposition_id in found
        for levels in [found[text.proposition_id].level_probabilities]
    ]
    write_table(pa.Table.from_pylist(rows, schema=SCORED), output)
    said = "; ".join([str(output), *read_batch.said])
    return Outcome(stage="score", counts={"scores": len(rows), "too long": len(drops)}, note=said)


def proposition_texts(table: pa.Table) -> list[PropositionText]:
    """Return the propositions of a table with a shard's columns."""
    rows = table.select(["proposition_id", "premise", "hypothesis"]).to_pylist()
    return [PropositionText.model_validate(row) for row in rows]


def scored(settings: Settings, model: Model, propositions: list[PropositionText]) -> tuple[list[Score], list[Drop]]:
    """Score propositions on the device and in the precision of the settings; those that are too long are drops."""
    scores: list[Score] = []
    drops: list[Drop] = []
    with activity("score") as shown:
        shown.doing("loading the estimator")
        from training import Estimator

        folder, chosen = placed(model.path, settings.home_path), settings.training
        estimator = Estimator.load(folder, chosen.device, chosen.precision, bases=known_bases(settings))
        if estimator.place.warning:
            note(f"score: {estimator.place.warning}")
        shown.counting()
        for batch in estimator.score_stream(propositions):
            rows = zip(batch.proposition_ids, batch.scores, batch.level_probabilities, strict=True)
            scores += [
                Score(
                    score_id=content_id("score", model.model_id, proposition_id),
                    model_id=model.model_id,
                    proposition_id=proposition_id,
                    score=float(value),
                    level_probabilities=[min(float(level), 1.0) for level in levels],
                )
                for proposition_id, value, levels in rows
            ]
            drops += batch.drops
            shown.at(len(scores), len(propositions))
    return scores, drops
