"""Renewing the consensus: only propositions whose evidence changed, unless the annotators' precisions moved too far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import arrow_schema
from warehouse.catalog.store import merge_all, read
from warehouse.consensus.aggregate import (
    Aggregate,
    Evidence,
    Units,
    aggregate,
    by_fit,
    by_mean,
    by_precisions,
    consensus_rows,
    fit,
)
from warehouse.consensus.evidence import WITHDRAWN, State, gathered, judges_of, load, settings_of, state_of
from warehouse.consensus.random_effects import ENOUGH_OVERLAP, PRIOR_SD, Floats, annotator_variance
from warehouse.errors import InputError
from warehouse.records import (
    AnnotatorPrecision,
    Consensus,
    ConsensusFit,
    ConsensusMethod,
    FitMode,
    Record,
    content_id,
    now,
)

LARGE = 0.2  # from this share of changed propositions on, a full fit costs little more than an incremental one
TAKES_ESTIMATES = ("mean", "em")


@dataclass(frozen=True)
class Renewal:
    """What became of the consensus: propositions computed, and how its rows changed. `full` is whether all were.

    `by_mean` says why `em` took the mean; empty where it did not.
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
    """Bring the consensus of one method up to date; without new evidence nothing is computed or written.

    It rests on the valid judgments and, for each labeler in `labeler_weights`, on its recalibrated estimates: one is
    worth so many judgments of an average annotator. A labeler without a recalibration does not count. Every proposition
    with a valid judgment has a consensus.

    With `em`, propositions with new evidence are computed with the annotators' precisions of the last full fit. Where
    the SD of an annotator, estimated anew, lies further from that of the last full fit than `tolerance` (a share of
    it), or mu or tau of the propositions does, all propositions are fitted again; so they are with `full`. Where
    annotators overlap too little to be told apart (`State.overlaps`), `em` is the mean, and the renewal says so.

    Raises:
        InputError: weights with a method that takes judgments alone.
    """
    weights = {name: weight for name, weight in (labeler_weights or {}).items() if weight > 0}
    if weights and method not in TAKES_ESTIMATES:
        raise InputError(f"the consensus {method} takes judgments alone: empty labeler_weights, or choose mean or em")
    settings = settings_of(weights)
    with gathered(warehouse, method, weights, settings):
        state = state_of(warehouse)
        why_mean = _why_mean(state) if method == "em" and not state.overlaps else ""
        if not (state.changed or state.withdrawn or full):
            return Renewal(by_mean=why_mean)
        snapshot = warehouse.snapshot_id()
        if method != "em":
            return _renew_simple(warehouse, method, snapshot, full)
        if why_mean:
            return replace(_renew_by_mean(warehouse, snapshot, state, settings), by_mean=why_mean)
        earlier = None if full or state.changed > LARGE * state.total else _last_full_fit(warehouse, settings)
        if earlier is not None:
            renewal = _renew_some(warehouse, snapshot, state, earlier, tolerance)
            if renewal is not None:
                return renewal
        return _renew_all(warehouse, snapshot, state, settings)


def _renew_simple(warehouse: Warehouse, method: ConsensusMethod, snapshot: int, full: bool) -> Renewal:
    """A method that looks at one proposition alone needs those with new evidence and no others."""
    units, evidence = load(warehouse, "true" if full else "is_changed")
    result = aggregate(evidence, method) if len(evidence.values) else None
    return _store(warehouse, method, _rows(units, evidence, result, method, snapshot), None, None)


def _why_mean(state: State) -> str:
    return (
        f"the consensus is the mean: {state.n_shared:,} of {state.n_values:,} judgments share a proposition with "
        f"another, and it takes {ENOUGH_OVERLAP:.0%} to tell annotators apart"
    )


def _renew_by_mean(warehouse: Warehouse, snapshot: int, state: State, settings: str) -> Renewal:
    """The mean of everything in place of a fit: the share that overlaps belongs to all judgments together."""
    units, evidence = load(warehouse, "true")
    result = by_mean(evidence) if len(evidence.values) else None
    rows = _rows(units, evidence, result, "em", snapshot)
    means = rows["mean"].to_numpy() if rows.num_rows else np.zeros(1)
    record = _fit_record("mean", state, snapshot, settings).model_copy(
        update={"mu": float(means.mean()), "tau": float(means.std()), "iterations": 0, "n_recomputed": rows.num_rows}
    )
    precisions = arrow_schema(AnnotatorPrecision).empty_table()
    return _store(warehouse, "em", rows, record, precisions, more_gone={AnnotatorPrecision: "true"})


def _renew_all(warehouse: Warehouse, snapshot: int, state: State, settings: str) -> Renewal:
    """Everything, by a full fit."""
    units, evidence = load(warehouse, "true")
    if len(evidence.values) == 0:
        return _store(warehouse, "em", arrow_schema(Consensus).empty_table(), None, None)
    # Judges without a value here would be gaps in the numbers that the fit goes by.
    codes, judge_index = np.unique(evidence.judge_index, return_inverse=True)
    compact = Evidence(evidence.unit_index, judge_index.astype(np.int64), evidence.values, evidence.weights)
    fitted = fit(compact)
    rows = consensus_rows(units, compact, by_fit(compact, fitted), "em", snapshot)
    judges = judges_of(warehouse, codes)
    people = judges["weight"].is_null().to_numpy()
    sd, n = fitted.annotator_sd[people], np.bincount(compact.judge_index)[people]
    precisions = _precision_rows(judges["judge"].filter(pa.array(people)), sd, sd, n, snapshot)
    record = _fit_record("full", state, snapshot, settings).model_copy(
        update={
            "mu": fitted.mu,
            "tau": fitted.tau2**0.5,
            "iterations": fitted.iterations,
            "n_recomputed": rows.num_rows,
            "largest_move": _moved(warehouse, precisions),
        }
    )
    return _store(warehouse, "em", rows, record, precisions)


def _renew_some(
    warehouse: Warehouse, snapshot: int, state: State, earlier: ConsensusFit, tolerance: float
) -> Renewal | None:
    """The propositions with new evidence alone; None where what they are computed with has moved too far by them."""
    units, evidence = load(warehouse, "is_changed")
    result = by_precisions(evidence, _known_sd(warehouse), earlier.mu, earlier.tau**2) if len(evidence.values) else None
    rows = _rows(units, evidence, result, "em", snapshot)
    drift = _drift(warehouse, rows)
    spread = [abs(drift.mu - earlier.mu) / earlier.tau, abs(drift.tau / earlier.tau - 1)]
    move = float(max([*np.abs(drift.sd / drift.sd_of_full_fit - 1), *spread]))
    if move > tolerance:
        return None
    precisions = _precision_rows(drift.annotators, drift.sd, drift.sd_of_full_fit, drift.n, snapshot)
    record = _fit_record("incremental", state, snapshot, earlier.settings).model_copy(
        update={"mu": earlier.mu, "tau": earlier.tau, "n_recomputed": rows.num_rows, "largest_move": move}
    )
    return _store(warehouse, "em", rows, record, precisions)


def _rows(
    units: Units, evidence: Evidence, result: Aggregate | None, method: ConsensusMethod, snapshot: int
) -> pa.Table:
    if result is None:
        return arrow_schema(Consensus).empty_table()
    return consensus_rows(units, evidence, result, method, snapshot)


def _store(
    warehouse: Warehouse,
    method: ConsensusMethod,
    rows: pa.Table,
    record: ConsensusFit | None,
    precisions: pa.Table | None,
    *,
    more_gone: Mapping[type[Record], str] = MappingProxyType({}),
) -> Renewal:
    """Everything that a renewal writes, in one transaction."""
    batches = [rows, *([[record]] if record else []), *([precisions] if precisions is not None else [])]
    gone: dict[type[Record], str] = {Consensus: f"method = '{method}' AND {WITHDRAWN}", **more_gone}
    result = merge_all(warehouse, batches, removing=gone)[Consensus.table]
    full = record is None or record.mode != "incremental"
    move = record.largest_move if record else None
    return Renewal(rows.num_rows, result.inserted, result.updated, result.deleted, full, move)


def _last_full_fit(warehouse: Warehouse, settings: str) -> ConsensusFit | None:
    """The newest full fit with these settings; None where an incremental renewal has nothing to stand on.

    There is none where the mean stood in for it since.
    """
    fits = read(warehouse, ConsensusFit, "method = 'em' AND mode <> 'incremental' AND settings = ?", [settings])
    newest = max(fits, key=lambda each: (each.created_at, each.snapshot_id), default=None)
    return None if newest is None or newest.mode == "mean" else newest


def _fit_record(mode: FitMode, state: State, snapshot: int, settings: str) -> ConsensusFit:
    """What a fit rests on; what it found is filled in by whoever made it."""
    return ConsensusFit(
        fit_id=content_id("em", mode, str(snapshot), settings),
        mode=mode,
        mu=0.0,
        tau=0.0,
        iterations=1,
        n_recomputed=0,
        n_propositions=state.total,
        n_annotators=state.n_annotators,
        n_judgments=state.n_judgments,
        n_simulated=state.n_simulated,
        largest_move=None,
        settings=settings,
        snapshot_id=snapshot,
    )


def _known_sd(warehouse: Warehouse) -> Floats:
    """The SD of each judge at the last full fit, in the order of their codes; the prior's for those new since then."""
    query = """
        SELECT coalesce(p.sd_of_full_fit, ?) AS sd FROM judges j
        LEFT JOIN annotator_precisions p ON p.annotator_id = j.judge AND j.weight IS NULL ORDER BY j.code
    """
    sd: Floats = warehouse.sql(query, [PRIOR_SD])["sd"].to_numpy()
    return sd


@dataclass(frozen=True)
class _Drift:
    """The annotators as the renewed consensus shows them, beside the last full fit; mu and tau of the propositions."""

    annotators: pa.ChunkedArray
    sd: Floats
    sd_of_full_fit: Floats
    n: Floats
    mu: float
    tau: float


def _drift(warehouse: Warehouse, rows: pa.Table) -> _Drift:
    """One M step from the consensus as it would be with these rows, in SQL: one scan of the judgments."""
    warehouse.connection.register("renewed", rows.select(["proposition_id", "mean", "sd"]))
    present = """
        SELECT proposition_id, mean, sd FROM renewed
        UNION ALL
        SELECT c.proposition_id, c.mean, c.sd FROM consensus c
        JOIN evident e ON e.proposition_id = c.proposition_id AND e.stands AND NOT e.is_changed WHERE c.method = 'em'
    """
    try:
        squares = warehouse.sql(
            f"""
            SELECT v.annotator_id, count(*)::DOUBLE AS n, any_value(coalesce(p.sd_of_full_fit, {PRIOR_SD})) AS known,
              sum((v.probability - c.mean) ** 2 + c.sd ** 2) AS squares
            FROM valid_judgments v JOIN ({present}) c ON c.proposition_id = v.proposition_id
            LEFT JOIN annotator_precisions p ON p.annotator_id = v.annotator_id
            GROUP BY v.annotator_id ORDER BY v.annotator_id
            """
        )
        whole = warehouse.sql(f"SELECT avg(mean) AS mu, var_pop(mean) + avg(sd ** 2) AS tau2 FROM ({present})")
    finally:
        warehouse.connection.unregister("renewed")
    sd = np.sqrt(annotator_variance(squares["squares"].to_numpy(), squares["n"].to_numpy()))
    mu, tau2 = (whole[name][0].as_py() or 0.0 for name in ("mu", "tau2"))
    return _Drift(
        squares["annotator_id"], sd, squares["known"].to_numpy(), squares["n"].to_numpy(), mu, float(tau2) ** 0.5
    )


def _moved(warehouse: Warehouse, precisions: pa.Table) -> float | None:
    """How far the SDs lie from those of the full fit before, as a share of these; None without one."""
    warehouse.connection.register("renewed", precisions)
    try:
        (found,) = warehouse.sql(
            "SELECT max(abs(r.sd / p.sd_of_full_fit - 1)) AS m FROM renewed r "
            "JOIN annotator_precisions p ON p.annotator_id = r.annotator_id"
        )["m"].to_pylist()
    finally:
        warehouse.connection.unregister("renewed")
    return None if found is None else float(found)


def _precision_rows(
    annotators: pa.ChunkedArray, sd: Floats, sd_of_full_fit: Floats, n: Floats, snapshot: int
) -> pa.Table:
    size = len(annotators)
    columns = {
        "annotator_id": annotators,
        "sd": pa.array(sd.round(6)),
        "sd_of_full_fit": pa.array(sd_of_full_fit.round(6)),
        "n_judgments": pa.array(n.astype(np.int64)),
        "snapshot_id": pa.repeat(pa.scalar(snapshot, pa.int64()), size),
        "created_at": pa.repeat(pa.scalar(now(), pa.timestamp("us", "UTC")), size),
    }
    return pa.table(columns, schema=arrow_schema(AnnotatorPrecision))
