"""When a failed attempt is made again: the one place where calls and batch requests are retried."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from synthesis.llm.breaker import jittered

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
    try:
        return await attempt()
    except PassingError as error:
        failed = [error]
    counted = 0

    async def next_attempt() -> T:
        # Only failures go through tenacity, which takes 100 µs where all else of a call's way to its client takes 50.
        if failed:
            raise failed.pop()
        return await attempt()

    def count(state: RetryCallState) -> None:
        nonlocal counted
        counted += not _error(state).is_free

    def seconds(state: RetryCallState) -> float:
        error = _error(state)
        grown = min(first_pause_s * 2 ** max(counted - 1, 0), longest_pause_s)
        return 0.0 if error.is_free else max(error.wait_s, jittered(grown))

    attempts = AsyncRetrying(
        retry=retry_if_exception_type(PassingError),
        after=count,
        wait=seconds,
        stop=lambda state: is_over(counted, state.seconds_since_start or 0.0),
        sleep=pause,
        reraise=True,
    )
    return await attempts(next_attempt)


def _error(state: RetryCallState) -> PassingError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, PassingError)
    return error
