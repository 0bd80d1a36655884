"""Agreement over a plain frame of judgments, without a catalog."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow as pa

from warehouse.agreement import resample
from warehouse.agreement.resample import Figure, Moments
from warehouse.frames import Repeats, read_frame


def interval_alpha(judgments: Any, *, repeats: Repeats = "first", draws: int = 2000, seed: int = 0) -> Figure:
    """Compute Krippendorff's alpha with the interval metric, and its 95% interval from resampling propositions.

    Alpha is 1 - D_o / D_e, observed over expected disagreement as squared differences: 1 for full agreement, 0 for
    chance (Krippendorff 2011, Computing Krippendorff's alpha-reliability).

    Args:
        judgments: A frame with the columns proposition, annotator and probability (in [0, 1]): a pyarrow Table, a
            pandas or polars DataFrame, or a dict of columns. A judgment without a probability does not count.
        repeats: Which judgments of an annotator on the same proposition count: the first in the frame, or all.
        draws: The number of resamples.
        seed: The seed of the resamples.

    Returns:
        The figure. Its value is None if no proposition has two judgments, or if all of these are equal.

    Raises:
        InputError: The frame does not hold judgments.

    Example:
        >>> from warehouse.agreement import interval_alpha
        >>> alpha = interval_alpha({
        ...     "proposition": ["a", "a", "b", "b", "c", "c"],
        ...     "annotator": ["ann", "ben", "ann", "ben", "ann", "ben"],
        ...     "probability": [0.1, 0.2, 0.6, 0.5, 0.9, 0.9],
        ... })
        >>> round(alpha.value, 3)
        0.971
    """
    found = read_frame(judgments, repeats)
    m = np.bincount(found.proposition_index).astype(np.float64)
    s = np.bincount(found.proposition_index, found.values).astype(np.float64)
    q = np.bincount(found.proposition_index, found.values**2).astype(np.float64)
    paired = m >= 2
    block = resample.unit_block(m[paired], s[paired], q[paired])
    if not len(block):
        return Figure("interval_alpha", None)
    # Rounded, so that neither the order of the frame nor the last bit of a sum changes the resamples.
    block = block[np.lexsort(block.round(9).T[::-1])]
    few = block if len(block) <= resample.FEW else None
    statistics = {"interval_alpha": resample.interval_alpha}
    return resample.figures(Moments.of(block), few, statistics, draws, seed)[0]


def agreement_of(judgments: Any, *, repeats: Repeats = "first", draws: int = 2000, seed: int = 0) -> dict[str, Figure]:
    """Compute every agreement figure of `odds agree` over a frame of judgments.

    These are interval, ordinal and nominal alpha, ICC(1), the reliability of the mean, the judgments needed for a
    reliability of .7, .8 and .9, leave-one-out correlations, the SD within propositions and the shares of judgments at
    round values. `warehouse.agreement.measure.measure_agreement` describes each; the queries are the same.

    Args:
        judgments: A frame as for `interval_alpha`.
        repeats: Which judgments of an annotator on the same proposition count: the first in the frame, or all.
        draws: The number of resamples for the intervals.
        seed: The seed of the resamples.

    Returns:
        The figures by metric; an undefined one has the value None. Without judgments the dict is empty.

    Raises:
        InputError: The frame does not hold judgments.

    Example:
        >>> from warehouse.agreement import agreement_of
        >>> figures = agreement_of({
        ...     "proposition": ["a", "a", "b", "b", "c", "c"],
        ...     "annotator": ["ann", "ben", "ann", "ben", "ann", "ben"],
        ...     "probability": [0.1, 0.2, 0.6, 0.5, 0.9, 0.9],
        ... })
        >>> round(figures["icc_1"].value, 3), figures["judgments_for_reliability_0.9"].value
        (0.977, 1.0)
    """
    from warehouse.agreement.measure import figures_of_selected
    from warehouse.agreement.selection import LEVEL, SELECTED
    from warehouse.catalog.extensions import connection_with
    from warehouse.catalog.opened import Warehouse

    found = read_frame(judgments, repeats)
    rows = pa.table({"unit": found.proposition_index, "annotator": found.annotator_index, "value": found.values})
    with Warehouse(connection_with(()), "in memory", True, *4 * (nullcontext,)) as memory:
        memory.connection.register("judged", rows)
        memory.connection.execute(
            f"CREATE TEMPORARY TABLE {SELECTED} AS "
            f"SELECT unit, annotator, value, false AS simulated, true AS known, 0 AS hash, {LEVEL} FROM judged"
        )
        rows = figures_of_selected(memory, draws, seed)
    return {row.metric: Figure(row.metric, row.value, row.low, row.high) for row in rows}
