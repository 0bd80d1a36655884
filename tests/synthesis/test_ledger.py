from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from synthesis.call import About, Call
from synthesis.errors import StoppedError
from synthesis.ledger import postgres as ledger_postgres
from synthesis.ledger.ledger import Ledger
from synthesis.ledger.store import LedgerRow, SubmittedBatch
from synthesis.reply import Reply
from warehouse.errors import InputError, ServiceError

T = TypeVar("T")

ABOUT = About(purpose="elicit", labeler="a", subject_id="s", prompt="p", prompt_version="1")

WRITER = """
import asyncio, sys
from synthesis.errors import StoppedError
from synthesis.ledger.ledger import Ledger
from tests.synthesis.test_ledger import call, Reply

async def write(ledger):
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        if await ledger.reserve(call(str(number))) is None:
            await ledger.keep(call(str(number)), Reply(text=f"reply {number}"))
        print(number, flush=True)

with Ledger.open(sys.argv[1]) as ledger:
    asyncio.run(write(ledger))
"""

HOLDER = """
import asyncio, sys
from synthesis.errors import StoppedError
from synthesis.ledger.ledger import Ledger
from tests.synthesis.test_ledger import call, Reply

async def hold(ledger):
    calls = [call(str(number)) for number in range(20)]
    assert await asyncio.gather(*(ledger.reserve(each) for each in calls)) == [None] * 20
    print("held", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(ledger.keep(each, Reply(text="late")) for each in calls))
    await asyncio.to_thread(sys.stdin.readline)

with Ledger.open(sys.argv[1]) as ledger:
    asyncio.run(hold(ledger))
"""


def call(content: str, **changes: Any) -> Call:
    base = Call(endpoint="e", model="m", messages=({"role": "user", "content": content},), max_tokens=1, about=ABOUT)
    return replace(base, **changes)


def reply(text: str) -> Reply:
    return Reply(text=text)


def batch(local_id: str, **changes: Any) -> SubmittedBatch:
    made = SubmittedBatch(
        local_id, "e", None, "m", True, (1.0, None), {"k": "r", "l": "s"}, "2026-01-01T00:00:00+00:00"
    )
    return replace(made, **changes)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "new" / "ledger.sqlite")
    return str(request.getfixturevalue("database"))


def using(where: str | Path, do: Callable[[Ledger], Awaitable[T]]) -> T:
    async def run() -> T:
        with Ledger.open(where) as ledger:
            return await do(ledger)

    return asyncio.run(run())


async def recalled(ledger: Ledger, numbers: Sequence[int]) -> list[str | None]:
    found = await ledger.recall([call(str(number)) for number in numbers])
    replies = (found.get(call(str(number)).key) for number in numbers)
    return [each.text if each else None for each in replies]


@contextmanager
def started(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_kept_reply_comes_back_whole(where: str) -> None:
    whole = Reply(
        text='{"a": "ü\u2028"}',
        finish_reason="stop",
        top_logprobs=(("Yes", -0.5), ("No", -1.25)),
        thinking="hm",
        tokens_in=3,
        tokens_out=4,
        latency_s=0.5,
        structured=True,
        batch=True,
        cost=0.25,
        paid_by="r",
    )

    async def do(ledger: Ledger) -> tuple[Reply | None, Reply, dict[str, Reply]]:
        asked = call("a")
        before = await ledger.reserve(asked)
        stored = await ledger.keep(asked, whole)
        return before, stored, await ledger.recall([asked, call("b")])

    before, stored, after = using(where, do)
    assert before is None
    assert stored == whole
    assert after == {call("a").key: whole}

    async def again(ledger: Ledger) -> Reply | None:
        return await ledger.reserve(call("a"))

    assert using(where, again) == whole


def test_each_thing_that_is_sent_is_part_of_the_key_and_nothing_else() -> None:
    others = [
        call("b"),
        call("a", endpoint="f"),
        call("a", model="n"),
        call("a", temperature=0.0),
        call("a", seed=0),
        call("a", max_tokens=2),
        call("a", top_logprobs=20),
        call("a", response_format={"type": "json_schema"}),
        call("a", extra={"reasoning_effort": "low"}),
        call("a", attempt=1),
    ]
    keys = {each.key for each in others}
    assert len(keys) == len(others)
    assert call("a").key not in keys
    about = About(purpose="judge", labeler="z", subject_id="z", prompt="z", prompt_version="9")
    assert call("a").key == call("a", about=about).key


def test_what_was_said_to_be_kept_outlives_a_kill(where: str) -> None:
    with started(WRITER, where, 0, 1_000_000) as writer:
        numbers = [int(said(writer)) for _ in range(25)]
        writer.send_signal(signal.SIGKILL)
        assert writer.stdout is not None
        numbers += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    assert using(where, lambda ledger: recalled(ledger, numbers)) == [f"reply {number}" for number in numbers]


def test_several_processes_share_one_ledger(where: str) -> None:
    with (
        started(WRITER, where, 0, 40) as one,
        started(WRITER, where, 40, 80) as two,
        started(WRITER, where, 20, 60) as three,
    ):
        for each in (one, two, three):
            each.communicate(timeout=60)
        assert [each.returncode for each in (one, two, three)] == [0, 0, 0]
    assert using(where, lambda ledger: recalled(ledger, range(80))) == [f"reply {number}" for number in range(80)]


def test_the_first_reply_stays(where: str) -> None:
    async def do(ledger: Ledger) -> list[str | None]:
        await ledger.keep_all("e", "m", {call("1").key: reply("first")})
        await ledger.keep_all("e", "m", {call("1").key: reply("second"), call("2").key: reply("new")})
        return await recalled(ledger, [1, 2])

    assert using(where, do) == ["first", "new"]


def test_replies_that_come_together_are_written_together(where: str) -> None:
    groups: list[int] = []

    async def do(ledger: Ledger) -> list[str | None]:
        write = ledger._store.write

        def counted(rows: Sequence[LedgerRow]) -> None:
            groups.append(len(rows))
            write(rows)

        ledger._store.write = counted  # type: ignore[method-assign]
        calls = [call(str(number)) for number in range(200)]
        await asyncio.gather(*(ledger.reserve(each) for each in calls))
        await asyncio.gather(*(ledger.keep(each, reply("x")) for each in calls))
        return await recalled(ledger, range(200))

    assert using(where, do) == ["x"] * 200
    assert sum(groups) == 200
    assert len(groups) <= 3


def test_who_comes_second_waits_for_the_reply_and_does_not_ask(where: str) -> None:
    async def do(ledger: Ledger) -> tuple[bool, list[Reply | None]]:
        assert await ledger.reserve(call("a")) is None
        waiting = [asyncio.ensure_future(ledger.reserve(call("a"))) for _ in range(3)]
        await asyncio.sleep(0.1)
        waited = not any(each.done() for each in waiting)
        await ledger.keep(call("a"), reply("one"))
        return waited, await asyncio.wait_for(asyncio.gather(*waiting), 5)

    waited, replies = using(where, do)
    assert waited
    assert [each.text for each in replies if each] == ["one"] * 3


def test_of_those_who_wait_one_asks_where_the_first_gives_up(where: str) -> None:
    async def do(ledger: Ledger) -> int:
        assert await ledger.reserve(call("a")) is None
        waiting = [asyncio.ensure_future(ledger.reserve(call("a"))) for _ in range(3)]
        await asyncio.sleep(0.05)
        ledger.release(call("a"))
        done, _ = await asyncio.wait(waiting, timeout=2, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.1)
        done = {each for each in waiting if each.done()}
        assert [each.result() for each in done] == [None]
        await ledger.keep(call("a"), reply("one"))
        return sum(found is not None for found in await asyncio.gather(*waiting))

    assert using(where, do) == 2


def test_who_asks_after_a_release_has_the_call_for_itself(where: str) -> None:
    """The release, and the reservation of who waited for it, reach the store together."""

    async def do(ledger: Ledger) -> bool:
        assert await ledger.reserve(call("a")) is None
        waiting = asyncio.ensure_future(ledger.reserve(call("a")))
        await asyncio.sleep(0.05)
        ledger.release(call("a"))
        assert await asyncio.wait_for(waiting, 5) is None
        with Ledger.open(where) as other:
            elsewhere = asyncio.ensure_future(other.reserve(call("a")))
            await asyncio.wait([elsewhere], timeout=0.3)
            waited = not elsewhere.done()
            await ledger.keep(call("a"), reply("one"))
            assert await asyncio.wait_for(elsewhere, 5) == reply("one")
        return waited

    assert using(where, do)


def test_who_is_called_off_while_it_reserves_leaves_nothing_locked(where: str) -> None:
    async def do(ledger: Ledger) -> None:
        for turns in range(4):
            task = asyncio.ensure_future(ledger.reserve(call("a")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():
                ledger.release(call("a"))
        with Ledger.open(where) as other:
            assert await asyncio.wait_for(other.reserve(call("a")), 5) is None

    using(where, do)


def test_what_is_paid_for_is_kept_where_whoever_asked_is_called_off(where: str) -> None:
    async def do(ledger: Ledger) -> list[str | None]:
        await ledger.reserve(call("1"))
        task = asyncio.ensure_future(ledger.keep(call("1"), reply("paid")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await recalled(ledger, [1])

    assert using(where, do) == ["paid"]


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("busy_with", ["recall", "keep"])
def test_what_is_paid_for_is_kept_where_the_loop_ends(
    where: str, busy_with: str, is_full: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop ends while the thread is busy, one reply waits for it, and another one behind that."""

    async def run(ledger: Ledger) -> None:
        def slow(do: Callable[..., Any], *arguments: Any) -> Any:
            time.sleep(0.3)
            if is_full:
                raise ServiceError("no room")
            return do(*arguments)

        calls = [call(str(number)) for number in range(3)]
        await asyncio.gather(*map(ledger.reserve, calls))
        for name in ("read", "write"):
            monkeypatch.setattr(ledger._store, name, functools.partial(slow, getattr(ledger._store, name)))
        if busy_with == "recall":
            ledger._thread.submit(ledger._store.read, [])
        tasks = []
        for number in range(3 - count, 3):
            tasks.append(asyncio.ensure_future(ledger.keep(calls[number], reply(str(number)))))
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    count = 3 if busy_with == "keep" else 2
    ledger = Ledger.open(where)
    asyncio.run(run(ledger))
    if is_full:
        with pytest.raises(ServiceError, match=f"no room; {count} replies that came"):
            ledger.close()
    else:
        ledger.close()
        kept = using(where, lambda again: recalled(again, range(3 - count, 3)))
        assert kept == [str(number) for number in range(3 - count, 3)]
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_a_write_that_fails_for_who_was_called_off_makes_no_noise(
    where: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def do(ledger: Ledger) -> None:
        def full(rows: Sequence[LedgerRow]) -> None:
            time.sleep(0.1)
            raise ServiceError("no room")

        await ledger.reserve(call("1"))
        with monkeypatch.context() as patched:
            patched.setattr(ledger._store, "write", full)
            task = asyncio.ensure_future(ledger.keep(call("1"), reply("paid")))
            await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.2)

    using(where, do)
    gc.collect()
    assert using(where, lambda again: recalled(again, [1])) == ["paid"]
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_a_process_that_is_killed_holds_nothing_up(where: str) -> None:
    async def do(ledger: Ledger) -> None:
        with started(HOLDER, where) as holder:
            assert await asyncio.to_thread(said, holder) == "held\n"
            wanted = asyncio.ensure_future(asyncio.gather(*(ledger.reserve(call(str(n))) for n in range(20))))
            await asyncio.sleep(1.2)
            assert not wanted.done()
            holder.kill()
            assert await asyncio.wait_for(wanted, 5) == [None] * 20

    using(where, do)


def test_a_process_waits_for_the_reply_that_another_one_asked_for(where: str) -> None:
    async def do(ledger: Ledger) -> None:
        with started(HOLDER, where) as holder:
            assert await asyncio.to_thread(said, holder) == "held\n"
            wanted = asyncio.ensure_future(asyncio.gather(*(ledger.reserve(call(str(n))) for n in range(20))))
            await asyncio.sleep(0.2)
            tell(holder)
            found = await asyncio.wait_for(wanted, 5)
            assert [each and each.text for each in found] == ["late"] * 20
            # It lives on, and holds none of them any more.
            assert holder.poll() is None

    using(where, do)


def test_a_lock_is_held_once_here_and_elsewhere(where: str) -> None:
    async def do(ledger: Ledger) -> None:
        name = "0123456789abcdef0"
        with Ledger.open(where) as other:
            assert await ledger.lock(name)
            assert not await ledger.lock(name)
            assert not await other.lock(name)
            assert await other.lock("f" + name)
            ledger.unlock(name)
            await ledger.recall([])  # after what was handed over before
            assert await other.lock(name)
            assert not await ledger.lock(name)

    using(where, do)


def test_batches_under_way_are_known_until_they_are_forgotten(where: str) -> None:
    async def do(ledger: Ledger) -> None:
        old, new = batch("b", created_at="2025-01-01T00:00:00+00:00"), batch("a")
        for each in (new, old, batch("c", endpoint="f")):
            await ledger.put_batch(each)
        assert await ledger.batches("e") == [old, new]
        await ledger.put_batch(replace(new, batch_id="theirs"))
        with Ledger.open(where) as other:
            assert await other.batches("e") == [old, replace(new, batch_id="theirs")]
            for _ in range(2):
                await other.remove_batch(old)
        assert await ledger.batches("e") == [replace(new, batch_id="theirs")]

    using(where, do)


def test_what_a_batch_holds_is_not_asked_until_it_is_taken_in(where: str) -> None:
    async def do(ledger: Ledger) -> None:
        keys = [call(name).key for name in "abc"]
        handed_in = batch("a", lines=dict.fromkeys(keys, "r"))
        assert await ledger.reserve(call("d")) is None
        with Ledger.open(where) as other:
            await other.put_batch(handed_in)
            for name in "ab":
                with pytest.raises(StoppedError, match="a batch holds it"):
                    await ledger.reserve(call(name))
            assert await other.unasked([call(name) for name in "abcd"]) == set(keys)
            await other.keep_all("e", "m", {keys[0]: reply("came"), keys[1]: reply("too")})
            assert await ledger.reserve(call("a")) == reply("came")
            await other.remove_batch(handed_in)
            assert await other.unasked([call(name) for name in "abcd"]) == {keys[2]}
        assert await ledger.reserve(call("b")) == reply("too")
        assert await ledger.reserve(call("c")) is None
        assert await ledger.unasked([call(name) for name in "abcd"]) == set()

    using(where, do)


def test_a_batch_that_is_taken_in_while_it_is_looked_up_is_not_asked_again(where: str) -> None:
    async def do(ledger: Ledger) -> None:
        handed_in = batch("a", lines={call("a").key: "r"})
        with Ledger.open(where) as other:
            await other.put_batch(handed_in)
            look = ledger._store.batches

            def late(endpoint: str | None) -> list[SubmittedBatch]:
                other._thread.submit(
                    other._store.write, [LedgerRow(call("a").key, "e", "m", '{"text": "came"}', "")]
                ).result()
                other._thread.submit(other._store.remove_batch, handed_in.local_id).result()
                return look(endpoint)

            ledger._store.batches = late  # type: ignore[method-assign]
            assert await ledger.reserve(call("a")) == reply("came")

    using(where, do)


def test_the_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    old = {
        "text": "0.5",
        "finish_reason": "stop",
        "top_logprobs": [["Yes", -0.5]],
        "tokens_in": 3,
        "tokens_out": 4,
        "latency_s": 0.25,
        "cached": False,
    }
    with sqlite3.connect(path) as made:
        made.execute(
            "create table replies (key text primary key, endpoint text not null, model text not null, "
            "reply text not null, created_at text not null) without rowid"
        )
        made.execute("insert into replies values (?, 'e', 'm', ?, '2026')", [call("1").key, json.dumps(old)])
        made.execute("pragma user_version = 1")
    made.close()

    async def do(ledger: Ledger) -> Reply:
        await ledger.keep_all("e", "m", {call("2").key: reply("new")})
        await ledger.put_batch(batch("a"))
        assert await recalled(ledger, [1, 2]) == ["0.5", "new"]
        return (await ledger.recall([call("1")]))[call("1").key]

    for _ in range(2):
        assert using(path, do) == Reply(
            text="0.5",
            finish_reason="stop",
            top_logprobs=(("Yes", -0.5),),
            tokens_in=3,
            tokens_out=4,
            latency_s=0.25,
        )


@pytest.mark.parametrize("kind", ["text", "folder", "foreign", "newer", "below a file", "no folder can be made"])
def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger.sqlite"
    if kind == "text":
        path.write_text("this is no database, whatever its name says " * 50)
    elif kind == "folder":
        path.mkdir()
    elif kind in ("foreign", "newer"):
        with sqlite3.connect(path) as other:
            other.execute("create table recipes (name text)")
            other.execute(f"pragma user_version = {99 * (kind == 'newer')}")
        other.close()
    elif kind == "below a file":
        path.write_text("x")
        path = path / "ledger.sqlite"
    else:
        path = Path("/proc/none/ledger.sqlite")
    with pytest.raises(InputError) as caught:
        Ledger.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_read_only_is_one_clear_line() -> None:
    me = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        if me == 0:  # root may write everywhere
            os.seteuid(65534)
        try:
            with pytest.raises(InputError, match="make the path writable") as caught:
                Ledger.open(Path(folder) / "ledger.sqlite")
        finally:
            os.seteuid(me)
            Path(folder).chmod(0o755)
    assert "\n" not in str(caught.value)


def test_a_damaged_row_stops_with_one_clear_line(where: str) -> None:
    async def do(ledger: Ledger) -> None:
        await ledger.keep_all("e", "m", {call("1").key: reply("first")})
        if where.startswith("postgres"):
            with psycopg.connect(where.partition(":")[2], autocommit=True) as server:
                server.execute("update odds_ledger.replies set reply = 'no json'")
        else:
            with sqlite3.connect(where) as other:
                other.execute("update replies set reply = 'no json'")
            other.close()
        await ledger.recall([call("1")])

    with pytest.raises(ServiceError, match="cannot be read") as caught:
        using(where, do)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_stops_with_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    calls = [call(str(number)) for number in range(2000)]
    using(path, lambda ledger: ledger.keep_all("e", "m", {each.key: reply("x" * 100) for each in calls}))
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))

    with pytest.raises((InputError, ServiceError), match="ledger") as caught:
        using(path, lambda ledger: ledger.recall(calls))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgres:host=127.0.0.1 port=1 user=u password=hunter2 dbname=x",
        "postgresql://u:hunter2@127.0.0.1:1/x",
        "postgres://u:hunter2@127.0.0.1:1/x",
        "postgres:host=127.0.0.1 port=1 dbname=x",
        "postgres:dbname=x password=hunter2 nonsense='",
    ],
)
def test_a_server_that_cannot_be_used_is_one_line_without_the_password(address: str) -> None:
    with pytest.raises(InputError, match="ledger in PostgreSQL: cannot be used") as caught:
        Ledger.open(address)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


CUT = (
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
    "and pid <> pg_backend_pid()"
)


def on_server(database: str, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last of the statements; all go through a connection to the same database."""
    with psycopg.connect(database.partition(":")[2], autocommit=True) as server:
        return [server.execute(statement).fetchall() for statement in statements][-1]


def test_a_connection_that_is_cut_loses_no_reply_and_no_lock(database: str) -> None:
    async def do(ledger: Ledger) -> None:
        asked = [call(str(number)) for number in range(40)]
        assert await asyncio.gather(*(ledger.reserve(each) for each in asked)) == [None] * 40
        assert await ledger.lock("0123456789abcdef")
        for first in range(0, 30, 10):
            on_server(database, CUT)
            await asyncio.gather(*(ledger.keep(each, reply("came")) for each in asked[first : first + 10]))
        assert await recalled(ledger, range(40)) == ["came"] * 30 + [None] * 10
        with Ledger.open(database) as other:
            assert not await other.lock("0123456789abcdef")
            waiting = [asyncio.ensure_future(other.reserve(each)) for each in asked[30:]]
            await asyncio.sleep(0.3)
            assert not any(each.done() for each in waiting)
            on_server(database, CUT)
            await asyncio.gather(*(ledger.keep(each, reply("late")) for each in asked[30:]))
            assert await asyncio.wait_for(asyncio.gather(*waiting), 10) == [reply("late")] * 10
        ledger.unlock("0123456789abcdef")
        await ledger.recall([])
        (locks,) = on_server(database, "select count(*) from pg_locks where locktype = 'advisory'")
        assert locks == (0,), "what is done is given back once, also after another connection was made"

    using(database, do)


def test_each_read_and_write_outlives_a_cut(database: str) -> None:
    async def do(ledger: Ledger) -> None:
        made = batch("a", lines={call("in").key: "r"})
        cut = functools.partial(on_server, database, CUT)
        cut()
        await ledger.put_batch(made)
        cut()
        assert await ledger.batches("e") == [made]
        cut()
        with pytest.raises(StoppedError):
            await ledger.reserve(call("in"))
        cut()
        await ledger.remove_batch(made)
        cut()
        await ledger.keep_all("e", "m", {call("1").key: reply("x")})
        cut()
        assert await ledger.unasked([call("1"), call("2")]) == {call("2").key}
        cut()
        assert await recalled(ledger, [1]) == ["x"]

    using(database, do)


@contextmanager
def shut(database: str) -> Iterator[None]:
    """While it lasts, nobody is let in to the database, and who was is sent away."""
    name = psycopg.conninfo.conninfo_to_dict(database.partition(":")[2])["dbname"]
    elsewhere = psycopg.conninfo.make_conninfo(database.partition(":")[2], dbname="postgres")
    with psycopg.connect(elsewhere, autocommit=True) as server:
        server.execute(f'alter database "{name}" allow_connections false')
        server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        try:
            yield
        finally:
            server.execute(f'alter database "{name}" allow_connections true')


def test_a_server_that_comes_back_in_time_was_never_missed(database: str) -> None:
    async def do(ledger: Ledger) -> list[str | None]:
        await ledger.reserve(call("1"))
        with shut(database):
            keeping = asyncio.ensure_future(ledger.keep(call("1"), reply("paid")))
            await asyncio.sleep(0.5)
            assert not keeping.done()
        await keeping
        return await recalled(ledger, [1])

    assert using(database, do) == ["paid"]


def test_a_server_that_stays_away_is_one_line_that_says_what_is_lost(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_postgres, "PATIENCE_S", 1.0)

    async def keep(ledger: Ledger, numbers: Sequence[int]) -> list[object]:
        return await asyncio.gather(
            *(ledger.keep(call(str(number)), reply("paid")) for number in numbers), return_exceptions=True
        )

    async def lost(ledger: Ledger) -> None:
        await asyncio.gather(*(ledger.reserve(call(str(number))) for number in range(5)))
        until_it_is_closed.enter_context(shut(database))
        (error, *_) = await keep(ledger, [0, 1])
        assert isinstance(error, ServiceError)
        started = time.monotonic()
        await keep(ledger, [2, 3, 4])
        assert time.monotonic() - started < 0.8, "it is waited for once"

    said = r"check the server.*5 replies that came.*could not be kept"
    with ExitStack() as until_it_is_closed, pytest.raises(ServiceError, match=said) as caught:
        using(database, lost)
    assert "\n" not in str(caught.value)

    async def found(ledger: Ledger) -> None:
        await asyncio.gather(*(ledger.reserve(call(str(number))) for number in range(5)))
        with shut(database):
            assert isinstance((await keep(ledger, [0, 1]))[0], ServiceError)
        assert await keep(ledger, [2]) == [reply("paid")]
        assert await recalled(ledger, range(5)) == ["paid"] * 3 + [None] * 2

    using(database, found)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://odds:s3cr@t/x@127.0.0.1:1/db",
        "postgresql://odds:hunter2@127.0.0.1:1/db",
        "postgresql://odds:hun%zzter2@127.0.0.1:1/db",
        "postgresql://odds:12:hunter2@host:hunter2/db",
        "postgres:host=127.0.0.1 port=1 user=odds pasword=hunter2",
        "postgres:host=127.0.0.1 port=1 passwd='hunter2",
        "postgres:host=127.0.0.1 port=1 sslpassword=hunter2 hunter2",
        "postgres:hunter2",
        "postgresql:host=127.0.0.1 port=1 password=hunter2",
    ],
)
def test_no_part_of_a_connection_string_is_repeated_where_it_may_be_a_password(address: str) -> None:
    with pytest.raises(InputError, match="ledger in PostgreSQL: cannot be used") as caught:
        Ledger.open(address)
    shown = "".join(traceback.format_exception(caught.value))
    # Lines of the source are shown too, such as those of this test.
    said = [line for line in shown.splitlines() if not line.startswith("    ")]
    assert not re.search("hunter2|s3cr|zzter|x@127", "\n".join(said))
    assert "\n" not in str(caught.value)
