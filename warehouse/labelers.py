"""What the warehouse knows about labelers: a row a version, and their estimates beside the judgments."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from warehouse.connect import Warehouse

ESTIMATES_SQL = """
WITH judged AS (SELECT proposition_id, avg(probability) AS mean FROM valid_judgments GROUP BY proposition_id)
SELECT
  e.labeler, e.labeler_version, e.probability AS estimate, j.mean AS judged,
  CASE WHEN p.split = 'test' OR g.split IS NOT DISTINCT FROM 'test' THEN r.recalibrated END AS recalibrated
FROM estimates e
LEFT JOIN judged j ON j.proposition_id = e.proposition_id
LEFT JOIN propositions p ON p.proposition_id = e.proposition_id
LEFT JOIN premise_groups g ON g.premise_id = p.premise_id
LEFT JOIN recalibrated_estimates r ON r.estimate_id = e.estimate_id
WHERE e.probability IS NOT NULL
ORDER BY e.labeler, e.labeler_version, e.proposition_id
"""


def labeler_quality(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The rows of the view labeler_quality, by labeler and version."""
    rows = warehouse.sql("SELECT * FROM labeler_quality ORDER BY labeler, labeler_version").to_pylist()
    return [dict(row) for row in rows]


def labeler_estimates(warehouse: Warehouse) -> pa.Table:
    """labeler, labeler_version, estimate, judged, recalibrated of every estimate with a probability; all in [0, 1].

    `judged` is the mean of the valid judgments, null without one. `recalibrated` is there on the test split alone,
    which no recalibration has seen, and where the estimate is the labeler's newest.
    """
    return warehouse.sql(ESTIMATES_SQL)
