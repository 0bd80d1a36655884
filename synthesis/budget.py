"""What a run may cost, and what it has come to. No request is sent here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from synthesis.flow_control import Stop

ROUNDING = 1e-12
"""What sums of costs may be off by; nothing is held any more where less than this is left."""


@dataclass
class Budget:
    """What a run may cost. Before a call is sent the most that it can cost is held back, so that the limit holds.

    `paid` is what replies cost by their tokens. `unsure` is the most that may have been billed besides: for attempts
    that got no answer that could be read, and for replies that came without a count of their tokens. Both count
    towards the limit. Stops the run when the next call no longer fits and nothing that is held can come back.
    """

    limit: float | None
    stop: Stop
    paid: float = 0.0
    unsure: float = 0.0
    held: float = 0.0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spent(self) -> float:
        """All that counts towards the limit."""
        return self.paid + self.unsure

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

    def settle(self, most: float, cost: float, unsure: float = 0.0) -> None:
        """Replaces what was held back by what was paid, and by what may have been billed besides."""
        left = self.held - most
        self.held = left if left > ROUNDING else 0.0
        self.paid += cost
        self.unsure += unsure
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

    def lose(self) -> None:
        """Ends the hold of an attempt of which nobody knows whether it is billed: it counts at its most."""
        self._settle(0.0, self.most)

    def give_back(self, paid: float) -> None:
        """Ends the hold, where it has not ended; `paid` is what it came to."""
        self._settle(paid, 0.0)

    def _settle(self, paid: float, unsure: float) -> None:
        if self._taken:
            self._taken = False
            self.budget.settle(self.most, paid, unsure)
