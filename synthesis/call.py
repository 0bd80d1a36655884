"""One LLM call as a value: what is sent, and the key that its reply is kept under. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from synthesis.panel.settings import ModelConfig
from synthesis.prompts.render import AnswerKind, Prompt, merged_system, messages, response_format
from warehouse.records import content_id

Purpose: TypeAlias = Literal["propose", "elicit", "judge"]

_SORTED = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
TOKENS_PER_TURN = 8
"""About what a chat template adds to a message."""


@dataclass(frozen=True, slots=True)
class About:
    """What a call is for. It is not sent, and the reply does not depend on it."""

    purpose: Purpose
    labeler: str
    subject_id: str
    prompt: str
    prompt_version: str
    asker_version: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call to a model. What is None is not sent.

    `attempt` numbers the tries at the same question; it is not sent. `top_logprobs` asks for that many alternatives of
    the first token. `response_format` is JSON with sorted names. `key` is the id that the reply is kept under: the same
    call has the same key in every process and every version of the product, whichever labeler makes it.
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
        """What the key is the hash of: the call as JSON with sorted names.

        Put together from parts that many calls share, which takes 10 µs where one `json.dumps` takes 30 to 70; reading
        a question from the ledger takes about 80 in all. Never add a name that every call has: it would change all keys
        and lose all that is kept.
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
        """The body of the request.

        Args:
            structured: send the response format.
            system_turn: send the system text as a turn of its own; otherwise it opens the user's turn.
            most_alternatives: an upper bound on the alternatives of the first token.
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
        """About how many tokens the messages have: four bytes of text each, plus the template."""
        return self._tokens_in(bytes_per_token=4)

    @property
    def most_tokens_in(self) -> int:
        """How many tokens the messages have at most: a token is hardly ever less than two bytes of text."""
        return self._tokens_in(bytes_per_token=2)

    def _tokens_in(self, bytes_per_token: int) -> int:
        return sum(len(turn["content"].encode()) // bytes_per_token + TOKENS_PER_TURN for turn in self.messages)

    @property
    def most_tokens_out(self) -> int | None:
        """How many tokens the reply has at most; None if nothing that is sent bounds it."""
        most: int | None = self.extra.get("max_completion_tokens", self.max_tokens)
        return most

    @property
    def request_id(self) -> str:
        """The id of the request row: this call, made by this labeler about this subject."""
        about = self.about
        return content_id("request", about.purpose, about.subject_id, about.labeler, self.key)


def seed_for(seed: int | None, subject_id: str, question: str, number: int) -> int | None:
    """The seed of one call, from the config's seed, the subject, the question and the number of the try.

    Every subject has its own: with one seed for all, a model draws alike for all and its answers bunch together.
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
    """The call of one try or sample.

    Args:
        config: the labeler, proposer or judge.
        prompt: its prompt.
        values: what fills the prompt's placeholders.
        purpose: the stage.
        subject_id: what the call is about.
        question: tells this question about the subject from others.
        number: of the try or sample, from 0; each has another seed.
        warmer: how much the temperature rises with each try, at most to 1.
        count: how many texts or answers the reply should hold.
        top_logprobs: how many alternatives of the first token to ask for.
        asker_version: the version of the config, if requests of this purpose record it.
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
