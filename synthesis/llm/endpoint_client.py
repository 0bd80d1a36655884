"""The client of one endpoint: sends a call as the endpoint supports it, and says what a failure means."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict
from urllib.parse import urlsplit

import httpx2
import openai

from synthesis.call import Call
from synthesis.llm.completion import GarbledReplyError, reply_of
from synthesis.llm.concessions import Concessions, Manner, conceded
from synthesis.llm.errors import (
    LIMITED,
    MAX_WAIT_S,
    check_access,
    check_money,
    down,
    impatient,
    is_refused,
    passes,
    retry_after,
    why_unreached,
    without_key,
    words_of,
)
from synthesis.llm.gate import Gate
from synthesis.llm.retries import PassingError
from synthesis.llm.stop import Stop
from synthesis.panel.settings import EMBEDDED, Endpoint
from synthesis.reply import Failure, Reply
from warehouse.errors import InputError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class EndpointClient:
    """The client of one endpoint, with its gate. `notes` are lines for the user, on what is sent without.

    Its errors are never chained: an endpoint's words may repeat the key, and a traceback would show them.

    Raises InputError if the endpoint is "embedded" without the address of the started server, or if the environment
    variable of its key is not set.
    """

    def __init__(self, endpoint: Endpoint, run: Stop, first_pause_s: float) -> None:
        self.endpoint = endpoint
        self.key = _key_of(endpoint)
        self.openai = _open(endpoint, self.key)
        self.gate = Gate(endpoint, run, first_pause_s)
        self.notes: dict[str, None] = {}
        self._concessions = Concessions()

    async def send(self, call: Call) -> Reply:
        """Sends the call, and again without what the endpoint refuses of it; remembers what it was accepted without."""
        manner = self._concessions.manner(call)
        while True:
            try:
                reply = await self._post(call, manner)
            except openai.APIStatusError as error:
                tried = conceded(call, manner, error.status_code, words_of(error, self.key))
                if tried is None:
                    raise
                manner = tried
                continue
            for words in self._concessions.learn(call, manner):
                self.notes[f"endpoint {self.endpoint.name}: {words}"] = None
            return reply

    def refused(self, call: Call, error: openai.APIStatusError) -> Failure:
        """What an HTTP status in place of a reply means for the call.

        Raises:
            PassingError: the same call may fare better later.
            SkippedError: the endpoint does not know the model.
            ServiceError: no other call would fare better.
        """
        status, wait_s, words = error.status_code, retry_after(error.response), words_of(error, self.key)
        is_limited = status == LIMITED
        check_money(self.endpoint, error, self.key)
        check_access(self.endpoint, error)
        if status == 404:
            raise self.gate.skip_list.unknown(call.model) from None
        if not passes(status):
            return Failure(reason="rejected", detail=words)
        if wait_s > MAX_WAIT_S or (is_limited and self.gate.breaker.limits_for_too_long):
            raise impatient(self.endpoint, status, wait_s, words) from None
        # A limited rate costs no attempt: the gate keeps everybody waiting.
        raise PassingError(f"HTTP {status}", wait_s, is_free=is_limited) from None

    def unreached(self, error: Exception) -> PassingError:
        """What it means that no answer came: while nobody listens, the breaker waits and no call spends an attempt."""
        return PassingError(
            why_unreached(error, self.key), is_free=is_refused(error) and self.gate.breaker.answered > 0
        )

    def not_answered(self, error: PassingError) -> Failure:
        """The failure of a call whose attempts are used up. Raises ServiceError if nobody else had an answer."""
        if not self.gate.breaker.answered:
            raise down(self.endpoint, f"{error}, {self.endpoint.max_attempts} attempts") from None
        return Failure(reason="not_answered", detail=str(error))

    async def _post(self, call: Call, manner: Manner) -> Reply:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                # The raw response: building the client's own classes from it would take most of the time.
                response = await self.openai.post(
                    "/chat/completions", cast_to=httpx2.Response, body=call.body(**asdict(manner))
                )
        except TimeoutError as error:
            raise GarbledReplyError(f"no answer within {self.endpoint.timeout_s:g} s") from error
        try:
            # Half a character, as some servers send where max_tokens cut, must not cost the whole reply.
            data = json.loads(without_key(response.content, self.key).decode("utf-8-sig", errors="replace"))
        except (ValueError, RecursionError):
            raise GarbledReplyError("the body is not JSON") from None
        reply = reply_of(data, latency_s=time.monotonic() - started, structured=manner.structured)
        fewer = manner.most_alternatives if call.top_logprobs is not None else None
        return reply if fewer is None else reply.model_copy(update={"alternatives": fewer})


def _key_of(endpoint: Endpoint) -> str | None:
    if endpoint.api_key_env is None:
        return None
    if not (key := os.environ.get(endpoint.api_key_env)):
        raise InputError(
            f"endpoint {endpoint.name}: the environment variable {endpoint.api_key_env} is not set; "
            "put the endpoint's key there"
        )
    return key


def _open(endpoint: Endpoint, key: str | None) -> openai.AsyncOpenAI:
    if endpoint.base_url == EMBEDDED:
        raise InputError(f"endpoint {endpoint.name}: the embedded server is not started; start it or give an address")
    loopback = urlsplit(endpoint.base_url).hostname in _LOOPBACK
    return openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=key or "none",
        max_retries=0,
        timeout=endpoint.timeout_s,
        # A proxy of the environment cannot reach this machine's own loopback address.
        http_client=openai.DefaultAioHttpClient(trust_env=not loopback),
    )
