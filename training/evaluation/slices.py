"""Slices of items: by source, kind, length, how far people's judgments are apart, and whether they were seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from training.evaluation.families import Item, Items
from training.evaluation.paired import Rows
from training.levels import Floats

FEWEST = 10
"""The fewest items that a slice is measured on."""
LENGTHS = ("short", "middle", "long")
SPREADS = ("low", "middle", "high")


def slices(items: Items) -> dict[str, Rows]:
    """Return the places of the items of each slice, such as source=news, kind=imported, length=short or spread=high.

    Length is the number of words of premise and hypothesis, spread the SD of the judgments where there are at least
    two; their three bins have about equal mass, and equal values share one. A slice of few items is left out, and so
    is one with all items. Where items are marked, seen=yes are those that were seen in training, be it all of them.
    Items of other families than correlation have no other slices.
    """
    found = {
        name: rows
        for name, rows in _all(items.items)
        if len(rows) >= FEWEST
        and (name.startswith("seen=") or (items.family == "correlation" and len(rows) < len(items.items)))
    }
    return dict(sorted(found.items(), key=lambda each: _order(each[0])))


def range_of(items: Items, name: str, rows: Rows) -> tuple[float, float] | None:
    """Return the smallest and the largest value in a slice of lengths or spreads; None for another slice."""
    measure = _MEASURED.get(name.partition("=")[0])
    if measure is None:
        return None
    values = [measure[0](items.items[row]) for row in rows]
    return min(values), max(values)


def _all(items: Sequence[Item]) -> Iterator[tuple[str, Rows]]:
    for dimension, value_of in _NAMED.items():
        names = np.array([value_of(item) or "" for item in items], dtype=str)
        yield from ((f"{dimension}={name}", np.flatnonzero(names == name)) for name in np.unique(names) if name)
    for dimension, (measure, bins) in _MEASURED.items():
        values = np.array([measure(item) for item in items], dtype=np.float64)
        known = np.flatnonzero(np.isfinite(values))
        places = _bin_of(values[known], len(bins))
        yield from ((f"{dimension}={name}", known[places == place]) for place, name in enumerate(bins))


def _bin_of(values: Floats, bins: int) -> Rows:
    """Return the bin of each value; bins have about equal mass."""
    if not len(values):
        return np.empty(0, dtype=np.int64)
    result: Rows = np.floor((stats.rankdata(values) - 0.5) / len(values) * bins).astype(np.int64)
    return result


def _order(name: str) -> tuple[int, int, str]:
    dimension, _, value = name.partition("=")
    bins = _MEASURED[dimension][1] if dimension in _MEASURED else ()
    return [*_NAMED, *_MEASURED].index(dimension), bins.index(value) if bins else 0, value


def _words(item: Item) -> float:
    return float(item.words)


def _spread(item: Item) -> float:
    return float(item.judgments.std(ddof=1)) if len(item.judgments) > 1 else float("nan")


_NAMED: dict[str, Callable[[Item], str | None]] = {
    "source": lambda item: item.source,
    "kind": lambda item: item.kind,
    "seen": lambda item: None if item.seen is None else "yes" if item.seen else "no",
}
_MEASURED: dict[str, tuple[Callable[[Item], float], tuple[str, ...]]] = {
    "length": (_words, LENGTHS),
    "spread": (_spread, SPREADS),
}
