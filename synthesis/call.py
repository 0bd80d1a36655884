"""One LLM call as a value: what is sent, what came back, and the `requests` row that is kept of it. Pure."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from synthesis.panel import Endpoint, Labeler, Proposer
from synthesis.render import Prompt
from warehouse.records import Count, Request, RequestStatus, content_id


class Call(BaseModel):
    """What is asked of a model. `attempt` numbers the tries at the same question; it is not sent.

    `top_logprobs` asks for that many alternatives of the first token. What is None is not sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    model: str
    messages: tuple[dict[str, str], ...]
    max_tokens: int
    temperature: float | None = None
    seed: int | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    attempt: int = 0

    @property
    def key(self) -> str:
        """The id under which the reply is kept: the same call has the same key, in every process."""
        return content_id("call", json.dumps(self.model_dump(), sort_keys=True, ensure_ascii=False))

    @property
    def parameters(self) -> dict[str, Any]:
        """The sampling parameters that are sent, by their names in the API."""
        named: dict[str, Any] = {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}
        if self.top_logprobs is not None:
            named |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        return {name: value for name, value in named.items() if value is not None}


class Reply(BaseModel):
    """What an endpoint answered. `top_logprobs` are (token, natural log of its probability) of the first token.

    `latency_s` is the time of the attempt that was answered. `cached` says that the ledger gave the reply, and that
    nothing was sent or paid now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    finish_reason: str | None = None
    top_logprobs: tuple[tuple[str, float], ...] = ()
    tokens_in: Count | None = None
    tokens_out: Count | None = None
    latency_s: float = 0.0
    cached: bool = False


class Failure(BaseModel):
    """Why one call has no reply although its endpoint works.

    `rejected`: the endpoint refuses this call (HTTP 4xx) and will again. `not_answered`: it broke off, timed out or
    answered 5xx at each attempt, and may answer another time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Literal["rejected", "not_answered"]
    detail: str


def seed_for(seed: int | None, subject_id: str, question: str, number: int) -> int | None:
    """The seed of one call, from its asker's seed, what it is about and the number of the try; None stays None.

    Each subject has its own: under one and the same seed a model draws alike for all, and its answers bunch together.
    """
    return None if seed is None else int(content_id("seed", str(seed), subject_id, question, str(number))[:7], 16)


def cost(reply: Reply, endpoint: Endpoint) -> float | None:
    """What the reply cost, in the currency of the endpoint's prices; None where prices or counts are not known."""
    if None in (endpoint.price_in, endpoint.price_out, reply.tokens_in, reply.tokens_out):
        return None
    tokens_in, tokens_out = reply.tokens_in or 0, reply.tokens_out or 0
    return (tokens_in * (endpoint.price_in or 0.0) + tokens_out * (endpoint.price_out or 0.0)) / 1_000_000


def request_row(
    call: Call,
    outcome: Reply | Failure,
    *,
    reason: str | None,
    asker: Labeler | Proposer,
    prompt: Prompt,
    subject_id: str,
    endpoint: Endpoint,
) -> Request:
    """The row of a call: answered where `reason` is None, else refused with that reason; a Failure is failed."""
    purpose: Literal["elicit", "propose"] = "elicit" if isinstance(asker, Labeler) else "propose"
    reply = outcome if isinstance(outcome, Reply) else None
    status: RequestStatus = "answered" if reason is None else "refused"
    if isinstance(outcome, Failure):
        status, reason = "failed", f"{outcome.reason}: {outcome.detail}"
    return Request(
        request_id=content_id("request", purpose, subject_id, asker.name, call.key),
        purpose=purpose,
        subject_id=subject_id,
        labeler=asker.name,
        endpoint=call.endpoint,
        model=call.model,
        prompt=prompt.name,
        prompt_version=prompt.revision,
        parameters=json.dumps({**call.parameters, "attempt": call.attempt}, sort_keys=True),
        status=status,
        reason=reason,
        reply=reply.text if reply else None,
        tokens_in=reply.tokens_in if reply else None,
        tokens_out=reply.tokens_out if reply else None,
        cost=cost(reply, endpoint) if reply else None,
        latency_s=reply.latency_s if reply else None,
        cached=reply.cached if reply else False,
    )
