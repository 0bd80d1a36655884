"""Adaptive redundancy: which propositions get one more judgment, and which are settled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from warehouse.consensus.random_effects import SMALLEST_VARIANCE, Floats, Ints

PRIOR_JUDGMENTS = 4.0
"""How many judgments the spread of all propositions counts for in that of one."""


class Judged(NamedTuple):
    """The judgments of each proposition: their number (at least 1), sum and sum of squares, each [n]."""

    n: Floats
    sum: Floats
    squares: Floats


class Spread(NamedTuple):
    """What the judgments tell of each proposition, each [n].

    `variance` is that of its judgments, `sd` the posterior SD of its value, and `gain` by how much one more judgment is
    expected to reduce the variance of its mean.
    """

    variance: Floats
    sd: Floats
    gain: Floats


def spread(judged: Judged) -> Spread | None:
    """Return what the judgments tell of each proposition; None if no proposition has two, so that no spread is known.

    With SS_i the sum of squares around the mean of proposition i and s^2 the variance within all of them, s_i^2 =
    (SS_i + 4 s^2) / (n_i - 1 + 4): a scaled inverse chi^2 prior, which keeps two judgments that happen to agree from
    settling a proposition. Under a flat prior of its value the posterior variance is s_i^2 / n_i, from which one more
    judgment takes s_i^2 / (n_i (n_i + 1)). A prior with the variance between propositions would make all of them look
    settled where a pilot's few happen to lie close together.
    """
    n, mean = judged.n, judged.sum / judged.n
    around = np.maximum(judged.squares - judged.sum * mean, 0)
    degrees = float((n - 1).sum())
    if not degrees:
        return None
    within = max(float(around.sum()) / degrees, SMALLEST_VARIANCE)
    variance: Floats = (around + PRIOR_JUDGMENTS * within) / (n - 1 + PRIOR_JUDGMENTS)
    return Spread(variance, np.sqrt(variance / n), variance / (n * (n + 1)))


def asked(
    found: Spread, n_annotations: Ints, waits: npt.NDArray[np.bool_], target_sd: Floats | float, most: Ints | int
) -> Ints:
    """Return the propositions that should get one more judgment, by their places, the largest gain first.

    Left out are those that are settled (a posterior SD of at most `target_sd`), that wait for a judgment already, or
    that were annotated `most` times. Both limits hold for all, or have one for each: [n].
    """
    open_ = (found.sd > target_sd) & ~waits & (n_annotations < most)
    order = np.argsort(-found.gain, kind="stable")
    places: Ints = order[open_[order]]
    return places
