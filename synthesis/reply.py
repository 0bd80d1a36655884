"""What comes back from one call: a reply, or why there is none, and the `requests` row that is kept of it. Pure."""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

from synthesis.call import Call
from warehouse.records import Request, RequestStatus

_PARAMETERS = json.JSONEncoder(sort_keys=True)


def _count(value: object) -> int | None:
    """A count that a table can hold; None for anything else that a server says, also in replies kept long ago."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**63 else None


_Tokens = Annotated[int | None, BeforeValidator(_count)]


class Reply(BaseModel):
    """What an endpoint answered, as the ledger keeps it.

    `top_logprobs` are pairs of a first token and the natural log of its probability. `thinking` is what a reasoning
    model wrote apart from its answer, `refusal` its words if it would not answer. `latency_s` is how long the attempt
    took that was answered. `structured` says whether the response format was sent, `batch` whether the batch interface
    was used. `alternatives` is how many of the first token were asked for, if the endpoint gives fewer than wanted.
    `cost` is what was paid, None if prices or token counts are unknown, and `paid_by` the request that paid it.
    """

    # Fields that other versions of the product kept are ignored.
    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    finish_reason: str | None = None
    top_logprobs: tuple[tuple[str, float], ...] = ()
    thinking: str | None = None
    refusal: str | None = None
    tokens_in: _Tokens = None
    tokens_out: _Tokens = None
    latency_s: float = 0.0
    structured: bool = False
    batch: bool = False
    alternatives: int | None = None
    cost: float | None = None
    paid_by: str | None = None


class Failure(BaseModel):
    """Why one call has no reply although its endpoint works.

    `rejected`: the endpoint refuses this call (HTTP 4xx) and will again. `not_answered`: every attempt broke off, timed
    out or got a 5xx, and another run may have more luck.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Literal["rejected", "not_answered"]
    detail: str


CallResult: TypeAlias = Reply | Failure


def request_row(call: Call, outcome: CallResult, reason: str | None) -> Request:
    """The row of a call: answered if `reason` is None, otherwise refused for that reason; a Failure is failed.

    `cached` marks a reply that another request paid for; only that one's row has the cost.
    """
    about = call.about
    reply = outcome if isinstance(outcome, Reply) else None
    status: RequestStatus = "answered" if reason is None else "refused"
    if isinstance(outcome, Failure):
        status, reason = "failed", f"{outcome.reason}: {outcome.detail}"
    request_id = call.request_id
    shared = reply is not None and reply.paid_by not in (None, request_id)
    how = {"attempt": call.attempt}
    if reply is not None and reply.alternatives is not None:
        how["top_logprobs"] = reply.alternatives
    if reply is not None and call.response_format is not None:
        how["structured"] = reply.structured
    if reply is not None and reply.batch:
        how["batch"] = True
    return Request(
        request_id=request_id,
        purpose=about.purpose,
        subject_id=about.subject_id,
        labeler=about.labeler,
        endpoint=call.endpoint,
        model=call.model,
        prompt=about.prompt,
        prompt_version=about.prompt_version,
        parameters=_PARAMETERS.encode({**call.parameters, **how}),
        status=status,
        reason=reason,
        reply=(reply.text or reply.refusal or "") if reply else None,
        tokens_in=reply.tokens_in if reply else None,
        tokens_out=reply.tokens_out if reply else None,
        cost=reply.cost if reply and not shared else None,
        latency_s=reply.latency_s if reply else None,
        cached=shared,
        call_key=call.key,
        asker_version=about.asker_version,
    )
