"""What an endpoint's failures mean, and the lines that tell the user: for single requests and for batches. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import httpx2
import openai

from synthesis.llm.completion import GarbledReplyError
from synthesis.llm.loose_json import without_surrogates
from synthesis.panel.settings import Endpoint
from warehouse.errors import ServiceError

MAX_WAIT_S = 120.0
"""The longest pause between two attempts. An endpoint that asks for a longer one fails the run."""
UNREACHED = (
    openai.APIConnectionError,
    openai.APIResponseValidationError,
    GarbledReplyError,
    # Raised as they are for answers that are not valid HTTP.
    aiohttp.ClientError,
    httpx2.HTTPError,
)
"""Raised if no answer came, or no readable one."""
_NO_ACCESS = (401, 403)
_PAYMENT = 402
# By the code alone: in prose, a "quota" may be one per minute.
_NO_MONEY = re.compile(
    r"insufficient[ _](user_)?(quota|balance|credits?|funds?)|billing_(hard_limit|not_active)|exceeded_budget", re.I
)
LIMITED = 429
_PASSING = (408, 409, 425, LIMITED)
_DETAIL = 200
_NOT_A_WORD = re.compile(r"(?=.*\d)(?=.*[A-Za-z])\S{16,}")


def passes(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status >= 500 or status in _PASSING


def retry_after(response: httpx2.Response) -> float:
    """The seconds that the header Retry-After asks for, as a number or a date; 0 without one."""
    value = response.headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
            # HTTP's old form of a date names no zone and is in UTC.
            until = until.replace(tzinfo=until.tzinfo or UTC).astimezone(UTC)
            seconds = (until - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if seconds < float("inf") else 0.0


def where_is(endpoint: Endpoint) -> str:
    """The endpoint, as errors begin with it."""
    return f"endpoint {endpoint.name} at {endpoint.base_url}"


def check_money(endpoint: Endpoint, error: openai.APIStatusError, secret: str | None) -> None:
    """Raises ServiceError if the account is empty, which some say with the status of a limited rate."""
    named = f"{error.code or ''} {error.type or ''}"
    if error.status_code == _PAYMENT or _NO_MONEY.search(named) or _NO_MONEY.search(words_of(error, secret)):
        variable = endpoint.api_key_env or "api_key_env of the endpoint"
        raise ServiceError(
            f"{where_is(endpoint)} says the account is out of money ({words_of(error, secret)}); "
            f"top it up or put another key into {variable}, then run again"
        ) from None


def check_access(endpoint: Endpoint, error: openai.APIStatusError) -> None:
    """Raises ServiceError if the endpoint refuses the key. Not chained: its words may repeat the key."""
    if error.status_code in _NO_ACCESS:
        variable = endpoint.api_key_env or "api_key_env of the endpoint"
        raise ServiceError(
            f"{where_is(endpoint)} refuses access (HTTP {error.status_code}); check the key in {variable}"
        ) from None


def impatient(endpoint: Endpoint, status: int, wish_s: float, words: str) -> ServiceError:
    """The endpoint limits the rate, or is unavailable, for longer than a run waits; it asked for `wish_s` seconds."""
    what = "limits the rate" if status == LIMITED else "cannot answer now"
    said, when = words, f"in {wish_s:.0f} s"
    if wish_s <= MAX_WAIT_S:
        said, when = f"{said}, no answer to anybody for {endpoint.patience_s:g} s", "later"
    remedy = " or lower max_in_flight" if status == LIMITED else ""
    return ServiceError(f"{where_is(endpoint)} {what} ({said}); run again {when}{remedy}")


def down(endpoint: Endpoint, said: str) -> ServiceError:
    """The endpoint does not answer."""
    return ServiceError(f"{where_is(endpoint)} does not answer ({said}); start it or check base_url")


def words_of(error: openai.APIStatusError, secret: str | None) -> str:
    """The status and the endpoint's own words about a request, through `one_line`."""
    return f"HTTP {error.status_code} {words_in(error.body, secret)}".strip()


def words_in(error: object, secret: str | None) -> str:
    """The words of an error, a text or under the name that one of several kinds of servers gives them, on one line."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error.get("code")
    return one_line(error, secret)


def one_line(words: object, secret: str | None) -> str:
    """An endpoint's words on one line, cut short, without the key if they repeat it, and without lone surrogates."""
    text = " ".join(without_surrogates(str(words or "")).split())
    return (text.replace(secret, "[key]") if secret else text)[:_DETAIL]


def without_key(body: bytes, key: str | None) -> bytes:
    """A reply without the key, if it repeats it. A key that could be a word of a text, such as "local", stays."""
    return body.replace(key.encode(), b"[key]") if key and _NOT_A_WORD.fullmatch(key) else body


def why_unreached(error: Exception, secret: str | None) -> str:
    """Why no answer came, in a few words."""
    if is_refused(error):
        return "connection refused"
    if _is_caused_by(error, aiohttp.ClientConnectionError) and not _is_caused_by(error, TimeoutError):
        return "the connection broke"
    if isinstance(error, openai.APITimeoutError):
        return "timed out"
    if isinstance(error, aiohttp.ClientResponseError):
        return "its answer is not HTTP"
    return one_line(error, secret).rstrip(".") or type(error).__name__


def is_refused(error: BaseException | None) -> bool:
    """Whether the connection was refused, which the transport wraps as if it had timed out."""
    return _is_caused_by(error, aiohttp.ClientConnectorError)


def _is_caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__
    return False
