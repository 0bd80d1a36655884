"""Progress: a live bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from flows.terminal.activity import FIRST_AFTER_S, SECONDS_BETWEEN_LINES, activity, own_display, ticking
from flows.terminal.console import errors, money, note
from synthesis.progress import RunProgress

Tick = Callable[[int, int], None]
LONGEST_BETWEEN_LINES = 60.0
PATIENT_FOR = 12
"""After this many equal lines, as while a batch runs, they become less and less frequent."""
SECONDS_BETWEEN_SAMPLES = 0.5
WINDOW_S = 60.0
"""The window of rate and time left, since what was before it tells little, especially after a wait."""


@contextmanager
def progress(stage: str) -> Iterator[Tick]:
    """Yield a function to call with (done, total) while a stage runs."""
    if not errors.is_terminal:
        with activity(stage) as shown:
            yield shown.at
        return
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with own_display(), Progress(*columns, console=errors, transient=True) as bars:
        bar = bars.add_task(stage, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


@contextmanager
def request_progress(
    stage: str, total: int, waiting: Callable[[], str | None] = lambda: None
) -> Iterator[Callable[[RunProgress], None]]:
    """Yield a function to call with the totals of a run; shows its rate, failures, cost and time left.

    Args:
        stage: The stage.
        total: The number of questions.
        waiting: Returns why less is sent than could be. It is shown even while nothing comes in.
    """
    run = ShownRun(total, waiting)
    if errors.is_terminal:
        with own_display(), Live(get_renderable=_bar(stage, run), console=errors, transient=True):
            yield run.show
        return
    said = Lines(stage, run)
    with own_display(), ticking(said.say):
        yield said.show


class ShownRun:
    """A run of requests as it is shown: its totals, its recent rate, and what it waits for."""

    def __init__(
        self, total: int, waiting: Callable[[], str | None] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.asked = RunProgress()
        self._waiting = waiting
        self._clock = clock
        self._began = clock()
        self._samples = deque([(self._began, self.asked)])

    def show(self, asked: RunProgress) -> None:
        """Take the new totals."""
        moment = self._clock()
        self.asked = asked
        if moment - self._samples[-1][0] >= SECONDS_BETWEEN_SAMPLES:
            self._samples.append((moment, asked))

    def state(self) -> RunState:
        """Return how the run is going now."""
        moment, asked = self._clock(), self.asked
        is_over = asked.done >= self.total
        while len(self._samples) > 1 and self._samples[1][0] <= moment - WINDOW_S:
            self._samples.popleft()
        since, before = (self._began, RunProgress()) if is_over else self._samples[0]
        seconds = max(moment - since, 1e-9)
        rate = (asked.requests - before.requests) / seconds
        pace = (asked.done - before.done) / seconds
        left = (self.total - asked.done) / pace if pace else None
        return RunState(asked, is_over, moment - self._began, rate, left, "" if is_over else self._reason(asked))

    def _reason(self, asked: RunProgress) -> str:
        batches = "waiting for batches" if asked.came_back < asked.handed_in else ""
        return ", ".join(filter(None, [self._waiting(), batches]))


class RunState(NamedTuple):
    """Totals, whether all is done, seconds since the start, recent requests per second, seconds left, reason to wait.

    The seconds left are None if they are unknown.
    """

    asked: RunProgress
    is_over: bool
    seconds: float
    rate: float
    left: float | None
    reason: str


class Lines:
    """A run as lines on standard error: one every few seconds, one at the end, fewer if nothing changes."""

    def __init__(self, stage: str, run: ShownRun) -> None:
        self._stage = stage
        self._run = run
        self._turn = Lock()
        self._last = run.state().seconds + FIRST_AFTER_S - SECONDS_BETWEEN_LINES, run.asked
        self._same = 0
        self._ended = False

    def show(self, asked: RunProgress) -> None:
        """Take the new totals, and print them if it is time."""
        self._run.show(asked)
        self.say()

    def say(self) -> None:
        """Print how the run is going, if it is time."""
        with self._turn:
            state = self._run.state()
            asked = state.asked
            last, before = self._last
            same = self._same if asked == before else 0
            if self._ended or (state.seconds - last < _pause(same) and not state.is_over):
                return
            self._last, self._same, self._ended = (state.seconds, asked), same + 1, state.is_over
            parts = [
                f"{self._stage}: {asked.done:,} of {self._run.total:,} after {state.seconds:.0f} s",
                f"{rate_of(state.rate)}{_totals(asked)}",
                *([f"{state.left:.0f} s left"] if state.left else []),
                *([state.reason] if state.reason else []),
            ]
            note(", ".join(parts))


def _pause(same: int) -> float:
    """Return the seconds until the next line, after so many equal ones."""
    return min(SECONDS_BETWEEN_LINES * 2.0 ** max(same - PATIENT_FOR, 0), LONGEST_BETWEEN_LINES)


def _bar(stage: str, run: ShownRun) -> Callable[[], Group]:
    """Return a function that returns the present bar."""
    bars = Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TextColumn("{task.fields[since]}", style="progress.elapsed"),
        TextColumn("left"),
        TextColumn("{task.fields[left]}", style="progress.remaining"),
        console=errors,
    )
    bar = bars.add_task(stage, total=run.total, since="", left="")

    def shown() -> Group:
        state = run.state()
        bars.update(bar, completed=state.asked.done, since=hours(state.seconds), left=hours(state.left))
        # on their own lines: next to the bar they would not fit into 80 columns
        below = [f"{rate_of(state.rate)}{_totals(state.asked)}", *([state.reason] if state.reason else [])]
        return Group(bars, *(Text(" " * 10 + line, no_wrap=True, overflow="ellipsis") for line in below))

    return shown


def hours(seconds: float | None) -> str:
    """Format hours, minutes and seconds; dashes if unknown."""
    if seconds is None:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def rate_of(rate: float) -> str:
    """Format requests per second, or per minute if they are few."""
    if 0 < rate < 1:
        return f"{rate * 60:.1f} requests/min"
    return f"{rate:,.0f} requests/s" if rate >= 10 or rate == 0 else f"{rate:.1f} requests/s"


def _totals(asked: RunProgress) -> str:
    """Return what was not answered and the cost so far, to append to a line."""
    parts = [f"{asked.refused:,} refused"] if asked.refused else []
    parts += [f"{asked.failed:,} failed"] if asked.failed else []
    parts += [f"{asked.came_back:,} of {asked.handed_in:,} back from batches"] if asked.handed_in else []
    parts += [f"cost {money(asked.cost)}"] if asked.cost else []
    return "".join(f", {part}" for part in parts)
