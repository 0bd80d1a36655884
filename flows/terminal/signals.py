"""Ctrl-C, SIGTERM and SIGHUP while models are asked: once finishes the requests in flight, twice ends at once."""

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
    """Let the first signal finish the requests in flight, and the second one end the run.

    Without `finishes` the first one ends it, since requests to a model on this machine cost nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
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
        note("stopping: waiting for the requests in flight, which are kept; press again to end at once")

    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            # not the loop's own handlers, which would take the descriptor that flows.terminal.stopping listens to
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
        with graceful() if finishes else nullcontext():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending(error: BaseException | None, caller: Caller) -> BaseException | None:
    """Return the error that a run ends with: `KeyboardInterrupt` if it was interrupted, once or twice.

    That includes a run that was already stopping for another reason, but not one whose time on Prefect is over.
    """
    # for its time limits, Prefect raises a subclass, which it must get back
    if type(error) is asyncio.CancelledError or (error is None and caller.stop.reason == INTERRUPTED):
        return KeyboardInterrupt()
    return error
