"""The consensus of each proposition from its values: mean, median, trimmed mean, or random effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from warehouse.catalog.schema import arrow_schema
from warehouse.consensus.random_effects import PRIOR_SD, Floats, Ints, RandomEffects, fit_em, posterior
from warehouse.records import Consensus, ConsensusMethod, content_id, now

TRIM = 0.1  # the share that the trimmed mean leaves out at each end
DIGITS = 9  # stored figures are rounded, so that recomputing gives the same row


@dataclass(frozen=True)
class Evidence:
    """The values of some units (propositions), and who gave each.

    Attributes:
        unit_index: For each value its unit: ascending, from 0, without gaps.
        rater_index: For each value who gave it, an annotator or a labeler, from 0.
        values: The probabilities, in [0, 1].
        weights: nan for a judgment of a known annotator; otherwise how many judgments of an average annotator it is
            worth: 1 for a judgment of nobody known, and for an estimate its weight.
        widths: The width of the interval that each value stands for, 0 for a point; None if all are points.
        sources: The source of each value that stands for an interval, empty for a point; None if all are points.
    """

    unit_index: Ints
    rater_index: Ints
    values: Floats
    weights: Floats
    widths: Floats | None = None
    sources: pa.Array | None = None

    @property
    def is_weighed(self) -> npt.NDArray[np.bool_]:
        """Which values have a fixed weight, because no known annotator gave them."""
        weighed: npt.NDArray[np.bool_] = ~np.isnan(self.weights)
        return weighed


@dataclass(frozen=True)
class Aggregate:
    """For each unit `mean` and `sd` (nan if undefined), and for each value its weight (they sum to 1 per unit)."""

    mean: Floats
    sd: Floats
    weights: Floats


@dataclass(frozen=True)
class Units:
    """For each unit its proposition, the counts of its judgments and the fingerprint of its evidence."""

    proposition_ids: pa.Array
    n_judgments: Ints
    n_simulated: Ints
    fingerprints: pa.Array


def aggregate(evidence: Evidence, method: ConsensusMethod) -> Aggregate:
    """Aggregate each unit, alone or by a full fit (`em`).

    `mean` gives every judgment the weight 1 and an estimate its own; `trimmed` leaves out a tenth of the values at each
    end (rounded down). Their sd is the standard error of that mean, nan below two values. `median` has no sd. Only
    `mean` and `em` handle estimates.
    """
    if method == "em":
        return by_fit(evidence, fit(evidence))
    unit_index, values = evidence.unit_index, evidence.values
    if method == "median":
        counts = np.bincount(unit_index)
        return Aggregate(_medians(unit_index, values), np.full(len(counts), np.nan), 1.0 / counts[unit_index])
    kept = _untrimmed(unit_index, values) if method == "trimmed" else np.where(evidence.is_weighed, evidence.weights, 1)
    total = np.bincount(unit_index, kept)
    mean = np.bincount(unit_index, kept * values) / total
    # The effective number of values under unequal weights (Kish 1965).
    worth = total**2 / np.bincount(unit_index, kept**2)
    variance = np.bincount(unit_index, kept * (values - mean[unit_index]) ** 2) / total
    known = worth > 1 + 1e-9
    sd = np.where(known, np.sqrt(variance / np.where(known, worth - 1, 1)), np.nan)
    return Aggregate(np.clip(mean, 0.0, 1.0), sd, kept / total[unit_index])


def fit(evidence: Evidence) -> RandomEffects:
    """Fit all units. A value of weight w counts as w judgments of an unknown annotator: its SD is s0 / sqrt(w)."""
    n = int(evidence.rater_index.max()) + 1
    fixed = np.full(n, np.nan)
    weighed = evidence.is_weighed
    fixed[evidence.rater_index[weighed]] = PRIOR_SD / np.sqrt(evidence.weights[weighed])
    return fit_em(evidence.unit_index, evidence.rater_index, evidence.values, fixed_sd=fixed)


def by_fit(evidence: Evidence, fitted: RandomEffects) -> Aggregate:
    """Return the aggregate of a full fit: values weighted by their rater's precision, with the posterior sd."""
    precision = (1.0 / fitted.annotator_sd**2)[evidence.rater_index]
    weights = precision / np.bincount(evidence.unit_index, precision)[evidence.unit_index]
    return Aggregate(np.clip(fitted.theta, 0.0, 1.0), fitted.sd, weights)


def by_mean(evidence: Evidence) -> Aggregate:
    """Return the mean, for use where annotators are unknown or a fit cannot tell them apart.

    Its sd assumes errors of the prior's size, because a single judgment has no standard error.
    """
    mean = aggregate(evidence, "mean")
    sd = PRIOR_SD * np.sqrt(np.bincount(evidence.unit_index, mean.weights**2))
    return Aggregate(mean.mean, sd, mean.weights)


def by_precisions(evidence: Evidence, rater_sd: Floats, mu: float, tau2: float) -> Aggregate:
    """Aggregate units given the SD of each rater, mu and tau^2 from an earlier fit."""
    sd = np.where(evidence.is_weighed, PRIOR_SD / np.sqrt(evidence.weights), rater_sd[evidence.rater_index])
    precision = 1.0 / sd**2
    theta, variance = posterior(evidence.unit_index, evidence.values, precision, mu, tau2)
    weights = precision / np.bincount(evidence.unit_index, precision)[evidence.unit_index]
    return Aggregate(np.clip(theta, 0.0, 1.0), np.sqrt(variance), weights)


def consensus_rows(
    units: Units, evidence: Evidence, result: Aggregate, method: ConsensusMethod, snapshot_id: int
) -> pa.Table:
    """Return the Arrow rows of `Consensus` for these units."""
    n = len(units.proposition_ids)
    counts = np.bincount(evidence.unit_index, minlength=n)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    widths = np.zeros(len(evidence.values)) if evidence.widths is None else evidence.widths
    sources = pa.repeat("", len(evidence.values)) if evidence.sources is None else evidence.sources
    columns = {
        "consensus_id": pa.array([content_id(one, method) for one in units.proposition_ids.to_pylist()], pa.string()),
        "proposition_id": units.proposition_ids,
        "method": pa.repeat(pa.scalar(method), n),
        "mean": pa.array(result.mean.round(DIGITS)),
        "sd": pa.array(result.sd.round(DIGITS), from_pandas=True),
        "values": pa.ListArray.from_arrays(offsets, pa.array(evidence.values)),
        "weights": pa.ListArray.from_arrays(offsets, pa.array(result.weights.round(DIGITS))),
        "n_judgments": pa.array(units.n_judgments),
        "n_estimates": pa.array(counts - units.n_judgments),
        "n_simulated": pa.array(units.n_simulated),
        "snapshot_id": pa.repeat(pa.scalar(snapshot_id, pa.int64()), n),
        "created_at": pa.repeat(pa.scalar(now(), pa.timestamp("us", "UTC")), n),
        "fingerprint": units.fingerprints,
        "widths": pa.ListArray.from_arrays(offsets, pa.array(widths)),
        "sources": pa.ListArray.from_arrays(offsets, sources),
    }
    return pa.table(columns, schema=arrow_schema(Consensus))


def _ranks(unit_index: Ints, values: Floats) -> Ints:
    """The rank of each value within its unit, from 0; ties keep their order."""
    order = np.lexsort((values, unit_index))
    starts = np.concatenate([[0], np.cumsum(np.bincount(unit_index))[:-1]])
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - starts[unit_index[order]]
    return ranks


def _medians(unit_index: Ints, values: Floats) -> Floats:
    counts, ranks = np.bincount(unit_index)[unit_index], _ranks(unit_index, values)
    middle = ((ranks == (counts - 1) // 2) * 0.5 + (ranks == counts // 2) * 0.5).astype(np.float64)
    return np.asarray(np.bincount(unit_index, middle * values))


def _untrimmed(unit_index: Ints, values: Floats) -> Floats:
    counts, ranks = np.bincount(unit_index)[unit_index], _ranks(unit_index, values)
    cut = (counts * TRIM).astype(np.int64)
    kept: Floats = ((ranks >= cut) & (ranks < counts - cut)).astype(np.float64)
    return kept
