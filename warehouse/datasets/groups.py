"""Splits by groups of premises: near-duplicates, texts derived from each other, and alternatives of a choice.

If files state splits for premises of a group, it has the most held-out of them: test, then dev, then train. Any other
group has the split of its root: of the premises not derived from another, the one whose propositions came first. So the
root of updates is their original premise, and a group that grows keeps its split. The root's split comes from the
hash of its id (`records.split_of`), so groups are divided according to the shares. The view `splits` has the split of
every proposition, and everything else reads that view.

Two premises are near-duplicates if the Jaccard similarity of their sets of words reaches a threshold. Word order does
not matter: grouping too much only holds more out. Candidates come from MinHash, which misses one pair in ten thousand
at the threshold and fewer above it, and are checked on the words themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import arrow_schema
from warehouse.catalog.store import Merged, replace
from warehouse.datasets.similar import band_keys
from warehouse.records import PremiseGroup, now

Places = npt.NDArray[np.int64]
Pairs = tuple[Places, Places]

BATCH = 20_000  # premises to compute signatures for at once
NEIGHBOURS = 50

# In scripts without spaces, each character counts as a word.
WORD = r"\p{Han}|\p{Hiragana}|\p{Katakana}|\p{Thai}|[\pL\pM\pN]+"

# Those of evaluation sets too, so that what is much like them is held out with them.
TEXTS = """(
  SELECT premise_id, text FROM premises UNION ALL
  SELECT premise_id, min(premise) AS text FROM suite_items ANTI JOIN premises USING (premise_id) GROUP BY premise_id
)"""
PREMISES = f"""
CREATE OR REPLACE TEMPORARY TABLE temp.main.placed AS
SELECT row_number() OVER (ORDER BY premise_id) - 1 AS place, premise_id FROM {TEXTS}
"""
WORDS = f"""
CREATE OR REPLACE TEMPORARY TABLE temp.main.words AS
SELECT place, list_distinct(regexp_extract_all(lower(nfc_normalize(text)), '{WORD}')) AS words
FROM {TEXTS} JOIN temp.main.placed USING (premise_id)
WHERE regexp_matches(lower(nfc_normalize(text)), '{WORD}')
"""
# Candidates share a band. If very many do, each is compared only with its neighbours and with the first one.
SIMILAR = f"""
WITH repeated AS (
  SELECT band, key FROM temp.main.bands GROUP BY band, key HAVING count(*) > 1
), numbered AS (
  SELECT band, key, place, row_number() OVER (PARTITION BY band, key ORDER BY place) AS number
  FROM temp.main.bands SEMI JOIN repeated USING (band, key)
), candidates AS (
  SELECT DISTINCT one.place AS a, other.place AS b
  FROM numbered one JOIN numbered other ON other.band = one.band AND other.key = one.key
    AND other.number > one.number AND (other.number <= one.number + {NEIGHBOURS} OR one.number = 1)
), compared AS (
  SELECT a, b, len(list_intersect(x.words, y.words)) AS common, len(x.words) + len(y.words) AS total
  FROM candidates JOIN temp.main.words x ON x.place = a JOIN temp.main.words y ON y.place = b
)
SELECT a, b FROM compared WHERE common >= ? * (total - common) - 1e-9
"""
DERIVED = """
SELECT DISTINCT a.place AS a, b.place AS b  -- a was made from b
FROM propositions child
JOIN propositions parent ON parent.proposition_id = child.parent_id AND parent.premise_id <> child.premise_id
JOIN temp.main.placed a ON a.premise_id = child.premise_id
JOIN temp.main.placed b ON b.premise_id = parent.premise_id
"""
# The two premises of a choice between causes.
CHOSEN = """
SELECT DISTINCT a.place AS a, b.place AS b
FROM choices c
JOIN propositions higher ON higher.proposition_id = c.higher_id
JOIN propositions lower ON lower.proposition_id = c.lower_id AND lower.premise_id <> higher.premise_id
JOIN temp.main.placed a ON a.premise_id = higher.premise_id
JOIN temp.main.placed b ON b.premise_id = lower.premise_id
"""
# A premise with a stated split is a group even if it is alone.
STATED = """
SELECT DISTINCT place AS a, place AS b FROM stated_splits JOIN temp.main.placed USING (premise_id)
"""
# A premise without propositions has no split yet, so it cannot be a root.
GROUPS = """
WITH came AS (
  SELECT premise_id, min(created_at) AS since, arg_min(split, (created_at, proposition_id)) AS split
  FROM propositions GROUP BY premise_id
), stated AS (
  SELECT premise_id, min(list_position(['test', 'dev', 'train'], split)) AS rank FROM stated_splits GROUP BY premise_id
)
SELECT * FROM (
  SELECT
    premise_id, min(premise_id) OVER (PARTITION BY component) AS group_id, reason,
    coalesce(
      ['test', 'dev', 'train'][min(rank) OVER (PARTITION BY component)],
      first_value(came.split) OVER (PARTITION BY component ORDER BY since IS NULL, derived, since, premise_id)
    ) AS split
  FROM members JOIN temp.main.placed USING (place)
  LEFT JOIN came USING (premise_id) LEFT JOIN stated USING (premise_id)
) WHERE split IS NOT NULL ORDER BY premise_id
"""
LINKS = {"derived": DERIVED, "choice": CHOSEN, "stated": STATED}
# The split of each proposition as of a snapshot, which may be older than the view splits.
SPLITS_AT = """
SELECT p.proposition_id, coalesce(g.split, p.split) AS split
FROM propositions p AT (VERSION => {snapshot})
LEFT JOIN premise_groups g AT (VERSION => {snapshot}) ON g.premise_id = p.premise_id
"""


def renew_groups(warehouse: Warehouse, near_duplicates: float) -> Merged:
    """Update the table `premise_groups`, and with it the view `splits`. Returns what changed in the table.

    Args:
        warehouse: The warehouse, open for writing.
        near_duplicates: The Jaccard similarity, in (0, 1], from which two premises share a group; 0 groups no
            near-duplicates.
    """
    connection = warehouse.connection
    connection.execute(PREMISES)
    try:
        links = {
            "near-duplicate": _similar(warehouse, near_duplicates) if near_duplicates else _no_pairs(),
            **{reason: _pairs(warehouse, query) for reason, query in LINKS.items()},
        }
        with warehouse.given(members=_members(links)):
            found = warehouse.sql(GROUPS)
    finally:
        for name in ("placed", "words", "bands"):
            connection.execute(f"DROP TABLE IF EXISTS temp.main.{name}")
    time = pa.repeat(pa.scalar(now(), pa.timestamp("us", "UTC")), found.num_rows)
    rows = pa.table([*found.columns, time], schema=arrow_schema(PremiseGroup))
    return replace(warehouse, rows, "true")


def _similar(warehouse: Warehouse, threshold: float) -> Pairs:
    """Pairs of premises (by place) whose similarity reaches the threshold, in the memory of one batch."""
    connection = warehouse.connection
    connection.execute(WORDS)
    connection.execute("CREATE OR REPLACE TEMPORARY TABLE temp.main.bands (place BIGINT, band UTINYINT, key UBIGINT)")
    premises = warehouse.value("SELECT count(*) FROM temp.main.placed")
    for start in range(0, premises, BATCH):
        batch = warehouse.sql(
            "SELECT place, words FROM temp.main.words WHERE place >= ? AND place < ?", [start, start + BATCH]
        )
        if batch.num_rows == 0:
            continue
        keys = band_keys(batch["words"].to_pylist(), threshold)
        bands = keys.shape[1]
        rows = {
            "place": np.repeat(batch["place"].to_numpy(), bands),
            "band": np.tile(np.arange(bands, dtype=np.uint8), len(keys)),
            "key": keys.ravel(),
        }
        with warehouse.given(hashed=pa.table(rows)):
            connection.execute("INSERT INTO temp.main.bands SELECT place, band, key FROM hashed")
    return _pairs(warehouse, SIMILAR, [threshold])


def _members(linked: Mapping[str, Pairs]) -> pa.Table:
    """One row per linked premise: place, component, the reason for the component, whether it was derived."""
    a, b = _joined(list(linked.values()))
    places, ends = np.unique(np.concatenate([a, b]), return_inverse=True)
    one, other = ends[: len(a)], ends[len(a) :]
    links = csr_array((np.ones(len(a), np.int8), (one, other)), shape=(len(places), len(places)))
    n, component = connected_components(links, directed=False) if len(places) else (0, np.empty(0, np.int64))
    derived_places = np.zeros(len(places), bool)
    derived_places[np.searchsorted(places, linked["derived"][0])] = True
    reasons = _reasons({reason: component[np.searchsorted(places, each)] for reason, (each, _) in linked.items()}, n)
    return pa.table(
        {
            "place": places,
            "component": component.astype(np.int64),
            "reason": pa.array(reasons).cast(pa.string()).take(pa.array(component)),
            "derived": derived_places,
        }
    )


def _reasons(components: Mapping[str, Places], n: int) -> list[str]:
    """The reason for each of n components, from the components that each reason holds together."""
    bits = np.zeros(n, np.int64)
    for place, each in enumerate(components.values()):
        bits[np.unique(each)] |= 1 << place
    words = {code: _words([name for place, name in enumerate(components) if code >> place & 1]) for code in set(bits)}
    return [words[code] for code in bits]


def _words(reasons: list[str]) -> str:
    """The reasons in one word; a stated split only counts for a premise alone."""
    linking = [reason for reason in reasons if reason != "stated"] or reasons
    if len(linking) == 1:
        return linking[0]
    return "both" if linking == ["near-duplicate", "derived"] else "several"


def _pairs(warehouse: Warehouse, query: str, params: Sequence[object] = ()) -> Pairs:
    table = warehouse.sql(query, params)
    return table["a"].to_numpy().astype(np.int64), table["b"].to_numpy().astype(np.int64)


def _joined(pairs: list[Pairs]) -> Pairs:
    pairs = [*pairs, _no_pairs()]
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def _no_pairs() -> Pairs:
    return np.empty(0, np.int64), np.empty(0, np.int64)
