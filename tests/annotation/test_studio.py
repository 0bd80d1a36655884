from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from annotation.studio import calls
from annotation.studio.client import Studio, connect
from annotation.studio.remote import batch_of
from tests.fixtures.http import serving
from tests.fixtures.studio import StudioServer
from warehouse.errors import InputError, ServiceError

USER = b'{"id": 1, "email": "odds@localhost", "first_name": "", "last_name": ""}'


@contextmanager
def stub(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A stub that injects faults: it gives the answers in turn, the last one for ever, and keeps what was asked."""
    asked: list[str] = []

    class Stub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    with serving(Stub) as url:
        yield url, asked


def test_a_wrong_token_is_one_line_that_does_not_show_it(studio_server: StudioServer) -> None:
    with pytest.raises(InputError, match="refused the token") as caught:
        connect(studio_server.url, "0123456789wrong")
    assert studio_server.url in str(caught.value)
    assert "0123456789wrong" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_token_and_no_url_are_refused_at_once() -> None:
    with pytest.raises(InputError, match="no token"):
        connect("http://127.0.0.1:8080", "")
    with pytest.raises(InputError, match="is not the URL"):
        connect("127.0.0.1:8080", "token")


def test_an_unreachable_server_is_one_line() -> None:
    with stub((200, b"{}")) as (url, _):
        pass
    with pytest.raises(ServiceError, match="does not answer") as caught:
        connect(url, "token")
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b"[]", b'"text"'])
def test_something_else_that_answers_is_not_taken_for_label_studio(body: bytes) -> None:
    with stub((200, body)) as (url, _), pytest.raises(ServiceError, match="Label Studio"):
        connect(url, "token")


def test_a_failure_that_passes_is_repeated_and_one_that_stays_is_reported() -> None:
    with stub((500, b"{}"), (503, b"busy"), (200, USER)) as (url, asked):
        assert connect(url, "token").whoami().email == "odds@localhost"
        assert len(asked) == 4
    with stub((500, b'{"detail": "database is\\n locked"}')) as (url, asked):
        with pytest.raises(ServiceError, match="500: database is locked"):
            connect(url, "token")
        assert len(asked) == calls.ATTEMPTS


def test_a_refusal_is_not_repeated() -> None:
    with stub((200, USER), (400, b'{"detail": "no"}')) as (url, asked):
        connection = connect(url, "token")
        with pytest.raises(ServiceError, match="400: no"):
            connection.users()
        assert len(asked) == 2


def test_what_is_not_idempotent_is_never_sent_twice() -> None:
    with stub((200, USER), (500, b"{}")) as (url, asked):
        connection = connect(url, "token")
        with pytest.raises(ServiceError):
            connection.import_tasks(1, batch_of([{"data": {}}]))
        with pytest.raises(ServiceError):
            connection.create_project({"title": "project"})
        assert len(asked) == 3


def test_fewer_tasks_than_were_sent_is_a_failure() -> None:
    with stub((200, USER), (201, b'{"task_ids": [1]}')) as (url, _):
        connection = connect(url, "token")
        with pytest.raises(ServiceError, match="took 1 of 2 tasks"):
            connection.import_tasks(1, batch_of([{"data": {}}, {"data": {}}]))


def test_a_missing_project_is_said_so(studio: Studio) -> None:
    with pytest.raises(InputError, match=r"project 987654.*404"):
        studio.counts(987654)
    with pytest.raises(InputError, match="404"):
        list(studio.tasks(987654))


def test_a_derived_secret_is_repeatable_and_tells_nothing(studio: Studio, studio_server: StudioServer) -> None:
    secret = studio.derived_secret("a")
    assert secret == connect(studio_server.url, studio_server.token).derived_secret("a")
    assert secret != studio.derived_secret("b")
    assert studio_server.token not in secret
