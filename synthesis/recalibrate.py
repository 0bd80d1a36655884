"""Recalibrate: a map from each labeler's estimates to what people judge, fitted outside of the test split.

What people judge of a proposition is the plain mean of their judgments, weighing by their number: the regression on
these means is then the one on all single judgments, and their errors average out in it. The EM consensus draws each
proposition towards the mean of all, the more so the fewer its judgments are, and would flatten the map; the stored
consensus may hold the estimates themselves (`agreement.labeler_weights`), and a labeler would be fitted to itself.
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
"""Judged propositions below which a labeler is not recalibrated: a monotone map of fewer follows their noise."""
DIGITS = 9


@dataclass(frozen=True)
class Recalibrated:
    """The recalibrations that were fitted, and the labelers that have too few judged propositions for one."""

    fits: list[Recalibration]
    too_few: list[str]


def isotonic(estimates: Floats, judged: Floats, weights: Floats) -> tuple[list[float], list[float]]:
    """The corners of the isotonic regression of judged on estimates: both ascending, all in [0, 1].

    It is the never descending function with the least weighted squared error (Barlow, Bartholomew, Bremner and Brunk
    1972); between two corners it is a straight line, outside of them it is level. Estimates count to DIGITS digits.
    """
    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    # Rounded before: two corners that are rounded alike would be one.
    model.fit(estimates.round(DIGITS), judged, sample_weight=weights)
    return model.X_thresholds_.tolist(), model.y_thresholds_.round(DIGITS).tolist()


def recalibrate(pairs: pa.Table, snapshot_id: int) -> Recalibrated:
    """Fit each version of each labeler on its estimates beside the mean judgments of the same propositions.

    A proposition weighs by its number of judgments. The same pairs give the same ids.

    Args:
        pairs: labeler, labeler_version, proposition_id, split, estimate, judged, n_judgments, n_simulated; the
            probabilities in [0, 1].
        snapshot_id: the warehouse snapshot that they were read from.

    Raises:
        ValueError: a pair of the test split, which no fit may ever see.
    """
    if pc.any(pc.equal(pairs["split"], "test")).as_py():
        raise ValueError("a pair of the test split came to the recalibration: its figures would flatter the labeler")
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
    # Rounded, since a mean of the same judgments in another order differs in its last digit.
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
