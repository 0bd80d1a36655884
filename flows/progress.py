"""Visible progress: a live bar in a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Tick = Callable[[int, int], None]
SECONDS_BETWEEN_LINES = 5.0


def note(text: str) -> None:
    """A line about what is going on, beside the results: on the standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


@contextmanager
def progress(stage: str) -> Iterator[Tick]:
    """A function to call with (done, total) while `stage` runs. It goes to the standard error, results do not."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(stage)
        return
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(stage, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def lines(stage: str, clock: Callable[[], float] = time.monotonic) -> Tick:
    """Progress as lines on the standard error, at most one every few seconds, and one at the end."""
    began = clock()
    last = began

    def tick(done: int, total: int) -> None:
        nonlocal last
        moment = clock()
        if moment - last < SECONDS_BETWEEN_LINES and done < total:
            return
        last = moment
        rate = done / max(moment - began, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if 0 < done < total else ""
        note(f"{stage}: {done:,} of {total:,} after {moment - began:.0f} s{left}")

    return tick
