"""What arriving judgments have in common with those that are there."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from warehouse.catalog.connect import Warehouse

ARRIVING = """
SELECT a.source_id AS who, j.proposition_id, j.raw_probability AS rating
FROM arriving j JOIN people a ON a.annotator_id = j.annotator_id
"""
THERE = """
SELECT j.source, a.source_id AS who, j.proposition_id, j.raw_probability AS rating
FROM judgments j JOIN annotators a ON a.annotator_id = j.annotator_id
WHERE j.source <> ?
"""


class Known(NamedTuple):
    """The source that has most of the arriving judgments, and how many."""

    source: str
    n: int


def known_from_elsewhere(warehouse: Warehouse, judgments: pa.Table, annotators: pa.Table, source: str) -> Known | None:
    """Return the source that seems to have brought the arriving judgments before, under another name.

    An annotator's judgment of a proposition is known if that source has one by the same id with the same rating. If
    fewer than half of the annotators' propositions that both have are known, only the ids are alike. A source that has
    judgments already is never taken for another one.
    """
    if warehouse.rows("SELECT 1 FROM judgments WHERE source = ? LIMIT 1", [source]):
        return None
    with warehouse.given(
        arriving=judgments.select(["annotator_id", "proposition_id", "raw_probability"]), people=annotators
    ):
        found = warehouse.rows(
            f"""
            SELECT t.source, count(DISTINCT (who, proposition_id)) AS shared,
              count(DISTINCT (who, proposition_id)) FILTER (t.rating IS NOT DISTINCT FROM m.rating) AS known
            FROM ({ARRIVING}) m JOIN ({THERE}) t USING (who, proposition_id)
            GROUP BY t.source ORDER BY known DESC, t.source
            """,
            [source],
        )
    return next((Known(name, known) for name, shared, known in found if known * 2 >= shared), None)
