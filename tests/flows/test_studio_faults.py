"""Label Studio fails in the middle of a push or a pull: one line, nothing doubled or lost, and running again heals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from annotation.studio import calls
from annotation.studio.client import Studio
from flows.pull import pull
from flows.push import push
from tests.fixtures.http import serving
from tests.fixtures.llm_runs import install, value
from tests.fixtures.studio import StudioServer, rating
from warehouse.errors import OddsError

HYPOTHESES = ("The street is wet.", "It is Monday.", "A coat is wet.", "A bus is late.")
HOP = {"connection", "content-encoding", "content-length", "transfer-encoding", "host"}


class Faults:
    """What a proxy does to the requests that pass it: `hurt` is asked before each, by its number from 0."""

    def __init__(self) -> None:
        self.seen = 0
        self.hurt: Callable[[int], int | str | None] = lambda _number: None

    def arm(self, hurt: Callable[[int], int | str | None]) -> None:
        self.seen, self.hurt = 0, hurt


@contextmanager
def proxy(target: str) -> Iterator[tuple[str, Faults]]:
    """A proxy that injects faults between a command and a real Label Studio.

    A number is answered in place of the server, "lost" does what was asked and then loses the answer, and "down" loses
    the request, as a server that is being restarted does.
    """
    faults, lock = Faults(), threading.Lock()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                fault = faults.hurt(faults.seen)
                faults.seen += 1
            if isinstance(fault, int):
                said = b'{"detail": "database is locked"}' if fault == 500 else b'{"detail": "refused"}'
                self._reply(fault, {"Content-Type": "application/json"}, said)
                return
            if fault != "down":
                headers = {name: text for name, text in self.headers.items() if name.lower() not in HOP}
                got = httpx.request(self.command, target + self.path, headers=headers, content=body, timeout=60)
                if fault is None:
                    kept = {name: text for name, text in got.headers.items() if name.lower() not in HOP}
                    self._reply(got.status_code, kept, got.content)
                    return
            self.close_connection = True

        do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    with serving(Proxy) as url:
        yield url, faults


@pytest.fixture
def place(
    tmp_path: Path, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Faults]]:
    """An installation with four propositions that reaches the Label Studio of the tests through the proxy."""
    monkeypatch.setattr(calls, "ATTEMPTS", 2)
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", studio_server.token)
    with proxy(studio_server.url) as (url, faults):
        section = f'[annotation]\nurl = "{url}"\nproject = "faults {uuid4().hex[:12]}"'
        yield install(tmp_path, section, hypotheses=HYPOTHESES), faults


def hurting(number: int, fault: int | str) -> Callable[[int], int | str | None]:
    """Hurt the request of this number; a status also all later ones."""
    stays = isinstance(fault, int)
    return lambda seen: fault if seen == number or (stays and seen > number) else None


def tried(stage: Callable[[Path], object], config: Path) -> str:
    """Run a stage that may fail, and return what it says then."""
    try:
        stage(config)
    except OddsError as error:
        return str(error)
    return ""


def tasks(studio: Studio, config: Path) -> list[int]:
    number = int(value(config, "SELECT number FROM studio_projects WHERE retired_at IS NULL"))
    return [stamp.id for stamp in studio.stamps(number)]


@pytest.mark.slow
def test_a_push_that_failed_anywhere_is_finished_by_the_next(place: tuple[Path, Faults], studio: Studio) -> None:
    config, faults = place
    said = [""]
    some: tuple[int | str, ...] = (401, "down", 500, "lost", 403, "lost", 404, "down", "lost")
    for number, fault in enumerate(some):
        faults.arm(hurting(number, fault))
        said.append(tried(push, config))
    assert not any("\n" in line for line in said)
    assert any("refused the token" in line for line in said)
    assert any("database is locked" in line for line in said)

    faults.arm(lambda _number: None)
    push(config)
    assert push(config).counts == {"new tasks": 0, "found there": 0}
    assert len(tasks(studio, config)) == len(HYPOTHESES)
    assert value(config, "SELECT count(DISTINCT source_id) FROM tasks") == len(HYPOTHESES)


@pytest.mark.slow
def test_a_pull_that_failed_anywhere_loses_and_doubles_nothing(place: tuple[Path, Faults], studio: Studio) -> None:
    config, faults = place
    push(config)
    some: tuple[tuple[int, int | str], ...] = (
        (0, 401), (1, "down"), (2, 500), (3, "lost"), (3, 500), (4, 403), (4, "down"), (5, 404),
    )  # fmt: skip
    for turn, (number, fault) in enumerate(some):
        task = tasks(studio, config)[turn % len(HYPOTHESES)]
        result = rating(turn)
        studio.annotate(task, result, unique_id=str(uuid4()))
        faults.arm(hurting(number, fault))
        assert "\n" not in tried(pull, config)

    faults.arm(lambda _number: None)
    pull(config)
    assert pull(config).counts == {"new judgments": 0, "changed": 0, "deleted": 0, "dropped": 0}
    assert value(config, "SELECT list(probability ORDER BY probability) FROM judgments WHERE deleted_at IS NULL") == [
        turn / 100 for turn in range(8)
    ]
