"""Calls to LLM endpoints: through the ledger, within limits, and retried."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from types import TracebackType

import openai

from synthesis.call import Call
from synthesis.errors import StoppedError
from synthesis.ledger.ledger import Ledger
from synthesis.llm.budget import Budget, Reservation, cost, most_of
from synthesis.llm.endpoint_client import EndpointClient
from synthesis.llm.errors import MAX_WAIT_S, UNREACHED, is_refused
from synthesis.llm.rate import RateLimits
from synthesis.llm.retries import PassingError, retried
from synthesis.llm.skip_list import SkippedError
from synthesis.llm.stop import Stop
from synthesis.panel.settings import Endpoint, ModelConfig, Prices, prices_of
from synthesis.reply import CallResult, Failure
from warehouse.errors import InputError


class Caller:
    """Sends calls to endpoints. Use as an asynchronous context manager.

    `fresh` holds the ids of requests that the ledger did not answer, and `paid` what they cost; remove a request from
    both once it is counted. `uncounted` is the number of replies without a token count, where prices are known. Setting
    `stop` ends the run gracefully: what is in flight is finished and kept, nothing new is sent. An endpoint that fails
    as a whole is stopped in the same way.

    Args:
        endpoints: those to call, with real addresses.
        ledger: where replies are looked up and kept.
        configs: the labelers, proposers and judges whose own prices and limits count.
        max_cost: what the run may cost, in the currency of the prices.
        backoff_s: the pause after the first failed attempt.

    Raises:
        InputError: an endpoint is "embedded" without the address of the started server, or the environment variable of
            its key is not set.
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
        self.fresh: set[str] = set()
        self.paid: dict[str, float] = {}
        self.uncounted = 0
        self._backoff_s = backoff_s
        self._clients = {each.name: EndpointClient(each, self.stop, backoff_s) for each in endpoints}
        self._configs = {each.name: each for each in configs}
        self._rates = {each.name: RateLimits.of(each, self.client(each.endpoint).gate.stop) for each in configs}
        self._slots = {each.name: asyncio.Semaphore(each.max_in_flight) for each in configs if each.max_in_flight}

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.openai.close()

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name. Raises InputError if there is none."""
        return self.client(name).endpoint

    def client(self, name: str) -> EndpointClient:
        """The client of an endpoint. Raises InputError if there is none."""
        if name not in self._clients:
            raise InputError(f"endpoint {name}: not among the endpoints ({', '.join(sorted(self._clients))}); add it")
        return self._clients[name]

    def prices(self, call: Call) -> Prices:
        """What a million tokens in and out of this call cost; None if unknown."""
        return prices_of(self.endpoint(call.endpoint), self._configs.get(call.about.labeler))

    @property
    def notes(self) -> list[str]:
        """What the user should know about how endpoints were asked, a line each."""
        return [note for client in self._clients.values() for note in client.notes]

    @property
    def waiting(self) -> str | None:
        """Why less is sent at the moment than could be, for the user; None if nothing holds it back."""
        pauses = {f"endpoint {name}": client.gate.breaker.pause for name, client in self._clients.items()}
        reasons = [f"{name} {pause[0]}, next try in {pause[1]:.0f} s" for name, pause in pauses.items() if pause]
        rates = {f"endpoint {name}": client.gate.limits for name, client in self._clients.items()} | self._rates
        for name, limits in rates.items():
            reasons += [f"{name} is at its requests_per_minute"] if limits.requests.is_used_up else []
            reasons += [f"{name} is at its tokens_per_minute"] if limits.tokens.is_used_up else []
        return "; ".join(reasons) or None

    def has_replied(self, config: ModelConfig) -> None:
        """Says that this model config had replies in an earlier run, so that rejections do not skip it."""
        self.client(config.endpoint).gate.skip_list.replied(config.name)

    def skips(self, config: ModelConfig) -> bool:
        """Whether no call of this model config would be sent: its endpoint has failed, or skips it."""
        gate = self.client(config.endpoint).gate
        return gate.stop.reason is not None or gate.skip_list.reason(config.model, config.name) is not None

    async def ask(self, call: Call) -> CallResult:
        """The reply to the call, from the ledger if it is there, or why this one call has none.

        Raises:
            ServiceError: the endpoint as a whole does not work: it cannot be reached, refuses the key, or wants a
                longer pause than a run waits. What waits for it is cancelled, what is in flight is not.
            SkippedError: the endpoint does not know the model, or rejects every request of the labeler.
            StoppedError: the run is being stopped, the endpoint has failed, or a batch holds the call.
        """
        client = self.client(call.endpoint)
        try:
            return await self._recalled_or_sent(client, call)
        except (StoppedError, SkippedError):
            raise
        except Exception as error:
            client.gate.stop.set(f"{call.endpoint} failed: {type(error).__name__}")
            raise

    async def _recalled_or_sent(self, client: EndpointClient, call: Call) -> CallResult:
        if (kept := await self.ledger.reserve(call, client.gate.stop.pause)) is not None:
            return kept
        try:
            result = await self._sent(client, call)
        except BaseException:
            self.ledger.release(call)
            raise
        self.fresh.add(call.request_id)
        if isinstance(result, Failure):
            self.ledger.release(call)
            if result.reason == "rejected":
                client.gate.skip_list.rejected(call.about.labeler, result.detail)
            return result
        client.gate.skip_list.replied(call.about.labeler)
        if result.cost:
            self.paid[call.request_id] = result.cost
        return await self.ledger.keep(call, result)

    async def _sent(self, client: EndpointClient, call: Call) -> CallResult:
        """Attempts the call until it is answered or rejected, or its attempts are used up."""
        most = client.endpoint.max_attempts
        attempt = partial(self._attempt, client, call)
        try:
            return await retried(attempt, client.gate.stop.pause, lambda n, _: n >= most, self._backoff_s, MAX_WAIT_S)
        except PassingError as error:
            return client.not_answered(error)

    async def _attempt(self, client: EndpointClient, call: Call) -> CallResult:
        """One attempt, within every limit: those of the labeler, the budget, and those of the endpoint."""
        labeler, prices = call.about.labeler, self.prices(call)
        most = most_of(call, prices)
        async with self._slots.get(labeler, nullcontext()), Reservation(self.budget, most) as reservation:
            try:
                async with client.gate.attempt(call, self._rates.get(labeler)) as attempt:
                    reservation.may_be_billed = True
                    reply = await client.send(call)
                    if reply.tokens_in is None:
                        attempt.used = attempt.wanted
                    else:
                        attempt.used = reply.tokens_in + (reply.tokens_out or 0)
            except openai.APIStatusError as error:
                reservation.may_be_billed = False
                return client.refused(call, error)
            except UNREACHED as error:
                reservation.may_be_billed = not is_refused(error)
                raise client.unreached(error) from None
            paid = cost(reply.tokens_in, reply.tokens_out, prices)
            reservation.may_be_billed = paid is None
            reservation.paid = paid or 0.0
            self.uncounted += paid is None and most > 0
            return reply.model_copy(update={"cost": paid, "paid_by": call.request_id})
