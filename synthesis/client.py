"""Calls to LLM endpoints: through the ledger, bounded in flight, retried here and nowhere else."""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import tenacity
from openai.types.chat import ChatCompletion
from pydantic import ValidationError

from synthesis.call import Call, Failure, Reply
from synthesis.ledger import Ledger
from synthesis.panel import EMBEDDED, Endpoint
from warehouse.errors import InputError, ServiceError

MAX_WAIT_S = 120.0
"""The longest pause between two attempts. An endpoint that asks for a longer one ends the run with its wish."""
_TRANSIENT = (408, 409, 425, 429)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DETAIL = 200
_UNANSWERED_IN_A_ROW = 3


class _GarbledReplyError(Exception):
    """HTTP 200 with a body that is no chat completion."""


_UNREACHED = (openai.APIConnectionError, openai.APIResponseValidationError, _GarbledReplyError)


@dataclass
class _Line:
    """What the caller holds of one endpoint; `plain` are the models that take no response_format.

    `answered` counts replies and `unanswered` the calls given up since the last one, which tells an endpoint that is
    down from one that stumbles over a single call.
    """

    endpoint: Endpoint
    client: openai.AsyncOpenAI
    key: str | None
    slots: asyncio.Semaphore
    answered: int = 0
    unanswered: int = 0
    plain: set[str] = field(default_factory=set)


class Caller:
    """Asks endpoints. Use as an asynchronous context manager; `sent` counts the HTTP requests of each endpoint.

    Raises InputError where an endpoint is "embedded" without the address of the started server, or where the
    environment variable of its key is not set.
    """

    def __init__(self, endpoints: Iterable[Endpoint], ledger: Ledger, backoff_s: float = 0.5) -> None:
        self._ledger = ledger
        self._backoff_s = backoff_s
        self._lines = {endpoint.name: _open_line(endpoint) for endpoint in endpoints}
        self.sent: Counter[str] = Counter()

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self._lines.values():
            await line.client.close()

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name; raises InputError where there is none."""
        return self._line(name).endpoint

    async def ask(self, call: Call) -> Reply | Failure:
        """The reply to the call, from the ledger where it is kept there, or why this one call has none.

        Raises ServiceError where the endpoint as a whole does not work: it cannot be reached, refuses the key, does
        not know the model, or asks for patience longer than is bearable. Replies that came before stay in the ledger.
        """
        line = self._line(call.endpoint)
        if (kept := await self._ledger.get(call)) is not None:
            return kept
        async with line.slots:
            try:
                reply = await self._with_retries(line, call)
            except openai.APIStatusError as error:
                return _give_up(line, call, error)
            except _UNREACHED as error:
                return _not_answered(line, error)
            line.answered += 1
            line.unanswered = 0
        return await self._ledger.put(call, reply)

    async def _with_retries(self, line: _Line, call: Call) -> Reply:
        retrying = tenacity.AsyncRetrying(
            stop=lambda state: state.attempt_number >= line.endpoint.max_attempts or _asked_pause(state) > MAX_WAIT_S,
            wait=self._wait,
            retry=tenacity.retry_if_exception(_is_transient),
            reraise=True,
        )
        return await retrying(self._send_as_supported, line, call)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        backoff = tenacity.wait_exponential(multiplier=self._backoff_s, max=MAX_WAIT_S)
        jitter = tenacity.wait_random(0, self._backoff_s)
        return max(backoff(state), _asked_pause(state)) + jitter(state)

    async def _send_as_supported(self, line: _Line, call: Call) -> Reply:
        """Sends with the response format, and once without where the endpoint refuses it; remembers the outcome."""
        if call.response_format is None or call.model in line.plain:
            return await self._send(line, call, structured=False)
        try:
            return await self._send(line, call, structured=True)
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            reply = await self._send(line, call, structured=False)
            line.plain.add(call.model)
            return reply

    async def _send(self, line: _Line, call: Call, structured: bool) -> Reply:
        body: dict[str, Any] = {"model": call.model, "messages": list(call.messages), **call.parameters}
        if structured:
            body["response_format"] = call.response_format
        self.sent[line.endpoint.name] += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(line.endpoint.timeout_s):
                completion = await line.client.chat.completions.create(**body)
        except TimeoutError as error:
            raise _GarbledReplyError(f"no answer within {line.endpoint.timeout_s:g} s") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _GarbledReplyError("the body is not JSON") from error
        if not isinstance(completion, ChatCompletion):
            raise _GarbledReplyError("the body is not a chat completion")
        try:
            return _reply(completion, time.monotonic() - started)
        except (AttributeError, TypeError, ValidationError) as error:
            raise _GarbledReplyError("the chat completion has parts of the wrong type") from error

    def _line(self, name: str) -> _Line:
        if name not in self._lines:
            raise InputError(f"endpoint {name}: not among the endpoints ({', '.join(sorted(self._lines))}); add it")
        return self._lines[name]


def _open_line(endpoint: Endpoint) -> _Line:
    if endpoint.base_url == EMBEDDED:
        raise InputError(f"endpoint {endpoint.name}: the embedded server is not started; start it or give an address")
    key = None
    if endpoint.api_key_env is not None:
        key = os.environ.get(endpoint.api_key_env)
        if not key:
            raise InputError(
                f"endpoint {endpoint.name}: the environment variable {endpoint.api_key_env} is not set; "
                "put the endpoint's key there"
            )
    loopback = urlsplit(endpoint.base_url).hostname in _LOOPBACK
    client = openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=key or "none",
        max_retries=0,
        timeout=endpoint.timeout_s,
        # A proxy of the environment cannot reach this machine's own loopback address.
        http_client=openai.DefaultAsyncHttpxClient(trust_env=not loopback),
    )
    return _Line(endpoint, client, key, asyncio.Semaphore(endpoint.max_in_flight))


def _reply(completion: ChatCompletion, latency_s: float) -> Reply:
    """The reply of a completion, which the client does not validate: any part of it may be missing."""
    choice = completion.choices[0] if completion.choices else None
    message = choice.message if choice else None
    content = choice.logprobs.content if choice and choice.logprobs else None
    alternatives = content[0].top_logprobs if content else []
    return Reply(
        text=(message.content if message else None) or "",
        finish_reason=choice.finish_reason if choice else None,
        top_logprobs=tuple((each.token, each.logprob) for each in alternatives if math.isfinite(each.logprob)),
        tokens_in=completion.usage.prompt_tokens if completion.usage else None,
        tokens_out=completion.usage.completion_tokens if completion.usage else None,
        latency_s=latency_s,
    )


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, openai.APIStatusError):
        return error.status_code >= 500 or error.status_code in _TRANSIENT
    return isinstance(error, _UNREACHED)


def _asked_pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return _retry_after(error.response) if isinstance(error, openai.APIStatusError) else 0.0


def _retry_after(response: httpx2.Response) -> float:
    """The seconds that the header Retry-After asks for, as a number or a date; 0 where there is none."""
    value = response.headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _give_up(line: _Line, call: Call, error: openai.APIStatusError) -> Failure:
    """The failure of one call, or ServiceError where the status says that no other call would fare better."""
    where, status = _where(line), error.status_code
    if status in (401, 402, 403):
        # Not chained: the text of the endpoint's answer may repeat the key.
        variable = line.endpoint.api_key_env or "api_key_env of the endpoint"
        raise ServiceError(f"{where} refuses access (HTTP {status}); check the key in {variable}") from None
    if status == 404:
        raise ServiceError(
            f"{where} does not know the model {call.model} (HTTP 404); check model and base_url"
        ) from error
    if status == 429:
        pause = _retry_after(error.response)
        wish = f"in {pause:.0f} s" if pause else "later"
        raise ServiceError(f"{where} limits the rate (HTTP 429); run again {wish} or lower max_in_flight") from error
    if _is_transient(error):
        return _not_answered(line, error)
    return Failure(reason="rejected", detail=f"HTTP {status} {_detail(error, line.key)}".strip())


def _not_answered(line: _Line, error: Exception) -> Failure:
    """The failure of a call that its endpoint leaves open while it answers others; else ServiceError."""
    line.unanswered += 1
    down = line.answered == 0 or line.unanswered >= _UNANSWERED_IN_A_ROW
    refused = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
    said = f"HTTP {error.status_code}" if isinstance(error, openai.APIStatusError) else _said(error)
    if refused or down:
        attempts = line.endpoint.max_attempts
        raise ServiceError(
            f"{_where(line)} does not answer ({said}, {attempts} attempts); start it or check base_url"
        ) from error
    return Failure(reason="not_answered", detail=said)


def _where(line: _Line) -> str:
    return f"endpoint {line.endpoint.name} at {line.endpoint.base_url}"


def _said(error: Exception) -> str:
    if isinstance(error, openai.APITimeoutError):
        return "timed out"
    return " ".join(str(error).split())[:_DETAIL].rstrip(".") or type(error).__name__


def _detail(error: openai.APIStatusError, key: str | None) -> str:
    """The endpoint's own words about a refused call, on one line, without the key should they repeat it."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    text = " ".join(str(message or "").split())
    return (text.replace(key, "[key]") if key else text)[:_DETAIL]
