from __future__ import annotations

import asyncio
import random

import pytest

from synthesis.errors import StoppedError
from synthesis.llm.budget import Budget
from synthesis.llm.stop import Stop


@pytest.mark.parametrize("seed", range(8))
def test_what_rounding_leaves_is_not_waited_for(seed: int) -> None:
    """Held back call by call and given back by the batch: the sums differ in their last digits, either way."""

    async def run() -> float:
        draw = random.Random(seed)
        budget = Budget(1e6, Stop())
        most = [(draw.randrange(150, 600) * 5.0 + 256 * 25.0) / 1e6 for _ in range(50_000)]
        for each in most:
            await budget.reserve(each)
        for part in (most[:25_000], most[25_000:]):
            budget.release(sum(part), reservations=len(part))
        assert budget.limit is not None
        budget.paid = budget.limit
        with pytest.raises(StoppedError, match="could exceed the limit"):
            await asyncio.wait_for(budget.reserve(1.0), 5)
        return budget.reserved

    assert asyncio.run(run()) == 0.0


def test_what_is_still_held_is_waited_for() -> None:
    async def run() -> float:
        budget = Budget(1.0, Stop())
        for most in (0.1, 0.2, 0.7):
            await budget.reserve(most)
        waiting = asyncio.ensure_future(budget.reserve(0.6))
        budget.release(0.1 + 0.2, 0.3, reservations=2)
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        budget.release(0.7, 0.05, 0.05)
        await asyncio.wait_for(waiting, 5)
        assert budget.spent == pytest.approx(0.4)
        return budget.reserved

    assert asyncio.run(run()) == pytest.approx(0.6)


def test_whoever_waits_for_the_budget_leaves_when_the_run_is_stopped() -> None:
    async def run() -> None:
        stop = Stop()
        budget = Budget(1.0, stop)
        await budget.reserve(0.9)
        waiting = asyncio.ensure_future(budget.reserve(0.9))
        await asyncio.sleep(0.01)
        stop.set("enough")
        with pytest.raises(StoppedError, match="enough"):
            await asyncio.wait_for(waiting, 2)

    asyncio.run(run())
