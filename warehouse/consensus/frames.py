"""The consensus of a plain frame of judgments, without a catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from warehouse.consensus.aggregate import Evidence, aggregate, by_fit, by_mean, fit
from warehouse.consensus.random_effects import overlap
from warehouse.errors import InputError
from warehouse.frames import Repeats, read_frame
from warehouse.records import ConsensusMethod


@dataclass(frozen=True)
class FittedConsensus:
    """A consensus.

    Attributes:
        method: The method that was used: `mean` in place of `em` if annotators overlap too little.
        propositions: One row per proposition: proposition, mean (in [0, 1]), sd (null if undefined), n_judgments.
        annotators: With `em`, one row per annotator: annotator, sd (of its errors), precision (1 / sd^2), n_judgments.
        mu: With `em`, the mean of the propositions; otherwise None.
        tau: With `em`, the SD of the propositions; otherwise None.
    """

    method: ConsensusMethod
    propositions: pa.Table
    annotators: pa.Table
    mu: float | None = None
    tau: float | None = None


def consensus_of(judgments: Any, method: ConsensusMethod = "em", *, repeats: Repeats = "first") -> FittedConsensus:
    """Aggregate the judgments of each proposition, as `odds agree` does.

    `em` fits random effects with a precision for each annotator (see `warehouse.consensus.random_effects.fit_em`);
    `mean`, `median` and `trimmed` look at each proposition alone. If fewer than a quarter of the judgments share a
    proposition with another, annotators cannot be told apart, and `em` gives the mean.

    Args:
        judgments: A frame with the columns proposition, annotator and probability (in [0, 1]): a pyarrow Table, a
            pandas or polars DataFrame, or a dict of columns. A judgment without a probability does not count.
        method: How to aggregate.
        repeats: Which judgments of an annotator on the same proposition count: the first in the frame, or all.

    Returns:
        The consensus of each proposition and, with `em`, the precision of each annotator.

    Raises:
        InputError: The frame does not hold judgments.

    Example:
        >>> from warehouse.consensus import consensus_of
        >>> consensus = consensus_of({
        ...     "proposition": ["a", "a", "b", "b", "c", "c"],
        ...     "annotator": ["ann", "ben", "ann", "ben", "ann", "ben"],
        ...     "probability": [0.1, 0.2, 0.6, 0.5, 0.9, 0.9],
        ... })
        >>> [round(mean, 2) for mean in consensus.propositions["mean"].to_pylist()]
        [0.26, 0.54, 0.8]
        >>> consensus.annotators.column_names
        ['annotator', 'sd', 'precision', 'n_judgments']
    """
    found = read_frame(judgments, repeats)
    if not len(found.values):
        raise InputError("The frame holds no judgment with a probability")
    counts, by_annotator = np.bincount(found.proposition_index), np.bincount(found.annotator_index)
    evidence = Evidence(
        found.proposition_index, found.annotator_index, found.values, np.full(len(found.values), np.nan)
    )
    sd, mu, tau = None, None, None
    if method != "em":
        result = aggregate(evidence, method)
    elif not overlap(int(counts[counts > 1].sum()), len(found.values)):
        method, result = "mean", by_mean(evidence)
    else:
        fitted = fit(evidence)
        result, sd, mu, tau = by_fit(evidence, fitted), fitted.annotator_sd, fitted.mu, fitted.tau2**0.5
    propositions = pa.table(
        {
            "proposition": found.propositions,
            "mean": result.mean,
            "sd": pa.array(result.sd, from_pandas=True),
            "n_judgments": counts,
        }
    )
    annotators = pa.table({"annotator": found.annotators})
    if sd is None:
        annotators, sd, by_annotator = annotators.slice(0, 0), np.zeros(0), by_annotator[:0]
    for name, column in (("sd", sd), ("precision", 1 / sd**2), ("n_judgments", by_annotator)):
        annotators = annotators.append_column(name, pa.array(column))
    return FittedConsensus(method, propositions, annotators, mu, tau)
