"""Ctrl-C and SIGTERM while models are asked: once finishes what is under way, twice ends at once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from flows.terminal.console import note
from flows.terminal.stopping import SIGNALS, graceful
from synthesis.llm.client import Caller

INTERRUPTED = "interrupted"


@contextmanager
def stops_on_signals(caller: Caller, *, finishes: bool = True) -> Iterator[None]:
    """While it lasts, the first Ctrl-C or SIGTERM finishes the requests under way, and the second one ends the run.

    Without `finishes` the first one ends it: what a model on this machine has begun costs nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are somebody else's business
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    pressed = False

    def stop() -> None:
        nonlocal pressed
        caller.stop.set(INTERRUPTED)
        if (pressed or not finishes) and task is not None:
            task.cancel()
            return
        pressed = True
        note("stopping: requests under way are finished and kept; once more to end at once")

    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            # Not the loop's own handlers: they would take the descriptor that flows.terminal.stopping listens to.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
        with graceful() if finishes else nullcontext():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending(error: BaseException | None, caller: Caller) -> BaseException | None:
    """What a run ends with that ended with this: a KeyboardInterrupt where a person has stopped it, once or twice.

    A run that had stopped for another reason before is called off by a person too.
    """
    if isinstance(error, asyncio.CancelledError) or (error is None and caller.stop.reason == INTERRUPTED):
        return KeyboardInterrupt()
    return error
