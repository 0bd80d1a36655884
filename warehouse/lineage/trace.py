"""Lineage: from anything in the warehouse back to what it rests on, and forward to what rests on it.

What a published row rests on is read as it was: the consensus at the snapshot of the dataset, the judgments and
estimates at the snapshot that the consensus was computed from. That is why no single recursive query does it: the
snapshot to read is known only once the row above has been read, and DuckLake's AT takes a constant.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from warehouse.catalog.connect import Warehouse
from warehouse.errors import InputError
from warehouse.lineage.edges import Link
from warehouse.lineage.kinds import KINDS
from warehouse.lineage.shard_files import Row
from warehouse.lineage.walk import NOW, Identity, Item, Side, read_rows, walk

Direction = Literal["back", "forward", "both"]

SHORTEST_PREFIX = 6
CANDIDATES = 5


@dataclass(frozen=True)
class Node:
    """A node of a trace.

    Attributes:
        kind: Its kind, such as consensus.
        id: Its id.
        summary: Its content in one line, without kind and id.
        details: Its columns.
        relation: What it is to the node above it.
        direction: On which side of the subject it is.
        simulated: Whether it was made up by a program, or rests on judgments that were.
        notes: Remarks on this place of the tree, such as the snapshot that it is shown as of.
        children: The nodes below it.
        more: For each relation, how many nodes are left out.
        repeated: Whether its children are left out because they appear earlier in the tree.
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
    """A trace: its subject, what that rests on (back) and what it is used by (forward)."""

    subject: Node
    direction: Direction
    rests_on: tuple[Node, ...]
    used_by: tuple[Node, ...]


def trace(warehouse: Warehouse, id_or_prefix: str, direction: Direction = "both", limit: int = 10) -> Trace:
    """Trace what something rests on and what rests on it.

    Args:
        warehouse: The warehouse.
        id_or_prefix: An id, or its first characters: at least six that no other id starts with.
        direction: Which way to go.
        limit: How many nodes to show of each relation at each place.

    Returns:
        The trace as a tree.

    Raises:
        InputError: No id starts like this, or several do.
    """
    kind, found = _resolve(warehouse, id_or_prefix.strip())
    wanted: tuple[Side, ...] = ("back", "forward") if direction == "both" else (direction,)
    nodes: dict[Side, Node] = {}
    for side in wanted:
        item = _subject(warehouse, kind, found)
        walk(warehouse, item, side, limit)
        nodes[side] = _node(item, side, "", set())
    return Trace(
        subject=replace(
            next(iter(nodes.values())),
            direction=None,
            notes=tuple(dict.fromkeys(note for node in nodes.values() for note in node.notes)),
            children=tuple(child for node in nodes.values() for child in node.children),
            more={name: count for node in nodes.values() for name, count in node.more.items()},
        ),
        direction=direction,
        rests_on=nodes["back"].children if "back" in nodes else (),
        used_by=nodes["forward"].children if "forward" in nodes else (),
    )


def _resolve(warehouse: Warehouse, text: str) -> tuple[str, str]:
    """The kind and the id of what a person named."""
    begins = "starts_with({key}, $1)" if len(text) >= SHORTEST_PREFIX else "{key} = $1"
    queries = [
        f"(SELECT {number} AS place, '{name}' AS kind, {kind.key} AS id FROM {kind.table} "
        f"WHERE {begins.format(key=kind.key)} ORDER BY {kind.key} <> $1, {kind.key} LIMIT {CANDIDATES + 1})"
        for number, (name, kind) in enumerate(KINDS.items())
        if kind.table
    ]
    found = warehouse.sql(f"{' UNION ALL '.join(queries)} ORDER BY place, id", [text]).to_pylist() if text else []
    found = [row for row in found if row["id"] == text] or found
    if not found:
        if len(text) < SHORTEST_PREFIX:
            raise InputError(f"Nothing has the id {text!r}; give an id or at least {SHORTEST_PREFIX} characters of it")
        raise InputError(
            f"Nothing in the warehouse has an id that starts with {text!r}; look one up, for instance with "
            '`odds sql "SELECT proposition_id, hypothesis FROM propositions"`'
        )
    if len(found) > 1:
        listed = ", ".join(f"{row['kind']} {row['id']}" for row in found[:CANDIDATES])
        rest = " and others" if len(found) > CANDIDATES else ""
        raise InputError(f"Several ids start with {text!r}: {listed}{rest}; give more characters")
    return found[0]["kind"], found[0]["id"]


def _subject(warehouse: Warehouse, kind: str, found: str) -> Item:
    link = Link("", "", "", kind, KINDS[kind].key)
    (row,) = read_rows(warehouse, link, [found], NOW, 1)[0][found].rows
    return Item(kind, row, focus=row["proposition_id"] if kind == "score" else None)


def _node(item: Item, side: Side, relation: str, seen: set[Identity]) -> Node:
    """The tree below an item. What appeared before is not unfolded again."""
    repeated = bool(item.edges) and item.identity in seen
    seen.add(item.identity)
    edges = [] if repeated else item.edges
    children = tuple(_node(child, side, name, seen) for name, found, _ in edges for child in found)
    hidden = (KINDS[item.kind].key, "simulated")
    more: Counter[str] = Counter()
    for name, _, beyond in edges:
        more[name] += beyond
    return Node(
        kind=item.kind,
        id=item.id,
        summary=item.row["_line"],
        details={name: value for name, value in item.row.items() if name not in hidden and not name.startswith("_")},
        relation=relation,
        direction=side,
        simulated=bool(item.row.get("simulated")),
        notes=tuple(item.notes),
        children=children,
        more={name: beyond for name, beyond in more.items() if beyond > 0},
        repeated=repeated,
    )
