from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.elicit import elicit
from flows.llm_runs import writer
from flows.llm_runs.writer import Writer
from tests.fixtures.llm_runs import endpoint, install, labeler, others
from tests.fixtures.store import made_proposition
from tests.synthesis.faulty_endpoint import answers, faulty
from warehouse.catalog.connect import Warehouse, open_warehouse
from warehouse.catalog.store import Merged, merge_all, read
from warehouse.records import Drop, Estimate, Proposition, Record


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterable[Warehouse]:
    with open_warehouse(tmp_path / "catalog.sqlite", read_only=False) as opened:
        yield opened


def dropped(number: int) -> Drop:
    return Drop(drop_id=f"{number:024}", stage="propose", subject_id="s", reason="empty")


def estimated(number: int, reason: str | None = None) -> Estimate:
    probability = None if reason else 0.5
    return Estimate(
        estimate_id=f"{number:024}",
        proposition_id="p",
        labeler="a",
        labeler_version="1",
        method="verbalised",
        probability=probability,
        reason=reason,
    )


def written(warehouse: Warehouse, groups: Sequence[Sequence[Record]]) -> Writer:
    async def run() -> Writer:
        one = Writer(warehouse)
        for rows in groups:
            await one.add(rows)
        await one.finish()
        return one

    return asyncio.run(run())


def test_all_rows_of_all_groups_are_written_and_counted(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ROWS_AT_ONCE", 3)
    done = written(warehouse, [[dropped(n)] for n in range(10)])
    assert [each.drop_id for each in read(warehouse, Drop)] == [f"{n:024}" for n in range(10)]
    assert done.changed == {"drops": 10}


def test_what_is_there_already_is_not_counted(warehouse: Warehouse) -> None:
    first, second = made_proposition("p"), made_proposition("q")
    merge_all(warehouse, [[first]])
    assert written(warehouse, [[first, second], [second]]).changed == {"propositions": 1}
    assert len(read(warehouse, Proposition)) == 2


def test_a_group_is_merged_while_the_next_one_gathers(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ROWS_AT_ONCE", 1)
    gathered = threading.Event()
    waited: list[bool] = []

    def slow_stub(*_: object) -> dict[str, Merged]:
        waited.append(gathered.wait(30))
        return {}

    monkeypatch.setattr(writer, "merge_all", slow_stub)

    async def run() -> None:
        one = Writer(warehouse)
        await one.add([dropped(1)])
        await asyncio.sleep(0)
        one._rows.add([dropped(2)])
        gathered.set()
        await one.finish()

    asyncio.run(asyncio.wait_for(run(), 60))
    assert waited == [True, True]


def test_the_error_of_a_merge_reaches_whoever_goes_on(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ROWS_AT_ONCE", 1)

    def failing_stub(*_: object) -> dict[str, Merged]:
        raise OSError("disk full")

    monkeypatch.setattr(writer, "merge_all", failing_stub)
    with pytest.raises(OSError, match="disk full"):
        written(warehouse, [[dropped(1)], [dropped(2)]])
    with pytest.raises(OSError, match="disk full"):
        written(warehouse, [[dropped(1)]])


def test_what_is_not_written_is_not_counted(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ROWS_AT_ONCE", 3)
    merges: list[object] = []

    def once(*given: Any) -> dict[str, Merged]:
        merges.append(given)
        if len(merges) > 1:
            raise OSError("disk full")
        return merge_all(*given)

    monkeypatch.setattr(writer, "merge_all", once)

    async def run() -> Writer:
        one = Writer(warehouse)
        await one.add([estimated(1), estimated(2, "empty_reply"), dropped(1)])
        await one.add([estimated(3, "not_json"), dropped(2), dropped(3)])
        with pytest.raises(OSError, match="disk full"):
            await one.finish()
        await one.add([estimated(4)])
        return one

    one = asyncio.run(run())
    assert one.made == {"estimates": 2, "drops": 1}
    assert one.without == {"estimates": 1, "drops": 1}
    assert one.changed == {"estimates": 2, "drops": 1}


@pytest.mark.slow
def test_rows_are_written_after_some_seconds_though_no_more_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SECONDS_BETWEEN_WRITES", 0.2)
    merged: list[float] = []

    def seen(*given: Any) -> dict[str, Merged]:
        merged.append(time.monotonic())
        return merge_all(*given)

    monkeypatch.setattr(writer, "merge_all", seen)
    good = '{"reasoning": "r", "probability": 0.25}'
    with faulty(*[answers(good)] * 3, answers(good, after_s=4.0)) as server:
        parts = (endpoint("e", server), labeler("a", "e"), others("e"))
        config = install(tmp_path, *parts, hypotheses=[f"The hypothesis is number {n} of four." for n in range(4)])
        assert elicit.fn(config).counts["estimates"] == 4
    assert merged[-1] - merged[0] > 2.0
    assert len(merged) < 6
