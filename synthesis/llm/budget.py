"""What a call costs, and what a run may cost and has cost. Sends nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from synthesis.call import Call
from synthesis.llm.stop import Stop
from synthesis.panel.settings import Prices

LOOK_S = 0.2
"""How often a call that waits for the budget checks whether the run is stopped."""


@dataclass
class Budget:
    """What a run may cost. The most that a call can cost is reserved before it is sent, so the limit holds.

    `paid` is what replies cost by their tokens. `unsure` is the most that may have been billed besides: for attempts
    without a readable answer, for replies without a token count, and for batches that the run leaves with their
    endpoint. Both count towards the limit. Stops the run when the next call no longer fits and nothing that is reserved
    can come back.
    """

    limit: float | None
    stop: Stop
    paid: float = 0.0
    unsure: float = 0.0
    reserved: float = 0.0
    _reservations: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spent(self) -> float:
        """Everything that counts towards the limit."""
        return self.paid + self.unsure

    def has_room(self, most: float) -> bool:
        """Whether a call that can cost this much fits now."""
        return self.limit is None or self.spent + self.reserved + most <= self.limit

    async def reserve(self, most: float) -> None:
        """Reserves the most that a call can cost. Raises StoppedError if the limit does not allow it."""
        while not self.has_room(most):
            self.stop.check()
            if not self._reservations:
                self.stop.set(f"the next request could exceed the limit of {self.limit:g}")
                continue
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
        self.reserved += most
        self._reservations += 1

    def release(self, most: float, paid: float = 0.0, unsure: float = 0.0, *, reservations: int = 1) -> None:
        """Ends reservations that sum up to `most`: `paid` is what they cost, `unsure` what may be billed besides."""
        self._reservations -= reservations
        # Sums of floats drift: a rest of rounding errors would be waited for forever.
        self.reserved = max(self.reserved - most, 0.0) if self._reservations else 0.0
        self.paid += paid
        self.unsure += unsure
        self._changed.set()


@dataclass
class Reservation:
    """The budget's share of one attempt, as a context manager: set `paid`, or say that it `may_be_billed` at its most.

    Entering raises StoppedError if the limit does not allow the attempt.
    """

    budget: Budget
    most: float
    paid: float = 0.0
    may_be_billed: bool = False

    async def __aenter__(self) -> Reservation:
        await self.budget.reserve(self.most)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.budget.release(self.most, self.paid, self.most if self.may_be_billed else 0.0)


def cost(tokens_in: int | None, tokens_out: int | None, prices: Prices, share: float = 1.0) -> float | None:
    """What tokens cost at prices per million, in the currency of the prices; None if one of them is unknown."""
    price_in, price_out = prices
    if tokens_in is None or tokens_out is None or price_in is None or price_out is None:
        return None
    return share * (tokens_in * price_in + tokens_out * price_out) / 1_000_000


def most_of(call: Call, prices: Prices, share: float = 1.0) -> float:
    """The most that a call can cost; 0 if prices are unknown."""
    return cost(call.most_tokens_in, call.most_tokens_out or 0, prices, share) or 0.0
