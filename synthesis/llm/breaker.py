"""A circuit breaker: whether an endpoint is up, and for how long it may be down. Sends nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from synthesis.llm.stop import Stop

OPENS_AFTER = 5
"""Failures in a row after which an endpoint counts as down."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class DownError(Exception):
    """The endpoint has been down for longer than it may be."""


@dataclass
class Breaker:
    """Holds calls back while their endpoint is down, and lets one at a time probe whether it is up again.

    It opens after OPENS_AFTER failures in a row, and each pause is twice as long as the one before. An endpoint that
    has answered in this run may be down for `patience_s` seconds in all, one that never has for `attempts` pauses. One
    that limits the rate may do so for `patience_s` seconds without answering anybody.
    """

    stop: Stop
    patience_s: float
    attempts: int
    first_pause_s: float = FIRST_PAUSE_S
    clock: Callable[[], float] = time.monotonic
    answered: int = 0
    _failures: int = 0
    _pauses: int = 0
    _state: int = 0
    _down_since: float | None = None
    _limited_since: float | None = None
    _rests: int = 0
    _until: float = 0.0
    _rest_until: float = 0.0
    _probing: bool = False
    _gone: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the endpoint counts as down."""
        return self._down_since is not None

    @property
    def pause(self) -> tuple[str, float] | None:
        """What holds calls back, in words, and for how many more seconds; None if nothing does."""
        if self.is_open:
            return "is down", max(self._until - self.clock(), 0.0)
        rest = self._rest_until - self.clock()
        return ("limits the rate", rest) if rest > 0 else None

    @property
    def limits_for_too_long(self) -> bool:
        """Whether the endpoint has limited the rate for `patience_s` seconds and answered nobody."""
        return self._limited_since is not None and self.clock() - self._limited_since >= self.patience_s

    async def admit(self) -> int:
        """Waits until a call may be sent. Returns the state that it was admitted in, for the methods below.

        Raises DownError when the endpoint has been down for too long, StoppedError when the run is stopped.
        """
        while True:
            self.stop.check()
            if self._gone:
                raise DownError
            if (wait := max(self._until, self._rest_until) - self.clock()) > 0:
                await self.stop.pause(wait)
            elif self.is_open and self._probing:
                await self.stop.pause(self.first_pause_s)
            else:
                self._probing = self.is_open
                return self._state

    def is_outdated(self, state: int) -> bool:
        """Whether a call admitted in this state must not be sent any more: the endpoint went down, or must rest."""
        resting = self.clock() < max(self._until, self._rest_until)
        return resting or state != self._state or self.stop.reason is not None

    def worked(self) -> None:
        """An answer came, whatever its status, and it is no failure of the endpoint: the endpoint is up."""
        self.answered += 1
        self._failures = self._rests = 0
        self._limited_since = None
        if self.is_open:
            self._state += 1
            self._down_since, self._pauses, self._probing, self._until = None, 0, False, 0.0

    def failed(self, state: int) -> None:
        """A call failed. One that was sent before the state changed says nothing about the present one."""
        if state != self._state:
            return
        self._failures += 1
        if self.is_open or self._failures >= OPENS_AFTER:
            self._open()

    def abandoned(self, state: int) -> None:
        """A call ended without a result, for example on Ctrl-C."""
        if state == self._state:
            self._probing = False

    def limited(self, state: int, wish_s: float) -> None:
        """The endpoint limits the rate. It rests as long as it asks, or for growing pauses until it answers again.

        Of the requests that were in flight together, the first one counts.
        """
        self.abandoned(state)
        now = self.clock()
        self._limited_since = now if self._limited_since is None else self._limited_since
        if now >= self._rest_until:
            wish_s = wish_s or grown(self.first_pause_s, self._rests, LONGEST_PAUSE_S)
            self._rests += 1
        self.rest(wish_s)

    def rest(self, seconds: float) -> None:
        """Sends nothing for this long, as the endpoint asks, and up to a quarter longer: others wait for it as well."""
        if (until := self.clock() + seconds) > self._rest_until:
            self._rest_until = until + random.uniform(0.0, seconds / 4)

    def _open(self) -> None:
        now = self.clock()
        self._state += 1
        self._probing = False
        self._down_since = now if self._down_since is None else self._down_since
        self._gone = self._pauses >= self.attempts if not self.answered else now - self._down_since >= self.patience_s
        self._until = now + jittered(grown(self.first_pause_s, self._pauses, LONGEST_PAUSE_S))
        self._pauses += 1


def grown(first_s: float, doublings: int, longest_s: float) -> float:
    """A pause that was doubled so many times, which may be thousands, up to the longest one."""
    return min(first_s * 2.0 ** min(doublings, 32), longest_s)


def jittered(seconds: float) -> float:
    """Between 75% and 125% of a pause, so that workers do not all come back at once."""
    return seconds * random.uniform(0.75, 1.25)
