"""The estimates of labelers that are estimators: they are scored, so they cost nothing and have no requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flows.estimators.named import any_model, required_model
from flows.estimators.scoring import scored
from flows.settings.settings import Settings
from flows.stages.outcome import Outcome
from flows.terminal.console import note
from synthesis.panel.settings import PRODUCTION, EstimatorLabeler
from synthesis.panel.versions import estimator_row, estimator_version
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge
from warehouse.errors import InputError
from warehouse.queries.models import model_in_use
from warehouse.queries.pending import count_estimates, pending_estimates
from warehouse.queries.suites import unestimated_items
from warehouse.records import ESTIMATOR, Estimate, LabelerVersion, Model, PropositionText, content_id


class OwnLabeler(NamedTuple):
    """A labeler of the settings with the estimator that it names."""

    name: str
    model: Model

    @property
    def version(self) -> str:
        """The version of the labeler: another estimator is another version."""
        return estimator_version(self.model.model_id)

    @property
    def row(self) -> LabelerVersion:
        """The row of the version in the table `labelers`."""
        return estimator_row(self.name, self.model.model_id)


def own_labelers(settings: Settings, warehouse: Warehouse) -> list[OwnLabeler]:
    """Return the labelers that are estimators. Those in use are left out, with a note, while none is trained.

    Raises:
        InputError: there is no such estimator, or its files are gone.
    """
    found = []
    for labeler in settings.estimators:
        model = model_behind(settings, warehouse, labeler)
        if model is None:
            note(f"labeler {labeler.name}: no estimator is trained yet, so it gives no estimates")
        else:
            found.append(OwnLabeler(labeler.name, model))
    return found


def estimate_own(
    settings: Settings, warehouse: Warehouse, labelers: Sequence[OwnLabeler], suite_id: str | None = None
) -> Outcome:
    """Write the missing estimates of these labelers: for all propositions, or for those of a suite.

    A proposition that is too long for an estimator gets an estimate with that reason instead of a probability.
    """
    written = refused = 0
    for labeler in labelers:
        total, texts = _pending(warehouse, labeler, suite_id)
        if not total:
            continue
        with scored(settings, labeler.model, texts, total) as parts:
            for part in parts:
                made = [_estimate(labeler, key, score.score, None) for key, score in part.scores.items()]
                made += [_estimate(labeler, str(drop.subject_id), None, drop.reason) for drop in part.drops]
                merge(warehouse, made)
                written, refused = written + len(part.scores), refused + len(part.drops)
    counts = {"scored": written} | ({"too long": refused} if refused else {})
    return Outcome(stage="elicit", counts=counts)


def model_behind(settings: Settings, warehouse: Warehouse, labeler: EstimatorLabeler) -> Model | None:
    """Return the estimator that a labeler names now; None for the one in use if none is trained yet.

    Raises:
        InputError: there is no such estimator, or its files are gone.
    """
    if labeler.model == PRODUCTION:
        name = settings.publish.name
        return required_model(warehouse, name) if model_in_use(warehouse, name) else None
    folder = settings.path(labeler.model)
    try:
        return any_model(warehouse, str(folder) if folder.is_dir() else labeler.model)
    except InputError as error:
        raise InputError(f"labeler {labeler.name}: {error}") from error


def _pending(warehouse: Warehouse, labeler: OwnLabeler, suite_id: str | None) -> tuple[int, Iterator[PropositionText]]:
    if suite_id is not None:
        items = unestimated_items(warehouse, suite_id, labeler.name, labeler.version)
        return len(items), iter(items)
    count = count_estimates(warehouse, labeler.name, labeler.version)
    return count, pending_estimates(warehouse, labeler.name, labeler.version)


def _estimate(labeler: OwnLabeler, proposition_id: str, value: float | None, reason: str | None) -> Estimate:
    return Estimate(
        estimate_id=content_id("estimate", proposition_id, labeler.name, labeler.version),
        proposition_id=proposition_id,
        labeler=labeler.name,
        labeler_version=labeler.version,
        method=ESTIMATOR,
        probability=value,
        reason=reason,
    )
