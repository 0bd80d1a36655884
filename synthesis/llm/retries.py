"""When a failed attempt is made again: the one place where calls and batch requests are retried.

A loop of its own: some attempts are free and the endpoint has a say in the pause, so that with tenacity each of these
became a callback, and together they were longer than the loop, and slower.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from synthesis.llm.breaker import grown, jittered

T = TypeVar("T")


class PassingError(Exception):
    """An attempt failed, and the next one may not.

    `wait_s` is the pause that the endpoint asked for. An attempt that `is_free` costs time, but is not counted.
    """

    def __init__(self, words: str, wait_s: float = 0.0, *, is_free: bool = False) -> None:
        super().__init__(words)
        self.wait_s = wait_s
        self.is_free = is_free


async def retried(
    attempt: Callable[[], Awaitable[T]],
    pause: Callable[[float], Awaitable[None]],
    is_over: Callable[[int, float], bool],
    first_pause_s: float,
    longest_pause_s: float,
) -> T:
    """Makes attempts until one does not raise PassingError. Raises the last one when it gives up.

    Args:
        attempt: makes one attempt.
        pause: waits for so many seconds; what it raises ends the retries.
        is_over: whether to give up, from the number of attempts that count and the seconds since the first failure.
        first_pause_s: the pause after the first failure; it doubles with each further one.
        longest_pause_s: the longest pause, unless the endpoint asks for a longer one.
    """
    counted, began = 0, None
    while True:
        try:
            return await attempt()
        except PassingError as error:
            failure = error
        counted += not failure.is_free
        began = time.monotonic() if began is None else began
        if is_over(counted, time.monotonic() - began):
            raise failure
        wait_s = jittered(grown(first_pause_s, max(counted - 1, 0), longest_pause_s))
        await pause(0.0 if failure.is_free else max(failure.wait_s, wait_s))
