"""Recalibrate: fit a map from each labeler's estimates to the judgments, outside the test split."""

from __future__ import annotations

from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import reading, writing
from flows.stages.stage import stage
from synthesis.recalibrate import ENOUGH, fit_maps
from warehouse.catalog.store import merge
from warehouse.consensus.calibration import (
    calibration_pairs,
    current_recalibrations,
    maps_in_force,
    renew_splits,
    withdrawal,
)
from warehouse.records import Recalibration


@stage("recalibrate", hours=6)
def recalibrate(config: Config = None) -> Outcome:
    """Recalibrate every labeler with enough judged propositions. Fitting the same judgments again adds nothing.

    Groups of premises are updated first, so that no held-out proposition is fitted. A map that saw what is held out
    now, or whose labeler no longer has enough judged propositions, is withdrawn.

    The consensus counts recalibrated estimates only if `agreement.labeler_weights` says so; synthetic rows of a dataset
    use them if there are any.
    """
    settings = load_settings(config)
    with writing(settings) as warehouse:
        spoilt = renew_splits(warehouse, settings.publish.near_duplicates)
    with reading(settings) as warehouse:  # a fit names the snapshot that it saw
        snapshot = warehouse.snapshot_id()
        fitted = fit_maps(calibration_pairs(warehouse), snapshot)
        new = unrecorded(fitted.fits, current_recalibrations(warehouse))
        unfounded = without_fit(maps_in_force(warehouse), fitted.fits)
    with writing(settings) as warehouse:
        merge(warehouse, [*new, *(withdrawal(each, snapshot) for each in unfounded)])
    few = ", ".join(fitted.too_few)
    note = f"fewer than {ENOUGH} judged propositions: {few}" if few else ""
    counts = {"labelers recalibrated": len(new), "as before": len(fitted.fits) - len(new)}
    if withdrawn := len(spoilt) + len(unfounded):
        counts["withdrawn"] = withdrawn
    return Outcome(stage="recalibrate", counts=counts, note=note)


def without_fit(maps: list[Recalibration], fits: list[Recalibration]) -> list[Recalibration]:
    """The maps of versions that can no longer be fitted."""
    fitted = {(each.labeler, each.labeler_version) for each in fits}
    return [each for each in maps if (each.labeler, each.labeler_version) not in fitted]


def unrecorded(fits: list[Recalibration], current: list[Recalibration]) -> list[Recalibration]:
    """The fits to other pairs than the newest ones; one that is back at an earlier state gets its own id."""
    known = {(each.labeler, each.labeler_version): each.fingerprint for each in current}
    return [
        each.model_copy(update={"recalibration_id": f"{each.recalibration_id}-{each.snapshot_id}"})
        for each in fits
        if known.get((each.labeler, each.labeler_version)) != each.fingerprint
    ]
