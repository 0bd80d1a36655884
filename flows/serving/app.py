"""The HTTP application: POST /score, GET /health, and a page of help. It prints and keeps no text that it gets."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from flows.serving.requests import MOST_BYTES, MOST_PROPOSITIONS, RefusedError, pairs_of
from flows.serving.worker import Answer, Worker

HELP = f"""\
POST /score   {{"propositions": [{{"premise": "It rains.", "hypothesis": "The street is wet."}}]}}
              -> {{"model": "...", "scores": [{{"score": 0.9, "sd": 0.1, ...}}]}}
              at most {MOST_PROPOSITIONS:,} propositions and {MOST_BYTES // 2**20} MiB
              with a token: Authorization: Bearer ...
GET /health   {{"status": "ok", "model": "...", "waiting": 0}}
"""


def application(
    worker: Worker, about: Mapping[str, str], token: str | None, report: Callable[[str], None]
) -> Starlette:
    """Return the application that answers with an estimator.

    Args:
        worker: What scores.
        about: What each answer says of the estimator: its id, and what its intervals are of.
        token: What a client must send to be scored, if anything.
        report: Takes a line about each failure on our side.
    """

    async def score(request: Request) -> Response:
        _check_token(request, token)
        pairs = pairs_of(await _body(request))
        answers = await _unless_gone(request, worker, pairs)
        return JSONResponse({**about, "scores": answers})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", **about, "waiting": worker.waiting()})

    async def usage(_: Request) -> Response:
        return PlainTextResponse(HELP)

    def failed(request: Request, error: Exception) -> Response:
        # The message of an error may hold a text.
        report(f"{request.method} {request.url.path}: {type(error).__name__}")
        return _error(500, f"failed with {type(error).__name__}; the server goes on")

    return Starlette(
        routes=[Route("/", usage), Route("/health", health), Route("/score", score, methods=["POST"])],
        exception_handlers={
            RefusedError: _refused,
            HTTPException: _refused,
            ClientDisconnect: lambda *_: Response(status_code=400),
            Exception: failed,
        },
    )


def _check_token(request: Request, token: str | None) -> None:
    given = request.headers.get("authorization", "").encode("latin-1")
    if token is not None and not hmac.compare_digest(given, f"Bearer {token}".encode()):
        raise RefusedError(401, "the token is missing or wrong: send Authorization: Bearer and the server's token")


async def _body(request: Request) -> bytes:
    """Return the body, in bounded memory."""
    # A page in a browser cannot send this type to another site without asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "send JSON with Content-Type: application/json")
    too_long = RefusedError(413, f"the body is longer than {MOST_BYTES // 2**20} MiB; send several requests")
    if int(request.headers.get("content-length", 0)) > MOST_BYTES:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise too_long
    return bytes(body)


async def _unless_gone(request: Request, worker: Worker, pairs: list[tuple[str, str]]) -> list[Answer]:
    """Return the answers, or stop waiting for them once the client is gone."""
    answers = asyncio.wrap_future(worker.submit(pairs))
    gone = asyncio.ensure_future(request.receive())  # the body is read, so only the end of the connection comes
    both: tuple[asyncio.Future[Any], ...] = (answers, gone)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise ClientDisconnect
        return answers.result()
    finally:
        answers.cancel()
        gone.cancel()


def _refused(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return _error(error.status_code, error.detail, error.headers)
    assert isinstance(error, RefusedError)
    wanted = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return _error(error.status, error.line, wanted)


def _error(status: int, line: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": line}, status, headers=headers)
