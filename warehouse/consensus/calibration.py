"""Data for recalibration: estimates next to mean judgments, without the test split; and the maps in force.

A map is in force until the table has a newer one for the same labeler version, or its withdrawal: a recalibration
without knots, whose id is that of the map plus `-withdrawn`.
"""

from __future__ import annotations

import pyarrow as pa

from warehouse.catalog.connect import ALIAS, Warehouse
from warehouse.catalog.store import merge, select
from warehouse.datasets.groups import SPLITS_AT, renew_groups
from warehouse.records import Recalibration, content_id

CALIBRATION_SQL = """
WITH judged AS (
  SELECT proposition_id, avg(probability) AS judged, count(*) AS n_judgments,
    count(*) FILTER (is_simulated) AS n_simulated
  FROM valid_judgments GROUP BY proposition_id
)
SELECT e.labeler, e.labeler_version, e.proposition_id, s.split,
  e.probability AS estimate, j.judged, j.n_judgments, j.n_simulated
FROM current_estimates e
JOIN judged j ON j.proposition_id = e.proposition_id
JOIN splits s ON s.proposition_id = e.proposition_id
WHERE e.probability IS NOT NULL AND s.split <> 'test' AND (e.method <> 'estimator' OR s.split = 'dev')
ORDER BY e.labeler, e.labeler_version, e.proposition_id
"""
# A fit can have seen only what had an estimate and a judgment and was not held out at its snapshot.
SEEN_SQL = f"""
SELECT count(*)
FROM ({SPLITS_AT}) p
SEMI JOIN (
  SELECT proposition_id FROM estimates AT (VERSION => {{snapshot}})
  WHERE labeler = ? AND labeler_version = ? AND probability IS NOT NULL
) e ON e.proposition_id = p.proposition_id
SEMI JOIN (
  SELECT proposition_id FROM judgments AT (VERSION => {{snapshot}}) WHERE probability IS NOT NULL
) j ON j.proposition_id = p.proposition_id
JOIN splits since ON since.proposition_id = p.proposition_id
WHERE p.split <> 'test' AND since.split = 'test'
"""


def calibration_pairs(warehouse: Warehouse) -> pa.Table:
    """Return the estimates of train and dev propositions with judgments, never those of the test split.

    Of estimators only those of dev propositions, since they were trained on the others.

    Which split a proposition is in says the view `splits`; call `renew_splits` first to bring it up to date.

    Returns:
        labeler, labeler_version, proposition_id, split, estimate, judged (the plain mean of the valid judgments, since
        the stored consensus may contain the estimates themselves), n_judgments, n_simulated.
    """
    return warehouse.sql(CALIBRATION_SQL)


def renew_splits(warehouse: Warehouse, near_duplicates: float) -> list[Recalibration]:
    """Update the groups of premises, and withdraw the maps that were fitted on what is now held out.

    Call this before reading a split.

    Args:
        warehouse: The warehouse, open for writing.
        near_duplicates: The Jaccard similarity, in (0, 1], from which two premises share a group; 0 groups only
            premises derived from each other.

    Returns:
        The maps that were withdrawn.
    """
    renew_groups(warehouse, near_duplicates)
    spoilt = [each for each in maps_in_force(warehouse) if _saw_held_out(warehouse, each)]
    merge(warehouse, [withdrawal(each, warehouse.snapshot_id()) for each in spoilt])
    return spoilt


def _saw_held_out(warehouse: Warehouse, of: Recalibration) -> bool:
    """Whether a map may have been fitted on what is now held out; True if the snapshot of its fit is gone."""
    if not warehouse.rows(f"FROM ducklake_snapshots('{ALIAS}') WHERE snapshot_id = ?", [of.snapshot_id]):
        return True
    query = SEEN_SQL.format(snapshot=of.snapshot_id)
    return bool(warehouse.value(query, [of.labeler, of.labeler_version]))


def withdrawal(of: Recalibration, snapshot_id: int) -> Recalibration:
    """Return the row that withdraws a map as of a snapshot: a recalibration without knots."""
    return Recalibration(
        recalibration_id=f"{of.recalibration_id}-withdrawn",
        labeler=of.labeler,
        labeler_version=of.labeler_version,
        estimates=[],
        probabilities=[],
        n_propositions=0,
        n_judgments=0,
        n_simulated=0,
        fingerprint=content_id("withdrawn", of.recalibration_id),
        snapshot_id=snapshot_id,
    )


def current_recalibrations(warehouse: Warehouse) -> list[Recalibration]:
    """Return the newest recalibration of each labeler version; one without knots is a withdrawal."""
    newest = "PARTITION BY labeler, labeler_version ORDER BY created_at DESC, recalibration_id"
    return select(warehouse, Recalibration, f"QUALIFY row_number() OVER ({newest}) = 1 ORDER BY labeler")


def maps_in_force(warehouse: Warehouse) -> list[Recalibration]:
    """Return the map of each labeler version that has one in force."""
    return [each for each in current_recalibrations(warehouse) if each.estimates]
