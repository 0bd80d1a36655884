"""The annotators' precisions: those of the last full fit, how far they moved since, and their rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import arrow_schema
from warehouse.consensus.evidence import NOBODY_SQL
from warehouse.consensus.random_effects import PRIOR_SD, Floats, annotator_variance
from warehouse.records import AnnotatorPrecision, now


def known_sd(warehouse: Warehouse) -> Floats:
    """Return the SD of each rater at the last full fit, in the order of their codes; the prior's SD for new raters."""
    query = """
        SELECT coalesce(p.sd_of_full_fit, ?) AS sd FROM raters j
        LEFT JOIN annotator_precisions p ON p.annotator_id = j.rater AND j.weight IS NULL ORDER BY j.code
    """
    sd: Floats = warehouse.sql(query, [PRIOR_SD])["sd"].to_numpy()
    return sd


@dataclass(frozen=True)
class Drift:
    """The annotators' SDs under the renewed consensus and at the last full fit; mu and tau of the propositions."""

    annotators: pa.ChunkedArray
    sd: Floats
    sd_of_full_fit: Floats
    n: Floats
    mu: float
    tau: float


def drift(warehouse: Warehouse, rows: pa.Table) -> Drift:
    """Do one M step, in SQL, on the consensus as it would be with these rows: one scan of the judgments.

    `rows` are those of propositions with a known annotator.
    """
    present = """
        SELECT proposition_id, mean, sd FROM renewed
        UNION ALL
        SELECT c.proposition_id, c.mean, c.sd FROM consensus c
        JOIN evident e ON e.proposition_id = c.proposition_id AND e.is_known AND NOT e.is_changed WHERE c.method = 'em'
    """
    with warehouse.given(renewed=rows.select(["proposition_id", "mean", "sd"])):
        squares = warehouse.sql(
            f"""
            SELECT v.annotator_id, count(*)::DOUBLE AS n, any_value(coalesce(p.sd_of_full_fit, {PRIOR_SD})) AS known,
              sum((v.probability - c.mean) ** 2 + c.sd ** 2) AS squares
            FROM counted v JOIN ({present}) c ON c.proposition_id = v.proposition_id
            LEFT JOIN annotator_precisions p ON p.annotator_id = v.annotator_id
            WHERE v.annotator_kind NOT IN ({NOBODY_SQL})
            GROUP BY v.annotator_id ORDER BY v.annotator_id
            """
        )
        ((mu, tau2),) = warehouse.rows(f"SELECT avg(mean), var_pop(mean) + avg(sd ** 2) FROM ({present})")
    n, known = squares["n"].to_numpy(), squares["known"].to_numpy()
    sd = np.sqrt(annotator_variance(squares["squares"].to_numpy(), n))
    return Drift(squares["annotator_id"], sd, known, n, mu or 0.0, (tau2 or 0.0) ** 0.5)


def largest_move(warehouse: Warehouse, precisions: pa.Table) -> float | None:
    """Return the largest relative change of an SD since the last full fit; None if there was none."""
    with warehouse.given(renewed=precisions):
        found: float | None = warehouse.value(
            "SELECT max(abs(r.sd / p.sd_of_full_fit - 1)) FROM renewed r "
            "JOIN annotator_precisions p ON p.annotator_id = r.annotator_id"
        )
    return found


def precision_rows(
    annotators: pa.ChunkedArray, sd: Floats, sd_of_full_fit: Floats, n: Floats, snapshot: int
) -> pa.Table:
    """Return the Arrow rows of `AnnotatorPrecision`."""
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
