"""How a trace finds what its items are linked to: by a join, in history, or in the files of shards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import duckdb

from warehouse.catalog.connect import Warehouse
from warehouse.lineage.holding import first_rows, shard_rows
from warehouse.lineage.kinds import JUDGMENTS, KINDS, PARTS, Finder, Kind, Link
from warehouse.lineage.summaries import Row, number

Moments: TypeAlias = tuple[int | None, ...]

HISTORIC = ("judgments", "estimates", "verdicts", "comparisons", "recalibrations", "consensus")
NOW: Moments = (None,)


@dataclass(eq=False)
class Item:
    """A node while the trace is walked. `focus` is the proposition that the trace is about, where it is about one.

    `moments` are the snapshots at which history is read, the best first.
    """

    kind: str
    row: Row
    focus: str | None = None
    moments: Moments = NOW
    leaf: bool = False
    notes: list[str] = field(default_factory=list)
    edges: list[tuple[Link, list[Item], int]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.row[kind_of(self.kind).key])

    @cached_property
    def identity(self) -> tuple[object, ...]:
        """What makes it the same thing at two places of a tree: fixed when it is made."""
        return (self.kind, self.id, self.row.get("row"), self.row.get("snapshot_id"), *self.notes)


@dataclass(frozen=True)
class Found:
    """What a finder gives for one item: rows, how many there are in all, and the notes on each."""

    rows: list[Row]
    total: int
    notes: tuple[str, ...] = ()


def kind_of(name: str) -> Kind:
    """The kind of that name."""
    return KINDS[name] if name in KINDS else PARTS[name]


def grouped(items: Iterable[Item], key: Callable[[Item], Any]) -> dict[Any, list[Item]]:
    """Items by a key, in their order."""
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def find(warehouse: Warehouse, link: Link, items: list[Item], moments: Moments, limit: int) -> list[Found]:
    """What each of the items is linked to, in their order."""
    return FINDERS[link.finder](warehouse, link, items, moments, limit) if items else []


def _joined(warehouse: Warehouse, link: Link, items: list[Item], moments: Moments, limit: int) -> list[Found]:
    found: dict[int, Found] = {}
    for at, group in grouped(items, lambda item: item.row.get(link.at) if link.at else None).items():
        wanted = (at, *(moment for moment in moments if moment != at)) if link.at else NOW
        values = {item.row.get(link.mine) for item in group} - {None}
        rows, used = read_kind(warehouse, link, wanted, sorted(values, key=str), limit)
        notes = [f"as of snapshot {used}"] if used is not None and link.to == "consensus" else []
        if used is not None and link.to == "consensus":
            _say_what_changed(warehouse, link, rows, sorted(values, key=str), limit)
        for item in group:
            one = rows.get(item.row.get(link.mine), Found([], 0))
            found[id(item)] = Found([dict(row) for row in one.rows], one.total, tuple(notes))
            _note_fallback(item, link, wanted, used, one.total)
    return [found[id(item)] for item in items]


def _say_what_changed(
    warehouse: Warehouse, link: Link, then: dict[object, Found], values: list[object], limit: int
) -> None:
    """Note on consensus as it was what it is now, where that differs."""
    now, _ = read_kind(warehouse, link, NOW, values, limit)
    means = {row["consensus_id"]: row["mean"] for one in now.values() for row in one.rows}
    for row in (row for one in then.values() for row in one.rows):
        mean = means.get(row["consensus_id"])
        if mean != row["mean"]:
            row["_notes"] = ["withdrawn since" if mean is None else f"now {number(mean)}"]


def _note_fallback(item: Item, link: Link, wanted: Moments, used: int | None, count: int) -> None:
    """Note on an item that what it rests on is not shown as it was, where its snapshot is gone."""
    if count and wanted[0] is not None and used != wanted[0]:
        shown = "as it is now" if used is None else f"as of snapshot {used}"
        item.notes.append(f"snapshot {wanted[0]} has expired: {link.relation} shown {shown}")


def read_kind(
    warehouse: Warehouse, link: Link, moments: Moments, values: Sequence[object], limit: int
) -> tuple[dict[object, Found], int | None]:
    """The rows of a kind by the value of the link's column there, and the snapshot at which they could be read."""
    kind = kind_of(link.to)
    scope = f"proposition_id IN (SELECT proposition_id FROM {{judgments}} WHERE {_scoped(link)} IN (SELECT unnest($1)))"
    query = (
        f"SELECT t.{link.theirs} AS value, count(*) AS total, "
        f"min_by(t, ({kind.order}, {kind.key}), {limit}) AS rows "
        f"FROM ({link.rows or kind.rows}) t WHERE t.{link.theirs} IN (SELECT unnest($1)) GROUP BY ALL"
    )
    if not values:
        return {}, moments[0]
    result, used = _at(warehouse, query, moments, [list(values)], scope)
    return {row["value"]: Found(row["rows"], row["total"]) for row in result}, used


def _scoped(link: Link) -> str:
    return {"_counted": "proposition_id", "_task": "batch || ' ' || proposition_id"}.get(link.theirs, link.theirs)


def _at(
    warehouse: Warehouse, query: str, moments: Moments, params: Sequence[object], scope: str = "true"
) -> tuple[list[Row], int | None]:
    """The rows of a query at the first of the snapshots that is still there, and that snapshot."""
    for moment in dict.fromkeys((*moments, None)):
        as_then = {
            name: name if moment is None else f"(SELECT * FROM {name} AT (VERSION => {int(moment)}))"
            for name in HISTORIC
        }
        try:
            text = query.replace("{scope}", scope).format(**as_then)
            return warehouse.sql(text, params).to_pylist(), moment
        except duckdb.Error:  # DuckLake has no such snapshot any more, or the table was not there yet
            if moment is None:
                raise
    raise AssertionError("the present can always be read")


def _grouped_judgments(
    warehouse: Warehouse, link: Link, items: list[Item], moments: Moments, limit: int
) -> list[Found]:
    """The judgments that counted at the snapshot of each item, by the kind of their annotator and their source."""
    query = f"""
        SELECT
          annotator_kind, source, count(*) AS n, count(DISTINCT annotator_id) AS n_annotators,
          count(DISTINCT proposition_id) AS n_propositions, bool_or(simulated) AS simulated
        FROM ({JUDGMENTS}) WHERE unused IS NULL GROUP BY ALL ORDER BY n DESC, annotator_kind, source
    """
    found = []
    for item in items:
        wanted = (item.row["snapshot_id"], *moments)
        rows, used = _at(warehouse, query, wanted, [])
        part, _, value = str(item.row.get("slice", "")).partition("=")
        column = part if part in ("annotator_kind", "source") else None
        kept = [
            {"name": f"{row['annotator_kind']} {row['source']}", **row}
            for row in rows
            if column is None or row[column] == value
        ]
        _note_fallback(item, link, wanted, used, len(kept))
        found.append(Found(kept[:limit], len(kept)))
    return found


def _holding(warehouse: Warehouse, link: Link, items: list[Item], moments: Moments, limit: int) -> list[Found]:
    """The shards, with the row in each, that hold the proposition of each item; the newest dataset first.

    From a dataset only its own shards are asked.
    """
    column = "dataset_id" if link.mine == "dataset_id" else "held"
    wanted = [item.focus if column == "dataset_id" else item.row[link.mine] for item in items]
    datasets = [item.row["dataset_id"] for item in items] if column == "dataset_id" else None
    rows = shard_rows(warehouse, sorted({one for one in wanted if one}), datasets)
    found = []
    for item in items:
        own = [
            row
            for row in rows
            if row[column] == item.row[link.mine]
            and (row["origin"] or "human") in link.origins
            and (item.kind != "consensus" or row["method"] in (None, item.row["method"]))
            and (item.kind != "comparison" or row["_compared"] == item.row["_pair"])
        ]
        found.append(Found([dict(row) for row in own[:limit]], len(own)))
    return found


def _inside(warehouse: Warehouse, link: Link, items: list[Item], moments: Moments, limit: int) -> list[Found]:
    """The first rows of shards, from their files."""
    found = []
    for item in items:
        rows, unread = first_rows(warehouse, item.row, limit)
        if unread:
            item.notes.append(unread)
        found.append(Found(rows, item.row["rows"] if rows else 0))
    return found


FINDERS: dict[Finder, Callable[[Warehouse, Link, list[Item], Moments, int], list[Found]]] = {
    "joined": _joined,
    "holding": _holding,
    "inside": _inside,
    "grouped": _grouped_judgments,
}
