"""How a trace is walked: level by level, with one query for each edge of all the items of a level."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

import duckdb

from warehouse.catalog.connect import Warehouse
from warehouse.lineage.edges import EDGES, Link
from warehouse.lineage.kinds import KINDS, as_of
from warehouse.lineage.shard_files import Row, first_rows, rows_holding

Side = Literal["back", "forward"]
Moments: TypeAlias = tuple[int | None, ...]
Identity: TypeAlias = tuple[object, ...]

NOW: Moments = (None,)


@dataclass(eq=False)
class Item:
    """Something met on the way.

    Attributes:
        kind: Its kind.
        row: Its columns.
        focus: The proposition that the trace is about, if it is about one.
        moments: The snapshots at which to read what it rests on, best first; None is now.
        leaf: Whether to go no further.
        notes: What to know about it here, such as that it is shown as of a snapshot.
        edges: For each relation its items, and how many there are beyond these.
    """

    kind: str
    row: Row
    focus: str | None = None
    moments: Moments = NOW
    leaf: bool = False
    notes: list[str] = field(default_factory=list)
    edges: list[tuple[str, list[Item], int]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.row[KINDS[self.kind].key])

    @cached_property
    def identity(self) -> Identity:
        """What makes it the same at two places of a tree, as it was when it was first met."""
        return (self.kind, self.id, self.row.get("row"), self.row.get("snapshot_id"), *self.notes)


@dataclass(frozen=True)
class Found:
    """What an item is linked to: the first rows, how many there are in all, and the notes on each."""

    rows: list[Row]
    total: int
    notes: tuple[str, ...] = ()


def walk(warehouse: Warehouse, subject: Item, side: Side, limit: int) -> None:
    """Follow the edges from the subject and fill in `Item.edges`, with at most `limit` items of each."""
    links = [each for pair in EDGES if (each := pair[0 if side == "back" else 1]).relation]
    known = {subject.identity: subject}
    level = [subject]
    while level:
        below: dict[Identity, Item] = {}
        groups = defaultdict(list)
        for item in level:
            groups[item.kind, moments_of(item, side)].append(item)
        for (kind, moments), items in groups.items():
            for link in (each for each in links if each.start == kind):
                asked = [item for item in items if _follows(link, item, subject)]
                for item, found in zip(asked, _find(warehouse, link, asked, moments, limit), strict=True):
                    children = [
                        Item(link.to, row, item.focus, moments, link.leaf, [*found.notes, *row.pop("_notes", [])])
                        for row in found.rows
                    ]
                    unique = [known.get(one.identity) or below.setdefault(one.identity, one) for one in children]
                    for one in unique:
                        one.leaf &= link.leaf
                    if unique:
                        item.edges.append((link.relation, unique, found.total - len(found.rows)))
        known |= below
        level = [item for item in below.values() if not item.leaf]


def moments_of(item: Item, side: Side) -> Moments:
    """The snapshots at which to read what is linked to an item: back, first the one that it was computed from."""
    own = item.row.get("snapshot_id")
    if side == "forward" or own is None:
        return item.moments if side == "back" else NOW
    return tuple(dict.fromkeys((own, *item.moments)))


def read_rows(
    warehouse: Warehouse, link: Link, values: list[object], moments: Moments, limit: int
) -> tuple[dict[object, Found], int | None]:
    """Read the rows that a link leads to.

    Returns:
        The rows by the value of the link's column there, and the first snapshot at which they could be read.
    """
    kind = KINDS[link.to]
    scope = f"proposition_id IN (SELECT proposition_id FROM {{judgments}} WHERE {link.theirs} IN (SELECT unnest($1)))"
    query = (
        f"WITH found AS (SELECT * FROM ({link.rows or kind.rows}) WHERE {link.theirs} IN (SELECT unnest($1))), "
        f"said AS (SELECT *, {kind.line} AS _line FROM found) "
        f"SELECT {link.theirs} AS value, count(*) AS total, min_by(said, ({kind.order}, {kind.key}), {limit}) AS rows "
        "FROM said GROUP BY ALL"
    ).replace("{scope}", scope)
    for moment in moments:
        try:
            result = warehouse.sql(as_of(query, moment), [values]).to_pylist()
        except duckdb.Error:  # the snapshot has expired, or the table did not exist yet
            if moment is None:
                raise
        else:
            return {row["value"]: Found(row["rows"], row["total"]) for row in result}, moment
    raise AssertionError("the present can always be read")


def _follows(link: Link, item: Item, subject: Item) -> bool:
    if link.subject_only and item is not subject:
        return False
    return link.focused is None or link.focused == (item.focus is not None)


def _find(warehouse: Warehouse, link: Link, items: list[Item], moments: Moments, limit: int) -> list[Found]:
    """What each of the items is linked to, in their order."""
    if not items:
        return []
    if link.to == "row":
        return [_first_rows(warehouse, item, limit) for item in items]
    if link.to == "shard" and (link.focused or link.theirs.startswith("_")):
        return _in_files(warehouse, link, items, limit)
    values = sorted({item.row.get(link.mine) for item in items} - {None}, key=str)
    rows, used = read_rows(warehouse, link, values, moments, limit) if values else ({}, None)
    notes: tuple[str, ...] = ()
    if link.to == "consensus" and used is not None:
        notes = (f"as of snapshot {used}",)
        _note_changes(warehouse, [row for one in rows.values() for row in one.rows])
    found = []
    for item in items:
        one = rows.get(item.row.get(link.mine), Found([], 0))
        found.append(Found([dict(row) for row in one.rows if _same(link, item.row, row)], one.total, notes))
        if one.total and moments[0] is not None and used != moments[0]:
            shown = "as it is now" if used is None else f"as of snapshot {used}"
            item.notes.append(f"snapshot {moments[0]} has expired: {link.relation} shown {shown}")
    return found


def _note_changes(warehouse: Warehouse, then: list[Row]) -> None:
    """Note on rows of an earlier consensus what it is now, if it has changed."""
    query = "SELECT consensus_id, mean FROM consensus WHERE consensus_id IN (SELECT unnest($1))"
    now = warehouse.sql(query, [[row["consensus_id"] for row in then]]).to_pylist()
    means = {row["consensus_id"]: row["mean"] for row in now}
    for row in then:
        mean = means.get(row["consensus_id"])
        if mean != row["mean"]:
            row["_notes"] = ["withdrawn since" if mean is None else f"now {mean:.3f}"]


def _in_files(warehouse: Warehouse, link: Link, items: list[Item], limit: int) -> list[Found]:
    """The shards, with the row in each, that hold the proposition of each item; newest dataset first."""
    propositions = {item.focus or "" if link.focused else _proposition(item.row) for item in items}
    datasets = [item.row["dataset_id"] for item in items] if link.focused else None
    rows = rows_holding(warehouse, sorted(propositions), datasets)
    found = []
    for item in items:
        own = [dict(row) for row in rows if row[link.theirs] == item.row[link.mine] and _same(link, row, item.row)]
        found.append(Found(own[:limit], len(own)))
    return found


def _proposition(row: Row) -> str:
    return str(next(row[name] for name in ("first_id", "_first", "proposition_id") if name in row))


def _first_rows(warehouse: Warehouse, shard: Item, limit: int) -> Found:
    rows, unread = first_rows(warehouse, shard.row, limit)
    if unread:
        shard.notes.append(unread)
    return Found(rows, shard.row["rows"] if rows else 0)


def _same(link: Link, of_shard: Row, other: Row) -> bool:
    return not link.same or of_shard.get(link.same) in (None, other[link.same])
