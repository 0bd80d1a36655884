"""One LLM call as a value: what is sent, what came back, and the `requests` row that is kept of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

from synthesis.panel.settings import ModelConfig
from synthesis.prompts.render import AnswerKind, Prompt, merged_system, messages, response_format
from warehouse.records import Request, RequestStatus, content_id

Purpose: TypeAlias = Literal["propose", "elicit", "judge"]


_SORTED = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
_PARAMETERS = json.JSONEncoder(sort_keys=True)
TOKENS_A_TURN = 8
"""What a chat template puts around a message, about."""


@dataclass(frozen=True, slots=True)
class About:
    """What a call is for: it is not sent, and the reply does not depend on it."""

    purpose: Purpose
    labeler: str
    subject_id: str
    prompt: str
    prompt_version: str
    asker_version: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a model. `attempt` numbers the tries at the same question; it is not sent.

    `top_logprobs` asks for that many alternatives of the first token. `response_format` is JSON, its names in order.
    What is None is not sent. `key` is the id under which the reply is kept: the same call has the same key, in every
    process and every version of the product, and whoever asks.
    """

    endpoint: str
    model: str
    messages: tuple[dict[str, str], ...]
    max_tokens: int | None
    about: About
    temperature: float | None = None
    seed: int | None = None
    top_logprobs: int | None = None
    response_format: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", content_id("call", self._hashed))

    @property
    def _hashed(self) -> str:
        """What the key is the hash of: JSON with its names in order, put together from parts that many calls share.

        Never add a name here that every call has: all that is kept would be lost.
        """
        turns = [_turn_text(turn["role"], turn["content"]) for turn in self.messages[:-1]]
        last = self.messages[-1]
        turns.append(f'{{"content": {_SORTED.encode(last["content"])}, "role": {_SORTED.encode(last["role"])}}}')
        extra = f'"extra": {_SORTED.encode(self.extra)}, ' if self.extra else ""
        return (
            f'{{"attempt": {self.attempt}, "endpoint": {_SORTED.encode(self.endpoint)}, {extra}'
            f'"max_tokens": {_number(self.max_tokens)}, "messages": [{", ".join(turns)}], '
            f'"model": {_SORTED.encode(self.model)}, "response_format": {self.response_format or "null"}, '
            f'"seed": {_number(self.seed)}, "temperature": {_number(self.temperature)}, '
            f'"top_logprobs": {_number(self.top_logprobs)}}}'
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """The sampling parameters that are sent, by their names in the API."""
        named: dict[str, Any] = {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}
        if self.top_logprobs is not None:
            named |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        return {name: value for name, value in named.items() if value is not None} | dict(self.extra)

    @property
    def has_system_turn(self) -> bool:
        """Whether the messages begin with a system text."""
        return self.messages[0]["role"] == "system"

    def body(
        self, *, structured: bool, system_turn: bool = True, most_alternatives: int | None = None
    ) -> dict[str, Any]:
        """The body of the request, with the response format or without it.

        Without a system turn its text opens the user's; `most_alternatives` bounds those of the first token.
        """
        turns = self.messages if system_turn else merged_system(self.messages)
        body = {"model": self.model, "messages": turns, **self.parameters}
        if most_alternatives is not None and self.top_logprobs is not None:
            body["top_logprobs"] = min(most_alternatives, self.top_logprobs)
        if structured and self.response_format is not None:
            body["response_format"] = json.loads(self.response_format)
        return body

    @property
    def guessed_tokens_in(self) -> int:
        """About how many tokens the messages are: four bytes of text each, and some for the turn."""
        return sum(len(turn["content"].encode()) // 4 + TOKENS_A_TURN for turn in self.messages)

    @property
    def most_tokens_in(self) -> int:
        """How many tokens the messages are at most, given that a token is hardly ever less than two bytes of text."""
        return sum(len(turn["content"].encode()) // 2 + TOKENS_A_TURN for turn in self.messages)

    @property
    def most_tokens_out(self) -> int | None:
        """How many tokens the reply has at most; None where nothing that is sent bounds it."""
        other = self.extra.get("max_completion_tokens")
        return self.max_tokens if other is None else int(other)

    @property
    def request_id(self) -> str:
        """The id of the request row: this call, asked by this config about this subject."""
        about = self.about
        return content_id("request", about.purpose, about.subject_id, about.labeler, self.key)


def _count(value: object) -> int | None:
    """A count that a table can hold; None for whatever else a server says, also where an older version kept that."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**63 else None


_Tokens = Annotated[int | None, BeforeValidator(_count)]


class Reply(BaseModel):
    """What an endpoint answered, as the ledger keeps it.

    `top_logprobs` are (token, natural log of its probability) of the first token. `thinking` is what a reasoning model
    gave apart from its answer, `refusal` its words where it would not answer. `latency_s` is the time of the attempt
    that was answered. `structured` says whether the response format was sent, `batch` whether the batch interface was
    used; `alternatives` is how many of the first token were asked for where the endpoint gives fewer than the call
    wants. `cost` is what was paid, None where prices or counts are not known, and `paid_by` the request that it was
    paid for.
    """

    # What another version of the product kept beside these is passed over.
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

    `rejected`: the endpoint refuses this call (HTTP 4xx) and will again. `not_answered`: it broke off, timed out or
    answered 5xx at each attempt, and may answer another time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Literal["rejected", "not_answered"]
    detail: str


CallResult: TypeAlias = Reply | Failure


def seed_for(seed: int | None, subject_id: str, question: str, number: int) -> int | None:
    """The seed of one call, from its config's seed, what it is about and the number of the try; None stays None.

    Each subject has its own: under one and the same seed a model draws alike for all, and its answers bunch together.
    """
    return None if seed is None else int(content_id("seed", str(seed), subject_id, question, str(number))[:7], 16)


def call_for(
    config: ModelConfig,
    prompt: Prompt,
    values: Mapping[str, str],
    *,
    purpose: Purpose,
    subject_id: str,
    question: str,
    number: int = 0,
    warmer: float = 0.0,
    count: int = 1,
    top_logprobs: int | None = None,
    asker_version: str | None = None,
) -> Call:
    """The call of a try or sample: each has another seed, and a temperature that rises by `warmer`, at most to 1.

    `question` tells what is asked about the subject from what else is; `count` texts or answers are asked for.
    """
    temperature = config.temperature
    if temperature is not None:
        temperature = max(temperature, min(1.0, round(temperature + warmer * number, 6)))
    return Call(
        endpoint=config.endpoint,
        model=config.model,
        messages=messages(prompt, values) if config.system_turn else merged_system(messages(prompt, values)),
        max_tokens=None if "max_tokens" in config.omit else config.max_tokens,
        about=About(purpose, config.name, subject_id, prompt.name, prompt.revision, asker_version),
        temperature=None if "temperature" in config.omit else temperature,
        seed=None if "seed" in config.omit else seed_for(config.seed, subject_id, question, number),
        top_logprobs=top_logprobs,
        response_format=_format_text(prompt.answer, prompt.json_schema, count),
        extra=config.extra,
        attempt=number,
    )


def request_row(call: Call, outcome: CallResult, reason: str | None) -> Request:
    """The row of a call: answered where `reason` is None, else refused with that reason; a Failure is failed.

    `cached` marks a reply that was paid for by another request: the cost stands in that one's row alone.
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


def _number(value: float | None) -> str:
    return "null" if value is None else repr(value)


@lru_cache(maxsize=1024)
def _turn_text(role: str, content: str) -> str:
    """A turn as JSON. The opening turns of a prompt are the same in all of its calls."""
    return _SORTED.encode({"content": content, "role": role})


@lru_cache(maxsize=1024)
def _format_text(answer: AnswerKind, json_schema: str | None, count: int) -> str | None:
    wanted = response_format(answer, json_schema, count)
    return None if wanted is None else _SORTED.encode(wanted)
