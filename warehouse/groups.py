"""Groups of premises that a split must not part: near-duplicates of each other, and texts derived from one another.

Two premises are near-duplicates where the Jaccard similarity of their sets of words, |A and B| / |A or B|, reaches a
threshold t. The order of the words plays no part: grouping too much only holds more out. The pairs are found exactly,
without looking at all of them: sort the words of every set from rare to frequent, then two sets reach t only if they
share a word among the first |A| - ceil(t |A|) + 1 and |B| - ceil(t |B|) + 1 (prefix filtering, Bayardo, Ma and Srikant
2007, "Scaling up all pairs similarity search").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from warehouse.connect import Warehouse
from warehouse.records import PremiseGroup, now
from warehouse.schema import arrow_schema
from warehouse.store import Merged, replace

Places = npt.NDArray[np.int64]
Pairs = tuple[Places, Places]

# Scripts that are written without spaces have a word a character.
WORD = r"\p{Han}|\p{Hiragana}|\p{Katakana}|\p{Thai}|[\pL\pM\pN]+"
PAIRED_UP_TO = 1000  # premises that share a word: above this, pairs are not listed, similar ones are flooded
_AT_ONCE = 200_000  # pairs
_SLACK = 1e-9  # t |A| may come out a little above the integer that it is

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
SELECT place, rank FROM temp.main.words JOIN ranks USING (word) ORDER BY place, rank
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


@dataclass(frozen=True)
class WordSets:
    """Sets of words: `sizes` [n] counts all words of a set, `shared` [n, words] has a 1 for each that another has too.

    The columns of `shared` stand from the rarest word to the most frequent one.
    """

    sizes: npt.NDArray[np.int64]
    shared: Any


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


def similar_pairs(sets: WordSets, threshold: float) -> Iterator[Pairs]:
    """Pairs of sets whose Jaccard similarity reaches the threshold: not all, but enough to join all that belong so."""
    words, places = _prefixes(sets, threshold)
    order = np.lexsort((sets.sizes[places], words))
    words, places = words[order], places[order]
    starts = np.flatnonzero(np.diff(words, prepend=-1))
    lengths = np.diff(np.append(starts, len(words)))
    for start, length in zip(starts[lengths > PAIRED_UP_TO], lengths[lengths > PAIRED_UP_TO], strict=True):
        yield from _flooded(sets, places[start : start + length], threshold)
    ends = np.repeat(np.where(lengths > PAIRED_UP_TO, 0, starts + lengths), lengths)
    for a, b in _paired(sets.sizes[places], ends, threshold):
        for begin in range(0, len(a), _AT_ONCE):
            one, other = places[a[begin : begin + _AT_ONCE]], places[b[begin : begin + _AT_ONCE]]
            common = np.asarray(sets.shared[one].multiply(sets.shared[other]).sum(axis=1)).ravel()
            reached = _reaches(common, sets.sizes[one], sets.sizes[other], threshold)
            yield one[reached], other[reached]


def _similar(warehouse: Warehouse, threshold: float) -> Pairs:
    warehouse.connection.execute(WORDS)
    places, sizes = _columns(warehouse, SIZES, "place", "size")
    if not len(places):
        return _no_pairs()
    n = int(places[-1]) + 1
    all_sizes = np.zeros(n, np.int64)
    all_sizes[places] = sizes
    rows, ranks = _columns(warehouse, SHARED, "place", "rank")
    starts = np.searchsorted(rows, np.arange(n + 1))
    width = int(ranks.max()) + 1 if len(ranks) else 1
    shared = csr_array((np.ones(len(ranks), np.int32), ranks.astype(np.int32), starts), shape=(n, width))
    found = list(similar_pairs(WordSets(all_sizes, shared), threshold))
    return _joined(found)


def _prefixes(sets: WordSets, threshold: float) -> tuple[Places, Places]:
    """The shared words among the rarest of each set that the filter looks at, and whose they are."""
    wanted = sets.sizes - np.ceil(threshold * sets.sizes - _SLACK).astype(np.int64) + 1
    starts = sets.shared.indptr.astype(np.int64)
    n_shared = np.diff(starts)
    taken = np.clip(wanted - (sets.sizes - n_shared), 0, n_shared)  # words of its own come first and match nothing
    places = np.repeat(np.arange(len(sets.sizes)), taken)
    within = np.arange(len(places)) - np.repeat(np.cumsum(taken) - taken, taken)
    return sets.shared.indices[starts[places] + within].astype(np.int64), places


def _paired(sizes: Places, ends: Places, threshold: float) -> Iterator[Pairs]:
    """Pairs of entries, i before j, with j < ends[i]; not those whose sizes are too far apart to reach the threshold.

    Entries of one word stand together, from the smallest set to the largest.
    """
    first: Places = np.arange(len(ends))
    distance = 1
    while len(first := first[first + distance < ends[first]]):
        first = first[sizes[first] >= threshold * sizes[first + distance] - _SLACK]
        yield first, first + distance
        distance += 1


def _flooded(sets: WordSets, places: Places, threshold: float) -> Iterator[Pairs]:
    """Links that join the similar ones among many sets: each one joined is compared only with those not yet joined."""
    rows, sizes = sets.shared[places], sets.sizes[places]
    used, local = np.unique(rows.indices, return_inverse=True)
    rows = csr_array((rows.data, local, rows.indptr), shape=(len(places), len(used)))
    alone: Places = np.arange(len(places))
    matrix = rows
    queue: list[int] = []
    while len(alone) > 1 or (queue and len(alone)):
        if queue:
            node = queue.pop()
        else:
            node, alone, matrix = int(alone[0]), alone[1:], matrix[1:]
        own = np.zeros(len(used), np.int32)
        own[rows.indices[rows.indptr[node] : rows.indptr[node + 1]]] = 1
        reached = _reaches(matrix @ own, sizes[alone], sizes[node], threshold)
        if reached.any():
            joined = alone[reached]
            yield np.full(len(joined), places[node]), places[joined]
            queue += joined.tolist()
            alone, matrix = alone[~reached], matrix[~reached]


def _reaches(common: Any, one: Any, other: Any, threshold: float) -> npt.NDArray[np.bool_]:
    result: npt.NDArray[np.bool_] = common >= threshold * (one + other - common) - _SLACK
    return result


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
