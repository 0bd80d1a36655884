"""How fast an endpoint may be asked, and for how long it may be down. No request is sent here."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from synthesis.errors import StoppedError

OPENS_AFTER = 5
"""Failures in a row after which an endpoint counts as down."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
MINUTE_S = 60.0


class DownError(Exception):
    """The endpoint has been down for longer than it may be."""


class Stop:
    """Whether a run, or a part of it, is to end, and why. Pauses of all that belongs to it end with it.

    A part, such as what is asked of one endpoint, ends with the whole that stands `above` it, and not the other way.
    """

    def __init__(self, above: Stop | None = None) -> None:
        self._event = asyncio.Event()
        self._parts: list[Stop] = []
        self.reason: str | None = None
        if above is not None:
            above._parts.append(self)

    def set(self, reason: str) -> None:
        """End it; the first reason stays."""
        self.reason = self.reason or reason
        self._event.set()
        for part in self._parts:
            part.set(reason)

    def check(self) -> None:
        """Raises StoppedError where it is to end."""
        if self.reason is not None:
            raise StoppedError(self.reason)

    async def pause(self, seconds: float) -> None:
        """Waits so long. Raises StoppedError as soon as it is to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self.check()


@dataclass
class Breaker:
    """Holds calls back while their endpoint is down, and lets one at a time try whether it is up again.

    It opens after OPENS_AFTER failures in a row, and each pause is twice as long as the one before. An endpoint that
    has answered in this run may be down for `patience_s` seconds in all, one that never has for `attempts` pauses.
    One that limits the rate may do so for `patience_s` seconds without an answer to anybody.
    """

    stop: Stop
    patience_s: float
    attempts: int
    first_pause_s: float = FIRST_PAUSE_S
    clock: Callable[[], float] = time.monotonic
    answered: int = 0
    _failures: int = 0
    _pauses: int = 0
    _generation: int = 0
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
        """What holds calls back, in words, and for how many seconds more; None where nothing does."""
        if self.is_open:
            return "is down", max(self._until - self.clock(), 0.0)
        rest = self._rest_until - self.clock()
        return ("limits the rate", rest) if rest > 0 else None

    @property
    def limits_for_too_long(self) -> bool:
        """Whether the endpoint has limited the rate for `patience_s` seconds and answered nobody."""
        return self._limited_since is not None and self.clock() - self._limited_since >= self.patience_s

    async def enter(self) -> int:
        """Waits until a call may be sent; gives a ticket for `holds`, `failed`, `limited` or `left`.

        Raises DownError when the endpoint has been down for too long, StoppedError when the run is to end.
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
                return self._generation

    def holds(self, ticket: int) -> bool:
        """Whether what came with this ticket must not be sent any more: the endpoint went down, or wants a rest."""
        resting = self.clock() < max(self._until, self._rest_until)
        return resting or ticket != self._generation or self.stop.reason is not None

    def worked(self) -> None:
        """An answer came, of whatever status that is not a failure of the endpoint: it is up."""
        self.answered += 1
        self._failures = self._rests = 0
        self._limited_since = None
        if self.is_open:
            self._generation += 1
            self._down_since, self._pauses, self._probing, self._until = None, 0, False, 0.0

    def failed(self, ticket: int) -> None:
        """A call failed. What was sent before the state changed says nothing about it."""
        if ticket != self._generation:
            return
        self._failures += 1
        if self.is_open or self._failures >= OPENS_AFTER:
            self._open()

    def left(self, ticket: int) -> None:
        """A call was given up without an outcome, such as on Ctrl-C."""
        if ticket == self._generation:
            self._probing = False

    def limited(self, ticket: int, wish_s: float) -> None:
        """The endpoint limits the rate: it rests as long as it wishes, or for pauses that grow until it answers again.

        Of those that were on the way together the first one counts.
        """
        self.left(ticket)
        now = self.clock()
        self._limited_since = now if self._limited_since is None else self._limited_since
        if now >= self._rest_until:
            wish_s = wish_s or min(self.first_pause_s * 2**self._rests, LONGEST_PAUSE_S)
            self._rests += 1
        self.rest(wish_s)

    def rest(self, seconds: float) -> None:
        """Sends nothing for so long, as an endpoint asks for, and up to a quarter longer: others wait for the same."""
        if (until := self.clock() + seconds) > self._rest_until:
            self._rest_until = until + random.uniform(0.0, seconds / 4)

    def _open(self) -> None:
        now = self.clock()
        self._generation += 1
        self._probing = False
        self._down_since = now if self._down_since is None else self._down_since
        self._gone = self._pauses >= self.attempts if not self.answered else now - self._down_since >= self.patience_s
        pause = min(self.first_pause_s * 2**self._pauses, LONGEST_PAUSE_S)
        self._pauses += 1
        self._until = now + jittered(pause)


@dataclass
class Rate:
    """At most `limit` (requests, or tokens) within any minute; None for no limit. Who came first goes first."""

    limit: int | None
    stop: Stop
    clock: Callable[[], float] = time.monotonic
    _taken: deque[Taken] = field(default_factory=deque)
    _sum: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_used_up(self) -> bool:
        """Whether somebody waits for it."""
        return self._turn.locked()

    async def take(self, amount: int) -> Taken:
        """Waits until the amount fits. One that never would is let through when nothing else was taken for a minute.

        Raises StoppedError as soon as the run is to end.
        """
        taken = Taken(amount)
        if self.limit is None:
            return taken
        async with self._turn:
            while (wait := self._wait(amount)) > 0:
                await self.stop.pause(min(wait, 1.0))
            taken.at = self.clock()
            self._taken.append(taken)
            self._sum += amount
        return taken

    def settle(self, taken: Taken, amount: int) -> None:
        """Corrects what was taken to what it came to."""
        if self.limit is not None and taken.counts:
            self._sum += amount - taken.amount
            taken.amount = amount

    def _wait(self, amount: int) -> float:
        """Seconds until the next look, 0 where the amount fits now."""
        assert self.limit is not None
        now = self.clock()
        while self._taken and self._taken[0].at <= now - MINUTE_S:
            gone = self._taken.popleft()
            gone.counts = False
            self._sum -= gone.amount
        if not self._taken or self._sum + amount <= self.limit:
            return 0.0
        return max(self._taken[0].at + MINUTE_S - now, 1e-3)


@dataclass
class Taken:
    """A share of a rate: how much and when; `counts` until the minute is over."""

    amount: int
    at: float = 0.0
    counts: bool = True


@dataclass
class Window:
    """How many requests are on the way to an endpoint at a time: `most`, and fewer while it limits the rate.

    Additive increase, multiplicative decrease, as TCP does: half as many after a refusal, one more for each window of
    answers. Of those that were on the way together one refusal counts. Who came first goes first.
    """

    most: int
    in_flight: int = 0
    width: float = field(init=False)
    _round: int = 0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.width = float(self.most)

    async def enter(self) -> int:
        """Waits until one more may be on the way, and gives a ticket for `shrink`. Who got it must `leave`."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
        except BaseException:
            if not turn.cancelled():  # It was let in, and called off before it knew.
                self.leave()
            raise
        return self._round

    def leave(self) -> None:
        """One less is on the way."""
        self.in_flight -= 1
        self._let_in()

    def shrink(self, ticket: int) -> None:
        """The endpoint refused what came with this ticket, since it limits the rate."""
        if ticket == self._round:
            self._round += 1
            self.width = max(1.0, min(self.width, self.in_flight) / 2)

    def grow(self) -> None:
        """The endpoint answered."""
        if self.width < self.most:
            self.width = min(self.width + 1 / self.width, float(self.most))
            self._let_in()

    def _let_in(self) -> None:
        """Wakes as many as there is room for, and none that would find it taken."""
        while self._waiting and self.in_flight < int(self.width):
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)


def jittered(seconds: float) -> float:
    """Between 75% and 125% of a pause, so that workers do not come back all at once."""
    return seconds * random.uniform(0.75, 1.25)
