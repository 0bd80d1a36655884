"""A real Label Studio is killed and started again while commands run, and its clock is wrong and set."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from annotation.studio import server
from annotation.studio.client import Studio, connect
from annotation.studio.webhooks import register
from annotation.sync import pull as pulling
from annotation.sync import push as pushing
from flows.annotators.pay import annotators_pay
from flows.pull import pull
from flows.push import push
from tests.fixtures.clock import with_a_clock_of_its_own
from tests.fixtures.llm_runs import install, rows, value
from tests.fixtures.studio import new_project, rating
from warehouse.errors import InputError, OddsError

pytestmark = pytest.mark.slow
HOUR = 3600.0
GUARD = "SSRF_PROTECTION_ENABLED=true"
"""As it is on a server that we did not start: it calls no private address."""
LIVE = "SELECT list(round(probability * 100)::INT ORDER BY probability) FROM judgments WHERE deleted_at IS NULL"
NOTHING = {"new judgments": 0, "changed": 0, "deleted": 0, "dropped": 0}


class Own:
    """A Label Studio of this file's own, in its home, with a clock that can be set."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / ".odds"
        self.command, self.set_clock = with_a_clock_of_its_own(server.find_command(), folder / "clock", GUARD)

    def start(self) -> None:
        server.start(self.home, self.command)

    def kill(self) -> None:
        """As a machine that fails does: nothing is finished. Returns once it is gone."""
        there = server.running(self.home)
        assert there is not None
        os.killpg(there.pid, signal.SIGKILL)
        while server.running(self.home) is not None:
            with suppress(ChildProcessError):
                os.waitpid(there.pid, os.WNOHANG)
            time.sleep(0.01)

    @property
    def studio(self) -> Studio:
        there = server.running(self.home)
        assert there is not None
        return connect(there.url, there.token)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    try:
        made = Own(tmp_path_factory.mktemp("own"))
    except InputError as error:
        pytest.skip(f"no Label Studio: {error}")
    try:
        made.start()
        yield made
    finally:
        server.stop(made.home)


@pytest.fixture
def config(own: Own, tmp_path: Path) -> Path:
    own.set_clock(0)
    section = (
        f'home = "{own.home}"\n[warehouse]\ncatalog = "{tmp_path}/catalog.sqlite"\ndata_path = "{tmp_path}/data"\n'
    )
    section += f'[annotation]\ncommand = "{own.command}"\nproject = "own {uuid4().hex[:12]}"\n'
    return install(tmp_path, section, hypotheses=[f"Number {i} is drawn." for i in range(30)])


def numbers(own: Own, config: Path) -> list[int]:
    project = int(value(config, "SELECT number FROM studio_projects"))
    return [stamp.id for stamp in own.studio.stamps(project)]


def judge(own: Own, task: int, percent: float) -> None:
    own.studio.annotate(task, rating(percent), unique_id=str(uuid4()))


def correct(own: Own, task: int, percent: float) -> None:
    sdk = own.studio._sdk
    sdk.annotations.update(sdk.annotations.list(task)[0].id, result=rating(percent))


@contextmanager
def killed_during(own: Own, call: str, turn: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kill the server while it answers a call of the client, and start it again at once."""
    real: Callable[..., Any] = getattr(Studio, call)
    seen: list[int] = []
    threads: list[threading.Thread] = []

    def restart() -> None:
        time.sleep(0.02)
        own.kill()
        own.start()

    def watched(self: Studio, *arguments: Any, **named: Any) -> Any:
        seen.append(len(seen) + 1)
        if seen[-1] == turn:
            threads.append(threading.Thread(target=restart))
            threads[0].start()
        return real(self, *arguments, **named)

    monkeypatch.setattr(Studio, call, watched)
    try:
        yield
    finally:
        monkeypatch.setattr(Studio, call, real)
        for thread in threads:
            thread.join()
    assert threads, f"{call} was not called {turn} times"


def said(stage: Callable[[Path], object], config: Path) -> str:
    """What a command says that may fail; nothing if it ends well."""
    try:
        stage(config)
    except OddsError as error:
        return str(error)
    return ""


def test_a_push_and_a_pull_survive_a_server_that_is_killed_and_started_again(
    own: Own, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "IMPORT_CHUNK", 10)
    with killed_during(own, "import_tasks", 2, monkeypatch):
        assert re.match(r"$|importing tasks[^\n]*: Label Studio at \S+ does not answer[^\n]*$", said(push, config))
    push(config)
    assert push(config).counts == {"new tasks": 0, "found there": 0}
    tasks = numbers(own, config)
    assert len(tasks) == value(config, "SELECT count(DISTINCT source_id) FROM tasks") == 30

    monkeypatch.setattr(pulling, "PIECE", 4)
    monkeypatch.setattr(pulling, "URL_ROOM", 30)
    for number, task in enumerate(tasks[:12]):
        judge(own, task, number)
    with killed_during(own, "export", 3, monkeypatch):
        assert re.match(r"$|exporting[^\n]*: Label Studio at \S+ does not answer[^\n]*$", said(pull, config))
    pull(config)
    assert pull(config).counts == NOTHING
    assert value(config, LIVE) == list(range(12))


def test_a_clock_that_is_wrong_and_set_loses_nothing(own: Own, config: Path) -> None:
    push(config)
    tasks = numbers(own, config)
    expected: dict[int, int] = {}

    def done(new: int, changed: int = 0) -> None:
        assert pull(config).counts == NOTHING | {"new judgments": new, "changed": changed}
        assert value(config, LIVE) == sorted(expected.values())

    def judged(task: int, percent: int) -> None:
        (correct if task in expected else judge)(own, task, percent)
        expected[task] = percent

    for turn, hours in enumerate((5.0, 0.0, -3.0, 3.5)):  # ahead of ours; set forth and back
        own.set_clock(hours * HOUR)
        judged(tasks[turn], 10 + turn)
        if turn:
            judged(tasks[turn - 1], 50 + turn)
        done(1, min(turn, 1))

    own.set_clock(9 * HOUR)  # ahead and back between two pulls: what was judged meanwhile is dated in the future
    judged(tasks[10], 80)
    own.set_clock(3.5 * HOUR)
    done(1)
    judged(tasks[0], 81)
    done(0, 1)

    own.set_clock(-3 * HOUR)
    judged(tasks[0], 82)
    done(0, 1)
    done(0)
    (row,) = rows(config, "SELECT clock_ahead_s FROM studio_projects")
    assert row["clock_ahead_s"] == pytest.approx(-3 * HOUR, abs=30)
    start, end = (f"{datetime.now(UTC) - timedelta(hours=hours):%Y-%m-%dT%H:%M}" for hours in (24, 1))
    with pytest.raises(InputError, match=r"in the future by the clock of Label Studio, which was 3\.0 hours behind"):
        annotators_pay(start, end, output=config.with_name("pay.csv"), rate_per_judgment=0.1, config=config)


def test_a_personal_token_works_whatever_the_clocks_say(own: Own) -> None:
    own.set_clock(-3 * HOUR)
    there = server.running(own.home)
    assert there is not None
    headers = {"Authorization": f"Token {there.token}"}
    token = httpx.post(f"{there.url}/api/token/", headers=headers, trust_env=False).json()["token"]
    for hours in (-3.0, 3.0):
        own.set_clock(hours * HOUR)
        studio = connect(there.url, token)
        own.set_clock(hours * HOUR + 400)  # an access token is good for 300 s
        assert studio.users()
        assert studio.projects_called("no such project") == []


def test_a_guarded_server_refuses_our_address_in_one_line(own: Own) -> None:
    project = new_project(own.studio)
    with pytest.raises(InputError, match="calls no private address unless it was started with SSRF_"):
        register(own.studio, project, "http://127.0.0.1:8711/webhook", {"X-Odds-Secret": "a secret"})
