"""What a run may cost, and what it has come to. No request is sent here."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from synthesis.llm.flow_control import Stop

LOOK_S = 0.2
"""How often whoever waits for the budget looks whether the run is being stopped."""


@dataclass
class Budget:
    """What a run may cost. Before a call is sent the most that it can cost is held back, so that the limit holds.

    `paid` is what replies cost by their tokens. `unsure` is the most that may have been billed besides: for attempts
    that got no answer that could be read, for replies that came without a count of their tokens, and for batches that
    the run leaves with their endpoint. Both count towards the limit. Stops the run when the next call no longer fits
    and nothing that is held can come back.
    """

    limit: float | None
    stop: Stop
    paid: float = 0.0
    unsure: float = 0.0
    held: float = 0.0
    _holds: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spent(self) -> float:
        """All that counts towards the limit."""
        return self.paid + self.unsure

    async def hold(self, most: float) -> None:
        """Holds back the most that a call can cost. Raises StoppedError where the budget does not allow it."""
        while self.limit is not None and self.spent + self.held + most > self.limit:
            self.stop.check()
            if not self._holds:
                self.stop.set(f"the next request could exceed the limit of {self.limit:g}")
                continue
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
        self.held += most
        self._holds += 1

    def settle(self, most: float, cost: float, unsure: float = 0.0, *, holds: int = 1) -> None:
        """Replaces what was held back, by so many holds, by what was paid, and by what may have been billed besides."""
        self._holds -= holds
        # Counted, as sums of costs drift: what rounding leaves would be waited for without end.
        self.held = max(self.held - most, 0.0) if self._holds else 0.0
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
