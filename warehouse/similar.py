"""Sets of words that are near-duplicates of each other, found exactly without looking at all pairs.

The Jaccard similarity of two sets is |A and B| / |A or B|. Sort the words of every set from rare to frequent: then two
sets reach a threshold t only if they share k words among the first |A| - ceil(t |A|) + k and |B| - ceil(t |B|) + k
(prefix filtering, Bayardo, Ma and Srikant 2007, "Scaling up all pairs similarity search"; for k = 2, Wang, Li and Feng
2012, "Can we beat the prefix filtering?"). Two shared rare words are far more telling than one, so k is 2 wherever the
first words make few couples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Places = npt.NDArray[np.int64]
Pairs = tuple[Places, Places]

COUPLED_UP_TO = 8  # first words of a set that are coupled with each other: 28 couples
PAIRED_UP_TO = 1000  # sets of one key: above this, pairs are not listed, similar ones are flooded
_AT_ONCE = 200_000  # pairs
_SLACK = 1e-9  # t |A| may come out a little above the integer that it is


@dataclass(frozen=True)
class WordSets:
    """Sets of words: `sizes` [n] counts all words of a set, `shared` [n, words] has a 1 for each that another has too.

    The columns of `shared` stand from the rarest word to the most frequent one.
    """

    sizes: npt.NDArray[np.int64]
    shared: Any


def similar_pairs(sets: WordSets, threshold: float) -> Iterator[Pairs]:
    """Pairs of sets whose Jaccard similarity reaches the threshold: not all, but enough to join all that belong so."""
    for signatures in _signatures(sets, threshold):
        keys, places = _repeated(*signatures, sets.sizes)
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        lengths = np.diff(np.append(starts, len(keys)))
        many = lengths > PAIRED_UP_TO
        for start, length in zip(starts[many], lengths[many], strict=True):
            yield from _flooded(sets, places[start : start + length], threshold)
        ends = np.repeat(np.where(many, 0, starts + lengths), lengths)
        for a, b in _paired(sets.sizes[places], ends, threshold):
            for begin in range(0, len(a), _AT_ONCE):
                one, other = places[a[begin : begin + _AT_ONCE]], places[b[begin : begin + _AT_ONCE]]
                common = np.asarray(sets.shared[one].multiply(sets.shared[other]).sum(axis=1)).ravel()
                reached = _reaches(common, sets.sizes[one], sets.sizes[other], threshold)
                yield one[reached], other[reached]


def _signatures(sets: WordSets, threshold: float) -> Iterator[tuple[Places, Places]]:
    """Keys and the places of their sets: two sets that reach the threshold have a key in common, in one of the yields.

    Sets of a middling size are keyed by couples of words, the others and those that may be similar to these by words.
    """
    sizes = np.arange(1, max(int(sets.sizes.max(initial=0)), 1) + 1)
    fits = (_least(sizes, threshold) >= 2) & (sizes - _least(sizes, threshold) + 2 <= COUPLED_UP_TO)
    middle = np.zeros(len(sizes) + 1, bool)
    middle[1:] = fits
    # Similar sets differ in size by the factor t at most: those around the ends of the middle are keyed both ways.
    rest = sizes[~fits]
    near = ~middle
    near[1:] |= [
        bool(((rest >= threshold * size - _SLACK) & (rest * threshold <= size + _SLACK)).any()) for size in sizes
    ]
    yield _prefixes(sets, threshold, np.flatnonzero(near[sets.sizes]), 1)
    yield _couples(sets, threshold, np.flatnonzero(middle[sets.sizes]))


def _least(sizes: Places, threshold: float) -> Places:
    """How many words a set must at least share with a similar one."""
    least: Places = np.ceil(threshold * sizes - _SLACK).astype(np.int64)
    return least


def _prefixes(sets: WordSets, threshold: float, chosen: Places, k: int) -> tuple[Places, Places]:
    """The shared words among the first ones of the chosen sets that the filter looks at, and whose they are."""
    starts = sets.shared.indptr.astype(np.int64)
    n_shared = (starts[1:] - starts[:-1])[chosen]
    sizes = sets.sizes[chosen]
    wanted = sizes - _least(sizes, threshold) + k
    taken = np.clip(wanted - (sizes - n_shared), 0, n_shared)  # words of its own come first and match nothing
    places = np.repeat(chosen, taken)
    within = np.arange(len(places)) - np.repeat(np.cumsum(taken) - taken, taken)
    return sets.shared.indices[starts[places] + within].astype(np.int64), places


def _couples(sets: WordSets, threshold: float, chosen: Places) -> tuple[Places, Places]:
    """Every couple of the first words of the chosen sets as one number, and whose it is."""
    words, places = _prefixes(sets, threshold, chosen, 2)
    keys, owners = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for distance in range(1, COUPLED_UP_TO):
        same = places[distance:] == places[:-distance]
        keys.append((words[:-distance] * sets.shared.shape[1] + words[distance:])[same])
        owners.append(places[distance:][same])
    return np.concatenate(keys), np.concatenate(owners)


def _repeated(keys: Places, places: Places, sizes: Places) -> tuple[Places, Places]:
    """Those entries whose key another one has too, sorted by key and by the size of the set."""
    order = np.argsort(keys)
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    lengths = np.diff(np.append(starts, len(order)))
    kept = order[np.repeat(lengths > 1, lengths)]
    kept = kept[np.lexsort((sizes[places[kept]], keys[kept]))]
    return keys[kept], places[kept]


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
