"""A stub of an OpenAI-compatible endpoint: no model, the same answer to everything after a fixed time.

It measures what asking costs on the asking side. It shares the machine with what it measures, so it does as little as
it can: headers are searched and not parsed, the body is skipped, and one timer serves all replies that are waiting.

`python -m benchmarks.stub_endpoint --port 0` prints its address. `GET /stats` says what it has served, see `Stats`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import cast
from urllib.request import urlopen

try:
    import uvloop

    _new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
except ImportError:
    _new_loop = asyncio.new_event_loop

DELAY_S = 0.05
"""How long each answer takes."""

_ANSWER = '{"reasoning": "The stub answers alike whatever is asked.", "probability": 0.37}'
_COMPLETION = {
    "id": "stub",
    "object": "chat.completion",
    "created": 0,
    "model": "stub",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": _ANSWER}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 180, "completion_tokens": 24, "total_tokens": 204},
}


@dataclass
class Stats:
    """Chat requests received (`first_s`, `last_s`: the times of the first and the last answer's request and reply).

    Times are seconds of the machine's monotonic clock, 0 while there is none; `answered` counts the replies written,
    `most_in_flight` is the most requests that waited at one time, `cpu_s` the processor seconds of the stub itself.
    """

    received: int = 0
    answered: int = 0
    most_in_flight: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    cpu_s: float = 0.0


def _response(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_REPLY = _response(json.dumps(_COMPLETION).encode())
_NOT_FOUND = _response(
    b'{"error": {"message": "the stub has POST /v1/chat/completions and GET /stats"}}', "404 Not Found"
)


class _Replies:
    """The replies that wait for their time. All wait equally long, so that they leave in the order they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay_s: float) -> None:
        self.stats = Stats()
        self._loop = loop
        self._delay_s = delay_s
        self._waiting: deque[tuple[float, asyncio.Transport]] = deque()

    def later(self, transport: asyncio.Transport) -> None:
        now = time.monotonic()
        stats = self.stats
        stats.first_s = stats.first_s or now
        stats.received += 1
        self._waiting.append((now + self._delay_s, transport))
        waiting = len(self._waiting)
        stats.most_in_flight = max(stats.most_in_flight, waiting)
        if waiting == 1:
            self._loop.call_later(self._delay_s, self._send_due)

    def _send_due(self) -> None:
        waiting = self._waiting
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, transport = waiting.popleft()
            if not transport.is_closing():
                transport.write(_REPLY)
                self.stats.answered += 1
        self.stats.last_s = now
        if waiting:  # never early: the loop's own clock may lag by a millisecond
            self._loop.call_later(max(waiting[0][0] - now, 0.0005), self._send_due)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and pipelining, as far as a client's JSON requests need it."""

    def __init__(self, replies: _Replies) -> None:
        self._replies = replies
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, and does not say so

    def data_received(self, data: bytes) -> None:
        data = self._unread + data if self._unread else data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            after = end + 4 + _content_length(data[:end])
            if len(data) < after:
                break
            self._answer(data)
            data = data[after:]
        self._unread = data

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"POST /v1/chat/completions"):
            self._replies.later(self._transport)
        elif request.startswith(b"GET /stats"):
            stats = self._replies.stats
            stats.cpu_s = time.process_time()
            self._transport.write(_response(json.dumps(asdict(stats)).encode()))
        else:
            self._transport.write(_NOT_FOUND)


def _content_length(head: bytes) -> int:
    _, named, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if named else 0


async def _serve(port: int, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    replies = _Replies(loop, delay_s)
    server = await loop.create_server(lambda: _Connection(replies), "127.0.0.1", port, backlog=1024)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await ended.wait()
    server.close()


@contextmanager
def stub(delay_s: float = DELAY_S) -> Iterator[str]:
    """A stub in a process of its own, by its base address (`http://127.0.0.1:PORT/v1`); it ends with the block."""
    command = [sys.executable, "-m", "benchmarks.stub_endpoint", "--port", "0", "--delay", str(delay_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise RuntimeError("the stub endpoint did not start")
            yield line.strip()
        finally:
            process.terminate()


def stats_of(url: str) -> Stats:
    """What the stub at this base address has served so far."""
    with urlopen(url.removesuffix("/v1") + "/stats") as response:
        return Stats(**json.load(response))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--delay", type=float, default=DELAY_S, help="seconds until each answer")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_serve(options.port, options.delay))


if __name__ == "__main__":
    main()
