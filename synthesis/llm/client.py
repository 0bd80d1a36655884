"""Calls to LLM endpoints: through the ledger, within limits, retried here and nowhere else."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

import httpx2
import openai

from synthesis.call import Call, CallResult, Failure, Reply
from synthesis.errors import StoppedError
from synthesis.ledger.ledger import Ledger
from synthesis.llm.budget import Budget, Held
from synthesis.llm.concessions import Concessions, Manner, conceded
from synthesis.llm.errors import (
    LIMITED,
    MAX_WAIT_S,
    UNREACHED,
    check_access,
    check_money,
    down,
    impatient,
    is_refused,
    passes,
    retry_after,
    why_unreached,
    words_of,
)
from synthesis.llm.flow_control import Stop, jittered
from synthesis.llm.gate import Gate, RateLimits, Ticket, limits_of
from synthesis.llm.reply import GarbledReplyError, reply_of
from synthesis.llm.skip_list import SkippedError
from synthesis.panel.settings import EMBEDDED, Endpoint, ModelConfig, Prices, prices_of
from warehouse.errors import InputError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass
class EndpointClient:
    """What the caller holds of one endpoint, and what that one refused and is asked without."""

    endpoint: Endpoint
    client: openai.AsyncOpenAI
    key: str | None
    gate: Gate
    concessions: Concessions = field(default_factory=Concessions)


class Caller:
    """Asks endpoints. Use as an asynchronous context manager.

    `sent` counts the HTTP requests of each endpoint. `fresh` are the ids of requests that the ledger did not answer;
    whoever has counted one takes it out, and its cost out of `paid`. `uncounted` is the number of replies without a
    count of their tokens, where prices are known. `said` is what a person should know of how endpoints were asked.

    `configs` are those whose own prices and limits count; `max_cost` is what the run may cost, in the currency of the
    prices. `stop` ends the run gracefully: what is under way is finished and kept, nothing new is sent. An endpoint
    that fails as a whole is ended in the same way.

    Raises InputError where an endpoint is "embedded" without the address of the started server, or where the
    environment variable of its key is not set.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        ledger: Ledger,
        configs: Sequence[ModelConfig] = (),
        max_cost: float | None = None,
        backoff_s: float = 0.5,
    ) -> None:
        self.ledger = ledger
        self.stop = Stop()
        self.budget = Budget(max_cost, self.stop)
        self.sent: Counter[str] = Counter()
        self.fresh: set[str] = set()
        self.paid: dict[str, float] = {}
        self.uncounted = 0
        self.said: dict[str, None] = {}
        self._backoff_s = backoff_s
        self._endpoints = {each.name: _open_endpoint(each, self.stop, backoff_s) for each in endpoints}
        self._configs = {each.name: each for each in configs}
        self._own = {each.name: limits_of(each, self._endpoint_client(each.endpoint).gate.stop) for each in configs}
        self._slots = {each.name: asyncio.Semaphore(each.max_in_flight) for each in configs if each.max_in_flight}

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self._endpoints.values():
            await line.client.close()

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name; raises InputError where there is none."""
        return self._endpoint_client(name).endpoint

    def client(self, name: str) -> openai.AsyncOpenAI:
        """The client of an endpoint, for its other interfaces."""
        return self._endpoint_client(name).client

    def prices(self, call: Call) -> Prices:
        """What a million tokens in and out cost whoever asks this; None where it is not known."""
        return prices_of(self.endpoint(call.endpoint), self._configs.get(call.about.labeler))

    @property
    def waiting(self) -> str | None:
        """Why less is sent at the moment than could be, in words for a person; None where nothing holds it back."""
        pauses = {f"endpoint {name}": line.gate.pause for name, line in self._endpoints.items()}
        said = [f"{name} {pause[0]}, next try in {pause[1]:.0f} s" for name, pause in pauses.items() if pause]
        limits = {f"endpoint {name}": line.gate.limits for name, line in self._endpoints.items()} | self._own
        for name, each in limits.items():
            said += [f"{name} is at its requests_per_minute"] if each.requests.is_used_up else []
            said += [f"{name} is at its tokens_per_minute"] if each.tokens.is_used_up else []
        return "; ".join(said) or None

    def has_replied(self, config: ModelConfig) -> None:
        """Makes known that this config had replies in an earlier run: what it asks is not rejected as a whole."""
        self._endpoint_client(config.endpoint).gate.standing.replied(config.name)

    def skips(self, config: ModelConfig) -> bool:
        """Whether nothing that this config asks would be sent: its endpoint has failed, or it is left out there."""
        line = self._endpoint_client(config.endpoint)
        return line.gate.stop.reason is not None or line.gate.standing.reason(config.model, config.name) is not None

    async def ask(self, call: Call) -> CallResult:
        """The reply to the call, from the ledger where it is kept there, or why this one call has none.

        Raises ServiceError where the endpoint as a whole does not work: it cannot be reached, refuses the key, or asks
        for patience longer than is bearable; all that waits for it is then called off, what is on the way is not.
        Raises SkippedError where it does not know the model, or rejects whatever this config asks; and StoppedError
        where the run is being stopped, the endpoint has failed, or a batch holds the call. Replies that came before
        stay in the ledger.
        """
        line = self._endpoint_client(call.endpoint)
        try:
            return await self._kept_or_asked(line, call)
        except (StoppedError, SkippedError):
            raise
        except Exception as error:
            line.gate.stop.set(f"{line.endpoint.name} failed: {type(error).__name__}")
            raise

    async def _kept_or_asked(self, line: EndpointClient, call: Call) -> CallResult:
        if (kept := await self.ledger.reserve(call, line.gate.stop.pause)) is not None:
            return kept
        try:
            outcome = await self._within_limits(line, call)
        except BaseException:
            self.ledger.release(call)
            raise
        self.fresh.add(call.request_id)
        if isinstance(outcome, Failure):
            self.ledger.release(call)
            if outcome.reason == "rejected":
                line.gate.standing.rejected(call.about.labeler, outcome.detail)
            return outcome
        line.gate.standing.replied(call.about.labeler)
        if outcome.cost:
            self.paid[call.request_id] = outcome.cost
        return await self.ledger.keep(call, outcome)

    async def _within_limits(self, line: EndpointClient, call: Call) -> CallResult:
        """Asks within what the config and its endpoint are held to.

        The config's own limits come first and the endpoint's window last: who waits for its own holds up nobody else.
        """
        config = call.about.labeler
        own = [self._own[config]] if config in self._own else []
        async with self._slots.get(config, nullcontext()):
            return await self._paid(line, call, [*own, line.gate.limits])

    async def _paid(self, line: EndpointClient, call: Call, limits: Sequence[RateLimits]) -> CallResult:
        """Asks within the rates and the budget."""
        line.gate.check(call)
        wanted = call.guessed_tokens_in + (call.most_tokens_out or 0)
        tokens = [(each.tokens, await each.tokens.take(wanted)) for each in limits]
        prices = self.prices(call)
        held = Held(self.budget, most_of(call, prices))
        await held.take()
        paid = 0.0
        try:
            outcome = await self._with_retries(line, call, limits, held)
            if isinstance(outcome, Reply):
                price = cost(outcome.tokens_in, outcome.tokens_out, prices)
                paid = price or 0.0
                if price is None and held.most:
                    held.lose()
                    self.uncounted += 1
                outcome = outcome.model_copy(update={"cost": price, "paid_by": call.request_id})
                if (used := outcome.tokens_in) is not None:
                    for rate, taken in tokens:
                        rate.settle(taken, used + (outcome.tokens_out or 0))
            return outcome
        finally:
            held.give_back(paid)

    async def _with_retries(
        self, line: EndpointClient, call: Call, limits: Sequence[RateLimits], held: Held
    ) -> CallResult:
        attempt = 0
        last: Exception
        while True:
            ticket = await line.gate.turn(call, limits)
            try:
                return await self._attempt(line, call, ticket)
            except openai.APIStatusError as error:
                wish, last = retry_after(error.response), error
                check_money(line.endpoint, error, line.key)
                limited = error.status_code == LIMITED
                if not passes(error.status_code) or wish > MAX_WAIT_S or (limited and line.gate.limits_for_too_long):
                    return _give_up(line, call, error)
                if limited:
                    continue  # it costs time and no attempt: the next turn comes when the endpoint has rested
            except UNREACHED as error:
                wish, last = 0.0, error
                if not is_refused(error):
                    held.lose()
                    await held.take()
            except asyncio.CancelledError:
                held.lose()
                raise
            # A dead endpoint is the breaker's business: while nobody listens, no call spends its attempts.
            attempt += not (line.gate.has_answered and is_refused(last))
            if attempt >= line.endpoint.max_attempts:
                return _not_answered(line, last)
            backoff = min(self._backoff_s * 2 ** max(attempt - 1, 0), MAX_WAIT_S)
            await line.gate.stop.pause(max(wish, jittered(backoff)))

    async def _attempt(self, line: EndpointClient, call: Call, ticket: Ticket) -> Reply:
        """One attempt, and what it says about the state of the endpoint."""
        try:
            reply = await self._send_as_supported(line, call)
        except openai.APIStatusError as error:
            line.gate.refused(ticket, error.status_code, min(retry_after(error.response), MAX_WAIT_S))
            raise
        except UNREACHED:
            line.gate.failed(ticket)
            raise
        except BaseException:
            line.gate.left(ticket)
            raise
        line.gate.answered()
        return reply

    async def _send_as_supported(self, line: EndpointClient, call: Call) -> Reply:
        """Sends the call, and again without what the endpoint refuses of it; remembers what it was taken without."""
        manner = line.concessions.manner(call)
        while True:
            try:
                reply = await self._send(line, call, manner)
            except openai.APIStatusError as error:
                tried = conceded(call, manner, error.status_code, words_of(error, line.key))
                if tried is None:
                    raise
                manner = tried
                continue
            for words in line.concessions.learn(call, manner):
                self.said[f"endpoint {line.endpoint.name}: {words}"] = None
            return reply

    async def _send(self, line: EndpointClient, call: Call, manner: Manner) -> Reply:
        self.sent[line.endpoint.name] += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(line.endpoint.timeout_s):
                # The raw response: building the client's own classes of it would take most of the time.
                response = await line.client.post(
                    "/chat/completions", cast_to=httpx2.Response, body=call.body(**asdict(manner))
                )
        except TimeoutError as error:
            raise GarbledReplyError(f"no answer within {line.endpoint.timeout_s:g} s") from error
        try:
            data = json.loads(_without(line.key, response.content))
        except (ValueError, RecursionError):
            # Not chained: what was sent may repeat the key.
            raise GarbledReplyError("the body is not JSON") from None
        reply = reply_of(data, latency_s=time.monotonic() - started, structured=manner.structured)
        fewer = manner.most_alternatives if call.top_logprobs is not None else None
        return reply if fewer is None else reply.model_copy(update={"alternatives": fewer})

    def _endpoint_client(self, name: str) -> EndpointClient:
        if name not in self._endpoints:
            raise InputError(f"endpoint {name}: not among the endpoints ({', '.join(sorted(self._endpoints))}); add it")
        return self._endpoints[name]


def cost(tokens_in: int | None, tokens_out: int | None, prices: Prices, share: float = 1.0) -> float | None:
    """What tokens cost at prices per million, in the currency of the prices; None where one of them is not known."""
    price_in, price_out = prices
    if tokens_in is None or tokens_out is None or price_in is None or price_out is None:
        return None
    return share * (tokens_in * price_in + tokens_out * price_out) / 1_000_000


def most_of(call: Call, prices: Prices, share: float = 1.0) -> float:
    """The most that a call can cost, 0 where prices are not known."""
    return cost(call.most_tokens_in, call.most_tokens_out or 0, prices, share) or 0.0


def _without(key: str | None, body: bytes) -> bytes:
    """The body without the key, should the endpoint repeat it: what is read of it is kept."""
    return body if key is None else body.replace(key.encode(), b"[key]")


def _open_endpoint(endpoint: Endpoint, run: Stop, backoff_s: float) -> EndpointClient:
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
    return EndpointClient(endpoint, client, key, Gate(endpoint, run, backoff_s))


# Not chained, all of these: an endpoint's words may repeat the key, and a traceback shows them.
def _give_up(line: EndpointClient, call: Call, error: openai.APIStatusError) -> Failure:
    """The failure of one call, or ServiceError where the status says that no other call would fare better."""
    check_access(line.endpoint, error)
    if error.status_code == 404:
        raise line.gate.standing.unknown(call.model) from None
    if passes(error.status_code):
        said = words_of(error, line.key)
        raise impatient(line.endpoint, error.status_code, retry_after(error.response), said) from None
    return Failure(reason="rejected", detail=words_of(error, line.key))


def _not_answered(line: EndpointClient, error: Exception) -> Failure:
    """The failure of a call that its endpoint leaves open while it answers others; else ServiceError."""
    said = f"HTTP {error.status_code}" if isinstance(error, openai.APIStatusError) else why_unreached(error, line.key)
    if not line.gate.has_answered:
        raise down(line.endpoint, f"{said}, {line.endpoint.max_attempts} attempts") from None
    return Failure(reason="not_answered", detail=said)
