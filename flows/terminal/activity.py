"""What a stage is doing right now, shown within two seconds and then every five, however long a step takes.

Activities nest, such as a fit inside its stage; only the innermost is shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner

from flows.terminal.console import errors, note

FIRST_AFTER_S = 2.0
SECONDS_BETWEEN_LINES = 5.0


class Activity:
    """What a stage is doing, for how long, and how long it will still take."""

    def __init__(
        self, stage: str, clock: Callable[[], float] = time.monotonic, out: Callable[[str], None] = note
    ) -> None:
        self.stage = stage
        self._clock = clock
        self._out = out
        self._turn = Lock()
        self._what = ""
        self._since = self._began = clock()
        self._done = 0
        self._left: float | None = None
        self._step_at = float("-inf")
        self._line_at = self._began + FIRST_AFTER_S - SECONDS_BETWEEN_LINES

    def doing(self, what: str) -> None:
        """Start something, such as "loading the base model", and show it at once."""
        with self._turn:
            self._set(what, None)
            self._say()

    def at(self, done: int, total: int, *, unit: str = "", detail: str = "", left_s: float | None = None) -> None:
        """Be at `done` of `total`, in units such as "step". It is shown at once if the last line is old enough.

        The time left is `left_s` seconds, by default estimated from the pace.
        """
        with self._turn:
            moment = self._clock()
            if left_s is None and self._done < done < total:
                left_s = (moment - self._began) / (done - self._done) * (total - done)
            counted = " ".join(filter(None, [unit, f"{done:,} of {total:,}"]))
            self._set(", ".join(filter(None, [counted, detail])), left_s if done < total else None)
            if moment - self._step_at >= SECONDS_BETWEEN_LINES:
                self._step_at = moment
                self._say()

    def counting(self, done: int = 0) -> None:
        """Measure the pace from now on, without what came before, such as loading, and what is `done` already."""
        self._began, self._done = self._clock(), done

    def state(self) -> str:
        """Return a line such as "train: step 3 of 20, loss 2.310, 57 s, about 5 min left"."""
        moment = self._clock()
        parts = [f"{self.stage}: {self._what}" if self._what else self.stage]
        if (seconds := moment - self._since) >= 1:
            parts.append(f"for {duration(seconds)}")
        if self._left is not None:
            parts.append(f"about {duration(max(self._left - seconds, 0))} left")
        return ", ".join(parts)

    def remind(self) -> None:
        """Show the state again if nothing was shown for a while."""
        with self._turn:
            if self._clock() - self._line_at >= SECONDS_BETWEEN_LINES:
                self._say()

    def rest(self) -> None:
        """Wait five seconds for the next line, since something else was shown."""
        with self._turn:
            self._line_at = self._clock()

    def _set(self, what: str, left: float | None) -> None:
        self._what, self._left, self._since = what, left, self._clock()

    def _say(self) -> None:
        self._line_at = self._clock()
        self._out(self.state())


_under_way: list[Activity | None] = []
"""The last one is the innermost and is shown; None stands for something with its own display."""


@contextmanager
def activity(stage: str) -> Iterator[Activity]:
    """Show what a stage does: a line that updates itself on a terminal, lines every few seconds in a log.

    It goes to standard error, since results go to standard output.
    """
    if errors.is_terminal:
        shown = Activity(stage, out=lambda line: None)
        with _innermost(shown), _spinner(shown):
            yield shown
        return
    shown = Activity(stage)
    with _innermost(shown), ticking(shown.remind, lambda: _under_way[-1] is shown):
        yield shown


@contextmanager
def own_display() -> Iterator[None]:
    """Show nothing inside the block, which has its own display, such as a bar."""
    with _innermost(None):
        yield


@contextmanager
def _innermost(shown: Activity | None) -> Iterator[None]:
    _under_way.append(shown)
    try:
        yield
    finally:
        _under_way.pop()
        if _under_way and (outer := _under_way[-1]) is not None:
            outer.rest()


def _spinner(shown: Activity) -> Live:
    def line() -> Spinner | Group:
        return Spinner("dots", escape(shown.state())) if _under_way[-1] is shown else Group()

    on_terminal = sys.stdout.isatty()  # otherwise results would mix with what is shown here
    return Live(get_renderable=line, console=errors, transient=True, redirect_stdout=on_terminal)


@contextmanager
def ticking(tick: Callable[[], None], when: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Call `tick` twice a second during the block, whenever the condition holds."""
    over = Event()

    def ticks() -> None:
        while not over.wait(0.5):
            if when():
                tick()

    thread = Thread(target=ticks, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def duration(seconds: float) -> str:
    """Format seconds for people: 45 s, 3 min, 2 h 10 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
