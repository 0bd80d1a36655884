from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from synthesis.window import batches_of


def test_a_stream_is_read_no_further_than_the_window() -> None:
    read, working, most = 0, 0, 0

    def endless() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    async def work(item: int) -> int:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0)
        working -= 1
        return item

    async def run() -> list[int]:
        done: list[int] = []
        stream = batches_of(endless(), work, in_flight=4, size=3)
        async for batch in stream:
            assert len(batch) == 3
            done += batch
            assert read <= len(done) + 3 + 4
            if len(done) >= 300:
                break
        await stream.aclose()
        return done

    done = asyncio.run(run())
    assert most == 4
    assert len(set(done)) == len(done) == 300


def test_everything_is_worked_on_once() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(0.001 * (item % 3))
        return item

    async def run() -> list[list[int]]:
        return [batch async for batch in batches_of(range(23), work, in_flight=5, size=4)]

    batches = asyncio.run(run())
    assert sorted(item for batch in batches for item in batch) == list(range(23))
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]


def test_what_was_done_before_an_error_is_handed_on_and_the_rest_is_cancelled() -> None:
    cancelled: list[int] = []

    async def work(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        if item > 5:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(item)
                raise
        return item

    async def run() -> None:
        async for batch in batches_of(range(100), work, in_flight=8, size=64):
            done.extend(batch)

    done: list[int] = []
    with pytest.raises(ValueError, match="five"):
        asyncio.run(run())
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert sorted(cancelled) == [6, 7]
