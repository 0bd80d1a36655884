"""Derived propositions beside those that they were derived from, as the items of an evaluation set about coherence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.records import SuiteItem, content_id

MOST = 200
"""How many propositions of a split each kind of derivation is checked for: those with the lowest ids."""

_QUERY = """
WITH text AS (
  SELECT
    p.proposition_id, p.premise_id, p.hypothesis, p.kind, p.parent_id, p.other_parent_id, m.text AS premise, s.split,
    s.group_id
  FROM propositions p
  JOIN premises m ON m.premise_id = p.premise_id
  JOIN splits s ON s.proposition_id = p.proposition_id
)
SELECT
  c.kind, c.parent_id, p.group_id, c.proposition_id, c.premise_id, c.premise, c.hypothesis,
  {proposition_id: p.proposition_id, premise_id: p.premise_id, premise: p.premise, hypothesis: p.hypothesis} AS parent,
  {proposition_id: o.proposition_id, premise_id: o.premise_id, premise: o.premise, hypothesis: o.hypothesis} AS other
FROM text c
JOIN text p ON p.proposition_id = c.parent_id
LEFT JOIN text o ON o.proposition_id = c.other_parent_id
WHERE c.split = ? AND c.group_id NOT IN (
  SELECT coalesce(g.group_id, i.premise_id) FROM incoming i LEFT JOIN premise_groups g ON g.premise_id = i.premise_id
) AND c.kind IN ('negation', 'paraphrase', 'conjunction', 'strengthened', 'weakened')
  AND (c.kind <> 'conjunction' OR o.proposition_id IS NOT NULL)
QUALIFY dense_rank() OVER (PARTITION BY c.kind ORDER BY c.parent_id) <= ?
ORDER BY c.kind, c.parent_id, c.proposition_id
"""


def coherence_items(warehouse: Warehouse, trained: pa.Array, split: str = "test", most: int = MOST) -> list[SuiteItem]:
    """Return the derived propositions of a split with their parents, in the form of suite items. Nothing is stored.

    Groups of premises with one of those that an estimator was `trained` on (their ids) are left out: a group may have
    moved into the split later.

    An item is a proposition with its negation, with all its paraphrases, with the other part of a conjunction and the
    conjunction, or with one update. For each kind there are those of `most` propositions.
    """
    with warehouse.given(incoming=pa.table({"premise_id": trained})):
        rows = warehouse.sql(_QUERY, [split, most]).to_pylist()
    return [item for made in _checks(rows) for item in _items(*made)]


def _checks(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """The group and the propositions, with their roles, of each item."""
    for (kind, _), found in groupby(rows, key=lambda row: (row["kind"], row["parent_id"])):
        some = list(found)
        for derived in [some] if kind == "paraphrase" else [[row] for row in some]:
            first = derived[0]
            parents = [first["parent"], *([first["other"]] if kind == "conjunction" else [])]
            propositions = [("hypothesis", each) for each in parents] + [(kind, each) for each in derived]
            yield first["group_id"], propositions


def _items(group: str, propositions: list[tuple[str, dict[str, Any]]]) -> Iterator[SuiteItem]:
    item = content_id("coherence", *(row["proposition_id"] for _, row in propositions))
    for place, (role, row) in enumerate(propositions):
        yield SuiteItem(
            suite_item_id=content_id("coherence item", item, str(place)),
            suite_id="coherence",
            item=item,
            place=place,
            role=role,
            premise_group=group,
            label=None,
            judgments=[],
            **{name: row[name] for name in ("proposition_id", "premise_id", "premise", "hypothesis")},
        )
