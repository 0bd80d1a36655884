"""The server of `odds listen` without Label Studio: what it answers, and when it pulls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event, Lock

import pytest
from starlette.testclient import TestClient

from flows.serving.hooks import SECRET_HEADER, application, exposition
from flows.serving.puller import Puller
from flows.serving.requests import MOST_BYTES
from flows.stages.outcome import Outcome
from warehouse.errors import ServiceError

SECRET = "a secret"
HEADERS = {SECRET_HEADER: SECRET}


class Pulls:
    """Pulls that wait until they may, count themselves, and fail as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.begun, self.at_once, self.most_at_once, self.failures = 0, 0, 0, failures
        self.may, self._lock = Event(), Lock()
        self.may.set()

    def __call__(self) -> Outcome:
        with self._lock:
            self.begun += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.may.wait(30)
        with self._lock:
            self.at_once -= 1
            if self.failures:
                self.failures -= 1
                raise ServiceError("Label Studio does not answer")
        return Outcome(stage="pull", counts={"new judgments": 2})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def started(said: list[str]) -> Iterator[Callable[..., tuple[Pulls, Puller]]]:
    """Starts pullers, and ends them after the test."""
    pullers: list[Puller] = []

    def start(failures: int = 0, every_s: float = 1000, retry_s: float = 0.01) -> tuple[Pulls, Puller]:
        pulls = Pulls(failures)
        pullers.append(Puller(pulls, said.append, every_s=every_s, soon_s=0.02, retry_s=retry_s))
        pullers[-1].start()
        return pulls, pullers[-1]

    yield start
    for puller in pullers:
        puller.end(5)


def test_many_hints_are_answered_by_one_pull_and_pulls_never_overlap(
    started: Callable[..., tuple[Pulls, Puller]],
) -> None:
    pulls, puller = started()
    until(lambda: puller.counts()["judgments_new_total"] == 2)  # the one at the start
    pulls.may.clear()
    for _ in range(50):
        puller.hint()
    until(lambda: pulls.begun == 2)
    for _ in range(50):  # during a pull: it may have read too early, so one more follows
        puller.hint()
    pulls.may.set()
    until(lambda: puller.counts()["judgments_new_total"] == 6)
    time.sleep(0.1)
    assert (pulls.begun, pulls.most_at_once) == (3, 1)
    assert puller.counts()["hints_total"] == 100
    assert puller.counts()["pull_wanted"] == 0


def test_a_pull_that_fails_is_tried_again_and_the_reason_is_told(
    started: Callable[..., tuple[Pulls, Puller]], said: list[str]
) -> None:
    pulls, puller = started(failures=2)
    until(lambda: puller.counts()["judgments_new_total"] == 2)
    assert said[:2] == ["Label Studio does not answer"] * 2
    assert said[2].startswith("pull: 2 new judgments")
    assert (pulls.begun, puller.counts()["pulls_failed_total"]) == (3, 2)


def test_it_pulls_again_after_a_label_studio_that_was_away_for_days(said: list[str]) -> None:
    pulls = Pulls(failures=1100)
    puller = Puller(pulls, said.append, every_s=1000, soon_s=0.0, retry_s=0.0)
    puller.start()
    until(lambda: puller.counts()["judgments_new_total"] == 2)
    puller.end(5)
    assert pulls.begun == 1101


def test_without_any_hint_it_pulls_at_least_so_often(started: Callable[..., tuple[Pulls, Puller]]) -> None:
    pulls, puller = started(every_s=0.05)
    until(lambda: pulls.begun >= 4)
    assert puller.counts()["hints_total"] == 0


def test_webhooks_need_the_secret_and_are_answered_while_a_pull_runs(
    started: Callable[..., tuple[Pulls, Puller]], said: list[str]
) -> None:
    pulls, puller = started()
    pulls.may.clear()
    client = TestClient(application(puller, SECRET, said.append))
    until(lambda: pulls.begun == 1)
    began = time.monotonic()
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}, headers=HEADERS).status_code == 202
    assert time.monotonic() - began < 1  # Label Studio waits no longer
    for wrong in (b"", b"another", f"{SECRET}\xe9".encode("latin-1")):
        assert client.post("/webhook", json={}, headers={SECRET_HEADER.encode(): wrong}).status_code == 403
    assert client.post("/webhook", json={}).status_code == 403
    assert client.post("/webhook", content=b"a=b", headers=HEADERS).status_code == 415
    long = b'"' + b"x" * MOST_BYTES + b'"'
    json = HEADERS | {"content-type": "application/json"}
    assert client.post("/webhook", content=long, headers=json).status_code == 413
    assert client.get("/webhook").status_code == 405
    assert client.get("/health").json() == {"status": "ok", "last_pull_seconds": 0}
    lines = client.get("/metrics").text.splitlines()
    assert {"odds_hints_total 1", "odds_hints_refused_total 4", "odds_pulls_total 1"} <= set(lines)
    pulls.may.set()


def test_metrics_are_in_the_format_of_prometheus() -> None:
    text = exposition({"pulls_total": 3.0, "last_pull_seconds": 1764374400.25})
    assert text == (
        "# HELP odds_pulls_total Pulls that were begun.\n# TYPE odds_pulls_total counter\nodds_pulls_total 3\n"
        "# HELP odds_last_pull_seconds When the last pull succeeded (Unix time); 0 if none did.\n"
        "# TYPE odds_last_pull_seconds gauge\nodds_last_pull_seconds 1764374400.25\n"
    )
