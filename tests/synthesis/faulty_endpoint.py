"""A fault injector: a real HTTP server on loopback that misbehaves as its script says. It is no model of an LLM."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

Fault = Callable[["_Handler"], None]


@dataclass
class FaultyEndpoint:
    """Plays `script`, one entry a request and the last one for ever; `bodies` and `headers` are what it was sent."""

    url: str
    script: Sequence[Fault]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    in_flight: int = 0
    most_in_flight: int = 0

    @property
    def requests(self) -> int:
        return len(self.bodies)


@contextmanager
def faulty(*script: Fault, port: int = 0) -> Iterator[FaultyEndpoint]:
    """The endpoint while the context lasts, on that port of the loopback address or on a free one."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    endpoint = FaultyEndpoint(f"http://127.0.0.1:{server.server_address[1]}/v1", script)
    cast(Any, server).endpoint = endpoint
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body: dict[str, Any]

    def do_POST(self) -> None:
        endpoint = cast(FaultyEndpoint, cast(Any, self.server).endpoint)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with endpoint.lock:
            play = endpoint.script[min(endpoint.requests, len(endpoint.script) - 1)]
            endpoint.bodies.append(body)
            endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
            endpoint.in_flight += 1
            endpoint.most_in_flight = max(endpoint.most_in_flight, endpoint.in_flight)
        self.body = body
        try:
            play(self)
        finally:
            with endpoint.lock:
                endpoint.in_flight -= 1

    def send(self, status: int, data: bytes, content_type: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: the tests read `bodies`."""


def _completion(text: str | None, logprob: float | None = None) -> dict[str, Any]:
    logprobs = None
    if logprob is not None:
        tokens = [("Yes", logprob), ("No", -2.0)]
        alternatives = [{"token": token, "logprob": value, "bytes": None} for token, value in tokens]
        logprobs = {"content": [{**alternatives[0], "top_logprobs": alternatives}], "refusal": None}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def answers(text: str | None, logprob: float | None = None, after_s: float = 0.0, usage: object = Ellipsis) -> Fault:
    """A completion; `usage` is what it says of its tokens, 10 in and 5 out where nothing is given."""

    def play(handler: _Handler) -> None:
        time.sleep(after_s)
        completion = _completion(text, logprob)
        if usage is not Ellipsis:
            completion["usage"] = usage
        handler.send(200, json.dumps(completion).encode())

    return play


def answers_and_closes(text: str) -> Fault:
    def play(handler: _Handler) -> None:
        answers(text)(handler)
        handler.close_connection = True

    return play


def fails(status: int, message: str = "no", **headers: str) -> Fault:
    return lambda handler: handler.send(status, json.dumps({"error": {"message": message}}).encode(), **headers)


def fails_as(status: int, message: str, /, **more: object) -> Fault:
    """An error status with a code, a type or the like beside its message."""
    return lambda handler: handler.send(status, json.dumps({"error": {"message": message, **more}}).encode())


def sends(data: bytes, content_type: str = "application/json") -> Fault:
    """HTTP 200 with exactly this body."""
    return lambda handler: handler.send(200, data, content_type)


def talks(data: bytes) -> Fault:
    """Exactly these bytes in place of an HTTP response, and the end of the connection."""

    def play(handler: _Handler) -> None:
        handler.wfile.write(data)
        handler.wfile.flush()
        handler.close_connection = True

    return play


def at_most(requests: int, window_s: float, fault: Fault, **headers: str) -> Fault:
    """The fault so many times in any such window; 429 with these headers beyond."""
    lock = threading.Lock()
    taken: list[float] = []

    def play(handler: _Handler) -> None:
        moment = time.monotonic()
        with lock:
            taken[:] = [at for at in taken if at > moment - window_s]
            if fits := len(taken) < requests:
                taken.append(moment)
        (fault if fits else fails(429, "slow down", **headers))(handler)

    return play


def in_turn(*faults: Fault, times: list[float] | None = None) -> Fault:
    """One fault a request and the last one for ever; `times` gets the moment of each."""
    lock = threading.Lock()
    played = 0

    def play(handler: _Handler) -> None:
        nonlocal played
        with lock:
            fault = faults[min(played, len(faults) - 1)]
            played += 1
            if times is not None:
                times.append(time.monotonic())
        fault(handler)

    return play


def by_model(faults: Mapping[str, Fault]) -> Fault:
    """The fault of the model that is asked."""
    return lambda handler: faults[handler.body["model"]](handler)


def hangs(seconds: float) -> Fault:
    def play(handler: _Handler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return play


def drips(seconds: float) -> Fault:
    """A body that never ends and never pauses long enough for a read to time out."""

    def play(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000000")
        handler.end_headers()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                break
            time.sleep(0.05)
        handler.close_connection = True

    return play


def breaks_off() -> Fault:
    """Half of a body, then the connection is closed."""

    def play(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices": [')
        handler.wfile.flush()
        handler.close_connection = True

    return play


def only_without_response_format(text: str) -> Fault:
    """Refuses a request that carries a response format, as an older server does."""

    def play(handler: _Handler) -> None:
        if "response_format" in handler.body:
            fails(400, "unknown field response_format")(handler)
        else:
            answers(text)(handler)

    return play


def refuses_schema(needle: str, text: str) -> Fault:
    """Refuses a request whose response format holds `needle`, as a server does that takes other schemas."""

    def play(handler: _Handler) -> None:
        refused = needle in json.dumps(handler.body.get("response_format"))
        (fails(400, f"{needle} is not permitted") if refused else answers(text))(handler)

    return play


def refuses_body(needle: str, status: int, message: str, text: str, logprob: float | None = None) -> Fault:
    """Answers with `text`, but with an error status and these words where the body of the request holds `needle`."""

    def play(handler: _Handler) -> None:
        (fails(status, message) if needle in json.dumps(handler.body) else answers(text, logprob))(handler)

    return play


def refuses_text(needle: str, status: int, text: str) -> Fault:
    """Answers with `text`, but with an error status where the last message holds `needle`."""

    def play(handler: _Handler) -> None:
        held = needle in handler.body["messages"][-1]["content"]
        (fails(status, f"cannot take {needle}") if held else answers(text))(handler)

    return play


def by_text(faults: Mapping[str, Fault], once: Collection[str], otherwise: Fault) -> Fault:
    """The fault of the text that the last message ends with; for those in `once` the first time alone."""
    met: set[str] = set()

    def play(handler: _Handler) -> None:
        last = handler.body["messages"][-1]["content"]
        text = next(text for text in faults if last.endswith(text))
        if text in once and text in met:
            otherwise(handler)
            return
        met.add(text)
        faults[text](handler)

    return play
