"""A stub of a batch interface (files and batches, as documented by OpenAI): a real HTTP server on loopback, no model.

Its lines are answered by a function that the test gives. It fails on demand: it is no judge of quality or speed.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

Body = dict[str, Any]
Answered = tuple[int, Body]


@dataclass
class BatchStub:
    """What it does is set by its fields, also while it runs; `events` are its moments, in their order.

    `answer` gives the status and body of a line. `polls` is how often a batch is said to be in progress. `on_event` is
    called at "uploading", "uploaded", "creating", "created", "polled", "half" (of an output file) and "read"; where it
    returns True the connection is cut there. `asked` counts how often each custom_id was worked on.
    """

    answer: Callable[[Body], Answered]
    url: str = ""
    polls: int = 0
    ends: str = "completed"
    lose: int = 0
    twice: bool = False
    shuffled: bool = False
    expire_after: int | None = None
    interface: bool = True
    statuses: list[int] = field(default_factory=list)
    on_event: Callable[[str], bool | None] = lambda event: None
    events: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[Body] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, Body] = field(default_factory=dict)
    polled: Counter[str] = field(default_factory=Counter)
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def cut(self, event: str) -> bool:
        self.events.append(event)
        return bool(self.on_event(event))

    def file(self, content: bytes) -> str:
        name = f"file-{next(self.numbers)}"
        self.files[name] = content
        return name

    def create(self, wish: Body) -> Body:
        """Makes a batch and works on it at once, whatever it says later."""
        batch_id = f"batch_{next(self.numbers)}"
        lines = [json.loads(line) for line in self.files[wish["input_file_id"]].splitlines()]
        batch = {
            "id": batch_id,
            "object": "batch",
            "status": "validating",
            "created_at": 0,
            "metadata": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            **wish,
        }
        if self.ends == "failed":
            batch["wanted"] = {"errors": {"object": "list", "data": [{"code": "c", "message": "Line 1\nis no good"}]}}
        else:
            batch["wanted"] = self._work(lines)
        self.batches[batch_id] = batch
        return batch

    def _work(self, lines: list[Body]) -> Body:
        good: list[Body] = []
        bad: list[Body] = []
        for number, line in enumerate(lines):
            made: Body = {"id": f"line-{number}", "custom_id": line["custom_id"], "response": None, "error": None}
            if self.expire_after is not None and number >= self.expire_after:
                bad.append(made | {"error": {"code": "batch_expired", "message": "It could not be done in time."}})
                continue
            self.asked[line["custom_id"]] += 1
            self.bodies.append(line["body"])
            status, body = self.answer(line["body"])
            made["response"] = {"status_code": status, "request_id": "r", "body": body}
            (good if status == 200 else bad).append(made)
        counts = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        good = good[self.lose :] * (2 if self.twice else 1)
        if self.shuffled:
            random.Random(0).shuffle(good)
        made_files = {
            "output_file_id": good and self.file(_jsonl(good)),
            "error_file_id": bad and self.file(_jsonl(bad)),
        }
        return {"request_counts": counts, **{name: made or None for name, made in made_files.items()}}

    def poll(self, batch_id: str) -> Body:
        batch = self.batches[batch_id]
        self.polled[batch_id] += 1
        if self.polled[batch_id] > self.polls:
            batch |= {"status": self.ends, **batch["wanted"]}
        else:
            batch["status"] = "in_progress"
        return batch


def _jsonl(lines: list[Body]) -> bytes:
    # Raw characters that only some count as line breaks are part of what is tested.
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


@contextmanager
def batch_stub(answer: Callable[[Body], Answered], **fields: Any) -> Iterator[BatchStub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    stub = BatchStub(answer, f"http://127.0.0.1:{server.server_address[1]}/v1", **fields)
    cast(Any, server).stub = stub
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def stub(self) -> BatchStub:
        return cast(BatchStub, cast(Any, self.server).stub)

    def do_POST(self) -> None:
        body = self._body()
        if self._refused():
            return
        path = urlsplit(self.path).path
        if path == "/v1/files":
            if self._cut("uploading"):
                return
            with self.stub.lock:
                name = self.stub.file(_file_of(body, self.headers["content-type"]))
            if not self._cut("uploaded"):
                self._say(200, {"id": name, "object": "file", "purpose": "batch"})
        elif path == "/v1/batches":
            if self._cut("creating"):
                return
            with self.stub.lock:
                batch = self.stub.create(json.loads(body))
            if not self._cut("created"):
                self._say(200, _shown(batch))
        elif path.endswith("/cancel"):
            batch = self.stub.batches[path.split("/")[3]]
            batch["status"] = "cancelling"
            self._say(200, _shown(batch))
        elif path == "/v1/chat/completions":
            data = json.loads(body)
            with self.stub.lock:
                self.stub.bodies.append(data)
                answer = self.stub.answer(data)
            self._say(*answer)
        else:
            self._say(404, {"error": {"message": "not found"}})

    def do_GET(self) -> None:
        if self._refused():
            return
        parts = urlsplit(self.path)
        match parts.path.split("/")[2:]:
            case ["batches"]:
                self._list(parse_qs(parts.query))
            case ["batches", batch_id] if batch_id in self.stub.batches:
                with self.stub.lock:
                    batch = _shown(self.stub.poll(batch_id))
                if not self._cut("polled"):
                    self._say(200, batch)
            case ["files", file_id, "content"] if file_id in self.stub.files:
                content = self.stub.files[file_id]
                self._head(200, len(content))
                middle = len(content) // 2
                self.wfile.write(content[:middle])
                self.wfile.flush()
                if self._cut("half"):
                    return
                self.wfile.write(content[middle:])
                self._cut("read")
            case _:
                self._say(404, {"error": {"message": "not found"}})

    def _list(self, query: dict[str, list[str]]) -> None:
        """One batch a page, the newest first, so that pages are followed."""
        names = list(reversed(self.stub.batches))
        after = query.get("after", [None])[0]
        first = names.index(after) + 1 if after else 0
        page = [_shown(self.stub.batches[name]) for name in names[first : first + 1]]
        self._say(200, {"object": "list", "data": page, "has_more": first + 1 < len(names)})

    def _refused(self) -> bool:
        if not self.stub.interface:
            self._say(404, {"error": {"message": "no such path"}})
            return True
        with self.stub.lock:
            status = self.stub.statuses.pop(0) if self.stub.statuses else 200
        if status != 200:
            said = f"refused {self.headers['authorization']}"
            self._say(status, {"error": {"message": said}})
        return status != 200

    def _cut(self, event: str) -> bool:
        if self.stub.cut(event):
            self.close_connection = True
            self.connection.close()
            return True
        return False

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers["content-length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _say(self, status: int, body: Body) -> None:
        content = json.dumps(body).encode()
        self._head(status, len(content))
        self.wfile.write(content)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(length))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def handle(self) -> None:
        with suppress(OSError, ValueError):  # whoever asked was killed, or is cut off here
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()


def _file_of(body: bytes, content_type: str) -> bytes:
    """The file of a multipart body."""
    boundary = b"--" + content_type.split("boundary=")[1].strip('"').encode()
    part = next(each for each in body.split(boundary) if b"filename=" in each)
    return part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")


def _shown(batch: Body) -> Body:
    return {name: value for name, value in batch.items() if name != "wanted"}


def interrupt_once(stub: BatchStub) -> Callable[[str], None]:
    """Return what sends Ctrl-C at the first poll; a later one could end the process of the tests in another test."""

    def interrupt(event: str) -> None:
        if event == "polled" and stub.events.count(event) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    return interrupt
