"""What all commands share: the options before the command, where results are printed, and how Prefect is kept quiet."""

from __future__ import annotations

import os
import sys
from math import floor, log10
from pathlib import Path
from textwrap import wrap

from rich.console import Console
from rich.table import Table

from flows.settings import Settings, load_settings

out = Console()
errors = Console(stderr=True)
"""What goes on meanwhile is shown there. One console, so that a bar can stand inside another display."""
MOST_LINES = 3


class Chosen:
    """The options that stand before the command; the callback of `odds` fills them once a run."""

    config: Path | None = None
    verbose: bool = False


def settings() -> Settings:
    """The settings of the chosen file."""
    return load_settings(Chosen.config)


def say(line: object) -> None:
    """Print a line that may be long; a terminal wraps it, a file keeps it whole."""
    out.print(line, highlight=False, soft_wrap=True, markup=False)


def note(text: str) -> None:
    """A line about what is going on, beside the results: on the standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


def quiet_prefect() -> None:
    """Prefect's defaults for a person at a terminal. Whatever the environment already says stays."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")  # what its client reads; else its first import prints a notice
    if not Chosen.verbose:  # its server gets the log all the same
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_LOGGING_ROOT_LEVEL", "CRITICAL")


def with_room_for_names(table: Table, width: int = 80) -> Table:
    """The table, made for so many columns: headings break between words, then names where they must, numbers never."""
    names, *others = table.columns
    cells = [max(len(str(cell)) for cell in each.cells or [""]) for each in table.columns]
    natural = sum(max(len(str(each.header)), wide) + 2 for each, wide in zip(table.columns, cells, strict=True)) - 2
    names.overflow = "fold"
    for each, wide in zip(others, cells[1:], strict=True) if natural > width else ():
        each.header = _folded(str(each.header), wide)
        each.no_wrap = True
    return table


def _folded(heading: str, width: int) -> str:
    """A heading over at most three lines, no wider than it has to be."""
    for wide in range(max(width, *map(len, heading.split())), len(heading)):
        if len(lines := wrap(heading, wide)) <= MOST_LINES:
            return "\n".join(lines)
    return heading


def money(value: float | None) -> str:
    """A cost as a person reads it: cents where it is large, three digits where it is small, nothing where unknown."""
    if value is None:
        return ""
    if value >= 1:
        return f"{value:,.2f}"
    if value == 0 or value >= 1e-4:
        return f"{value:.3g}"
    return f"{value:.{1 - floor(log10(value))}f}"
