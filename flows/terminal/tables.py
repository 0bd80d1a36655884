"""How tables look in a terminal. What `odds sql` prints has lines of its own, since its cells may hold anything."""

from __future__ import annotations

from collections.abc import Collection
from textwrap import wrap

from rich.box import SIMPLE_HEAD
from rich.table import Table

MOST_LINES = 3


def narrow_table(*columns: str, texts: Collection[str] = (), tight: bool = False) -> Table:
    """Return an empty table with little between its columns; numbers stand on the right, names and `texts` left.

    A `tight` one, for many columns, has one space less between them and breaks no number and no heading of numbers:
    names that are too long for what is left go on in the next line.
    """
    table = Table(
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 0 if tight else 1),
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    for number, column in enumerate(columns):
        is_text = not number or column in texts
        table.add_column(
            column,
            justify="left" if is_text else "right",
            no_wrap=tight and not is_text,
            overflow="fold" if tight and is_text else "ellipsis",
        )
    return table


def texts_table(*columns: str, texts: Collection[str] = ()) -> Table:
    """Return an empty table like `narrow_table`, as wide as the terminal, with propositions in its last column."""
    table = narrow_table(*columns, texts=texts)
    for column in table.columns:
        column.no_wrap = True
    table.add_column("hypothesis, premise", ratio=1, no_wrap=True, overflow="ellipsis")
    table.expand = True
    return table


def plain_list() -> Table:
    """Return an empty table without headings or lines, for names and what is said of them."""
    return Table(show_header=False, box=None, padding=(0, 2))


def with_room_for_names(table: Table, width: int = 80) -> Table:
    """Fit a table into so many columns: break headings between words, then names if necessary, never numbers."""
    names, *others = table.columns
    cells = [max((len(str(cell)) for cell in each.cells), default=0) for each in table.columns]
    natural = sum(max(len(str(each.header)), wide) + 2 for each, wide in zip(table.columns, cells, strict=True)) - 2
    names.overflow = "fold"
    for each, wide in zip(others, cells[1:], strict=True) if natural > width else ():
        each.header = _folded(str(each.header), wide)
        each.no_wrap = True
    return table


def _folded(heading: str, width: int) -> str:
    """Break a heading into at most three lines, as narrow as possible."""
    for wide in range(max(width, *map(len, heading.split())), len(heading)):
        if len(lines := wrap(heading, wide)) <= MOST_LINES:
            return "\n".join(lines)
    return heading
