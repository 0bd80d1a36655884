"""The HTTP application: POST /score, GET /health, and a page of help. It prints and keeps no text that it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from flows.serving.answers import body_of, handlers, is_secret
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
        pairs = pairs_of(await body_of(request))
        answers = await _unless_gone(request, worker, pairs)
        return JSONResponse({**about, "scores": answers})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", **about, "waiting": worker.waiting()})

    async def usage(_: Request) -> Response:
        return PlainTextResponse(HELP)

    return Starlette(
        routes=[Route("/", usage), Route("/health", health), Route("/score", score, methods=["POST"])],
        exception_handlers=handlers(report),
    )


def _check_token(request: Request, token: str | None) -> None:
    if token is not None and not is_secret(request.headers.get("authorization", ""), f"Bearer {token}"):
        raise RefusedError(401, "the token is missing or wrong: send Authorization: Bearer and the server's token")


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
