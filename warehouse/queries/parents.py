"""Parents of derived propositions, each with everything on its premise; parents of one premise share that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.catalog.schema import arrow_schema
from warehouse.records import Parent, Premise, PropositionText

PREMISE = arrow_schema(Premise).names

ROWS = 8192  # parents to fetch at once, with everything on their premises

# `wanted` has the ids of parents, sorted by premise. Tables have a known size, so DuckDB keeps them in memory and
# streams the propositions past them.
TABLES = (
    """
    CREATE OR REPLACE TEMPORARY TABLE temp.main.asked AS
    SELECT q.place, q.other_id, p.proposition_id, p.premise_id, p.hypothesis, s.split
    FROM propositions p JOIN wanted q ON q.proposition_id = p.proposition_id
    JOIN splits s ON s.proposition_id = p.proposition_id
    """,
    """
    CREATE OR REPLACE TEMPORARY TABLE temp.main.there AS
    SELECT f.place, p.proposition_id AS id, p.premise_id, p.hypothesis, p.request_id
    FROM propositions p JOIN (
      SELECT premise_id, min(place) AS place FROM temp.main.asked GROUP BY premise_id
    ) f ON f.premise_id = p.premise_id
    """,
    """
    CREATE OR REPLACE TEMPORARY TABLE temp.main.made AS
    SELECT t.place, c.proposition_id AS id, c.request_id
    FROM propositions c JOIN temp.main.there t ON t.id = c.parent_id AND t.premise_id <> c.premise_id
    """,
)
# Only the first parent of a premise carries what is known there: its hypotheses, and the ids of propositions derived
# from them on other premises.
TEXTS = f"""
SELECT
  {", ".join(f"m.{name}" for name in PREMISE)}, q.proposition_id, q.hypothesis, q.split, o.id AS other,
  o.hypothesis AS beside, k.known
FROM temp.main.asked q JOIN premises m ON m.premise_id = q.premise_id
LEFT JOIN temp.main.there o ON o.id = q.other_id
LEFT JOIN (
  SELECT place, list({{id: id, hypothesis: hypothesis, request_id: request_id}} ORDER BY id) AS known
  FROM (
    SELECT place, id, hypothesis, request_id FROM temp.main.there
    UNION ALL SELECT place, id, NULL, request_id FROM temp.main.made
  ) GROUP BY place
) k ON k.place = q.place
"""


class Parents:
    """Builds the parents of a stream. What belongs to a premise is built once and kept until the next premise."""

    def __init__(self, *, with_other: bool) -> None:
        self._with_other = with_other
        self._premise = Premise.model_construct()
        self._known: dict[str, str] = {}
        self._written_by: dict[str, str] = {}

    def of(self, batch: pa.RecordBatch) -> Iterator[Parent]:
        """Yield the parents of a batch."""
        names = ("proposition_id", "hypothesis", "split", "other", "beside")
        starts = pc.indices_nonzero(pc.is_valid(batch["known"])).to_pylist()
        firsts = batch.select([*PREMISE, "known"]).take(pa.array(starts, pa.int64())).to_pylist()
        begins = dict(zip(starts, firsts, strict=True))
        columns = (batch[name].to_pylist() for name in names)
        for place, (one, hypothesis, split, other, beside) in enumerate(zip(*columns, strict=True)):
            if place in begins:
                self._begin(begins[place])
            text = None
            if self._with_other:
                text = PropositionText.model_construct(
                    proposition_id=other, premise=self._premise.text, hypothesis=beside
                )
            yield Parent.model_construct(
                proposition_id=one,
                premise=self._premise,
                hypothesis=hypothesis,
                split=split,
                other=text,
                known=self._known,
                written_by=self._written_by,
            )

    def _begin(self, row: dict[str, Any]) -> None:
        known = row.pop("known")
        self._premise = Premise.model_construct(**row)
        self._known = {one["id"]: one["hypothesis"] for one in known if one["hypothesis"] is not None}
        self._written_by = {one["id"]: one["request_id"] for one in known if one["request_id"] is not None}
