"""Recalibrate: fit a map from each labeler's estimates to the judgments, outside of the test split."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.outcome import Outcome
from flows.services import writing
from flows.settings import load_settings
from synthesis.recalibrate import recalibrate as fit_maps
from warehouse.consensus.calibration import calibration_pairs, current_recalibrations
from warehouse.records import Recalibration
from warehouse.store import merge


@flow(name="recalibrate")
def recalibrate(config: Path | None = None) -> Outcome:
    """Recalibrate every labeler that has enough judged propositions. The same judgments fitted again add nothing.

    The consensus counts recalibrated estimates only where `agreement.labeler_weights` says so; synthetic rows of a
    dataset take them where there are any.
    """
    with writing(load_settings(config)) as warehouse:
        fitted = fit_maps(calibration_pairs(warehouse), warehouse.snapshot_id())
        new = unrecorded(fitted.fits, current_recalibrations(warehouse))
        merge(warehouse, new)
    note = f"fewer than enough judged propositions: {', '.join(fitted.too_few)}" if fitted.too_few else ""
    counts = {"labelers recalibrated": len(new), "as before": len(fitted.fits) - len(new)}
    return Outcome(stage="recalibrate", counts=counts, note=note)


def unrecorded(fits: list[Recalibration], current: list[Recalibration]) -> list[Recalibration]:
    """The fits that rest on other pairs than the newest ones; one back at an earlier state gets an id of its own."""
    known = {(each.labeler, each.labeler_version): each.fingerprint for each in current}
    return [
        each.model_copy(update={"recalibration_id": f"{each.recalibration_id}-{each.snapshot_id}"})
        for each in fits
        if known.get((each.labeler, each.labeler_version)) != each.fingerprint
    ]
