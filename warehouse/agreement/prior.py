"""What to expect of a study's judgments, from those in a warehouse."""

from __future__ import annotations

from warehouse.agreement.design import Moments
from warehouse.agreement.sql import units_sql
from warehouse.catalog.connect import Warehouse

ENOUGH = 30
"""How many propositions with two judgments tell what to expect."""


def measured(warehouse: Warehouse) -> Moments | None:
    """Return alpha, the SD within propositions and the mean of the valid judgments; None if there are too few.

    With D_o the observed disagreement (`warehouse.agreement.sql`), the variance within propositions is D_o / 2.
    It is 0 if all judgments of each proposition are equal; alpha is at most 0 if they agree no better than chance.
    """
    units = units_sql("valid_judgments", "proposition_id", "probability")
    query = f"""
        SELECT count(*) AS units, sum(m) AS n, sum(s) AS s, sum(q) AS q, sum(2 * (m * q - s * s) / (m - 1)) AS d,
          (SELECT count(*) FROM valid_judgments WHERE is_simulated) AS simulated
        FROM ({units})
    """
    (row,) = warehouse.sql(query).to_pylist()
    if row["units"] < ENOUGH:
        return None
    n, within = row["n"], max(row["d"] / row["n"] / 2, 0.0)  # sums of equal judgments may end just below 0
    total = (n * row["q"] - row["s"] ** 2) / (n * (n - 1))
    simulated = f", {row['simulated']:,} simulated" if row["simulated"] else ""
    source = f"{n:,.0f} judgments of {row['units']:,} propositions in the warehouse{simulated}"
    return Moments(alpha=1 - within / total if total else 0.0, sd=within**0.5, mean=row["s"] / n, source=source)
