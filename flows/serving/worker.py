"""One thread that scores. Requests that wait go through the estimator together, and take turns."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from flows.serving.requests import RefusedError

Pair = tuple[str, str]
Answer = dict[str, Any]
"""The score of a proposition, as JSON."""

MOST_WAITING = 20_000
TURN_S = 1.0
"""A turn takes about this long, so that a short request waits about as long for the long ones before it."""
LEAST_AT_ONCE = 16


@dataclass(eq=False)
class _Request:
    pairs: Sequence[Pair]
    answers: list[Answer] = field(default_factory=list)
    answered: Future[list[Answer]] = field(default_factory=Future)


class Worker:
    """Scores the propositions of requests in a thread of its own.

    Args:
        score: Returns the answers to some propositions, in their order.
    """

    def __init__(self, score: Callable[[Sequence[Pair]], Sequence[Answer]]) -> None:
        self._score = score
        self._requests: deque[_Request] = deque()
        self._changed = Condition()
        self._at_once = LEAST_AT_ONCE
        Thread(target=self._work, daemon=True, name="scoring").start()

    def submit(self, pairs: Sequence[Pair]) -> Future[list[Answer]]:
        """Return the answers to come. Cancelling them leaves out what is not scored yet.

        Raises:
            RefusedError: too many propositions are waiting.
        """
        request = _Request(pairs)
        if not pairs:
            request.answered.set_result([])
            return request.answered
        with self._changed:
            if (waiting := self._waiting()) + len(pairs) > MOST_WAITING:
                raise RefusedError(503, f"{waiting:,} propositions are waiting already; try again later")
            self._requests.append(request)
            self._changed.notify()
        return request.answered

    def waiting(self) -> int:
        """Return how many propositions have no answer yet."""
        with self._changed:
            return self._waiting()

    def _waiting(self) -> int:
        return sum(len(request.pairs) - len(request.answers) for request in self._requests)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests)
                turn = self._turn()
            if not turn:
                continue
            requests = list(dict.fromkeys(request for request, _ in turn))
            began = time.monotonic()
            try:
                answers = self._score([pair for _, pair in turn])
                with self._changed:
                    for (request, _), answer in zip(turn, answers, strict=True):
                        request.answers.append(answer)
            except Exception as error:
                self._end(requests, error)
                continue
            self._at_once = max(LEAST_AT_ONCE, int(len(turn) * TURN_S / max(time.monotonic() - began, 1e-6)))
            self._end([each for each in requests if len(each.answers) == len(each.pairs)])

    def _turn(self) -> list[tuple[_Request, Pair]]:
        """Return what is scored next: an equal share of every request, about as much as fits into a turn."""
        self._requests = deque(request for request in self._requests if not request.answered.cancelled())
        turn: list[tuple[_Request, Pair]] = []
        served = 0
        for served, request in enumerate(self._requests):
            if len(turn) >= self._at_once:
                break
            share = max(1, (self._at_once - len(turn)) // (len(self._requests) - served))
            done = len(request.answers)
            turn += [(request, pair) for pair in request.pairs[done : done + share]]
        self._requests.rotate(-served)
        return turn

    def _end(self, requests: Sequence[_Request], error: Exception | None = None) -> None:
        with self._changed:
            for request in requests:
                self._requests.remove(request)
        for request in requests:
            with suppress(InvalidStateError):  # the client left
                if error is None:
                    request.answered.set_result(request.answers)
                else:
                    request.answered.set_exception(error)
