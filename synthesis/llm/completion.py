"""From the JSON of a chat completion to a reply; any part may be missing or have the wrong type. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from synthesis.llm.loose_json import without_surrogates
from synthesis.reply import Reply

_TEXTS = ("text", "thinking", "reasoning", "summary", "refusal")


class GarbledReplyError(Exception):
    """HTTP 200 with a body that is not a chat completion, or without one."""


def reply_of(data: object, *, latency_s: float = 0.0, structured: bool = False, batch: bool = False) -> Reply:
    """The reply in a chat completion: its first choice, or an empty text; without lone surrogates.

    Token counts that are not whole numbers of up to 64 bits are unknown. Raises GarbledReplyError if there are no
    `choices`, if there is an error instead, or if a part has the wrong type.
    """
    if not isinstance(data, dict):
        raise GarbledReplyError("the body is not a chat completion")
    if data.get("error"):
        raise GarbledReplyError("the body is an error with status 200")
    if "choices" not in data:
        raise GarbledReplyError("the body has no choices")
    try:
        choices = data.get("choices") or [{}]
        choice = choices[0]
        message = choice.get("message") or {}
        usage = data["usage"] if isinstance(data.get("usage"), dict) else {}
        content = message.get("content") or ""
        parts = _parts(content) if isinstance(content, list) else _Parts([content])
        # vLLM and vendors use different names.
        thinking = message.get("reasoning_content") or message.get("reasoning") or "\n".join(parts.thinking)
        return Reply(
            text="".join(map(_sound, parts.text)),
            finish_reason=_sound(choice.get("finish_reason")),
            top_logprobs=_first_token(choice),
            thinking=_sound(thinking or None),
            refusal=_sound(message.get("refusal") or "".join(parts.refusal) or None),
            tokens_in=usage.get("prompt_tokens"),
            tokens_out=usage.get("completion_tokens"),
            latency_s=latency_s,
            structured=structured,
            batch=batch,
        )
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError, ValidationError):
        # Not chained: a validation error shows the value, which may repeat the key.
        raise GarbledReplyError("the chat completion has parts of the wrong type") from None


@dataclass
class _Parts:
    """The texts of a message in parts, by kind."""

    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)


def _parts(content: list[Any]) -> _Parts:
    """The parts of a message; those without text, such as images, are skipped."""
    found = _Parts()
    for part in content:
        kind = str(part.get("type"))
        if "thinking" in kind or "reasoning" in kind:
            found.thinking += _texts(part)
        elif kind == "refusal":
            found.refusal += _texts(part)
        else:
            found.text += _texts(part)
    return found


def _texts(part: Any) -> list[str]:
    """The texts of a part; thinking may have several."""
    if isinstance(part, str):
        return [part]
    if isinstance(part, list):
        return [text for each in part for text in _texts(each)]
    if isinstance(part, dict):
        return [text for name in _TEXTS if name in part for text in _texts(part[name])]
    return []


def _sound(value: Any) -> Any:
    """Removes lone surrogates from a text; other types are left for validation."""
    return without_surrogates(value) if isinstance(value, str) else value


def _first_token(choice: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    content = (choice.get("logprobs") or {}).get("content") or [{}]
    alternatives = content[0].get("top_logprobs") or []
    pairs = [(_sound(each["token"]), each["logprob"]) for each in alternatives]
    # One NaN leaves out all: without it the others would say something else. -inf is a probability of 0.
    if any(math.isnan(value) or value == math.inf for _, value in pairs):
        return ()
    return tuple((token, value) for token, value in pairs if value != -math.inf)
