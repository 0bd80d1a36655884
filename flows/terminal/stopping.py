"""Ctrl-C, SIGTERM and SIGHUP: every command ends within two seconds, in the same line, wherever they arrive.

A signal raises `KeyboardInterrupt` in the main thread, to close what is open. Libraries may turn it into another error,
swallow it, or not check signals for minutes: then a thread of our own, which the system wakes at every signal, ends the
process. `odds` loads this module first, so it imports nothing of ours.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from select import select
from types import FrameType
from typing import Any, NoReturn

LINE = "interrupted; finished work is kept, run the same command again to continue"
_HANGUP = (signal.SIGHUP,) if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else ()
SIGNALS = (*_HANGUP, signal.SIGINT, signal.SIGTERM)
"""A closed terminal sends SIGHUP; under nohup, which has it ignored, the command goes on."""
PATIENCE_S = 0.9
"""The time to close after a signal; with the time that the system needs to free memory, two seconds suffice."""
ACCOUNT_S = 1.8
"""The same if a second signal cuts off requests in flight; the line with their cost is worth a second."""
CLOSING_S = 10.0
"""The same if requests in flight were finished first."""
LOOK_S = 0.1
SHOW_CURSOR = "\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """A signal arrived. A plain `KeyboardInterrupt` inside `eval` or `exec` would change Python's exit status."""


class _Stop:
    """What this process knows about signals: the first one, how many, the deadline to close, what was printed."""

    number: int | None = None
    count = 0
    deadline: float | None = None
    graceful = False
    leaving = False
    said = False
    last_words: Callable[[], str] | None = None


def install() -> None:
    """Let signals end the process with one line. Only for a process that runs a command."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    sys.unraisablehook = _quiet_once_stopped(sys.unraisablehook)
    threading.excepthook = _quiet_once_stopped(threading.excepthook)
    threading.Thread(target=_watch, args=(read,), daemon=True, name="signals").start()


def stopped_by() -> int | None:
    """Return the number of the signal that ends this process, if one arrived."""
    return _Stop.number


def leave() -> None:
    """Print the line if a signal arrived; from now on another one ends the process at once."""
    _Stop.leaving = True
    if _Stop.number is not None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        _say()


def end_by(number: int) -> NoReturn:
    """End the process that a signal stopped, with what was registered for its exit.

    Python would also take its modules apart, which lasts seconds once torch is loaded, and lets no thread of ours run.
    """
    with suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(128 + number)


@contextmanager
def graceful() -> Iterator[None]:
    """Let the first signal set no deadline during the block, so that requests in flight finish."""
    _Stop.graceful = True
    try:
        yield
    finally:
        _Stop.graceful = False
        if _Stop.number is not None and _Stop.deadline is None:
            _Stop.deadline = time.monotonic() + CLOSING_S


@contextmanager
def last_words(words: Callable[[], str]) -> Iterator[None]:
    """Print these words on standard output if the process is ended during the block, because closing took too long."""
    _Stop.last_words = words
    try:
        yield
    finally:
        _Stop.last_words = None


def _interrupt(number: int, frame: FrameType | None) -> None:
    _Stop.number = number if _Stop.number is None else _Stop.number
    if _Stop.leaving:
        _end(number)
    raise Interrupted


def _watch(read: int) -> None:
    """Receive each signal as it arrives, whatever the main thread does, and end the process at the deadline."""
    while True:
        # the main thread may set a deadline after a signal, so it is checked now and then
        if select([read], [], [], LOOK_S if _Stop.number is not None else None)[0]:
            for number in os.read(read, 64):
                if number in SIGNALS:
                    _heard(number)
        elif _Stop.deadline is not None and time.monotonic() > _Stop.deadline:
            _end(_Stop.number or signal.SIGTERM)


def _heard(number: int) -> None:
    _Stop.number = number if _Stop.number is None else _Stop.number
    _Stop.count += 1
    if _Stop.count > (2 if _Stop.graceful else 1):
        _end(_Stop.number)
    if not _Stop.graceful or _Stop.count > 1:
        _Stop.deadline = time.monotonic() + (ACCOUNT_S if _Stop.graceful else PATIENCE_S)


def _end(number: int) -> NoReturn:
    words = _Stop.last_words
    if words is not None:
        with suppress(Exception):
            os.write(1, f"{words()}\n".encode())
    _say()
    os._exit(128 + number)


def _say() -> None:
    if _Stop.said:
        return
    _Stop.said = True
    with suppress(OSError, ValueError):
        shown = SHOW_CURSOR if os.isatty(2) else ""
        os.write(2, f"{shown}odds: {LINE}\n".encode())


def _quiet_once_stopped(hook: Any) -> Any:
    """Hide interruptions inside Python's callbacks, which nobody needs to read about."""

    def quiet(what: Any) -> None:
        if _Stop.number is None:
            hook(what)

    return quiet
