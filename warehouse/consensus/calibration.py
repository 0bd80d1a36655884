"""What recalibration may see: estimates beside the mean judgment, outside of the test split; and the maps in force.

A map is in force until a newer one of its labeler's version, or its withdrawal, stands in the table: a recalibration
without corners, whose id is that of the map with `-withdrawn` behind it.
"""

from __future__ import annotations

import pyarrow as pa

from warehouse.catalog.connect import ALIAS, Warehouse
from warehouse.catalog.schema import arrow_schema, to_records
from warehouse.catalog.store import merge
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
WHERE e.probability IS NOT NULL AND s.split <> 'test'
ORDER BY e.labeler, e.labeler_version, e.proposition_id
"""
# At the snapshot of a fit, what had an estimate and a judgment and was not held out is all that the fit can have seen.
SEEN_SQL = f"""
SELECT count(*) AS n
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
    """Labeler, version, proposition_id, split, estimate, judged, n_judgments, n_simulated; never of the test split.

    Those of train and dev with a judgment. `judged` is the plain mean of the valid judgments of people (and of
    simulated annotators, which `n_simulated` counts), and not the stored consensus, which may hold the estimates
    themselves. A proposition is held out where the view splits has it in test; `renew_splits` brings that up to date.
    """
    return warehouse.sql(CALIBRATION_SQL)


def renew_splits(warehouse: Warehouse, near_duplicates: float) -> list[Recalibration]:
    """Bring the groups of premises up to date, and withdraw the maps that saw what these hold out; gives those maps.

    Whoever reads a split first calls this. `near_duplicates` is the Jaccard similarity from which on two premises
    belong together, in (0, 1]; 0 looks for derived premises alone.
    """
    renew_groups(warehouse, near_duplicates)
    spoilt = [each for each in maps_in_force(warehouse) if _saw_held_out(warehouse, each)]
    merge(warehouse, [withdrawal(each, warehouse.snapshot_id()) for each in spoilt])
    return spoilt


def _saw_held_out(warehouse: Warehouse, of: Recalibration) -> bool:
    """Whether a map can have seen what is held out now; also where the snapshot that it was fitted at is gone."""
    if of.snapshot_id not in warehouse.sql(f"FROM ducklake_snapshots('{ALIAS}')")["snapshot_id"].to_pylist():
        return True
    query = SEEN_SQL.format(snapshot=of.snapshot_id)
    return bool(warehouse.sql(query, [of.labeler, of.labeler_version])["n"][0].as_py())


def withdrawal(of: Recalibration, snapshot_id: int) -> Recalibration:
    """The row that takes a map out of force, as found at a snapshot: one without corners, which rests on nothing."""
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
    """The newest recalibration of each version of each labeler; one without corners is a withdrawal."""
    columns = ", ".join(arrow_schema(Recalibration).names)
    newest = "PARTITION BY labeler, labeler_version ORDER BY created_at DESC, recalibration_id"
    query = f"SELECT {columns} FROM recalibrations QUALIFY row_number() OVER ({newest}) = 1 ORDER BY labeler"
    return to_records(Recalibration, warehouse.sql(query))


def maps_in_force(warehouse: Warehouse) -> list[Recalibration]:
    """The map of each version of each labeler that has one and whose last one was not withdrawn."""
    return [each for each in current_recalibrations(warehouse) if each.estimates]
