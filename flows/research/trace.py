"""Trace: what something is based on and what uses it, as a tree for a terminal or as plain values."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from flows.settings.settings import Config, load_settings
from flows.stages.services import reading
from flows.terminal.console import terminal
from warehouse.lineage.trace import Direction, Node, Trace
from warehouse.lineage.trace import trace as trace_in

SHOWN_ID = 12
SHOWN_TEXT = 300  # characters of a node's text; a terminal also cuts lines to its width
FILE_WIDTH = 1000
SIDES = (("back", "rests on"), ("forward", "used by"))


def trace(id_or_prefix: str, direction: Direction = "both", limit: int = 10, *, config: Config = None) -> Trace:
    """Trace what an id rests on and what uses it.

    Args:
        id_or_prefix: The id of anything, or its first six characters or more.
        direction: "back" to what it rests on, "forward" to what uses it, or "both".
        limit: How many of each kind to return at each place.
        config: The settings, or the file to read them from.

    Raises:
        InputError: no id starts like this, or several do.
    """
    with reading(load_settings(config)) as warehouse:
        return trace_in(warehouse, id_or_prefix, direction, limit)


def print_trace(found: Trace, console: Console) -> None:
    """Print a trace with one line per node, cut to the width of a terminal; a file gets whole lines."""
    if not console.is_terminal:
        console = terminal(file=console.file, width=FILE_WIDTH)
    console.print(as_tree(found))


def as_tree(found: Trace) -> Tree:
    """Return the trace as a tree: the subject, what it rests on, and what it is used by."""
    tree = Tree(_line(found.subject), guide_style="dim")
    for side, title in SIDES:
        if found.direction not in (side, "both"):
            continue
        children = found.rests_on if side == "back" else found.used_by
        branch = tree.add(_text(title if children else f"{title}: nothing", "bold" if children else "dim"))
        _grow(branch, children, found.subject.more)
    return tree


def as_values(node: Node) -> dict[str, Any]:
    """Return a node and everything below it as plain values; `direction` tells the two sides apart."""
    return {
        "kind": node.kind,
        "id": node.id,
        "label": node.summary,
        "relation": node.relation,
        "direction": node.direction,
        "simulated": node.simulated,
        "notes": list(node.notes),
        "details": {name: _plain(value) for name, value in node.details.items()},
        "more": node.more,
        "repeated": node.repeated,
        "children": [as_values(child) for child in node.children],
    }


def _grow(branch: Tree, children: tuple[Node, ...], more: dict[str, int]) -> None:
    """Add children: a single one of a relation on the same line as its name, several below it."""
    for relation, group in groupby(children, key=lambda child: child.relation):
        nodes = list(group)
        beyond = more.get(relation, 0)
        if len(nodes) == 1 and not beyond:
            _grow(branch.add(_line(nodes[0], relation)), nodes[0].children, nodes[0].more)
            continue
        below = branch.add(_text(f"{relation} ({len(nodes) + beyond:,})", "cyan"))
        for node in nodes:
            _grow(below.add(_line(node, heading=relation)), node.children, node.more)
        if beyond:
            below.add(_text(f"... and {beyond:,} more", "dim"))


def _line(node: Node, relation: str = "", heading: str = "") -> Text:
    """A node in one line: kind (unless the heading names it), short id, marks and text."""
    line = _text("")
    if relation == f"{node.kind}s" or not (relation or heading):
        line.append(f"{node.kind} ", "cyan" if relation else "")
    elif relation:
        line.append(f"{relation} " if relation == node.kind else f"{relation}: ", "cyan")
    if not (relation or heading).startswith(node.kind) and (relation or heading):
        line.append(f"{node.kind} ")
    if node.kind != "judgments":  # groups of judgments have no id
        line.append(f"{node.id[:SHOWN_ID]} ", "bold")
    if node.simulated:
        line.append("simulated ", "bold yellow")
    if node.notes:
        line.append(f"({', '.join(node.notes)}) ", "magenta")
    said = " ".join(node.summary.split())
    line.append(said if len(said) <= SHOWN_TEXT else f"{said[:SHOWN_TEXT]}…")
    if node.repeated:
        line.append(" (shown above)", "dim")
    return line


def _text(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis", end="")


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
