"""At most so many requests, or tokens, a minute. Sends nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from synthesis.llm.stop import Stop
from synthesis.panel.settings import Endpoint, ModelConfig

MINUTE_S = 60.0


@dataclass
class Share:
    """A share of a rate: how much, and since when; it `counts` until its minute is over."""

    rate: Rate
    amount: int
    at: float = 0.0
    counts: bool = True

    def release(self, used: int = 0) -> None:
        """Gives back what was not used."""
        if self.counts:
            self.rate.reserved += used - self.amount
            self.amount = used


@dataclass
class Rate:
    """At most `limit` within any minute; None for no limit. First come, first served."""

    limit: int | None
    stop: Stop
    clock: Callable[[], float] = time.monotonic
    reserved: int = 0
    _shares: deque[Share] = field(default_factory=deque)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_used_up(self) -> bool:
        """Whether somebody is waiting for it."""
        return self._turn.locked()

    async def reserve(self, amount: int) -> Share:
        """Waits until the amount fits. One above the limit goes when nothing else was reserved for a minute.

        Raises StoppedError as soon as the run is stopped.
        """
        if self.limit is None:
            return Share(self, amount, counts=False)
        async with self._turn:
            while (wait := self._wait(amount)) > 0:
                await self.stop.pause(min(wait, 1.0))
            share = Share(self, amount, self.clock())
            self._shares.append(share)
            self.reserved += amount
        return share

    def _wait(self, amount: int) -> float:
        """Seconds until it is worth looking again; 0 if the amount fits now."""
        assert self.limit is not None
        now = self.clock()
        while self._shares and self._shares[0].at <= now - MINUTE_S:
            over = self._shares.popleft()
            over.counts = False
            self.reserved -= over.amount
        if not self._shares or self.reserved + amount <= self.limit:
            return 0.0
        return max(self._shares[0].at + MINUTE_S - now, 1e-3)


@dataclass
class RateLimits:
    """How many requests and tokens a minute an endpoint, or one labeler there, may take."""

    requests: Rate
    tokens: Rate

    @classmethod
    def of(cls, who: Endpoint | ModelConfig, stop: Stop) -> RateLimits:
        """The limits in these settings."""
        return cls(Rate(who.requests_per_minute, stop), Rate(who.tokens_per_minute, stop))
