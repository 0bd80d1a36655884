"""Who is measured in an evaluation: the estimator, the panel and the baselines, from the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from flows.estimators.named import learned_from
from flows.estimators.own_estimates import model_behind
from flows.settings.settings import Settings
from synthesis.panel.versions import estimator_version
from training.evaluation.families import Answer, Answers, Items
from training.evaluation.recording import Naming, differences, evaluations
from training.evaluation.subjects import CONSTANT, constant, panel
from training.evaluation.table import measure
from training.model.calibration import read_calibration
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import to_table
from warehouse.catalog.store import Merged, replace
from warehouse.errors import InputError
from warehouse.queries.models import all_models, scores_by
from warehouse.queries.stages import current_estimates
from warehouse.queries.suites import of_premises
from warehouse.records import ESTIMATOR as OWN
from warehouse.records import Difference, Estimate, Evaluation, Model, PropositionText, SuiteItem

ESTIMATOR = "estimator"
ANNOTATORS = (1, 3)
"""How many annotators' mean is measured against the others."""


def beside(
    settings: Settings, warehouse: Warehouse, ids: Sequence[str], model: Model, mean: float
) -> dict[str, Answers]:
    """Return the answers of the panel, without the estimator itself if it sits there, and those of a constant.

    An estimator in the panel has no answer where it learned from the premise: the others are measured there, it is not.
    """
    itself = estimator_version(model.model_id)
    estimates = [each for each in current_estimates(warehouse, list(ids)) if each.labeler_version != itself]
    seen = _seen_in_panel(settings, warehouse, estimates)
    unseen = (each for each in estimates if each.proposition_id not in seen.get(each.labeler_version, ()))
    return {**dict(panel(unseen)), CONSTANT: constant(ids, mean)}


def _seen_in_panel(settings: Settings, warehouse: Warehouse, estimates: Sequence[Estimate]) -> dict[str, set[str]]:
    """Return the propositions that the estimators in the panel learned from, or from some like them, by version."""
    own: dict[str, list[str]] = {}
    for each in estimates:
        if each.method == OWN:
            own.setdefault(each.labeler_version, []).append(each.proposition_id)
    models = all_models(warehouse) if own else []
    for labeler in settings.estimators if own else ():
        with suppress(InputError):  # it has estimates from when its files were there
            models += filter(None, [model_behind(settings, warehouse, labeler)])
    by_version = {estimator_version(model.model_id): model for model in models}
    return {
        version: of_premises(warehouse, ids, learned_from(warehouse, [by_version[version]]))
        for version, ids in own.items()
        if version in by_version
    }


def stored_scores(warehouse: Warehouse, model: Model, ids: Sequence[str]) -> dict[str, Answer]:
    """Return an estimator's stored answers to some propositions."""
    return {key: Answer(score, levels) for key, score, levels in scores_by(warehouse, model.model_id, ids)}


def texts_of(rows: Iterable[SuiteItem]) -> dict[str, PropositionText]:
    """Return the propositions of items by their ids."""
    return {
        row.proposition_id: PropositionText(
            proposition_id=row.proposition_id, premise=row.premise, hypothesis=row.hypothesis
        )
        for row in rows
    }


def measured(
    settings: Settings,
    warehouse: Warehouse,
    suite: str,
    items: Items,
    subjects: Mapping[str, Answers],
    *,
    estimators: Mapping[str, Model],
) -> tuple[list[Evaluation], list[Difference]]:
    """Return the figures of all subjects on a suite, and their differences from the estimator, the first subject.

    `estimators` are those among the subjects; their intervals are measured too.
    """
    calibrations = {name: read_calibration(warehouse.place(each.path)) for name, each in estimators.items()}
    seed = settings.agreement.seed
    table = measure(items, subjects, calibrations=calibrations, annotators=ANNOTATORS, seed=seed)
    model = estimators[ESTIMATOR]
    naming = Naming(model.model_id, model.dataset_id, suite)
    return list(evaluations(table, naming)), list(differences(table, naming))


def record_figures(
    warehouse: Warehouse,
    model: Model,
    suites: Sequence[str],
    figures: Sequence[Evaluation],
    differences: Sequence[Difference],
    *,
    subjects: Sequence[str] | None = None,
) -> Merged:
    """Record the figures of an estimator on some suites. Earlier ones that were not measured again are removed.

    Args:
        warehouse: The warehouse.
        model: The estimator.
        suites: The suites that were measured.
        figures: All figures, of everyone.
        differences: How much they differ from those of the estimator.
        subjects: Who was measured; the figures of others stay. By default everyone.

    Returns:
        How many figures are new, changed or removed.
    """
    where, params = "model_id = ? AND list_contains(?::VARCHAR[], suite)", [model.model_id, list(suites)]
    own, others = "", ""
    if subjects is not None:
        own, others = (f" AND list_contains(?::VARCHAR[], {column})" for column in ("subject", "against"))
        params = [*params, list(subjects)]
    replace(warehouse, to_table(Difference, differences), where + others, params)
    return replace(warehouse, to_table(Evaluation, figures), where + own, params)
