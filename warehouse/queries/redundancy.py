"""The tasks of the studies, with what their propositions' judgments tell, for adaptive redundancy."""

from __future__ import annotations

import pyarrow as pa

from warehouse.catalog.connect import Warehouse


def study_tasks(warehouse: Warehouse) -> pa.Table:
    """Return one row per task of the studies' Label Studio projects, sorted by premise.

    The columns are project (its number), title (that of the settings), number, proposition_id, is_judged (false for
    repeats, and for checks, also those that became one later: they get no further judgments), n_annotations (as of the
    last pull), and n, sum, squares of the valid judgments of the proposition in all sources; n is 0 without one.
    """
    return warehouse.sql(
        """
        WITH judged AS (
          SELECT proposition_id, count(*) AS n, sum(probability) AS s, sum(probability * probability) AS q
          FROM valid_judgments GROUP BY proposition_id
        )
        SELECT o.number AS project, o.title, CAST(t.source_id AS BIGINT) AS number, t.proposition_id,
          coalesce(t.purpose, 'judge') = 'judge' AND t.proposition_id NOT IN (SELECT proposition_id FROM checks)
            AS is_judged, coalesce(s.n_annotations, 0) AS n_annotations,
          coalesce(j.n, 0)::DOUBLE AS n, coalesce(j.s, 0) AS sum, coalesce(j.q, 0) AS squares
        FROM tasks t
        JOIN studio_projects o
          ON o.project = t.project AND o.retired_at IS NULL AND coalesce(o.purpose, 'study') = 'study'
        JOIN propositions p ON p.proposition_id = t.proposition_id
        LEFT JOIN studio_tasks s ON s.project = t.project AND s.number = CAST(t.source_id AS BIGINT)
        LEFT JOIN judged j ON j.proposition_id = t.proposition_id
        ORDER BY p.premise_id, t.proposition_id, o.number
        """
    )


def study_judgments(warehouse: Warehouse) -> pa.Table:
    """Return how many judgments of the studies' Label Studio projects, retired ones too, came from each task.

    The columns are project (its number; null if it is retired), title, number (that of the task; null if unknown)
    and n.
    Judgments whose annotation was deleted are left out.
    """
    return warehouse.sql(
        """
        WITH held AS (SELECT project, number, unnest(judgments) AS source_id FROM studio_tasks)
        SELECT CASE WHEN o.retired_at IS NULL THEN o.number END AS project, o.title, h.number, count(*) AS n
        FROM judgments j
        JOIN studio_projects o ON o.project = j.batch AND coalesce(o.purpose, 'study') = 'study'
        LEFT JOIN held h ON h.project = j.batch AND h.source_id = j.source_id
        WHERE j.source = 'label-studio' AND j.deleted_at IS NULL
        GROUP BY ALL
        """
    )
