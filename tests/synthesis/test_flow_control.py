from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.errors import StoppedError
from synthesis.llm.breaker import OPENS_AFTER, Breaker, DownError
from synthesis.llm.budget import Budget
from synthesis.llm.rate import Rate
from synthesis.llm.retries import PassingError, retried
from synthesis.llm.stop import Stop
from synthesis.llm.window import Window


class Jump(Stop):
    """Pauses take no time: the clock jumps to their end instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    async def pause(self, seconds: float) -> None:
        self.check()
        await asyncio.sleep(0)
        self.now += seconds


def taken(limit: int | None, amounts: Sequence[int], gaps: Sequence[float]) -> list[tuple[float, int]]:
    """When each amount was let through, if they come one after the other with these gaps."""

    async def run() -> list[tuple[float, int]]:
        jump = Jump()
        rate = Rate(limit, jump, clock=lambda: jump.now)
        times = []
        for amount, gap in zip(amounts, gaps, strict=True):
            jump.now += gap
            await rate.reserve(amount)
            times.append((jump.now, amount))
        return times

    return asyncio.run(run())


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(1, 40), st.floats(0, 90)), min_size=1, max_size=40),
)
def test_no_minute_holds_more_than_the_limit(limit: int, asked: list[tuple[int, float]]) -> None:
    amounts = [min(amount, limit) for amount, _ in asked]
    times = taken(limit, amounts, [gap for _, gap in asked])
    for start, _ in times:
        assert sum(amount for time, amount in times if start <= time < start + 60) <= limit


@given(st.lists(st.floats(0, 5), min_size=1, max_size=30))
def test_without_a_limit_nobody_waits(gaps: list[float]) -> None:
    assert [time for time, _ in taken(None, [10] * len(gaps), gaps)] == list(accumulate(gaps, initial=1000.0))[1:]


def test_what_is_below_the_limit_goes_at_once_and_what_is_above_it_waits_for_its_minute() -> None:
    assert [time for time, _ in taken(3, [1] * 4, [0.0, 10.0, 10.0, 10.0])] == pytest.approx([1000, 1010, 1020, 1060])


def test_an_amount_beyond_the_limit_goes_when_the_minute_is_empty() -> None:
    assert [time for time, _ in taken(5, [3, 9], [0.0, 1.0])] == pytest.approx([1000, 1060])


def test_what_a_request_took_in_the_end_is_what_counts() -> None:
    async def run() -> float:
        jump = Jump()
        rate = Rate(100, jump, clock=lambda: jump.now)
        first = await rate.reserve(90)
        first.release(20)
        await rate.reserve(80)
        return jump.now

    assert asyncio.run(run()) == 1000.0


def breaker(stop: Stop, clock: Jump | None = None, patience_s: float = 100.0) -> Breaker:
    moment = clock or Jump()
    return Breaker(stop, patience_s, attempts=3, first_pause_s=1.0, clock=lambda: moment.now)


def test_one_failure_holds_nobody_up_and_several_in_a_row_do() -> None:
    async def run() -> tuple[bool, bool]:
        stop = Jump()
        one = breaker(stop, stop)
        one.worked()
        for _ in range(OPENS_AFTER - 1):
            one.failed(await one.admit())
        before = one.is_open
        one.failed(await one.admit())
        return before, one.is_open

    assert asyncio.run(run()) == (False, True)


def test_what_was_on_the_way_when_it_opened_does_not_lengthen_the_pause() -> None:
    async def run() -> float:
        stop = Jump()
        one = breaker(stop, stop)
        one.worked()
        tickets = [await one.admit() for _ in range(64)]
        for ticket in tickets:
            one.failed(ticket)
        began = stop.now
        await one.admit()
        return stop.now - began

    assert 0.75 <= asyncio.run(run()) <= 1.25


def test_one_at_a_time_tries_whether_it_is_up_and_an_answer_lets_all_through() -> None:
    async def run() -> list[str]:
        stop = Stop()
        one = Breaker(stop, 100.0, attempts=3, first_pause_s=0.01)
        one.worked()
        for _ in range(OPENS_AFTER):
            one.failed(await one.admit())
        seen: list[str] = []

        async def call(name: str) -> None:
            await one.admit()
            seen.append(f"{name} sent")
            await asyncio.sleep(0.1)
            seen.append(f"{name} answered")
            one.worked()

        await asyncio.gather(call("a"), call("b"), call("c"))
        return seen

    seen = asyncio.run(run())
    assert seen[0].endswith("sent")
    assert seen[1].endswith("answered")
    assert len(seen) == 6


@pytest.mark.parametrize("patience_s", [100.0, 48 * 3600.0], ids=["short", "two days"])
def test_patience_ends_after_so_many_seconds_with_an_endpoint_that_has_answered(patience_s: float) -> None:
    async def run() -> float:
        stop = Jump()
        one = breaker(stop, stop, patience_s=patience_s)
        one.worked()
        began = stop.now
        while True:
            try:
                one.failed(await one.admit())
            except DownError:
                return stop.now - began

    assert patience_s <= asyncio.run(run()) <= patience_s + 2 * 30.0 * 1.25


def test_retries_go_on_for_as_long_as_the_endpoint_may_be_down() -> None:
    """Their pauses grow to 30 s and stay there, however many there are."""

    async def fail() -> None:
        raise PassingError("down")

    async def run() -> list[float]:
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)

        with pytest.raises(PassingError, match="down"):
            await retried(fail, pause, lambda failures, _: failures > 5000, 0.5, 30.0)
        return pauses

    pauses = asyncio.run(run())
    assert len(pauses) == 5000
    assert all(0.75 * want <= got <= 1.25 * want for got, want in zip(pauses, [0.5, 1, 2, 4, 8, 16, 30], strict=False))
    assert all(22.5 <= pause <= 37.5 for pause in pauses[6:])


def test_an_endpoint_that_never_answered_gets_few_chances() -> None:
    async def run() -> int:
        stop = Jump()
        one = breaker(stop, stop)
        sent = 0
        while True:
            try:
                ticket = await one.admit()
            except DownError:
                return sent
            sent += 1
            one.failed(ticket)

    assert asyncio.run(run()) == OPENS_AFTER + 3


def test_whoever_waits_leaves_when_the_run_is_stopped() -> None:
    async def run() -> None:
        stop = Stop()
        one = Breaker(stop, 100.0, attempts=3, first_pause_s=30.0)
        one.rest(30.0)
        waiting = asyncio.ensure_future(one.admit())
        await asyncio.sleep(0.01)
        stop.set("enough")
        with pytest.raises(StoppedError, match="enough"):
            await asyncio.wait_for(waiting, 1.0)

    asyncio.run(run())


@given(st.floats(0.0, 3.0), st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 1.0)), max_size=30))
def test_a_budget_is_never_exceeded(limit: float, calls: list[tuple[float, float]]) -> None:
    """Whatever the most and the true cost of each call are, three at a time."""

    async def run() -> float:
        budget = Budget(limit, Stop())
        gate = asyncio.Semaphore(3)

        async def call(most: float, share: float) -> None:
            async with gate:
                try:
                    await budget.reserve(most)
                except StoppedError:
                    return
                await asyncio.sleep(0)
                budget.release(most, most * share)

        await asyncio.gather(*(call(most, share) for most, share in calls))
        assert budget.reserved == pytest.approx(0.0, abs=1e-9)
        return budget.spent

    assert asyncio.run(run()) <= limit + 1e-9


def test_a_part_ends_with_the_whole_and_the_whole_not_with_a_part() -> None:
    async def run() -> tuple[str | None, str | None, str | None]:
        whole = Stop()
        one, other = Stop(whole), Stop(whole)
        one.set("this one failed")
        before = whole.reason
        whole.set("enough")
        return before, one.reason, other.reason

    assert asyncio.run(run()) == (None, "this one failed", "enough")


def test_a_refusal_halves_the_window_once_a_round_and_answers_widen_it_to_its_full_width() -> None:
    async def run() -> list[float]:
        window = Window(8)
        places = [await window.reserve() for _ in range(8)]
        widths = []
        for place in places:
            window.shrink(place)
            window.release()
            widths.append(window.width)
        assert set(widths) == {4.0}
        while window.width < 8:
            await window.reserve()
            window.release()
            window.grow()
            widths.append(window.width)
        return widths[8:]

    growing = asyncio.run(run())
    assert 20 < len(growing) < 30  # about 4 + 5 + 6 + 7
    assert growing[-1] == 8.0


@given(st.integers(1, 5), st.lists(st.sampled_from(["answer", "refusal", "end"]), min_size=1, max_size=60))
def test_never_are_more_on_the_way_than_the_window_is_wide(most: int, events: list[str]) -> None:
    async def run() -> None:
        window = Window(most)
        inside: list[int] = []

        async def call() -> None:
            inside.append(await window.reserve())
            assert len(inside) <= most

        waiting = [asyncio.ensure_future(call()) for _ in events]
        for event in events:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert inside, "somebody is always let through"
            place = inside.pop()
            if event == "refusal":
                window.shrink(place)
            elif event == "answer":
                window.grow()
            window.release()
            assert 1.0 <= window.width <= most
        await asyncio.gather(*waiting)

    asyncio.run(run())


def test_nobody_overtakes_who_waits_for_the_window() -> None:
    async def run() -> list[str]:
        window = Window(1)
        order: list[str] = []

        async def call(name: str) -> None:
            await window.reserve()
            order.append(name)

        await call("first")
        waiting = asyncio.ensure_future(call("waits"))
        await asyncio.sleep(0)
        window.release()
        late = asyncio.ensure_future(call("comes late"))
        await waiting
        window.release()
        await late
        return order

    assert asyncio.run(asyncio.wait_for(run(), 5.0)) == ["first", "waits", "comes late"]


def test_who_is_called_off_leaves_its_place_in_the_window_to_the_next() -> None:
    async def run() -> None:
        window = Window(1)
        await window.reserve()
        first, second, third = (asyncio.ensure_future(window.reserve()) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        window.release()
        # It is let in by now, and does not know it yet.
        second.cancel()
        await asyncio.wait_for(third, 1.0)
        assert first.cancelled()
        assert second.cancelled()
        window.release()
        assert window.in_flight == 0

    asyncio.run(run())
