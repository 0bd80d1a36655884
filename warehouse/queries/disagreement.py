"""The propositions that people disagree on, and each judgment of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pyarrow as pa

from warehouse.catalog.connect import Warehouse

DisagreementKind = Literal["camps", "outlier", "spread", "little"]


def disputed(warehouse: Warehouse, kind: DisagreementKind | None, limit: int) -> pa.Table:
    """Return rows of the view disagreement, of all kinds or one, those with the largest SD first."""
    where = "WHERE kind = ?" if kind else ""
    query = f"SELECT * FROM disagreement {where} ORDER BY sd DESC, proposition_id LIMIT {limit:d}"
    return warehouse.sql(query, [kind] if kind else [])


def kinds_of(warehouse: Warehouse, propositions: Sequence[str]) -> dict[str, DisagreementKind]:
    """Return how the judgments of propositions differ, by id; those with fewer than five judgments are left out."""
    rows = warehouse.sql(
        "SELECT proposition_id, kind FROM disagreement "
        "WHERE kind IS NOT NULL AND proposition_id IN (SELECT unnest(?::VARCHAR[]))",
        [list(propositions)],
    ).to_pylist()
    return {row["proposition_id"]: row["kind"] for row in rows}


def judgments_of(warehouse: Warehouse, propositions: Sequence[str]) -> dict[str, tuple[list[float], list[bool]]]:
    """Return the valid judgments of propositions, by id, in ascending order, and whether each is simulated."""
    rows = warehouse.sql(
        """
        SELECT proposition_id, list(probability ORDER BY probability, judgment_id) AS probabilities,
          list(is_simulated ORDER BY probability, judgment_id) AS simulated
        FROM valid_judgments WHERE proposition_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY proposition_id
        """,
        [list(propositions)],
    ).to_pylist()
    return {row["proposition_id"]: (row["probabilities"], row["simulated"]) for row in rows}
