"""How many requests are in flight to an endpoint. Sends nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field


@dataclass
class Window:
    """How many requests may be in flight: `most`, and fewer while the endpoint limits the rate.

    Additive increase, multiplicative decrease, as in TCP: half as many after a refusal, one more after each window of
    answers. Of the requests that were in flight together, one refusal counts. First come, first served.
    """

    most: int
    in_flight: int = 0
    width: float = field(init=False)
    _round: int = 0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.width = float(self.most)

    async def reserve(self) -> int:
        """Waits for a place, to be given back with `release`. Returns the round, for `shrink`."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._let_in()
        try:
            await place
        except BaseException:
            if not place.cancelled():  # It got the place, and was cancelled before it knew.
                self.release()
            raise
        return self._round

    def release(self) -> None:
        """Gives a place back."""
        self.in_flight -= 1
        self._let_in()

    def shrink(self, round_: int) -> None:
        """The endpoint refused a request of this round because it limits the rate."""
        if round_ == self._round:
            self._round += 1
            self.width = max(1.0, min(self.width, self.in_flight) / 2)

    def grow(self) -> None:
        """The endpoint answered."""
        if self.width < self.most:
            self.width = min(self.width + 1 / self.width, float(self.most))
            self._let_in()

    def _let_in(self) -> None:
        """Wakes exactly as many as there is room for."""
        while self._waiting and self.in_flight < int(self.width):
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
