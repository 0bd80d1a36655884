"""Parents as they come from the warehouse: each with what stands on its premise, which is held once a premise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.records import Parent, Premise, PropositionText
from warehouse.schema import arrow_schema

PREMISE = arrow_schema(Premise).names

# `wanted` has the ids of parents, those of one premise one after the other. What stands there comes with the first of
# each premise alone: its hypotheses, and the ids of what was made from them on other premises.
TEXTS = f"""
WITH firsts AS (
  SELECT p.premise_id, min(w.place) AS place FROM wanted w JOIN propositions p ON p.proposition_id = w.proposition_id
  GROUP BY p.premise_id
), stands AS (
  SELECT f.place, p.proposition_id AS id, p.hypothesis, p.request_id
  FROM propositions p JOIN firsts f ON f.premise_id = p.premise_id
  UNION ALL
  SELECT f.place, c.proposition_id, NULL, c.request_id
  FROM propositions c JOIN propositions p ON p.proposition_id = c.parent_id AND p.premise_id <> c.premise_id
  JOIN firsts f ON f.premise_id = p.premise_id
), known AS (
  SELECT place, list({{id: id, hypothesis: hypothesis, request_id: request_id}} ORDER BY id) AS known
  FROM stands GROUP BY place
)
SELECT
  {", ".join(f"m.{name}" for name in PREMISE)}, p.proposition_id, p.hypothesis, p.split, o.proposition_id AS other,
  o.hypothesis AS beside, k.known
FROM wanted q JOIN propositions p ON p.proposition_id = q.proposition_id
JOIN premises m ON m.premise_id = p.premise_id
LEFT JOIN propositions o ON o.proposition_id = q.other_id
LEFT JOIN known k ON k.place = q.place
"""


class Parents:
    """Builds the parents of a stream. A premise, and what stands there, is built once and held until the next one."""

    def __init__(self, *, with_other: bool) -> None:
        self._with_other = with_other
        self._premise = Premise.model_construct()
        self._known: dict[str, str] = {}
        self._written_by: dict[str, str] = {}

    def of(self, batch: pa.RecordBatch) -> Iterator[Parent]:
        """The parents of a batch."""
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
        stands = row.pop("known")
        self._premise = Premise.model_construct(**row)
        self._known = {one["id"]: one["hypothesis"] for one in stands if one["hypothesis"] is not None}
        self._written_by = {one["id"]: one["request_id"] for one in stands if one["request_id"] is not None}
