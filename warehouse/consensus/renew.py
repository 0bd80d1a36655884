"""Update the consensus of propositions with new evidence, or of all if the annotators' precisions moved too far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import arrow_schema
from warehouse.catalog.store import merge_all, read
from warehouse.consensus.aggregate import aggregate, by_fit, by_mean, by_precisions, consensus_rows, fit
from warehouse.consensus.evidence import (
    WITHDRAWN,
    EvidenceCounts,
    count_evidence,
    gathered,
    load,
    raters_of,
    settings_of,
)
from warehouse.consensus.precisions import drift, known_sd, largest_move, precision_rows
from warehouse.consensus.random_effects import ENOUGH_OVERLAP
from warehouse.errors import InputError
from warehouse.records import AnnotatorPrecision, Consensus, ConsensusFit, ConsensusMethod, FitMode, Record, content_id

LARGE = 0.2  # from this share of changed propositions, a full fit costs little more than an incremental one
TAKES_ESTIMATES = ("mean", "em")


@dataclass(frozen=True)
class Renewal:
    """What an update of the consensus did.

    Attributes:
        computed: How many propositions were computed.
        inserted: How many rows are new.
        updated: How many rows changed.
        withdrawn: How many rows were deleted, because their propositions lost all evidence.
        full: Whether all propositions were computed.
        largest_move: The largest relative change of an annotator's SD, mu or tau; None if not measured.
        by_mean: Why `em` used the mean; empty if it did not.
    """

    computed: int = 0
    inserted: int = 0
    updated: int = 0
    withdrawn: int = 0
    full: bool = False
    largest_move: float | None = None
    by_mean: str = ""


def renew_consensus(
    warehouse: Warehouse,
    method: ConsensusMethod,
    *,
    labeler_weights: Mapping[str, float] | None = None,
    tolerance: float = 0.05,
    full: bool = False,
) -> Renewal:
    """Bring the consensus of one method up to date. Without new evidence nothing is computed or written.

    Every proposition with a valid judgment has a consensus. With `em`, propositions with new evidence are computed with
    the annotators' precisions of the last full fit, and those without a known annotator by the mean. If an annotator's
    SD, mu or tau then moves by more than `tolerance`, all propositions are fitted again. If annotators overlap too
    little to be told apart (`EvidenceCounts.overlaps`), `em` gives the mean, and the result says so.

    Args:
        warehouse: The warehouse, open for writing.
        method: The method.
        labeler_weights: For each labeler whose recalibrated estimates count, how many judgments of an average
            annotator one is worth. A labeler without a recalibration does not count.
        tolerance: How far precisions may move before a full fit, as a share.
        full: Compute everything.

    Raises:
        InputError: The method uses judgments only, but weights are given.
    """
    weights = {name: weight for name, weight in (labeler_weights or {}).items() if weight > 0}
    if weights and method not in TAKES_ESTIMATES:
        raise InputError(f"consensus {method} uses judgments only; empty labeler_weights, or choose mean or em")
    settings = settings_of(weights)
    with gathered(warehouse, method, weights, settings):
        counts = count_evidence(warehouse)
        why_mean = _why_mean(counts) if method == "em" and counts.total and not counts.overlaps else ""
        if not (counts.changed or counts.withdrawn or full):
            return Renewal(by_mean=why_mean)
        snapshot = warehouse.snapshot_id()
        if method != "em":
            return _renew_simple(warehouse, method, snapshot, full)
        if why_mean:
            return replace(_renew_by_mean(warehouse, snapshot, counts, settings), by_mean=why_mean)
        earlier = None if full or counts.changed > LARGE * counts.total else _last_full_fit(warehouse, settings)
        if earlier is not None:
            renewal = _renew_some(warehouse, snapshot, counts, earlier, tolerance)
            if renewal is not None:
                return renewal
        return _renew_all(warehouse, snapshot, counts, settings)


def _renew_simple(warehouse: Warehouse, method: ConsensusMethod, snapshot: int, full: bool) -> Renewal:
    """Update a method that looks at each proposition alone: only those with new evidence."""
    units, evidence = load(warehouse, "true" if full else "is_changed")
    return _store(warehouse, method, consensus_rows(units, evidence, aggregate(evidence, method), method, snapshot))


def _why_mean(counts: EvidenceCounts) -> str:
    if not counts.n_values:
        return "the consensus is the mean: no judgment has a known annotator"
    return (
        f"the consensus is the mean: {counts.n_shared:,} of {counts.n_values:,} judgments share a proposition with "
        f"another, and it takes {ENOUGH_OVERLAP:.0%} to tell annotators apart"
    )


def _renew_by_mean(warehouse: Warehouse, snapshot: int, counts: EvidenceCounts, settings: str) -> Renewal:
    """Use the mean instead of a fit, for all propositions: whether annotators overlap is a property of the whole."""
    rows = _rows_by_mean(warehouse, "true", snapshot)
    means = rows["mean"].to_numpy()
    results = {"mu": means.mean(), "tau": means.std(), "iterations": 0, "n_recomputed": rows.num_rows}
    record = _fit_record("mean", counts, snapshot, settings, **results, largest_move=None)
    precisions = arrow_schema(AnnotatorPrecision).empty_table()
    return _store(warehouse, "em", rows, record, precisions, more_gone={AnnotatorPrecision: "true"})


def _renew_all(warehouse: Warehouse, snapshot: int, counts: EvidenceCounts, settings: str) -> Renewal:
    """Compute everything: by a full fit, and by the mean where no annotator is known."""
    units, evidence = load(warehouse, "is_known")
    if len(evidence.values) == 0:
        return _store(warehouse, "em", arrow_schema(Consensus).empty_table())
    # The fit needs raters numbered without gaps; some have no value here.
    codes, rater_index = np.unique(evidence.rater_index, return_inverse=True)
    compact = replace(evidence, rater_index=rater_index.astype(np.int64))
    fitted = fit(compact)
    rows = consensus_rows(units, compact, by_fit(compact, fitted), "em", snapshot)
    rows = pa.concat_tables([rows, _rows_by_mean(warehouse, "NOT is_known", snapshot)])
    raters = raters_of(warehouse, codes)
    people = raters["weight"].is_null().to_numpy()
    sd, n = fitted.annotator_sd[people], np.bincount(compact.rater_index)[people]
    precisions = precision_rows(raters["rater"].filter(pa.array(people)), sd, sd, n, snapshot)
    results = {"mu": fitted.mu, "tau": fitted.tau2**0.5, "iterations": fitted.iterations, "n_recomputed": rows.num_rows}
    move = largest_move(warehouse, precisions)
    record = _fit_record("full", counts, snapshot, settings, **results, largest_move=move)
    return _store(warehouse, "em", rows, record, precisions)


def _renew_some(
    warehouse: Warehouse, snapshot: int, counts: EvidenceCounts, earlier: ConsensusFit, tolerance: float
) -> Renewal | None:
    """Update only the propositions with new evidence; None if precisions, mu or tau move too far."""
    units, evidence = load(warehouse, "is_changed AND is_known")
    result = by_precisions(evidence, known_sd(warehouse), earlier.mu, earlier.tau**2)
    rows = consensus_rows(units, evidence, result, "em", snapshot)
    moved = drift(warehouse, rows)
    rows = pa.concat_tables([rows, _rows_by_mean(warehouse, "is_changed AND NOT is_known", snapshot)])
    spread = [abs(moved.mu - earlier.mu) / earlier.tau, abs(moved.tau / earlier.tau - 1)]
    move = float(max([*np.abs(moved.sd / moved.sd_of_full_fit - 1), *spread]))
    if move > tolerance:
        return None
    precisions = precision_rows(moved.annotators, moved.sd, moved.sd_of_full_fit, moved.n, snapshot)
    results = {"mu": earlier.mu, "tau": earlier.tau, "iterations": 1, "n_recomputed": rows.num_rows}
    record = _fit_record("incremental", counts, snapshot, earlier.settings, **results, largest_move=move)
    return _store(warehouse, "em", rows, record, precisions)


def _rows_by_mean(warehouse: Warehouse, condition: str, snapshot: int) -> pa.Table:
    """The mean as the consensus of propositions whose annotators are unknown or cannot be told apart."""
    units, evidence = load(warehouse, condition)
    return consensus_rows(units, evidence, by_mean(evidence), "em", snapshot)


def _store(
    warehouse: Warehouse,
    method: ConsensusMethod,
    rows: pa.Table,
    record: ConsensusFit | None = None,
    precisions: pa.Table | None = None,
    *,
    more_gone: Mapping[type[Record], str] = MappingProxyType({}),
) -> Renewal:
    """Write everything in one transaction."""
    batches = [rows, *([[record]] if record else []), *([precisions] if precisions is not None else [])]
    gone: dict[type[Record], str] = {Consensus: f"method = '{method}' AND {WITHDRAWN}", **more_gone}
    result = merge_all(warehouse, batches, removing=gone)[Consensus.table]
    full = record is None or record.mode != "incremental"
    move = record.largest_move if record else None
    return Renewal(rows.num_rows, result.inserted, result.updated, result.deleted, full, move)


def _last_full_fit(warehouse: Warehouse, settings: str) -> ConsensusFit | None:
    """The newest full fit with these settings; None if there is none, or if the mean has replaced it since."""
    fits = read(warehouse, ConsensusFit, "method = 'em' AND mode <> 'incremental' AND settings = ?", [settings])
    newest = max(fits, key=lambda each: (each.created_at, each.snapshot_id), default=None)
    return None if newest is None or newest.mode == "mean" else newest


def _fit_record(mode: FitMode, counts: EvidenceCounts, snapshot: int, settings: str, **results: Any) -> ConsensusFit:
    return ConsensusFit(
        fit_id=content_id("em", mode, str(snapshot), settings),
        mode=mode,
        n_propositions=counts.total,
        n_annotators=counts.n_annotators,
        n_judgments=counts.n_judgments,
        n_simulated=counts.n_simulated,
        settings=settings,
        snapshot_id=snapshot,
        **results,
    )
