"""Labelers in the warehouse: the panel in use, their quality, and their estimates next to the judgments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import Merged, merge, read
from warehouse.records import LabelerVersion, labeler_id, now

UNKNOWN_SQL = """
SELECT labeler, labeler_version FROM (
  SELECT DISTINCT labeler, labeler_version FROM estimates
  UNION SELECT DISTINCT labeler, labeler_version FROM comparisons
) ANTI JOIN labelers USING (labeler, labeler_version) ORDER BY ALL
"""
# The first answer of a version and its request; for a mean of samples, the last request before it.
FIRST_ANSWER_SQL = """
SELECT r.endpoint, r.model, r.prompt, r.prompt_version, a.method, a.created_at
FROM (
  SELECT * FROM (
    SELECT proposition_id AS subject_id, method, request_id, created_at FROM estimates
    WHERE labeler = $1 AND labeler_version = $2
    UNION ALL
    SELECT comparison_id, 'pairwise', request_id, created_at FROM comparisons
    WHERE labeler = $1 AND labeler_version = $2
  ) ORDER BY created_at, subject_id LIMIT 1
) a JOIN requests r ON r.labeler = $1 AND r.purpose = 'elicit' AND (
  r.request_id = a.request_id
  OR (a.request_id IS NULL AND r.subject_id = a.subject_id AND r.created_at <= a.created_at)
)
ORDER BY r.created_at DESC, r.request_id LIMIT 1
"""

ESTIMATES_SQL = """
WITH judged AS (SELECT proposition_id, avg(probability) AS mean FROM valid_judgments GROUP BY proposition_id)
SELECT
  e.labeler, e.labeler_version, e.probability AS estimate, j.mean AS judged,
  CASE WHEN s.split = 'test' THEN r.recalibrated END AS recalibrated
FROM estimates e
LEFT JOIN judged j ON j.proposition_id = e.proposition_id
LEFT JOIN splits s ON s.proposition_id = e.proposition_id
LEFT JOIN recalibrated_estimates r ON r.estimate_id = e.estimate_id
WHERE e.probability IS NOT NULL
ORDER BY e.labeler, e.labeler_version, e.proposition_id
"""


def renew_panel(warehouse: Warehouse, panel: Sequence[LabelerVersion]) -> Merged:
    """Make these the labeler versions in use. Writes nothing if they already are.

    Others go out of use but keep their rows. Versions older than the table `labelers` get a row as far as their
    requests tell; a labeler whose answers have no request stays unknown.
    """
    ids = {each.labeler_id for each in panel}
    known = [each for each in read(warehouse, LabelerVersion, "in_use") if each.labeler_id not in ids]
    left = [each.model_copy(update={"in_use": False, "changed_at": now()}) for each in known]
    before = {each.labeler_id: each for each in _asked_before(warehouse)}
    there = [each.model_copy(update={"created_at": before.get(each.labeler_id, each).created_at}) for each in panel]
    return merge(warehouse, [*before.values(), *left, *there])


def _asked_before(warehouse: Warehouse) -> list[LabelerVersion]:
    """The versions that have answers but no row."""
    found: list[LabelerVersion] = []
    for unknown in warehouse.sql(UNKNOWN_SQL).to_pylist():
        named = (unknown["labeler"], unknown["labeler_version"])
        told = warehouse.sql(FIRST_ANSWER_SQL, named).to_pylist()
        found += [LabelerVersion(labeler_id=labeler_id(*named), **unknown, **row, in_use=False) for row in told]
    return found


def panel_versions(warehouse: Warehouse) -> set[tuple[str, str]]:
    """Return the labelers and versions of the panel that gave estimates."""
    rows = warehouse.rows("SELECT DISTINCT labeler, labeler_version FROM current_estimates WHERE in_panel")
    return {(labeler, version) for labeler, version in rows}


def labeler_quality(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the rows of the view labeler_quality, by labeler and version."""
    rows: list[dict[str, Any]] = warehouse.sql(
        "SELECT * FROM labeler_quality ORDER BY labeler, labeler_version"
    ).to_pylist()
    return rows


def labeler_estimates(warehouse: Warehouse) -> pa.Table:
    """Return every estimate with a probability, next to the judgments.

    Returns:
        labeler, labeler_version, estimate, judged (mean of the valid judgments, or null) and recalibrated, all in
        [0, 1]. `recalibrated` is only given on the test split, which no recalibration was fitted on, and for current
        estimates.
    """
    return warehouse.sql(ESTIMATES_SQL)
