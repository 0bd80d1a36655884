"""Work on a stream of any length with a bounded number of tasks, and hand on what is done in bounded batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def batches_of(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], in_flight: int, size: int
) -> AsyncGenerator[list[R], None]:
    """Lists of at most `size` results, in the order in which they are done.

    At most `in_flight` items are worked on at a time and `items` is read no further than that. The first exception
    stops the work: what was done is still yielded, what was under way is cancelled, and then the exception is raised.
    """
    source = iter(items)
    running: set[asyncio.Task[R]] = set()
    ready: list[R] = []
    broken: BaseException | None = None
    try:
        while broken is None:
            for item in islice(source, in_flight - len(running)):
                running.add(asyncio.ensure_future(work(item)))
            if not running:
                break
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                broken = task.exception() or broken
                if task.exception() is None:
                    ready.append(task.result())
            while len(ready) >= size:
                yield ready[:size]
                ready = ready[size:]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if ready:
        yield ready
    if broken is not None:
        raise broken
