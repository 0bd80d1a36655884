"""Ctrl-C and SIGTERM: every command ends within two seconds, in the same one line, wherever they fall.

A signal raises `KeyboardInterrupt` in the main thread, so that what is open is closed. Libraries may turn that into
another error, swallow it, or not look at signals for minutes: then a thread of our own, which the system tells of every
signal at once, ends the process. This module is the first that `odds` loads, so it loads nothing of ours.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from select import select
from types import FrameType
from typing import Any, NoReturn

LINE = "interrupted; finished work is kept, run the same command again to go on"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE_S = 0.9
"""What closing may take after a signal; with the time that Python takes to end, a command is gone in two seconds."""
ACCOUNT_S = 1.8
"""The same where a second signal cuts off requests under way: the line that says what they cost is worth a second."""
CLOSING_S = 10.0
"""The same where requests under way were finished first."""
LOOK_S = 0.1
SHOW_CURSOR = "\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """A signal came. Not its parent: one that falls into `eval` or `exec` makes Python end with another status."""


class _Stop:
    """What this process knows about signals: the first one, how many, until when it may close, what was said."""

    number: int | None = None
    count = 0
    deadline: float | None = None
    graceful = False
    leaving = False
    said = False


def install() -> None:
    """From here on signals end the process in one line. Only for a process that is a command."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    sys.unraisablehook = _quiet_once_stopped(sys.unraisablehook)
    threading.excepthook = _quiet_once_stopped(threading.excepthook)
    threading.Thread(target=_watch, args=(read,), daemon=True, name="signals").start()


def stopped_by() -> int | None:
    """The number of the signal that ends this process, if one came."""
    return _Stop.number


def leave() -> None:
    """Say the line where a signal came; from here on another one ends the process at once."""
    _Stop.leaving = True
    if _Stop.number is not None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        _say()


@contextmanager
def graceful() -> Iterator[None]:
    """While it lasts, the first signal sets no time limit: what is under way is finished."""
    _Stop.graceful = True
    try:
        yield
    finally:
        _Stop.graceful = False
        if _Stop.number is not None and _Stop.deadline is None:
            _Stop.deadline = time.monotonic() + CLOSING_S


def _interrupt(number: int, frame: FrameType | None) -> None:
    _Stop.number = number if _Stop.number is None else _Stop.number
    if _Stop.leaving:
        _end(number)
    raise Interrupted


def _watch(read: int) -> None:
    """Hears of each signal when it comes, whatever the main thread does, and ends the process when time is over."""
    while True:
        # The main thread may set a deadline once a signal came, so that is looked at now and then.
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
    """An interruption that falls into a callback of Python is no error that a person should read about."""

    def quiet(what: Any) -> None:
        if _Stop.number is None:
            hook(what)

    return quiet
