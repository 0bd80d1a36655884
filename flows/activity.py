"""What a stage is doing right now: shown at once and at least every five seconds, however long a step takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner

from flows.progress import note

SECONDS_BETWEEN_LINES = 5.0


class Activity:
    """One stage: what it is doing, for how long, and how long it will take."""

    def __init__(
        self, stage: str, clock: Callable[[], float] = time.monotonic, out: Callable[[str], None] = note
    ) -> None:
        self.stage = stage
        self._clock = clock
        self._out = out
        self._turn = Lock()
        self._what = ""
        self._since = self._began = clock()
        self._left: float | None = None
        self._line_at = self._step_at = float("-inf")

    def doing(self, what: str) -> None:
        """Begin something, such as "loading the base model"; said at once."""
        with self._turn:
            self._set(what, None)
            self._say()

    def at(self, done: int, total: int, *, unit: str = "", detail: str = "", left_s: float | None = None) -> None:
        """Be at `done` of `total`, in units such as "step"; said at once if the line before is old enough.

        Time left is `left_s` seconds, or follows from the pace where it is not given.
        """
        with self._turn:
            moment = self._clock()
            if left_s is None and 0 < done < total:
                left_s = (moment - self._began) / done * (total - done)
            counted = " ".join(filter(None, [unit, f"{done:,} of {total:,}"]))
            self._set(", ".join(filter(None, [counted, detail])), left_s if done < total else None)
            if moment - self._step_at >= SECONDS_BETWEEN_LINES:
                self._step_at = moment
                self._say()

    def counting(self) -> None:
        """From now on the pace counts: what came before, such as loading, is no part of it."""
        self._began = self._clock()

    def state(self) -> str:
        """Such as "train: step 3 of 20, loss 2.310, 57 s, about 5 min left"."""
        moment = self._clock()
        parts = [f"{self.stage}: {self._what}"]
        if (seconds := moment - self._since) >= 1:
            parts.append(f"for {duration(seconds)}")
        if self._left is not None:
            parts.append(f"about {duration(max(self._left - seconds, 0))} left")
        return ", ".join(parts)

    def remind(self) -> None:
        """Say the state again if nothing was said for a while."""
        with self._turn:
            if self._what and self._clock() - self._line_at >= SECONDS_BETWEEN_LINES:
                self._say()

    def _set(self, what: str, left: float | None) -> None:
        self._what, self._left, self._since = what, left, self._clock()

    def _say(self) -> None:
        self._line_at = self._clock()
        self._out(self.state())


@contextmanager
def activity(stage: str) -> Iterator[Activity]:
    """Show what a stage does while it lasts: a line that renews itself on a terminal, lines every few seconds in a log.

    It goes to the standard error, since results go to the standard output.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        shown = Activity(stage, out=lambda line: None)
        with Live(get_renderable=lambda: Spinner("dots", escape(shown.state())), console=console, transient=True):
            yield shown
        return
    shown, over = Activity(stage), Event()

    def remind() -> None:
        while not over.wait(0.5):
            shown.remind()

    thread = Thread(target=remind, daemon=True)
    thread.start()
    try:
        yield shown
    finally:
        over.set()
        thread.join()


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 45 s, 3 min, 2 h 10 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
