"""From the JSON of a chat completion to a reply. Any part of it may be missing or of another type. Pure."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationError

from synthesis.call import Reply
from synthesis.loose_json import sound


class GarbledReplyError(Exception):
    """HTTP 200 with a body that is no chat completion, or that did not come."""


def reply_of(data: object, *, latency_s: float = 0.0, structured: bool = False, batch: bool = False) -> Reply:
    """The reply of a chat completion: its first choice, an empty text where there is none; its texts are sound.

    A count of tokens that is none, or more than 64 bits hold, is not known. Raises GarbledReplyError where there are no
    `choices`, where an error stands in place of them, or where a part has the wrong type: it is then no completion.
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
        return Reply(
            text=_sound(message.get("content") or ""),
            finish_reason=_sound(choice.get("finish_reason")),
            top_logprobs=_first_token(choice),
            # vLLM and vendors name it differently.
            thinking=_sound(message.get("reasoning_content") or message.get("reasoning") or None),
            tokens_in=usage.get("prompt_tokens"),
            tokens_out=usage.get("completion_tokens"),
            latency_s=latency_s,
            structured=structured,
            batch=batch,
        )
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError, ValidationError):
        # Not chained: a validation error tells the value, which may repeat the key.
        raise GarbledReplyError("the chat completion has parts of the wrong type") from None


def _sound(value: Any) -> Any:
    """The value, sound where it is a text: of what has another type it is told later that it is wrong."""
    return sound(value) if isinstance(value, str) else value


def _first_token(choice: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    content = (choice.get("logprobs") or {}).get("content") or [{}]
    alternatives = content[0].get("top_logprobs") or []
    pairs = [(_sound(each["token"]), each["logprob"]) for each in alternatives]
    # One that is no number leaves out all: without it the others would say something else. -inf is a probability of 0.
    if any(math.isnan(value) or value == math.inf for _, value in pairs):
        return ()
    return tuple((token, value) for token, value in pairs if value != -math.inf)
