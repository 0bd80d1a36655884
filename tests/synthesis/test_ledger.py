from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from synthesis.call import Call, Reply
from synthesis.ledger import Ledger
from warehouse.errors import InputError, ServiceError

WRITER = """
import asyncio, sys
from pathlib import Path
from synthesis.call import Call, Reply
from synthesis.ledger import Ledger

async def write(ledger):
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        call = Call(endpoint="e", model="m", messages=({"role": "user", "content": str(number)},), max_tokens=1)
        await ledger.put(call, Reply(text=f"reply {number}"))
        print(number, flush=True)

with Ledger.open(Path(sys.argv[1])) as ledger:
    asyncio.run(write(ledger))
"""


def call(content: str, **changes: object) -> Call:
    base = Call(endpoint="e", model="m", messages=({"role": "user", "content": content},), max_tokens=1)
    return base.model_copy(update=changes)


def start_writer(path: Path, first: int, end: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first), str(end)], stdout=subprocess.PIPE, text=True
    )


def texts(path: Path, numbers: range) -> list[str | None]:
    async def read() -> list[str | None]:
        with Ledger.open(path) as ledger:
            kept = [await ledger.get(call(str(number))) for number in numbers]
        return [reply.text if reply else None for reply in kept]

    return asyncio.run(read())


def test_a_kept_reply_comes_back_whole_and_marked_as_cached(tmp_path: Path) -> None:
    reply = Reply(
        text='{"a": "ü"}', finish_reason="stop", top_logprobs=(("Yes", -0.5),), tokens_in=3, tokens_out=4, latency_s=0.5
    )

    async def run() -> tuple[Reply | None, Reply, Reply | None]:
        with Ledger.open(tmp_path / "new" / "ledger.sqlite") as ledger:
            before = await ledger.get(call("a"))
            stored = await ledger.put(call("a"), reply)
            return before, stored, await ledger.get(call("a"))

    before, stored, after = asyncio.run(run())
    assert before is None
    assert stored == reply
    assert after == reply.model_copy(update={"cached": True})


def test_each_thing_that_is_sent_is_part_of_the_key() -> None:
    others = [
        call("b"),
        call("a", endpoint="f"),
        call("a", model="n"),
        call("a", temperature=0.0),
        call("a", seed=0),
        call("a", max_tokens=2),
        call("a", top_logprobs=20),
        call("a", response_format={"type": "json_schema"}),
        call("a", attempt=1),
    ]
    keys = {each.key for each in others}
    assert len(keys) == len(others)
    assert call("a").key not in keys
    assert call("a").key == call("a").key


def test_what_was_said_to_be_kept_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writer = start_writer(path, 0, 1_000_000)
    assert writer.stdout is not None
    said = [int(writer.stdout.readline()) for _ in range(25)]
    writer.send_signal(signal.SIGKILL)
    said += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    writer.wait()
    assert texts(path, range(len(said))) == [f"reply {number}" for number in said]


def test_several_processes_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writers = [start_writer(path, first, first + 40) for first in (0, 40, 20)]
    assert [writer.wait(timeout=60) for writer in writers if writer.communicate()] == [0, 0, 0]
    assert texts(path, range(80)) == [f"reply {number}" for number in range(80)]


def test_the_first_reply_stays(tmp_path: Path) -> None:
    async def run() -> tuple[Reply, Reply]:
        with Ledger.open(tmp_path / "l") as one, Ledger.open(tmp_path / "l") as other:
            return await one.put(call("a"), Reply(text="first")), await other.put(call("a"), Reply(text="second"))

    first, second = asyncio.run(run())
    assert (first.text, first.cached) == ("first", False)
    assert (second.text, second.cached) == ("first", True)


@pytest.mark.parametrize("kind", ["text", "folder", "foreign", "below a file"])
def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger.sqlite"
    if kind == "text":
        path.write_text("this is no database, whatever its name says " * 50)
    elif kind == "folder":
        path.mkdir()
    elif kind == "foreign":
        with sqlite3.connect(path) as other:
            other.execute("create table recipes (name text)")
        other.close()
    else:
        path.write_text("x")
        path = path / "ledger.sqlite"
    with pytest.raises(InputError) as caught:
        Ledger.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_row_stops_with_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "l"

    async def run() -> None:
        with Ledger.open(path) as ledger:
            await ledger.put(call("a"), Reply(text="first"))
            with sqlite3.connect(path) as other:
                other.execute("update replies set reply = 'no json'")
            other.close()
            await ledger.get(call("a"))

    with pytest.raises(ServiceError, match="cannot be read") as caught:
        asyncio.run(run())
    assert "\n" not in str(caught.value)
