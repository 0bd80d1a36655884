"""Evaluate: score the test split, compare the estimator with labelers and baselines, and write the report."""

from __future__ import annotations

from flows.coherence import SUITE as COHERENCE
from flows.coherence import coherence_figures, score_items
from flows.estimators import required_model
from flows.outcome import Outcome
from flows.reporting import report_data
from flows.score import score_test_split
from flows.services import writing
from flows.settings.settings import Config, Settings, load_settings
from flows.stage import stage
from flows.subjects import ANNOTATORS, ESTIMATOR, beside, calibration_of, record_figures, stored_scores
from flows.terminal.activity import activity
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.errors import InputError
from warehouse.queries.derived import coherence_items
from warehouse.queries.suites import trained_premises, training_mean
from warehouse.records import Dataset, Difference, Evaluation, Model
from warehouse.shards import read_split


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
        related = coherence_items(warehouse, trained_premises(warehouse, [model]))
        new_scores = score_test_split(settings, warehouse, model) + score_items(settings, warehouse, model, related)
        path = settings.home_path / "reports" / f"{model.model_id}.html"
        with activity("evaluate") as shown:
            shown.doing("measuring the estimator, the labelers and the baselines")
            figures, differences = _measured(settings, warehouse, model)
            more, apart = coherence_figures(settings, warehouse, model, related)
            suites = (*{each.suite for each in figures}, COHERENCE)
            merged = record_figures(warehouse, model, suites, [*figures, *more], [*differences, *apart])
            if merged.changed or new_scores or not path.exists():
                shown.doing("writing the report")
                from training.evaluation.report import write_report

                write_report(report_data(settings, warehouse, model, figures, differences), path)
    counts = {"new scores": new_scores, "new figures": merged.inserted, "changed figures": merged.updated}
    return Outcome(stage="evaluate", counts=counts, note=f"report: {path}")


def _measured(settings: Settings, warehouse: Warehouse, model: Model) -> tuple[list[Evaluation], list[Difference]]:
    from training.evaluation.recording import Naming, differences, evaluations
    from training.evaluation.split import SUITE, split_items
    from training.evaluation.table import measure

    (dataset,) = read(warehouse, Dataset, "dataset_id = ?", [model.dataset_id])
    test = read_split(warehouse.place(dataset.path), "test", "human")
    if not test.num_rows:
        raise InputError(
            f"{dataset.name} v{dataset.version}: no proposition of its test split has judgments to measure the "
            "estimator against; have some judged, then run odds agree, odds publish and odds train"
        )
    ids = test["proposition_id"].to_pylist()
    scores = stored_scores(warehouse, model, ids)
    subjects = beside(warehouse, ids, model, training_mean(warehouse, model))
    measured = measure(
        split_items(test),
        {ESTIMATOR: scores, **subjects},
        calibrations={ESTIMATOR: calibration_of(warehouse, model)},
        annotators=ANNOTATORS,
        seed=settings.agreement.seed,
    )
    naming = Naming(model.model_id, model.dataset_id, SUITE)
    return list(evaluations(measured, naming)), list(differences(measured, naming))
