from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from flows import writer
from flows.writer import Writer
from tests.fixtures.store import made_proposition
from warehouse.connect import Warehouse, open_warehouse
from warehouse.records import Drop, Proposition, Record
from warehouse.store import Merged, merge_all, read


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterable[Warehouse]:
    with open_warehouse(tmp_path / "catalog.sqlite", read_only=False) as opened:
        yield opened


def dropped(number: int) -> Drop:
    return Drop(drop_id=f"{number:024}", stage="propose", subject_id="s", reason="empty")


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
