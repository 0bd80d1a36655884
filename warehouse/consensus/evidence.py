"""The evidence for the consensus: judgments, pooled estimates, and which propositions changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.extensions import literals
from warehouse.consensus.aggregate import Evidence, Units
from warehouse.consensus.random_effects import PRIOR_JUDGMENTS, PRIOR_SD, Ints, overlap
from warehouse.records import NOBODY, ConsensusMethod

WITHDRAWN = "proposition_id IN (SELECT proposition_id FROM temp.main.evident WHERE NOT stands)"

NOBODY_SQL = literals(NOBODY)
# What a judgment of nobody known is worth; null for a known annotator, whose precision decides.
WORTH = f"CASE WHEN {{kind}} IN ({NOBODY_SQL}) THEN 1.0::DOUBLE END"

# Annotators by id, then labelers: the values of a proposition keep this order.
RATERS_SQL = f"""
CREATE OR REPLACE TEMPORARY TABLE raters AS
SELECT rater, weight, (row_number() OVER (ORDER BY is_labeler, rater) - 1)::INTEGER AS code
FROM (
  SELECT annotator_id AS rater, {WORTH.format(kind="kind")} AS weight, false AS is_labeler FROM annotators
  UNION ALL SELECT labeler, weight, true FROM pooled_weights
)
"""
# The judgments that count, read once: finding them takes longer than any query on them.
COUNTED_SQL = """
CREATE OR REPLACE TEMPORARY TABLE counted AS
SELECT proposition_id, annotator_id, annotator_kind, probability, is_simulated, width,
  CASE WHEN width > 0 THEN source END AS source
FROM valid_judgments
"""
POOLED = """
SELECT r.proposition_id, r.labeler, r.recalibrated, w.weight
FROM recalibrated_estimates r JOIN pooled_weights w ON w.labeler = r.labeler
WHERE r.recalibrated IS NOT NULL AND r.in_panel
"""
EVIDENT_SQL = f"""
CREATE OR REPLACE TEMPORARY TABLE evident AS
WITH judged AS (
  SELECT proposition_id, count(*) AS n_judgments, count(*) FILTER (is_simulated) AS n_simulated,
    sum(md5_number_lower(concat_ws('|', annotator_id, probability, is_simulated, width, source))::HUGEINT) AS hash,
    bool_or(annotator_kind NOT IN ({NOBODY_SQL})) AS is_known
  FROM counted GROUP BY proposition_id
), pooled AS (
  SELECT proposition_id, count(*) AS n, sum(md5_number_lower(concat_ws('|', labeler, recalibrated))::HUGEINT) AS hash
  FROM ({POOLED}) GROUP BY proposition_id
), evidence AS (
  SELECT j.proposition_id, j.n_judgments, j.n_simulated, j.is_known, j.n_judgments + coalesce(p.n, 0) AS n_values,
    md5(concat_ws('|', j.n_judgments, j.hash, p.hash, ?::VARCHAR))[:24] AS fingerprint
  FROM judged j LEFT JOIN pooled p ON p.proposition_id = j.proposition_id
), known AS (
  SELECT proposition_id, fingerprint, n_judgments, n_simulated FROM consensus WHERE method = ?
)
SELECT coalesce(e.proposition_id, k.proposition_id) AS proposition_id, e.proposition_id IS NOT NULL AS stands,
  e.proposition_id IS NOT NULL AND e.fingerprint IS DISTINCT FROM k.fingerprint AS is_changed,
  e.n_judgments, e.n_simulated, e.n_values, e.is_known, e.fingerprint
FROM evidence e FULL JOIN known k ON k.proposition_id = e.proposition_id
"""


@dataclass(frozen=True)
class EvidenceCounts:
    """How much evidence there is.

    Attributes:
        total: Propositions with evidence.
        changed: Those whose evidence changed.
        withdrawn: Propositions that lost their evidence.
        n_judgments: Judgments that count.
        n_simulated: How many of them are simulated.
        n_annotators: Known annotators.
        n_values: Judgments and pooled estimates on propositions with a known annotator.
        n_shared: How many of these values are on propositions with two or more.
    """

    total: int
    changed: int
    withdrawn: int
    n_judgments: int
    n_simulated: int
    n_annotators: int
    n_values: int
    n_shared: int

    @property
    def overlaps(self) -> bool:
        """Whether known annotators overlap enough to tell their errors from the spread of the propositions."""
        return overlap(self.n_shared, self.n_values)


def settings_of(weights: Mapping[str, float]) -> str:
    """Return the settings of a consensus as JSON, as they go into every fingerprint and fit."""
    chosen = {"prior_judgments": PRIOR_JUDGMENTS, "prior_sd": PRIOR_SD, "labeler_weights": dict(weights)}
    return json.dumps(chosen, sort_keys=True)


@contextmanager
def gathered(
    warehouse: Warehouse, method: ConsensusMethod, weights: Mapping[str, float], settings: str
) -> Iterator[None]:
    """Provide the temporary tables `evident` (one row per proposition, with its evidence), `raters` and `counted`."""
    connection = warehouse.connection
    try:
        connection.execute("CREATE OR REPLACE TEMPORARY TABLE pooled_weights (labeler VARCHAR, weight DOUBLE)")
        if weights:
            connection.executemany("INSERT INTO pooled_weights VALUES (?, ?)", [list(item) for item in weights.items()])
        connection.execute(RATERS_SQL)
        connection.execute(COUNTED_SQL)
        connection.execute(EVIDENT_SQL, [settings, method])
        yield
    finally:
        for table in ("evident", "counted", "raters", "pooled_weights"):
            connection.execute(f"DROP TABLE IF EXISTS temp.main.{table}")


def count_evidence(warehouse: Warehouse) -> EvidenceCounts:
    """Count the gathered evidence."""
    row = warehouse.sql(
        f"""
        SELECT count(*) FILTER (stands) AS total, count(*) FILTER (is_changed) AS changed,
          count(*) FILTER (NOT stands) AS withdrawn, coalesce(sum(n_judgments), 0)::BIGINT AS n_judgments,
          coalesce(sum(n_simulated), 0)::BIGINT AS n_simulated,
          coalesce(sum(n_values) FILTER (is_known), 0)::BIGINT AS n_values,
          coalesce(sum(n_values) FILTER (is_known AND n_values > 1), 0)::BIGINT AS n_shared,
          (SELECT count(DISTINCT annotator_id) FROM counted WHERE annotator_kind NOT IN ({NOBODY_SQL}))
            AS n_annotators
        FROM evident
        """
    ).to_pylist()[0]
    return EvidenceCounts(**row)


def load(warehouse: Warehouse, condition: str) -> tuple[Units, Evidence]:
    """Return the units of `evident` for which a condition holds, and their values sorted by unit and rater."""
    units = f"""
        SELECT proposition_id, (row_number() OVER (ORDER BY proposition_id) - 1)::INTEGER AS unit, n_judgments,
          n_simulated, fingerprint
        FROM evident WHERE stands AND {condition}
    """
    warehouse.connection.execute(f"CREATE OR REPLACE TEMPORARY TABLE wanted AS {units}")
    try:
        described = warehouse.sql("SELECT * FROM wanted ORDER BY unit")
        values = warehouse.sql(
            f"""
            SELECT w.unit, j.code, v.value, v.weight, v.width, v.source FROM (
              SELECT proposition_id, annotator_id AS rater, probability AS value,
                {WORTH.format(kind="annotator_kind")} AS weight, coalesce(width, 0.0) AS width,
                coalesce(source, '') AS source
              FROM counted
              UNION ALL SELECT *, 0.0, '' FROM ({POOLED})
            ) v
            JOIN wanted w ON w.proposition_id = v.proposition_id
            JOIN raters j ON j.rater = v.rater AND j.weight IS NOT DISTINCT FROM v.weight
            ORDER BY w.unit, j.code
            """
        )
    finally:
        warehouse.connection.execute("DROP TABLE temp.main.wanted")
    evidence = Evidence(
        values["unit"].to_numpy().astype(np.int64),
        values["code"].to_numpy().astype(np.int64),
        values["value"].to_numpy(),
        values["weight"].to_numpy(zero_copy_only=False).astype(np.float64),
        values["width"].to_numpy(),
        values["source"].combine_chunks(),
    )
    return Units(
        described["proposition_id"].combine_chunks(),
        described["n_judgments"].to_numpy(),
        described["n_simulated"].to_numpy(),
        described["fingerprint"].combine_chunks(),
    ), evidence


def raters_of(warehouse: Warehouse, codes: Ints) -> pa.Table:
    """Return rater (an annotator's id or a labeler's name) and weight (null for known annotators) for these codes."""
    raters = warehouse.sql("SELECT rater, weight FROM raters ORDER BY code")
    return raters.take(pa.array(codes))
