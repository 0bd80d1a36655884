"""The server without an estimator: what it refuses, how requests share its thread, how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, current_thread
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from flows import serve
from flows.serving.app import application
from flows.serving.requests import MOST_BYTES, MOST_PROPOSITIONS, RefusedError, pairs_of
from flows.serving.worker import LEAST_AT_ONCE, MOST_WAITING, Answer, Pair, Worker
from tests.fixtures.commands import Inside
from tests.flows.test_stopping import COMMAND, SIGNALS, ended, started

PAIR = {"premise": "It rains.", "hypothesis": "The street is wet."}


class Scorer:
    """Scores a hypothesis, which is a number, with that number, once it may; keeps what was scored together."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.turns: list[list[float]] = []
        self.begun, self.may = Event(), Event()
        if at_once:
            self.may.set()

    def __call__(self, pairs: Sequence[Pair]) -> list[Answer]:
        self.begun.set()
        assert self.may.wait(30)
        if any(premise == "bad" for premise, _ in pairs):
            raise ValueError(f"cannot read {pairs}")
        self.turns.append([float(number) for _, number in pairs])
        return [{"score": float(number)} for _, number in pairs]


def numbers(*values: float) -> list[Pair]:
    return [("premise", str(value)) for value in values]


def scores(answered: Future[list[Answer]]) -> list[float]:
    return [answer["score"] for answer in answered.result(30)]


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        (b"{", 400, "the body is not valid JSON: EOF while parsing an object at line 1 column 1"),
        (b'{"propositions": "\\ud800"}', 400, "the body is not valid JSON: "),
        (b"\xff", 400, "the body is not valid JSON: "),
        (b"[]", 422, "the body: "),
        (b"{}", 422, "propositions: Field required"),
        ({"propositions": [], "model": "m"}, 422, "model: Extra inputs are not permitted"),
        ({"propositions": [PAIR, {"premise": "secret"}]}, 422, "propositions.1.hypothesis: Field required"),
        ({"propositions": [PAIR | {"premise": " \n"}]}, 422, "propositions.0.premise: the text is empty"),
        ({"propositions": [PAIR | {"premise": ["secret"]}]}, 422, "propositions.0.premise: Input should be a valid"),
        ({"propositions": [PAIR] * 1001}, 422, "propositions: 1,001 were sent, 1,000 are allowed"),
    ],
)
def test_a_bad_request_is_refused_in_one_line_that_names_the_field(body: Any, status: int, line: str) -> None:
    with pytest.raises(RefusedError) as refused:
        pairs_of(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert refused.value.status == status
    assert refused.value.line.startswith(line)
    assert "\n" not in refused.value.line
    assert "secret" not in refused.value.line


def test_texts_are_kept_as_they_were_sent() -> None:
    body = json.dumps({"propositions": [PAIR, {"premise": " a\u0000 ", "hypothesis": "é\U0001f600"}]}).encode()
    assert pairs_of(body) == [(PAIR["premise"], PAIR["hypothesis"]), (" a\u0000 ", "é\U0001f600")]
    assert pairs_of(b'{"propositions": []}') == []
    assert len(pairs_of(json.dumps({"propositions": [PAIR] * MOST_PROPOSITIONS}).encode())) == MOST_PROPOSITIONS


def test_requests_that_wait_are_scored_together_and_get_their_own_answers() -> None:
    scorer = Scorer(at_once=False)
    worker = Worker(scorer)
    first = worker.submit(numbers(0))
    assert scorer.begun.wait(30)
    others = [worker.submit(numbers(n, n + 0.5)) for n in range(1, 5)]
    assert worker.waiting() == 9
    scorer.may.set()
    assert [scores(each) for each in (first, *others)] == [[0.0], *([n, n + 0.5] for n in range(1, 5))]
    assert scorer.turns == [[0.0], [n + half for n in range(1, 5) for half in (0, 0.5)]]
    assert scores(worker.submit([])) == []
    assert worker.waiting() == 0


def test_a_short_request_does_not_wait_for_all_of_a_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.serving.worker.TURN_S", 0.0)  # so that turns stay as small as they can be
    scorer = Scorer(at_once=False)
    worker = Worker(scorer)
    long = worker.submit(numbers(*range(100)))
    assert scorer.begun.wait(30)
    short = worker.submit(numbers(1000))
    scorer.may.set()
    assert scores(long) == list(range(100))
    assert scores(short) == [1000.0]
    assert all(len(turn) <= LEAST_AT_ONCE for turn in scorer.turns)
    assert 1000.0 in scorer.turns[1]


def test_what_nobody_waits_for_is_not_scored() -> None:
    scorer = Scorer(at_once=False)
    worker = Worker(scorer)
    first = worker.submit(numbers(0))
    assert scorer.begun.wait(30)
    left = worker.submit(numbers(1))
    last = worker.submit(numbers(2))
    assert left.cancel()
    first.cancel()  # while it is scored
    scorer.may.set()
    assert scores(last) == [2.0]
    assert scorer.turns == [[0.0], [2.0]]
    with pytest.raises(CancelledError):
        first.result(0)
    assert worker.waiting() == 0


def test_too_many_waiting_propositions_are_refused() -> None:
    scorer = Scorer(at_once=False)
    worker = Worker(scorer)
    full = worker.submit(numbers(*range(MOST_WAITING)))
    with pytest.raises(RefusedError, match="20,000 propositions are waiting already") as refused:
        worker.submit(numbers(1))
    assert refused.value.status == 503
    full.cancel()
    scorer.may.set()


def asked(use: Callable[[httpx.AsyncClient], Any], scorer: Scorer, token: str | None = None) -> tuple[Any, list[str]]:
    """What a client gets, and what the server reports."""
    said: list[str] = []

    async def run() -> Any:
        transport = httpx.ASGITransport(
            application(Worker(scorer), {"model": "m"}, token, said.append), raise_app_exceptions=False
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://odds") as client:
            return await use(client)

    return asyncio.run(run()), said


def test_a_failure_is_told_without_texts_and_the_server_goes_on() -> None:
    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        bad = {"propositions": [{"premise": "bad", "hypothesis": "a secret"}]}
        good = {"propositions": [{"premise": "good", "hypothesis": "0.25"}]}
        return [await client.post("/score", json=body) for body in (bad, good)]

    (bad, good), said = asked(use, Scorer())
    assert (bad.status_code, bad.json()) == (500, {"error": "failed with ValueError; the server goes on"})
    assert said == ["POST /score: ValueError"]
    assert good.json() == {"model": "m", "scores": [{"score": 0.25}]}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/score"])
def test_there_is_nothing_else_to_get(path: str) -> None:
    answer, _ = asked(lambda client: client.get(path), Scorer())
    assert answer.status_code == (405 if path == "/score" else 404)
    assert set(answer.json()) == {"error"}


def test_a_page_in_a_browser_cannot_send_what_is_scored() -> None:
    body = json.dumps({"propositions": [PAIR]})
    answer, _ = asked(
        lambda client: client.post("/score", content=body, headers={"Content-Type": "text/plain"}), Scorer()
    )
    assert (answer.status_code, answer.json()["error"]) == (415, "send JSON with Content-Type: application/json")
    assert "access-control-allow-origin" not in answer.headers


def bearing(authorization: str) -> list[tuple[bytes, bytes]]:
    return [(b"Content-Type", b"application/json"), (b"Authorization", authorization.encode())]


def test_the_token_is_checked_before_the_body_is_read() -> None:
    async def use(client: httpx.AsyncClient) -> list[int]:
        async def body() -> Any:
            raise AssertionError
            yield b""

        sent = ["", "Bearer", "Bearer wrong", "Bearer sécret ", "sécret", "bearer sécret"]
        wrong = [await client.post("/score", content=body(), headers=bearing(each)) for each in sent]
        assert all(each.headers["WWW-Authenticate"] == "Bearer" for each in wrong)
        good = await client.post("/score", content=b'{"propositions": []}', headers=bearing("Bearer sécret"))
        return [each.status_code for each in [*wrong, good]]

    statuses, _ = asked(use, Scorer(), "sécret")
    assert statuses == [401] * 6 + [200]


def test_a_client_that_leaves_takes_its_request_with_it() -> None:
    scorer = Scorer(at_once=False)
    worker = Worker(scorer)
    app = application(worker, {"model": "m"}, None, print)
    body = json.dumps({"propositions": [{"premise": "p", "hypothesis": "1"}]}).encode()
    scope = {
        "type": "http", "method": "POST", "path": "/score", "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip

    async def run() -> list[dict[str, Any]]:
        messages = iter([{"type": "http.request", "body": body}])
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(messages, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return sent

    first = worker.submit(numbers(0))
    assert scorer.begun.wait(30)
    sent = asyncio.run(asyncio.wait_for(run(), 30))
    assert sent[0]["status"] == 400
    scorer.may.set()
    assert scores(first) == [0.0]
    assert scores(worker.submit(numbers(2))) == [2.0]
    assert scorer.turns == [[0.0], [2.0]]


STUB = """
import time
from flows.serving.app import application
from flows.serving.server import bound, run
from flows.serving.worker import Worker
def app():
    with bound('serve', '127.0.0.1', 0) as listener:
        worker, port = Worker(lambda pairs: time.sleep(60)), listener.getsockname()[1]
        run(application(worker, {'model': 'm'}, None, print), listener, lambda: print(port, flush=True))
"""


@contextmanager
def stub() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that scores for a minute, and its address."""
    with started("-c", COMMAND, STUB) as process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def test_the_thread_that_scores_has_loaded_the_estimator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def load(*_: object) -> SimpleNamespace:
        seen.append(f"loaded in {current_thread().name}")
        return SimpleNamespace(calibration=None)

    def answers(_estimator: object, pairs: Sequence[Pair]) -> list[Answer]:
        seen.append(f"scored in {current_thread().name}")
        return [{"score": 0.5} for _ in pairs]

    monkeypatch.setattr(serve, "estimator_for", lambda *_: SimpleNamespace(model_id="m", name="m", dataset_id="d"))
    monkeypatch.setattr(serve, "load_estimator", load)
    monkeypatch.setattr(serve, "answers_of", answers)
    monkeypatch.setattr("flows.serving.server.run", lambda app, listener, ready: ready())
    (tmp_path / "odds.toml").write_text("")
    serve.serve(port=0, config=tmp_path / "odds.toml")
    assert seen == ["loaded in scoring", "scored in scoring"]


@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_server_in_one_line_also_while_it_scores(number: signal.Signals) -> None:
    with (
        ThreadPoolExecutor() as threads,
        stub() as (process, address),
        httpx.Client(base_url=address, trust_env=False, timeout=30) as client,
    ):
        request = threads.submit(client.post, "/score", json={"propositions": [PAIR]})
        while client.get("/health").json()["waiting"] == 0:
            time.sleep(0.02)
        process.send_signal(number)
        ended(process, number)
        assert isinstance(request.exception(timeout=10), httpx.HTTPError)


def sent(address: str, data: bytes) -> bytes:
    """What a server answers to the start of a request: the head, and the JSON up to its end."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(data)
        answer = b""
        while not answer.endswith(b"}") and (more := connection.recv(4096)):
            answer += more
        return answer


def test_a_long_body_is_refused_before_it_is_read() -> None:
    head = b"POST /score HTTP/1.1\r\nHost: odds\r\nContent-Type: application/json\r\n"
    with stub() as (process, address):
        for announced in (f"Content-Length: {MOST_BYTES + 1}\r\n\r\n{{", f"Content-Length: {10**15}\r\n\r\n"):
            answer = sent(address, head + announced.encode())
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"the body is longer than 8 MiB; send several requests" in answer
        chunk = b"%x\r\n%s\r\n" % (2**20, b" " * 2**20)
        assert sent(address, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 9).startswith(b"HTTP/1.1 413 ")
        assert httpx.get(f"{address}/health", trust_env=False).json() == {"status": "ok", "model": "m", "waiting": 0}
        assert "POST /score" in httpx.get(address, trust_env=False).text
        process.send_signal(signal.SIGTERM)
        ended(process, signal.SIGTERM)


def one_line(result: tuple[int, str, str]) -> str:
    status, printed, said = result
    assert (status, printed) == (2, ""), said
    assert said.startswith("odds: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_needs_a_token(inside: Inside, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    for token in ("", " "):
        monkeypatch.setenv("ODDS_SERVE_TOKEN", token)
        assert "set ODDS_SERVE_TOKEN, or use --host 127.0.0.1" in one_line(inside("serve", "--host", host))


def test_an_address_that_cannot_be_used_is_refused(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODDS_SERVE_TOKEN", "secret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = one_line(inside("serve", "--port", str(port)))
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use; choose another" in line
    assert "192.0.2.1, port 0: Cannot assign requested address" in one_line(
        inside("serve", "--host", "192.0.2.1", "--port", "0")
    )
    assert "There is no warehouse" in one_line(inside("serve", "--port", "0", "--model", "3f2a"))
