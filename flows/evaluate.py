"""Evaluate: score the test split, compare the estimator with labelers and baselines, and write the report."""

from __future__ import annotations

import pyarrow.compute as pc

from flows.estimators import required_model
from flows.outcome import Outcome
from flows.reporting import report_data
from flows.score import score_test_split
from flows.services import writing
from flows.settings.settings import Config, Settings, load_settings
from flows.stage import stage
from flows.terminal.activity import activity
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge, read
from warehouse.errors import InputError
from warehouse.queries.stages import current_estimates
from warehouse.records import Dataset, Evaluation, Model, Score
from warehouse.shards import read_split


@stage("evaluate", hours=24)
def evaluate(config: Config = None) -> Outcome:
    """Evaluate the estimator in use on the test split of its dataset, and write the report.

    An estimator is not evaluated again unless there are new estimates of labelers.

    Raises:
        InputError: no estimator is trained yet, or nobody judged the test split.
    """
    settings = load_settings(config)
    with writing(settings) as warehouse:
        model = required_model(warehouse, settings.publish.name)
        new_scores = score_test_split(settings, warehouse, model)
        path = settings.home_path / "reports" / f"{model.model_id}.html"
        with activity("evaluate") as shown:
            shown.doing("measuring the estimator, the labelers and the baselines")
            figures = _figures(settings, warehouse, model)
            merged = merge(warehouse, figures)
            if merged.changed or new_scores or not path.exists():
                shown.doing("writing the report")
                from training.evaluation.report import write_report

                write_report(report_data(settings, warehouse, model, figures), path)
    counts = {"new scores": new_scores, "new figures": merged.inserted, "changed figures": merged.updated}
    return Outcome(stage="evaluate", counts=counts, note=f"report: {path}")


def _figures(settings: Settings, warehouse: Warehouse, model: Model) -> list[Evaluation]:
    from training.evaluation.intervals import interval_figures
    from training.evaluation.suites import Naming, consensus_suite
    from training.model.calibration import read_calibration

    (dataset,) = read(warehouse, Dataset, "dataset_id = ?", [model.dataset_id])
    test = read_split(warehouse.place(dataset.path), "test", "human")
    if not test.num_rows:
        raise InputError(
            f"{dataset.name} v{dataset.version}: no proposition of its test split has judgments to measure the "
            "estimator against; have some judged, then run odds agree, odds publish and odds train"
        )
    train = read_split(warehouse.place(dataset.path), "train")
    judged = train.filter(pc.equal(train["origin"], "human"))
    train_mean = pc.mean((judged if judged.num_rows else train)["mean"]).as_py()
    scores = {
        row.proposition_id: (row.score, row.level_probabilities)
        for row in read(warehouse, Score, "model_id = ?", [model.model_id])
    }
    naming, seed = Naming(model_id=model.model_id, dataset_id=dataset.dataset_id), settings.agreement.seed
    estimates = current_estimates(warehouse, test["proposition_id"].to_pylist())
    calibration = read_calibration(warehouse.place(model.path))
    return [
        *consensus_suite(test, scores, estimates, train_mean, naming, seed=seed),
        *interval_figures(test, scores, calibration, naming, seed=seed),
    ]
