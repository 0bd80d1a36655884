"""The consensus of the judgments of a proposition: mean, median, trimmed mean, or random effects fitted by EM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.records import Consensus, ConsensusMethod, content_id, now
from warehouse.schema import arrow_schema

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PRIOR_JUDGMENTS = 8.0  # how many judgments the prior on an annotator's SD is worth
PRIOR_SD = 0.25
TRIM = 0.1  # the share cut off at each end by the trimmed mean
DIGITS = 9  # stored figures are rounded, so that computing them again gives the same row
SMALLEST_VARIANCE = 1e-8


@dataclass(frozen=True)
class ConsensusFit:
    """The random-effects fit. `theta` and `sd` have one entry a unit, `annotator_sd` one an annotator.

    `theta` is the posterior mean and `sd` the posterior standard deviation of a unit; `mu` and `tau2` are the mean and
    the variance of the units.
    """

    theta: Floats
    sd: Floats
    mu: float
    tau2: float
    annotator_sd: Floats
    iterations: int


@dataclass(frozen=True)
class Aggregate:
    """The aggregate of each unit: `mean` and `sd` (nan where unknown), and the weight of each value (sum 1 a unit)."""

    mean: Floats
    sd: Floats
    weights: Floats


def fit_em(
    unit_index: Ints,
    annotator_index: Ints,
    values: Floats,
    *,
    prior_judgments: float = PRIOR_JUDGMENTS,
    prior_sd: float = PRIOR_SD,
    max_iterations: int = 500,
    tolerance: float = 1e-7,
) -> ConsensusFit:
    """Fit random effects with a precision for each annotator, by EM; linear in the judgments.

    x_ij = theta_i + e_ij with e_ij ~ N(0, s_j^2), s_j^2 ~ scaled inverse chi^2(prior_judgments, prior_sd^2) and
    theta_i ~ N(mu, tau^2). E step: theta_i has precision 1/tau^2 + sum_j 1/s_j^2 and the precision-weighted mean.
    M step: s_j^2 = (nu s0^2 + sum_i ((x_ij - theta_i)^2 + var_i)) / (nu + n_j), mu = mean(theta) and
    tau^2 = var(theta) + mean(var_i); without the last term theta collapses onto mu for few judgments a unit.
    EM is that of Dempster, Laird and Rubin 1977.

    Args:
        unit_index: for each judgment its unit, from 0 and without gaps.
        annotator_index: for each judgment its annotator, from 0 and without gaps.
        values: for each judgment its probability, in [0, 1].
        prior_judgments: nu.
        prior_sd: s0.
        max_iterations: when to stop at the latest.
        tolerance: the fit stops when no theta moves by more.
    """
    per_annotator = np.bincount(annotator_index)
    variance = np.full(len(per_annotator), prior_sd**2)
    theta = _sums(unit_index, values) / np.bincount(unit_index)
    mu, tau2 = float(theta.mean()), max(float(theta.var()), prior_sd**2)
    unit_variance: Floats = np.full(len(theta), tau2)
    iterations = 0
    while iterations < max_iterations:
        iterations += 1
        precision = 1.0 / variance[annotator_index]
        unit_variance = 1.0 / (1.0 / tau2 + _sums(unit_index, precision))
        moved = (mu / tau2 + _sums(unit_index, precision * values)) * unit_variance
        mu = float(moved.mean())
        tau2 = max(float(moved.var() + unit_variance.mean()), SMALLEST_VARIANCE)
        squares = _sums(annotator_index, (values - moved[unit_index]) ** 2 + unit_variance[unit_index])
        variance = (prior_judgments * prior_sd**2 + squares) / (prior_judgments + per_annotator)
        change = float(np.abs(moved - theta).max())
        theta = moved
        if change < tolerance:
            break
    return ConsensusFit(theta, np.sqrt(unit_variance), mu, tau2, np.sqrt(variance), iterations)


def aggregate(unit_index: Ints, annotator_index: Ints, values: Floats, method: ConsensusMethod) -> Aggregate:
    """The aggregate of each unit by a method.

    `em` weighs a value by its annotator's precision, and its sd is the posterior one. `mean` weighs all alike,
    `trimmed` leaves out a tenth of the values at each end (rounded down); their sd is the standard error of
    that mean, nan below two values. `median` weighs all alike and has no sd.
    """
    if method == "em":
        fit = fit_em(unit_index, annotator_index, values)
        precision = 1.0 / fit.annotator_sd[annotator_index] ** 2
        weights = precision / _sums(unit_index, precision)[unit_index]
        return Aggregate(np.clip(fit.theta, 0.0, 1.0), fit.sd, weights)
    counts = np.bincount(unit_index)
    if method == "median":
        return Aggregate(_medians(unit_index, values), np.full(len(counts), np.nan), 1.0 / counts[unit_index])
    kept = np.ones(len(values)) if method == "mean" else _untrimmed(unit_index, values)
    n = _sums(unit_index, kept)
    mean = _sums(unit_index, kept * values) / n
    squares = _sums(unit_index, kept * (values - mean[unit_index]) ** 2)
    sd = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1) / n), np.nan)
    return Aggregate(np.clip(mean, 0.0, 1.0), sd, kept / n[unit_index])


def consensus_records(judgments: pa.Table, method: ConsensusMethod, snapshot_id: int) -> pa.Table:
    """The consensus of every proposition that has valid judgments, as Arrow rows of `Consensus`.

    `judgments` has proposition_id, annotator_id, probability and is_simulated, and holds the valid ones only. Its order
    is the order of the values kept with a consensus.
    """
    if judgments.num_rows == 0:
        return arrow_schema(Consensus).empty_table()
    units = judgments["proposition_id"].combine_chunks().dictionary_encode()
    annotators = judgments["annotator_id"].combine_chunks().dictionary_encode()
    unit_index = units.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    annotator_index = annotators.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    values = judgments["probability"].to_numpy()
    result = aggregate(unit_index, annotator_index, values, method)
    counts = np.bincount(unit_index)
    simulated = _sums(unit_index, pc.cast(judgments["is_simulated"], pa.float64()).to_numpy()).astype(np.int64)
    order = np.argsort(unit_index, kind="stable")
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    ids = units.dictionary.to_pylist()
    n = len(ids)
    columns = {
        "consensus_id": pa.array([content_id(one, method) for one in ids]),
        "proposition_id": units.dictionary,
        "method": pa.repeat(pa.scalar(method), n),
        "mean": pa.array(result.mean.round(DIGITS)),
        "sd": pa.array(result.sd.round(DIGITS), from_pandas=True),
        "values": pa.ListArray.from_arrays(offsets, pa.array(values[order])),
        "weights": pa.ListArray.from_arrays(offsets, pa.array(result.weights[order].round(DIGITS))),
        "n_judgments": pa.array(counts, pa.int64()),
        "n_estimates": pa.repeat(pa.scalar(0, pa.int64()), n),
        "n_simulated": pa.array(simulated),
        "snapshot_id": pa.repeat(pa.scalar(snapshot_id, pa.int64()), n),
        "created_at": pa.repeat(pa.scalar(now(), pa.timestamp("us", "UTC")), n),
    }
    return pa.table(columns, schema=arrow_schema(Consensus))


def _sums(index: Ints, weights: Floats) -> Floats:
    """The sum of the weights that have the same index."""
    return np.asarray(np.bincount(index, weights), dtype=np.float64)


def _ranks(unit_index: Ints, values: Floats) -> Ints:
    """The rank of each value within its unit, from 0; ties in their order."""
    order = np.lexsort((values, unit_index))
    starts = np.concatenate([[0], np.cumsum(np.bincount(unit_index))[:-1]])
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - starts[unit_index[order]]
    return ranks


def _medians(unit_index: Ints, values: Floats) -> Floats:
    counts, ranks = np.bincount(unit_index)[unit_index], _ranks(unit_index, values)
    middle = ((ranks == (counts - 1) // 2) * 0.5 + (ranks == counts // 2) * 0.5).astype(np.float64)
    return _sums(unit_index, middle * values)


def _untrimmed(unit_index: Ints, values: Floats) -> Floats:
    counts, ranks = np.bincount(unit_index)[unit_index], _ranks(unit_index, values)
    cut = (counts * TRIM).astype(np.int64)
    kept: Floats = ((ranks >= cut) & (ranks < counts - cut)).astype(np.float64)
    return kept
