"""From a reply to its JSON fields, or the reason why it has none. Pure, and never a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from synthesis.llm.loose_json import DuplicateValue, objects, objects_with

T = TypeVar("T")


class Reason(StrEnum):
    """Why a reply is refused."""

    EMPTY = "empty_reply"
    CUT_OFF = "cut_off"
    NOT_JSON = "not_json"
    MISSING_FIELD = "missing_field"
    NO_NUMBER = "no_number"
    SEVERAL_ANSWERS = "several_answers"
    AMBIGUOUS = "ambiguous"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    NO_LOGPROBS = "no_logprobs"
    NO_YES_NO_TOKEN = "no_yes_no_token"  # noqa: S105 - a token of text
    TOO_FEW_SAMPLES = "too_few_samples"
    WRONG_NUMBERS = "wrong_numbers"
    NO_CHOICE = "no_choice"
    REFUSED = "refused_by_model"


ENDED = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "endoftext"})
"""Finish reasons of a reply that ended by itself, in lower case. After any other, something may be missing."""
CUT = frozenset({"length", "max_tokens", "model_length"})
"""Finish reasons of a reply that the token limit cut off."""
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """Either what a reply says or why it is refused, with the reasoning that came with it."""

    value: T | None
    reason: Reason | None
    reasoning: str | None = None


def parse_field(text: str, field: str, finish_reason: str | None = None) -> Parsed[Any]:
    """The value of a field in a reply with exactly one JSON object that has it; a field given twice is refused."""
    visible = without_thinking(text)
    found = objects_with(visible, field)
    if len(found) != 1:
        return Parsed(None, why_no_object(visible, found, finish_reason))
    value = found[0][field]
    return Parsed(None, Reason.SEVERAL_ANSWERS) if isinstance(value, DuplicateValue) else Parsed(value, None)


def parse_texts(text: str, field: str, finish_reason: str | None = None) -> Parsed[list[str]]:
    """The texts of a reply with exactly one JSON object that has this field, a list of texts."""
    found = parse_field(text, field, finish_reason)
    if found.reason is not None:
        return Parsed(None, found.reason)
    values = found.value
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return Parsed(values, None)
    return Parsed(None, Reason.MISSING_FIELD)


def parse_text(text: str, field: str, finish_reason: str | None = None) -> Parsed[str]:
    """The text, not blank, of a reply with exactly one JSON object that has this field."""
    found = parse_field(text, field, finish_reason)
    if found.reason is not None:
        return Parsed(None, found.reason)
    if not isinstance(found.value, str):
        return Parsed(None, Reason.MISSING_FIELD)
    value = found.value.strip()
    return Parsed(value, None) if value else Parsed(None, Reason.EMPTY)


def why_no_object(visible: str, found: Sequence[object], finish_reason: str | None) -> Reason:
    """Why a reply does not hold exactly one object with a field; `found` are those that have the field."""
    if is_cut_off(finish_reason):
        return Reason.CUT_OFF
    if not visible:
        return Reason.EMPTY
    if found:
        return Reason.SEVERAL_ANSWERS
    return Reason.MISSING_FIELD if objects(visible) else Reason.NOT_JSON


def has_ended(finish_reason: str | None) -> bool:
    """Whether a reply is known to have ended by itself."""
    return finish_reason is not None and finish_reason.casefold() in ENDED


def is_cut_off(finish_reason: str | None) -> bool:
    """Whether the token limit cut a reply off."""
    return (finish_reason or "").casefold() in CUT


def without_thinking(text: str) -> str:
    """The reply without its <think> blocks. An open block takes the rest, a lone closing tag all that precedes it."""
    return _apart(text)[1].strip()


def thinking_of(text: str) -> str | None:
    """What `without_thinking` removes, without the tags; None if that is nothing."""
    return "\n".join(part.strip() for part in _apart(text)[0] if part.strip()) or None


def _apart(text: str) -> tuple[list[str], str]:
    if "<" not in text:
        return [], text
    *closed, rest = re.split(r"</think>", _THINK.sub("", text), flags=re.IGNORECASE)
    visible, *opened = re.split(r"<think>", rest, maxsplit=1, flags=re.IGNORECASE)
    return [*_THINK.findall(text), *closed, *opened], visible
