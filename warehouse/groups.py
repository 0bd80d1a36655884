"""Groups of premises that a split must not part: near-duplicates of each other, and texts derived from one another.

Two premises are near-duplicates where the Jaccard similarity of their sets of words reaches a threshold. The order of
the words plays no part: grouping too much only holds more out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from warehouse.connect import Warehouse
from warehouse.records import PremiseGroup, now
from warehouse.schema import arrow_schema
from warehouse.similar import Pairs, Places, WordSets, similar_pairs
from warehouse.store import Merged, replace

# Scripts that are written without spaces have a word a character.
WORD = r"\p{Han}|\p{Hiragana}|\p{Katakana}|\p{Thai}|[\pL\pM\pN]+"

PREMISES = """
CREATE OR REPLACE TEMPORARY TABLE temp.main.placed AS
SELECT row_number() OVER (ORDER BY premise_id) - 1 AS place, premise_id FROM premises
"""
WORDS = f"""
CREATE OR REPLACE TEMPORARY TABLE temp.main.words AS
SELECT place, unnest(list_distinct(regexp_extract_all(lower(nfc_normalize(text)), '{WORD}'))) AS word
FROM premises JOIN temp.main.placed USING (premise_id)
"""
SIZES = "SELECT place, count(*) AS size FROM temp.main.words GROUP BY place ORDER BY place"
SHARED = """
WITH ranks AS (
  SELECT word, row_number() OVER (ORDER BY count(*), word) - 1 AS rank FROM temp.main.words
  GROUP BY word HAVING count(*) > 1
)
SELECT place::INTEGER AS place, rank::INTEGER AS rank FROM temp.main.words JOIN ranks USING (word) ORDER BY place, rank
"""
DERIVED = """
SELECT DISTINCT a.place AS a, b.place AS b
FROM propositions child
JOIN propositions parent ON parent.proposition_id = child.parent_id AND parent.premise_id <> child.premise_id
JOIN temp.main.placed a ON a.premise_id = child.premise_id
JOIN temp.main.placed b ON b.premise_id = parent.premise_id
"""
GROUPS = """
WITH held_out AS (
  SELECT premise_id, max(CASE split WHEN 'test' THEN 2 WHEN 'dev' THEN 1 ELSE 0 END) AS degree
  FROM propositions GROUP BY premise_id
)
SELECT
  premise_id, min(premise_id) OVER (PARTITION BY component) AS group_id, reason,
  CASE max(coalesce(degree, 0)) OVER (PARTITION BY component) WHEN 2 THEN 'test' WHEN 1 THEN 'dev' ELSE 'train' END
    AS split
FROM members JOIN temp.main.placed USING (place) LEFT JOIN held_out USING (premise_id)
ORDER BY premise_id
"""


def renew_groups(warehouse: Warehouse, near_duplicates: float) -> Merged:
    """Bring the table `premise_groups` up to date; what changed in it.

    The split of a group is the most held-out one among its premises, test before dev before train: what was held out
    once is not trained on later.

    Args:
        warehouse: opened for writing.
        near_duplicates: the Jaccard similarity from which on two premises belong together, in (0, 1]; 0 looks for
            derived premises alone.
    """
    connection = warehouse.connection
    connection.execute(PREMISES)
    try:
        derived = _columns(warehouse, DERIVED, "a", "b")
        similar = _similar(warehouse, near_duplicates) if near_duplicates else _no_pairs()
        connection.register("members", _members(similar, derived))
        try:
            found = warehouse.sql(GROUPS)
        finally:
            connection.unregister("members")
    finally:
        for name in ("placed", "words"):
            connection.execute(f"DROP TABLE IF EXISTS temp.main.{name}")
    time = pa.repeat(pa.scalar(now(), pa.timestamp("us", "UTC")), found.num_rows)
    rows = pa.table([*found.columns, time], schema=arrow_schema(PremiseGroup))
    return replace(warehouse, rows, "true")


def _similar(warehouse: Warehouse, threshold: float) -> Pairs:
    warehouse.connection.execute(WORDS)
    places, counted = _columns(warehouse, SIZES, "place", "size")
    if not len(places):
        return _no_pairs()
    n = int(places[-1]) + 1
    sizes = np.zeros(n, np.int64)
    sizes[places] = counted
    shared = warehouse.sql(SHARED)
    warehouse.connection.execute("DROP TABLE temp.main.words")
    starts = np.searchsorted(shared["place"].to_numpy(), np.arange(n + 1)).astype(np.int32)
    ranks = shared["rank"].to_numpy()
    width = int(ranks.max(initial=0)) + 1
    words = csr_array((np.ones(len(ranks), np.int16), ranks, starts), shape=(n, width))
    return _joined(list(similar_pairs(WordSets(sizes, words), threshold)))


def _members(similar: Pairs, derived: Pairs) -> pa.Table:
    """A row for each premise that is linked: its place, the component that it is in, and what holds that together."""
    a, b = _joined([similar, derived])
    places, ends = np.unique(np.concatenate([a, b]), return_inverse=True)
    one, other = ends[: len(a)], ends[len(a) :]
    links = csr_array((np.ones(len(a), np.int8), (one, other)), shape=(len(places), len(places)))
    n, component = connected_components(links, directed=False) if len(places) else (0, np.empty(0, np.int64))
    by_words, by_parent = np.zeros(n, bool), np.zeros(n, bool)
    by_words[component[one[: len(similar[0])]]] = True
    by_parent[component[one[len(similar[0]) :]]] = True
    reasons = np.where(by_words & by_parent, "both", np.where(by_words, "near-duplicate", "derived"))
    return pa.table(
        {
            "place": places,
            "component": component.astype(np.int64),
            "reason": pa.array(reasons[component].tolist(), pa.string()),
        }
    )


def _columns(warehouse: Warehouse, query: str, *names: str) -> tuple[Places, Places]:
    table = warehouse.sql(query)
    one, other = (table[name].to_numpy().astype(np.int64) for name in names)
    return one, other


def _joined(pairs: list[Pairs]) -> Pairs:
    pairs = [*pairs, _no_pairs()]
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def _no_pairs() -> Pairs:
    return np.empty(0, np.int64), np.empty(0, np.int64)
