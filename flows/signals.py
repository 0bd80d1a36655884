"""Ctrl-C and SIGTERM while models are asked: once finishes what is under way, twice ends at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from flows.progress import note
from synthesis.client import Caller

INTERRUPTED = "interrupted"


@contextmanager
def stops_on_signals(caller: Caller) -> Iterator[None]:
    """While it lasts, the first Ctrl-C or SIGTERM ends the run gracefully, and the second one at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    pressed = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop() -> None:
        nonlocal pressed
        if pressed and task is not None:
            task.cancel()
            return
        pressed = True
        caller.stop.set(INTERRUPTED)
        note("stopping: requests under way are finished and kept; once more to end at once")

    try:
        for number in before:
            loop.add_signal_handler(number, stop)
    except (RuntimeError, ValueError):  # not the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def ending(error: BaseException | None, caller: Caller) -> BaseException | None:
    """What a run ends with that ended with this: a KeyboardInterrupt where a person has stopped it, once or twice.

    A run that had stopped for another reason before is called off by a person too.
    """
    if isinstance(error, asyncio.CancelledError) or (error is None and caller.stop.reason == INTERRUPTED):
        return KeyboardInterrupt()
    return error
