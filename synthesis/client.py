"""Calls to LLM endpoints: through the ledger, within limits, retried here and nowhere else."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

import httpx2
import openai

from synthesis.call import Call, Failure, Outcome, Reply
from synthesis.endpoint_errors import (
    MAX_WAIT_S,
    UNREACHED,
    check_access,
    is_refused,
    passes,
    retry_after,
    where_is,
    why_unreached,
    words_of,
)
from synthesis.flow_control import Breaker, Budget, DownError, Held, Rate, Stop, StoppedError, jittered
from synthesis.ledger import Ledger
from synthesis.panel import EMBEDDED, Asker, Endpoint, Prices, prices_of
from synthesis.reply import GarbledReplyError, reply_of
from warehouse.errors import InputError, ServiceError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass
class _Limits:
    """What an endpoint, or one who asks there, is held to."""

    slots: asyncio.Semaphore
    requests: Rate
    tokens: Rate


@dataclass
class _Line:
    """What the caller holds of one endpoint; `plain` are the models and response formats that were refused."""

    endpoint: Endpoint
    client: openai.AsyncOpenAI
    key: str | None
    limits: _Limits
    breaker: Breaker
    plain: set[tuple[str, str]] = field(default_factory=set)


class Caller:
    """Asks endpoints. Use as an asynchronous context manager.

    `sent` counts the HTTP requests of each endpoint. `fresh` are the ids of requests that the ledger did not answer;
    whoever has counted one takes it out. `handed_in` are the keys of calls that batches hold: they are not sent.

    `askers` are those whose own prices and limits count; `max_cost` is what the run may cost in all, in the currency of
    the prices. `stop` ends the run gracefully: what is under way is finished and kept, nothing new is sent.

    Raises InputError where an endpoint is "embedded" without the address of the started server, or where the
    environment variable of its key is not set.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        ledger: Ledger,
        askers: Sequence[Asker] = (),
        max_cost: float | None = None,
        backoff_s: float = 0.5,
    ) -> None:
        self.ledger = ledger
        self.stop = Stop()
        self.budget = Budget(max_cost, self.stop)
        self.sent: Counter[str] = Counter()
        self.fresh: set[str] = set()
        self.handed_in: set[str] = set()
        self._backoff_s = backoff_s
        self._lines = {each.name: _open_line(each, self.stop, backoff_s) for each in endpoints}
        self._askers = {each.name: each for each in askers}
        self._own = {each.name: _limits_of(each, self.stop) for each in askers}

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

    def client(self, name: str) -> openai.AsyncOpenAI:
        """The client of an endpoint, for its other interfaces."""
        return self._line(name).client

    def prices(self, call: Call) -> Prices:
        """What a million tokens in and out cost whoever asks this; None where it is not known."""
        return prices_of(self.endpoint(call.endpoint), self._askers.get(call.about.asker))

    async def ask(self, call: Call) -> Outcome:
        """The reply to the call, from the ledger where it is kept there, or why this one call has none.

        Raises ServiceError where the endpoint as a whole does not work: it cannot be reached, refuses the key, does
        not know the model, or asks for patience longer than is bearable; and StoppedError where the run is being
        stopped, or a batch holds the call. Replies that came before stay in the ledger.
        """
        line = self._line(call.endpoint)
        if (kept := await self.ledger.reserve(call)) is not None:
            return kept
        try:
            if call.key in self.handed_in:
                raise StoppedError("a batch holds it")
            outcome = await self._within_limits(line, call)
        except BaseException:
            self.ledger.release(call)
            raise
        self.fresh.add(call.request_id)
        if isinstance(outcome, Failure):
            self.ledger.release(call)
            return outcome
        return await self.ledger.keep(call, outcome)

    async def _within_limits(self, line: _Line, call: Call) -> Outcome:
        own = self._own.get(call.about.asker)
        if own is None:
            async with line.limits.slots:
                return await self._paid(line, call, [line.limits])
        async with own.slots, line.limits.slots:
            return await self._paid(line, call, [own, line.limits])

    async def _paid(self, line: _Line, call: Call, limits: Sequence[_Limits]) -> Outcome:
        """Asks within the rates and the budget."""
        self.stop.check()
        wanted = call.guessed_tokens_in + (call.most_tokens_out or 0)
        tokens = [(each.tokens, await each.tokens.take(wanted)) for each in limits]
        prices = self.prices(call)
        held = Held(self.budget, cost(call.most_tokens_in, call.most_tokens_out or 0, prices) or 0.0)
        await held.take()
        paid = 0.0
        try:
            outcome = await self._with_retries(line, call, limits, held)
            if isinstance(outcome, Reply):
                price = cost(outcome.tokens_in, outcome.tokens_out, prices)
                paid = price or 0.0
                outcome = outcome.model_copy(update={"cost": price, "paid_by": call.request_id})
                if (used := outcome.tokens_in) is not None:
                    for rate, taken in tokens:
                        rate.settle(taken, used + (outcome.tokens_out or 0))
            return outcome
        finally:
            held.give_back(paid)

    async def _with_retries(self, line: _Line, call: Call, limits: Sequence[_Limits], held: Held) -> Outcome:
        attempt = 0
        while True:
            try:
                ticket = await line.breaker.enter()
            except DownError:
                raise _down(line, "it did not come back") from None
            for each in limits:
                await each.requests.take(1)
            try:
                reply = await self._attempt(line, call, ticket)
            except openai.APIStatusError as error:
                pause = retry_after(error.response)
                if not passes(error.status_code) or pause > MAX_WAIT_S:
                    return _give_up(line, call, error)
                last: Exception = error
            except UNREACHED as error:
                pause, last = 0.0, error
                if not is_refused(error):
                    await held.lose()
            else:
                return reply
            # A dead endpoint is the breaker's business: while nobody listens, no call spends its attempts.
            attempt += not (line.breaker.answered and is_refused(last))
            if attempt >= line.endpoint.max_attempts:
                return _not_answered(line, call, last)
            backoff = min(self._backoff_s * 2 ** max(attempt - 1, 0), MAX_WAIT_S)
            await self.stop.pause(max(pause, jittered(backoff)))

    async def _attempt(self, line: _Line, call: Call, ticket: int) -> Reply:
        """One attempt, and what it says about the state of the endpoint."""
        try:
            reply = await self._send_as_supported(line, call)
        except openai.APIStatusError as error:
            if error.status_code >= 500:
                line.breaker.failed(ticket)
            elif error.status_code == 429:
                line.breaker.left(ticket)
                line.breaker.rest(min(retry_after(error.response), MAX_WAIT_S))
            else:
                line.breaker.worked()
            raise
        except UNREACHED:
            line.breaker.failed(ticket)
            raise
        except BaseException:
            line.breaker.left(ticket)
            raise
        line.breaker.worked()
        return reply

    async def _send_as_supported(self, line: _Line, call: Call) -> Reply:
        """Sends with the response format, and once without where the endpoint refuses it; remembers the outcome.

        It is remembered of this format alone: an endpoint may refuse one schema and take another.
        """
        if call.response_format is None or (call.model, call.response_format) in line.plain:
            return await self._send(line, call, structured=False)
        try:
            return await self._send(line, call, structured=True)
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            reply = await self._send(line, call, structured=False)
            line.plain.add((call.model, call.response_format))
            return reply

    async def _send(self, line: _Line, call: Call, structured: bool) -> Reply:
        self.sent[line.endpoint.name] += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(line.endpoint.timeout_s):
                # The raw response: building the client's own classes of it would take most of the time.
                response = await line.client.post(
                    "/chat/completions", cast_to=httpx2.Response, body=call.body(structured=structured)
                )
        except TimeoutError as error:
            raise GarbledReplyError(f"no answer within {line.endpoint.timeout_s:g} s") from error
        try:
            data = json.loads(response.content)
        except ValueError as error:
            raise GarbledReplyError("the body is not JSON") from error
        return reply_of(data, latency_s=time.monotonic() - started, structured=structured)

    def _line(self, name: str) -> _Line:
        if name not in self._lines:
            raise InputError(f"endpoint {name}: not among the endpoints ({', '.join(sorted(self._lines))}); add it")
        return self._lines[name]


def cost(tokens_in: int | None, tokens_out: int | None, prices: Prices, share: float = 1.0) -> float | None:
    """What tokens cost at prices per million, in the currency of the prices; None where one of them is not known."""
    price_in, price_out = prices
    if tokens_in is None or tokens_out is None or price_in is None or price_out is None:
        return None
    return share * (tokens_in * price_in + tokens_out * price_out) / 1_000_000


def _open_line(endpoint: Endpoint, stop: Stop, backoff_s: float) -> _Line:
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
        http_client=openai.DefaultAioHttpClient(trust_env=not loopback),
    )
    breaker = Breaker(stop, endpoint.patience_s, endpoint.max_attempts, backoff_s)
    return _Line(endpoint, client, key, _limits_of(endpoint, stop), breaker)


def _limits_of(who: Endpoint | Asker, stop: Stop) -> _Limits:
    # An asker without a bound of its own is bound by its endpoint alone.
    slots = asyncio.Semaphore(who.max_in_flight or 1_000_000)
    return _Limits(slots, Rate(who.requests_per_minute, stop), Rate(who.tokens_per_minute, stop))


def _give_up(line: _Line, call: Call, error: openai.APIStatusError) -> Failure:
    """The failure of one call, or ServiceError where the status says that no other call would fare better."""
    check_access(line.endpoint, error)
    if error.status_code == 404:
        raise ServiceError(
            f"{where_is(line.endpoint)} does not know the model {call.model} (HTTP 404); check model and base_url"
        ) from error
    if passes(error.status_code):
        raise _limited(line, error) from error
    return Failure(reason="rejected", detail=words_of(error, line.key))


def _limited(line: _Line, error: openai.APIStatusError) -> ServiceError:
    pause = retry_after(error.response)
    wish = f"in {pause:.0f} s" if pause else "later"
    return ServiceError(
        f"{where_is(line.endpoint)} limits the rate (HTTP {error.status_code}); run again {wish} or lower max_in_flight"
    )


def _not_answered(line: _Line, call: Call, error: Exception) -> Failure:
    """The failure of a call that its endpoint leaves open while it answers others; else ServiceError."""
    if isinstance(error, openai.APIStatusError) and error.status_code == 429:
        raise _limited(line, error) from error
    said = f"HTTP {error.status_code}" if isinstance(error, openai.APIStatusError) else why_unreached(error, line.key)
    if not line.breaker.answered:
        raise _down(line, f"{said}, {line.endpoint.max_attempts} attempts") from error
    return Failure(reason="not_answered", detail=said)


def _down(line: _Line, said: str) -> ServiceError:
    return ServiceError(f"{where_is(line.endpoint)} does not answer ({said}); start it or check base_url")
