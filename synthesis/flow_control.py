"""How fast an endpoint may be asked, for how long it may be down, and what a run may cost. No request is sent here."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

OPENS_AFTER = 5
"""Failures in a row after which an endpoint counts as down."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
MINUTE_S = 60.0
ROUNDING = 1e-12
"""What sums of costs may be off by; nothing is held any more where less than this is left."""


class StoppedError(Exception):
    """This is not sent: the run is being stopped, while what is under way is finished, or a batch holds it."""


class DownError(Exception):
    """The endpoint has been down for longer than it may be."""


class Stop:
    """Whether the run is to end, and why. Pauses of all that belongs to the run end with it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason: str | None = None

    def set(self, reason: str) -> None:
        """End the run; the first reason stays."""
        self.reason = self.reason or reason
        self._event.set()

    def check(self) -> None:
        """Raises StoppedError where the run is to end."""
        if self.reason is not None:
            raise StoppedError(self.reason)

    async def pause(self, seconds: float) -> None:
        """Waits so long. Raises StoppedError as soon as the run is to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self.check()


@dataclass
class Breaker:
    """Holds calls back while their endpoint is down, and lets one at a time try whether it is up again.

    It opens after OPENS_AFTER failures in a row, and each pause is twice as long as the one before. An endpoint that
    has answered in this run may be down for `patience_s` seconds in all, one that never has for `attempts` pauses.
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
    _until: float = 0.0
    _probing: bool = False
    _gone: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the endpoint counts as down."""
        return self._down_since is not None

    async def enter(self) -> int:
        """Waits until a call may be sent; gives a ticket for `worked` or `failed`.

        Raises DownError when the endpoint has been down for too long, StoppedError when the run is to end.
        """
        while True:
            self.stop.check()
            if self._gone:
                raise DownError
            if (wait := self._until - self.clock()) > 0:
                await self.stop.pause(wait)
            elif self.is_open and self._probing:
                await self.stop.pause(self.first_pause_s)
            else:
                self._probing = self.is_open
                return self._generation

    def worked(self) -> None:
        """An answer came, of whatever status that is not a failure of the endpoint: it is up."""
        self.answered += 1
        self._failures = 0
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

    def rest(self, seconds: float) -> None:
        """Sends nothing for so long, as an endpoint asked for that limits its rate."""
        self._until = max(self._until, self.clock() + seconds)

    def _open(self) -> None:
        now = self.clock()
        self._generation += 1
        self._probing = False
        self._down_since = now if self._down_since is None else self._down_since
        self._gone = self._pauses >= self.attempts if not self.answered else now - self._down_since >= self.patience_s
        pause = min(self.first_pause_s * 2**self._pauses, LONGEST_PAUSE_S)
        self._pauses += 1
        self.rest(jittered(pause))


@dataclass
class Rate:
    """At most `limit` (requests, or tokens) within any minute; None for no limit. Who came first goes first."""

    limit: int | None
    stop: Stop
    clock: Callable[[], float] = time.monotonic
    _taken: deque[Taken] = field(default_factory=deque)
    _sum: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

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
class Budget:
    """What a run may cost. Before a call is sent the most that it can cost is held back, so that the limit holds.

    Stops the run when the next call no longer fits and nothing that is held can come back.
    """

    limit: float | None
    stop: Stop
    spent: float = 0.0
    held: float = 0.0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def hold(self, most: float) -> None:
        """Holds back the most that a call can cost. Raises StoppedError where the budget does not allow it."""
        while self.limit is not None and self.spent + self.held + most > self.limit:
            self.stop.check()
            if self.held <= 0:
                self.stop.set(f"the next request could exceed the limit of {self.limit:g}")
                continue
            self._changed.clear()
            await self._changed.wait()
        self.held += most

    def settle(self, most: float, cost: float) -> None:
        """Replaces what was held back by what was paid."""
        left = self.held - most
        self.held = left if left > ROUNDING else 0.0
        self.spent += cost
        self._changed.set()


@dataclass
class Held:
    """What is held back of a budget for one call, whose attempts may be billed one by one."""

    budget: Budget
    most: float
    _taken: bool = False

    async def take(self) -> None:
        """Holds it back. Raises StoppedError where the budget does not allow it."""
        await self.budget.hold(self.most)
        self._taken = True

    async def lose(self) -> None:
        """An attempt got no answer that could be read: it may be billed, so it counts at its most. Holds back anew."""
        self.give_back(self.most)
        await self.take()

    def give_back(self, paid: float) -> None:
        """Ends the hold; `paid` is what it came to."""
        if self._taken:
            self._taken = False
            self.budget.settle(self.most, paid)


def jittered(seconds: float) -> float:
    """Between 75% and 125% of a pause, so that workers do not come back all at once."""
    return seconds * random.uniform(0.75, 1.25)
