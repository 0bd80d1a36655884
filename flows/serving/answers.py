"""What the servers of Odds share: bodies in bounded memory, secrets compared, errors as one line of JSON."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from flows.serving.requests import MOST_BYTES, RefusedError


async def body_of(request: Request) -> bytes:
    """Return the JSON body, of at most `MOST_BYTES`. Raises `RefusedError` otherwise."""
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


def is_secret(given: str, secret: str) -> bool:
    """Return whether a header has the secret, in a time that does not depend on how much of it is right."""
    return hmac.compare_digest(given.encode("latin-1"), secret.encode())


def refused(_: Request, error: Exception) -> Response:
    """Answer a request that is refused."""
    if isinstance(error, HTTPException):
        return _error(error.status_code, error.detail, error.headers)
    assert isinstance(error, RefusedError)
    wanted = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return _error(error.status, error.line, wanted)


def handlers(report: Callable[[str], None]) -> Mapping[Any, Callable[[Request, Exception], Response]]:
    """Return how errors are answered; `report` takes a line about each failure on our side."""

    def failed(request: Request, error: Exception) -> Response:
        # The message of an error may hold a text.
        report(f"{request.method} {request.url.path}: {type(error).__name__}")
        return _error(500, f"failed with {type(error).__name__}; the server goes on")

    return {
        RefusedError: refused,
        HTTPException: refused,
        ClientDisconnect: lambda *_: Response(status_code=400),
        Exception: failed,
    }


def _error(status: int, line: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": line}, status, headers=headers)
