"""Calls to Label Studio: repeated while it stumbles, and their failures translated once.

The SDK's own retries are switched off: they also repeat calls that are not idempotent, such as an import of tasks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.parse_error import ParsingError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from warehouse.errors import InputError, OddsError, ServiceError

ATTEMPTS = 5
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_FAILURES = (ApiError, ParsingError, httpx.HTTPError, ValueError)

T = TypeVar("T")


def repeated(url: str, doing: str, call: Callable[[], T], *, repeat: bool = True) -> T:
    """Make a call, with retries unless `repeat` is False, and translate its failure as `translated` does."""
    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS if repeat else 1),
        wait=wait_exponential_jitter(multiplier=0.25, max=4, jitter=0.25),
        retry=retry_if_exception(_is_transient),
        reraise=True,
    )
    return translated(url, doing, lambda: attempts(call))


def translated(url: str, doing: str, call: Callable[[], T]) -> T:
    """Make a call. A failure of the SDK or of HTTP becomes an `InputError` or `ServiceError` with one line."""
    try:
        return call()
    except _FAILURES as error:
        raise _translation(url, doing, error) from error


def answer(sdk: LabelStudio, method: str, path: str, params: Mapping[str, Any], content: bytes | None = None) -> Any:
    """Return the JSON of an answer. Where thousands of rows travel, the SDK's models cost more than the call."""
    headers = {"Content-Type": "application/json"} if content is not None else None
    client = sdk._client_wrapper.httpx_client
    got = client.request(path, method=method, params=dict(params), content=content, headers=headers)
    if not got.is_success:
        raise ApiError(status_code=got.status_code, headers=dict(got.headers), body=got.text)
    return got.json()


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError) or (isinstance(error, ApiError) and error.status_code in _TRANSIENT)


def _translation(url: str, doing: str, error: Exception) -> OddsError:
    where = f"{doing}: Label Studio at {url}"
    if isinstance(error, httpx.TimeoutException):
        return ServiceError(f"{where} did not answer in time: try again, or check its log")
    if isinstance(error, httpx.TransportError):
        return ServiceError(f"{where} does not answer: start it, or correct the URL")
    if not isinstance(error, ApiError) or error.status_code is None:
        return ServiceError(f"{where} gave an unreadable answer: check that the URL is that of a Label Studio")
    if error.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return InputError(f"{where} refused the token: copy a valid one from your account page there")
    if error.status_code == httpx.codes.NOT_FOUND:
        return InputError(f"{where} answered 404 (not found): check the project and the URL")
    return ServiceError(f"{where} answered {error.status_code}: {_detail(error.body)}")


def _detail(body: object) -> str:
    """Return the server's explanation as one line of at most 200 characters."""
    said = body.get("detail", body) if isinstance(body, dict) else body
    return " ".join(str(said).split())[:200]
