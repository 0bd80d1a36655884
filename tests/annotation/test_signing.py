"""Access tokens that the server refuses are exchanged, and the answer is always one to the request itself."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from annotation.studio.signing import Renewing

EXCHANGE = "/api/token/refresh/"


def client(exchange: Callable[[], httpx.Response], sent: list[str]) -> httpx.Client:
    """A client of a server that takes only the access token "new"."""

    def server(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        if request.url.path == EXCHANGE:
            assert request.content == b'{"refresh":"personal"}'
            return exchange()
        taken = request.headers["Authorization"] == "Bearer new"
        return httpx.Response(200 if taken else 401, json={"path": request.url.path})

    auth = Renewing("http://labels/", "personal")
    return httpx.Client(transport=httpx.MockTransport(server), auth=auth, base_url="http://labels")


def test_a_refused_token_is_exchanged_once_and_the_new_one_stays() -> None:
    sent: list[str] = []
    with client(lambda: httpx.Response(200, json={"access": "new"}), sent) as asking:
        for path in ("/api/tasks/1/", "/api/tasks/2/"):
            answer = asking.get(path, headers={"Authorization": "Bearer old"})
            assert (answer.status_code, answer.json()) == (200, {"path": path})
    assert sent == ["/api/tasks/1/", EXCHANGE, "/api/tasks/1/", "/api/tasks/2/"]


@pytest.mark.parametrize(
    "exchanged",
    [
        httpx.Response(401, json={"detail": "blacklisted"}),
        httpx.Response(404, json={}),
        httpx.Response(200, text="<html>sign in</html>"),
        httpx.Response(200, json={"detail": "sign in"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"access": None}),
    ],
    ids=["refused", "not found", "a page", "no token", "a list", "null"],
)
def test_without_a_new_token_the_answer_is_the_refusal(exchanged: httpx.Response) -> None:
    with client(lambda: exchanged, []) as asking:
        answer = asking.get("/api/projects/1/", headers={"Authorization": "Bearer old"})
    assert (answer.status_code, answer.json()) == (401, {"path": "/api/projects/1/"})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_stumbles_over_the_exchange_is_asked_again_by_the_caller(status: int) -> None:
    with client(lambda: httpx.Response(status), []) as asking:
        assert asking.get("/api/projects/1/", headers={"Authorization": "Bearer old"}).status_code == status


def test_other_kinds_of_tokens_are_not_exchanged() -> None:
    sent: list[str] = []
    with client(lambda: httpx.Response(200, json={"access": "new"}), sent) as asking:
        assert asking.get("/api/projects/1/", headers={"Authorization": "Token legacy"}).status_code == 401
    assert sent == ["/api/projects/1/"]
