"""The signal that stops a run, or one endpoint's share of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from synthesis.errors import StoppedError


class Stop:
    """Whether a run, or a part of it, should stop, and why. Ends the pauses of everything that belongs to it.

    A part, such as the calls to one endpoint, stops with the `whole`, but not the other way round.
    """

    def __init__(self, whole: Stop | None = None) -> None:
        self._event = asyncio.Event()
        self._parts: list[Stop] = []
        self.reason: str | None = None
        if whole is not None:
            whole._parts.append(self)

    def set(self, reason: str) -> None:
        """Stops it. The first reason stays."""
        self.reason = self.reason or reason
        self._event.set()
        for part in self._parts:
            part.set(reason)

    def check(self) -> None:
        """Raises StoppedError once it is stopped."""
        if self.reason is not None:
            raise StoppedError(self.reason)

    async def pause(self, seconds: float) -> None:
        """Waits. Raises StoppedError as soon as it is stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self.check()
