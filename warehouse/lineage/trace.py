"""Lineage: from anything that the warehouse knows back to what it rests on, and forward to what rests on it.

What a published row rests on is read as it was: the consensus at the snapshot of the dataset, the judgments and
estimates at the snapshot that the consensus was computed from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from warehouse.catalog.connect import Warehouse
from warehouse.errors import InputError
from warehouse.lineage.finders import NOW, Item, find, grouped, kind_of, read_kind
from warehouse.lineage.kinds import KINDS, Link
from warehouse.lineage.summaries import Row, summary
from warehouse.records import TABLES

Direction = Literal["back", "forward", "both"]
Side = Literal["back", "forward"]

SHORTEST_PREFIX = 6
CANDIDATES = 5


@dataclass(frozen=True)
class Node:
    """Something in a trace. `relation` says what it is to the node above it, `direction` on which side of the subject.

    `summary` is one line without kind and id, `details` are its columns, `notes` what is to be known about this trace
    of it, such as that it is shown as it was at a snapshot. `simulated` marks what is made up by a program, or rests
    on a judgment that is. `more` counts, by relation, what there is beyond the children. `repeated` marks what has
    children that stand at an earlier place of the tree.
    """

    kind: str
    id: str
    summary: str
    details: Row
    relation: str = ""
    direction: Side | None = None
    simulated: bool = False
    notes: tuple[str, ...] = ()
    children: tuple[Node, ...] = ()
    more: dict[str, int] = field(default_factory=dict)
    repeated: bool = False


@dataclass(frozen=True)
class Trace:
    """A trace: its subject with `rests_on` (back) and `used_by` (forward), as far as they were asked for."""

    subject: Node
    direction: Direction
    rests_on: tuple[Node, ...]
    used_by: tuple[Node, ...]


def trace(warehouse: Warehouse, id_or_prefix: str, direction: Direction = "both", limit: int = 10) -> Trace:
    """What an id rests on and what rests on it, as a tree. Of each relation of a node the first `limit` are in it.

    A prefix of an id is enough: at least six characters that no other id begins with.

    Raises:
        InputError: no id, or several, begin so.
    """
    kind, found = _resolve(warehouse, id_or_prefix.strip())
    wanted: tuple[Side, ...] = ("back", "forward") if direction == "both" else (direction,)
    nodes: dict[Side, Node] = {}
    for side in wanted:
        item = _subject(warehouse, kind, found)
        _walk(warehouse, item, side, limit)
        nodes[side] = _node(item, side, "", set())
    subject = next(iter(nodes.values()))
    return Trace(
        subject=Node(
            kind,
            subject.id,
            subject.summary,
            subject.details,
            simulated=subject.simulated,
            notes=tuple(dict.fromkeys(note for node in nodes.values() for note in node.notes)),
            children=tuple(child for node in nodes.values() for child in node.children),
            more={name: count for node in nodes.values() for name, count in node.more.items()},
        ),
        direction=direction,
        rests_on=nodes["back"].children if "back" in nodes else (),
        used_by=nodes["forward"].children if "forward" in nodes else (),
    )


def _resolve(warehouse: Warehouse, text: str) -> tuple[str, str]:
    """The kind and the id that a text stands for."""
    tables = {record.key: record.table for record in reversed(TABLES)}
    begins = "starts_with({key}, $1)" if len(text) >= SHORTEST_PREFIX else "{key} = $1"
    queries = [
        f"(SELECT {number} AS place, '{name}' AS kind, {kind.key} AS id FROM {tables[kind.key]} "
        f"WHERE {begins.format(key=kind.key)} ORDER BY {kind.key} <> $1, {kind.key} LIMIT {CANDIDATES + 1})"
        for number, (name, kind) in enumerate(KINDS.items())
    ]
    found = warehouse.sql(f"{' UNION ALL '.join(queries)} ORDER BY place, id", [text]).to_pylist() if text else []
    found = [row for row in found if row["id"] == text] or found
    if not found:
        if len(text) < SHORTEST_PREFIX:
            raise InputError(f"Nothing has the id {text!r}: give an id, or at least {SHORTEST_PREFIX} characters of it")
        raise InputError(
            f"Nothing in the warehouse has an id that begins with {text!r}: take one from a query, such as "
            '`odds sql "SELECT proposition_id, hypothesis FROM propositions"`'
        )
    if len(found) > 1:
        listed = ", ".join(f"{row['kind']} {row['id']}" for row in found[:CANDIDATES])
        rest = " and others" if len(found) > CANDIDATES else ""
        raise InputError(f"Several ids begin with {text!r}: {listed}{rest}; give more of the id")
    return found[0]["kind"], found[0]["id"]


def _subject(warehouse: Warehouse, kind: str, found: str) -> Item:
    self_link = Link("", kind, "id", KINDS[kind].key)
    (row,) = read_kind(warehouse, self_link, NOW, [found], 1)[0][found].rows
    return Item(kind, row, focus=row["proposition_id"] if kind == "score" else None)


def _walk(warehouse: Warehouse, subject: Item, side: Side, limit: int) -> None:
    """Follow the links from the subject, level by level: one query for a link of all the items of a level."""
    known = {subject.identity: subject}
    level = [subject]
    while level:
        below: dict[tuple[object, ...], Item] = {}
        for (name, moments), items in grouped(level, lambda item: (item.kind, item.moments)).items():
            for link in kind_of(name).back if side == "back" else kind_of(name).forward:
                asked = [item for item in items if _follows(link, item, subject)]
                for item, found in zip(asked, find(warehouse, link, asked, moments, limit), strict=True):
                    children = [_child(item, link, row, found.notes) for row in found.rows if _fits(link, item, row)]
                    unique = [known.get(c.identity) or below.setdefault(c.identity, c) for c in children]
                    for one in unique:
                        one.leaf &= link.leaf
                    if unique:
                        item.edges.append((link, unique, found.total - len(found.rows)))
        known |= below
        level = [item for item in below.values() if not item.leaf]


def _follows(link: Link, item: Item, subject: Item) -> bool:
    if link.subject_only and item is not subject:
        return False
    return link.focused is None or link.focused == (item.focus is not None)


def _fits(link: Link, item: Item, row: Row) -> bool:
    return link.same is None or item.row.get(link.same) in (None, row[link.same])


def _child(parent: Item, link: Link, row: Row, notes: tuple[str, ...]) -> Item:
    """An item below another; what is read as it was hands its snapshot down, for want of a better one."""
    here = parent.row.get(link.at) if link.at else None
    moments = parent.moments if here is None else (here, *(m for m in parent.moments if m != here))
    return Item(link.to, row, parent.focus, moments, link.leaf, notes=[*notes, *row.pop("_notes", [])])


def _node(item: Item, side: Side, relation: str, seen: set[tuple[object, ...]]) -> Node:
    """The tree below an item. What was met before is not unfolded again."""
    kind = kind_of(item.kind)
    repeated = bool(item.edges) and item.identity in seen
    seen.add(item.identity)
    edges = [] if repeated else item.edges
    children = tuple(_node(child, side, link.relation, seen) for link, found, _ in edges for child in found)
    hidden = (kind.key, "simulated")
    return Node(
        kind=item.kind,
        id=item.id,
        summary=summary(item.kind, item.row),
        details={name: value for name, value in item.row.items() if name not in hidden and not name.startswith("_")},
        relation=relation,
        direction=side,
        simulated=bool(item.row.get("simulated")),
        notes=tuple(item.notes),
        children=children,
        more={link.relation: more for link, _, more in edges if more > 0},
        repeated=repeated,
    )
