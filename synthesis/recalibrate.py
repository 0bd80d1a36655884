"""Recalibrate: a map from each labeler's estimates to people's judgments, fitted outside the test split.

The target for a proposition is the plain mean of its judgments, weighted by their number: regression on these means
equals regression on all single judgments. The EM consensus would flatten the map, because it pulls propositions with
few judgments towards the overall mean; the stored consensus may contain the estimates themselves
(`agreement.labeler_weights`), so a labeler would be fitted to itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.isotonic import IsotonicRegression

from warehouse.records import Recalibration, content_id

Floats = npt.NDArray[np.float64]

ENOUGH = 30
"""The least judged propositions for a recalibration: a monotone map of fewer follows their noise."""
DIGITS = 9


@dataclass(frozen=True)
class Recalibrated:
    """The fitted recalibrations, and the labelers with too few judged propositions."""

    fits: list[Recalibration]
    too_few: list[str]


def isotonic(estimates: Floats, judged: Floats, weights: Floats) -> tuple[list[float], list[float]]:
    """The corners of the isotonic regression of judged on estimates, both ascending and in [0, 1].

    It is the non-decreasing function with the least weighted squared error (Barlow, Bartholomew, Bremner and Brunk
    1972): linear between two corners, constant outside them. Estimates are rounded to DIGITS digits.
    """
    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    # Rounded first: two corners that round alike would be one.
    model.fit(estimates.round(DIGITS), judged, sample_weight=weights)
    return model.X_thresholds_.tolist(), model.y_thresholds_.round(DIGITS).tolist()


def fit_maps(pairs: pa.Table, snapshot_id: int) -> Recalibrated:
    """Fits each version of each labeler to the mean judgments of the same propositions, weighted by their number.

    The same pairs give the same ids.

    Args:
        pairs: labeler, labeler_version, proposition_id, split, estimate, judged, n_judgments, n_simulated; the
            probabilities in [0, 1].
        snapshot_id: the warehouse snapshot that they come from.

    Raises:
        ValueError: a pair belongs to the test split, which no fit may ever see.
    """
    if pc.any(pc.equal(pairs["split"], "test")).as_py():
        raise ValueError("a pair belongs to the test split: the map's figures would flatter the labeler")
    fits, too_few = [], []
    labelers = zip(pairs["labeler"].to_pylist(), pairs["labeler_version"].to_pylist(), strict=True)
    for labeler, version in dict.fromkeys(labelers):
        both = pc.and_(pc.equal(pairs["labeler"], labeler), pc.equal(pairs["labeler_version"], version))
        own = pairs.filter(both).sort_by("proposition_id")
        if own.num_rows < ENOUGH:
            too_few.append(labeler)
        else:
            fits.append(_fit(labeler, version, own, snapshot_id))
    return Recalibrated(fits, too_few)


def _fit(labeler: str, version: str, own: pa.Table, snapshot_id: int) -> Recalibration:
    estimates, judged, n = (own[name].to_numpy().astype(np.float64) for name in ("estimate", "judged", "n_judgments"))
    corners, probabilities = isotonic(estimates, judged, n)
    # Rounded: means of the same judgments in another order differ in the last digit.
    rests_on = [array.round(DIGITS).tobytes() for array in (estimates, judged, n)]
    rests_on.append("".join(own["proposition_id"].to_pylist()).encode())
    fingerprint = content_id(*(hashlib.sha256(part).hexdigest() for part in rests_on))
    return Recalibration(
        recalibration_id=content_id("recalibration", labeler, version, fingerprint),
        labeler=labeler,
        labeler_version=version,
        estimates=corners,
        probabilities=probabilities,
        n_propositions=own.num_rows,
        n_judgments=pc.sum(own["n_judgments"]).as_py(),
        n_simulated=pc.sum(own["n_simulated"]).as_py(),
        fingerprint=fingerprint,
        snapshot_id=snapshot_id,
    )
