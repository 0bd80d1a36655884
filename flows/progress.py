"""Visible progress: a live bar in a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from flows.console import money
from synthesis.progress import Progress as Asked

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


@contextmanager
def request_progress(stage: str, total: int) -> Iterator[Callable[[Asked], None]]:
    """The same for requests: a function to call with the totals so far; rate, failures, cost and time left stand there.

    `total` is the number of questions.
    """
    console = Console(stderr=True)
    began = time.monotonic()
    if not console.is_terminal:
        yield request_lines(stage, total)
        return
    bars = Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    bar = bars.add_task(stage, total=total)
    # A line of its own: beside the bar it would not fit into 80 columns.
    below = Text(" " * 10, no_wrap=True, overflow="ellipsis")

    def show(asked: Asked) -> None:
        bars.update(bar, completed=asked.done)
        below.plain = " " * 10 + said(asked, time.monotonic() - began)

    with Live(Group(bars, below), console=console, transient=True):
        yield show


def request_lines(stage: str, total: int, clock: Callable[[], float] = time.monotonic) -> Callable[[Asked], None]:
    """The same as lines on the standard error, at most one every few seconds, and one at the end."""
    began = last = clock()

    def show(asked: Asked) -> None:
        nonlocal last
        moment = clock()
        if moment - last < SECONDS_BETWEEN_LINES and asked.done < total:
            return
        last = moment
        seconds = moment - began
        left = f", {(total - asked.done) * seconds / asked.done:.0f} s left" if 0 < asked.done < total else ""
        note(f"{stage}: {asked.done:,} of {total:,} after {seconds:.0f} s, {said(asked, seconds)}{left}")

    return show


def said(asked: Asked, seconds: float) -> str:
    """Rate, what was not answered, and cost so far, as a few words."""
    rate = asked.requests / max(seconds, 1e-9)
    parts = [f"{rate:,.0f} requests/s" if rate >= 10 else f"{rate:.1f} requests/s"]
    parts += [f"{asked.refused:,} refused"] if asked.refused else []
    parts += [f"{asked.failed:,} failed"] if asked.failed else []
    parts += [f"{asked.came_back:,} of {asked.handed_in:,} back from batches"] if asked.handed_in else []
    parts += [f"cost {money(asked.cost)}"] if asked.cost else []
    return ", ".join(parts)


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
