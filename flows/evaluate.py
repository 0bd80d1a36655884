"""Evaluate: score the test split, compare the estimator with labelers and baselines, and write the report."""

from __future__ import annotations

import pyarrow as pa

from flows.estimators.named import learned_from, required_model
from flows.evaluation.coherence import SUITE as COHERENCE
from flows.evaluation.coherence import coherence_figures, score_items
from flows.evaluation.reporting import write_report_on
from flows.evaluation.subjects import ESTIMATOR, beside, measured, record_figures, stored_scores
from flows.score import held_out, score_test_split
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import report_path, writing
from flows.stages.stage import stage
from flows.terminal.activity import activity
from training.evaluation.split import SUITE, split_items
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.errors import InputError
from warehouse.queries.derived import coherence_items
from warehouse.queries.suites import training_mean
from warehouse.records import Dataset, Difference, Evaluation, Model
from warehouse.shards import SHARD_SCHEMA, read_manifest


@stage("evaluate", hours=24)
def evaluate(config: Config = None) -> Outcome:
    """Evaluate the estimator in use on the test split of its dataset, and write the report.

    Whether answers on derived propositions of the test split fit those on what they were derived from is measured too.
    The report is written again only if a figure has changed.

    Raises:
        InputError: no estimator is trained yet, or nobody judged the test split.
    """
    settings = load_settings(config)
    with writing(settings) as warehouse:
        model = required_model(warehouse, settings.publish.name)
        learned = learned_from(warehouse, [model])
        related = coherence_items(warehouse, learned)
        test, n_seen = _test_split(warehouse, model, learned)
        new_scores = score_test_split(settings, warehouse, model, learned)
        new_scores += score_items(settings, warehouse, model, related)
        path = report_path(settings, model.model_id)
        with activity("evaluate") as shown:
            shown.doing("measuring the estimator, the labelers and the baselines")
            mean = training_mean(warehouse, model)
            figures, differences = _measured(settings, warehouse, model, test, mean)
            more, apart = coherence_figures(settings, warehouse, model, related, mean)
            suites = (*{each.suite for each in figures}, COHERENCE)
            merged = record_figures(warehouse, model, suites, [*figures, *more], [*differences, *apart])
            if merged.changed or new_scores or not path.exists():
                shown.doing("writing the report")
                write_report_on(settings, warehouse, model, test)
    counts = {"new scores": new_scores, "new figures": merged.inserted, "changed figures": merged.updated}
    why = "their premises, or some like them, were in the training of its base"
    seen = f"; {n_seen:,} propositions of the test split left out: {why}"
    return Outcome(stage="evaluate", counts=counts, note=f"report: {path}{seen if n_seen else ''}")


def _test_split(warehouse: Warehouse, model: Model, learned: pa.Array) -> tuple[pa.Table, int]:
    """Return what the model is measured on, and how many propositions were left out. Raises `InputError` if nothing."""
    test = pa.Table.from_batches(held_out(warehouse, model, learned), SHARD_SCHEMA)
    (dataset,) = read(warehouse, Dataset, "dataset_id = ?", [model.dataset_id])
    n_seen = read_manifest(warehouse.place(dataset.path)).origins["human"]["test"] - test.num_rows
    if test.num_rows:
        return test, n_seen
    name = f"{dataset.name} v{dataset.version}"
    if n_seen:
        raise InputError(
            f"{name}: every premise of its test split that has judgments was in the training of the estimator's base, "
            "or is like one that was; fit another base, or have more judged"
        )
    raise InputError(
        f"{name}: no proposition of its test split has judgments to measure the estimator against; have some judged, "
        "then run odds agree, odds publish and odds train"
    )


def _measured(
    settings: Settings, warehouse: Warehouse, model: Model, test: pa.Table, mean: float
) -> tuple[list[Evaluation], list[Difference]]:
    ids = test["proposition_id"].to_pylist()
    subjects = {ESTIMATOR: stored_scores(warehouse, model, ids), **beside(settings, warehouse, ids, model, mean)}
    return measured(settings, warehouse, SUITE, split_items(test), subjects, estimators={ESTIMATOR: model})
