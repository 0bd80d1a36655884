"""What recalibration may see: estimates beside the mean judgment, of propositions outside of the test split."""

from __future__ import annotations

import pyarrow as pa

from warehouse.connect import Warehouse
from warehouse.records import Recalibration
from warehouse.schema import arrow_schema, to_records

CALIBRATION_SQL = """
WITH judged AS (
  SELECT proposition_id, avg(probability) AS judged, count(*) AS n_judgments,
    count(*) FILTER (is_simulated) AS n_simulated
  FROM valid_judgments GROUP BY proposition_id
)
SELECT e.labeler, e.labeler_version, e.proposition_id, coalesce(g.split, p.split) AS split,
  e.probability AS estimate, j.judged, j.n_judgments, j.n_simulated
FROM recalibrated_estimates e
JOIN judged j ON j.proposition_id = e.proposition_id
JOIN propositions p ON p.proposition_id = e.proposition_id
LEFT JOIN premise_groups g ON g.premise_id = p.premise_id
WHERE p.split <> 'test' AND coalesce(g.split, p.split) <> 'test'
ORDER BY e.labeler, e.labeler_version, e.proposition_id
"""


def calibration_pairs(warehouse: Warehouse) -> pa.Table:
    """Labeler, version, proposition_id, split, estimate, judged, n_judgments, n_simulated; never of the test split.

    A proposition counts as held out where its own split is test or that of the group of its premise is.
    """
    return warehouse.sql(CALIBRATION_SQL)


def current_recalibrations(warehouse: Warehouse) -> list[Recalibration]:
    """The newest recalibration of each version of each labeler."""
    columns = ", ".join(arrow_schema(Recalibration).names)
    newest = "PARTITION BY labeler, labeler_version ORDER BY created_at DESC, recalibration_id"
    query = f"SELECT {columns} FROM recalibrations QUALIFY row_number() OVER ({newest}) = 1 ORDER BY labeler"
    return to_records(Recalibration, warehouse.sql(query))
