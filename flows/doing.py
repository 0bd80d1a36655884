"""What goes on right now, for a person who waits: one line on a terminal, and in a log a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

FIRST_AFTER_S = 2.0
SECONDS_BETWEEN_LINES = 5.0

errors = Console(stderr=True)
"""Progress goes to the standard error, results do not. One console, so that a bar can stand inside another display."""


def note(text: str) -> None:
    """A line about what is going on, beside the results: on the standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


class Doing:
    """Something under way, and the lines that say how far it is.

    The first line comes after two seconds, the others every five, and one when everything is done.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._began = clock()
        self._due = self._began + FIRST_AFTER_S
        self._done, self._total = 0, 0
        self._turn = Lock()

    def tick(self, done: int, total: int) -> None:
        """Take over how much is done of how much."""
        with self._turn:
            self._done, self._total = done, total
            if 0 < total <= done:
                self._speak()
        self.say()

    def say(self) -> None:
        """Print the line where it is due."""
        with self._turn:
            if self._clock() >= self._due:
                self._speak()

    def rest(self) -> None:
        """Something else has spoken in the meantime: the next line is due in five seconds."""
        with self._turn:
            self._due = self._clock() + SECONDS_BETWEEN_LINES

    @property
    def line(self) -> str:
        """How far it is."""
        seconds = self._clock() - self._began
        if not self._total:
            return f"{self._what}: {seconds:.0f} s"
        left = seconds / self._done * (self._total - self._done) if 0 < self._done < self._total else 0
        rest = f", {left:.0f} s left" if left else ""
        return f"{self._what}: {self._done:,} of {self._total:,} after {seconds:.0f} s{rest}"

    def _speak(self) -> None:
        self._due = self._clock() + SECONDS_BETWEEN_LINES
        note(self.line)


_under_way: list[Doing | None] = []
"""What is under way, the innermost last: only that one speaks. None has a display of its own."""


@contextmanager
def doing(what: str) -> Iterator[Doing]:
    """Shows that `what` goes on while the context lasts. It may stand inside another one, which is silent meanwhile."""
    one = Doing(what)
    with _innermost(one):
        if errors.is_terminal:
            with _spinner(one):
                yield one
        elif len(_under_way) == 1:
            with ticking(_say):
                yield one
        else:
            yield one


@contextmanager
def silent() -> Iterator[None]:
    """Meanwhile something goes on that has a display of its own."""
    with _innermost(None):
        yield


@contextmanager
def _innermost(one: Doing | None) -> Iterator[None]:
    _under_way.append(one)
    try:
        yield
    finally:
        _under_way.pop()
        if _under_way and (outer := _under_way[-1]) is not None:
            outer.rest()


def _say() -> None:
    if (one := _under_way[-1]) is not None:
        one.say()


def _spinner(one: Doing) -> Live:
    spinner = Spinner("dots")

    def shown() -> Spinner | Group:
        if _under_way[-1] is not one:
            return Group()
        spinner.update(text=Text(one.line, no_wrap=True, overflow="ellipsis"))
        return spinner

    on_terminal = sys.stdout.isatty()  # elsewhere, results would land among the progress
    return Live(get_renderable=shown, console=errors, transient=True, redirect_stdout=on_terminal)


@contextmanager
def ticking(tick: Callable[[], None], every_s: float = 0.5) -> Iterator[None]:
    """Calls it again and again meanwhile."""
    over = Event()

    def ticks() -> None:
        while not over.wait(every_s):
            tick()

    thread = Thread(target=ticks, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
