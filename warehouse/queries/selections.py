"""Choosing propositions for more judgments: what is known of each, and the chosen ones that still wait."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.records import ConsensusMethod, Split


def candidates(warehouse: Warehouse, method: ConsensusMethod, splits: Collection[Split]) -> pa.Table:
    """Return what is known of the propositions of some splits, except checks, without their texts, sorted by premise.

    The columns are proposition_id, split, n_judgments, n_simulated, consensus_mean, consensus_sd and panel_mean; the
    last three are null where unknown.
    """
    return warehouse.sql(
        """
        WITH judged AS (
          SELECT proposition_id, count(*) AS n, count(*) FILTER (is_simulated) AS simulated
          FROM valid_judgments GROUP BY proposition_id
        )
        SELECT p.proposition_id, s.split, coalesce(j.n, 0) AS n_judgments, coalesce(j.simulated, 0) AS n_simulated,
          c.mean AS consensus_mean, c.sd AS consensus_sd, d.mean AS panel_mean
        FROM propositions p
        JOIN splits s ON s.proposition_id = p.proposition_id
        LEFT JOIN judged j ON j.proposition_id = p.proposition_id
        LEFT JOIN consensus c ON c.proposition_id = p.proposition_id AND c.method = ?
        LEFT JOIN panel_distribution d ON d.proposition_id = p.proposition_id
        WHERE s.split IN (SELECT unnest(?::VARCHAR[])) AND p.proposition_id NOT IN (SELECT proposition_id FROM checks)
        ORDER BY p.premise_id, p.proposition_id
        """,
        [method, list(splits)],
    )


def chosen(warehouse: Warehouse, rule: str | None = None, limit: int | None = None) -> pa.Table:
    """Return the rows of the view chosen, those in most doubt first: of one rule, and at most `limit`, if given."""
    where = "WHERE rule = ?" if rule else ""
    query = f"SELECT * FROM chosen {where} ORDER BY rule, value DESC, proposition_id"
    return warehouse.sql(query + (f" LIMIT {limit}" if limit is not None else ""), [rule] if rule else [])


def wanted_annotations(warehouse: Warehouse, project: str) -> dict[int, int]:
    """Return how many annotations the tasks of chosen propositions should get in a Label Studio project, by number.

    That is one more than the last pull found, so pushing again before the next pull asks for nothing more.
    """
    rows = warehouse.rows(
        """
        SELECT DISTINCT CAST(t.source_id AS BIGINT), coalesce(s.n_annotations, 0) + 1
        FROM tasks t SEMI JOIN chosen c ON c.proposition_id = t.proposition_id
        LEFT JOIN studio_tasks s ON s.project = t.project AND s.number = CAST(t.source_id AS BIGINT)
        WHERE t.project = ?
        """,
        [project],
    )
    return dict(rows)
