"""From a reply to a probability or a reason. Pure, and never a guess: what can be read in two ways is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from synthesis.llm.loose_json import DuplicateValue, objects, objects_with
from synthesis.prompts.render import AnswerKind

MIN_YES_NO_MASS = 0.2
"""The least joint probability of Yes and No at the first token: below it the model was not answering the question."""
ROUNDING = 1e-3
"""How far above 0 a log-probability may be: servers compute it in half precision."""


class Reason(StrEnum):
    """Why a reply is no answer."""

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
"""What servers say of a reply that ended by itself, in lower case. After any other word something may be missing."""
CUT = frozenset({"length", "max_tokens", "model_length"})
"""What they say of one that the limit of tokens ended."""


def has_ended(finish_reason: str | None) -> bool:
    """Whether a reply is known to have ended by itself."""
    return finish_reason is not None and finish_reason.casefold() in ENDED


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """What a reply says, or why it says nothing: exactly one of them; and the reasoning that came with it."""

    value: T | None
    reason: Reason | None
    reasoning: str | None = None


# Not \d, which is every script's digits: float() would read them, but what a model means by them is a guess.
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER_AND_SUFFIX = rf"({_NUMBER}|[+-]?(?:nan|inf(?:inity)?))\s*(%|/\s*20)?\.?"


@dataclass(frozen=True)
class _Field:
    """Where a number stands in a JSON answer, and what it is divided by with each of the suffixes it may carry.

    As text it is `plain`, with or without its label, or `labelled`.
    """

    name: str
    suffixes: Mapping[str, float]
    plain: re.Pattern[str]
    labelled: re.Pattern[str]


def _field(name: str, suffixes: Mapping[str, float]) -> _Field:
    label = rf"\b(?:final\s+|estimated\s+)?(?:answer|{name})\s*[:=]\s*"
    plain, labelled = (re.compile(before + _NUMBER_AND_SUFFIX, re.I) for before in (f"(?:{label})?", label))
    return _Field(name, suffixes, plain, labelled)


_FIELDS: Mapping[AnswerKind, _Field] = {
    "probability": _field("probability", {"": 1.0, "%": 100.0}),
    "scale20": _field("score", {"": 20.0, "/20": 20.0}),
}
_ANY_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_EMPHASIS = re.compile(r"(?<![^\s:=])(\*{1,3}|_{1,3}|`)(?=\S)([^*_`\n]+)(?<=\S)\1(?!\.\d)(?![^\s:=%/.])")
_WHOLE = re.compile(r"[0-9]{1,9}")
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL | re.IGNORECASE)


def parse_number(text: str, answer: AnswerKind, finish_reason: str | None = "stop") -> Parsed[float]:
    """The probability in a reply whose answer is "probability" (0.7 or 70%) or "scale20" (14 of 20 is 0.7).

    Accepted are one JSON object with the field `probability` or `score`, in a code fence or among other text; a bare
    number with or without a label, and with or without emphasis (`**0.7**`); and, whatever numbers stand above it, a
    last line that is a label and a number and nothing else ("Probability: 0.7"), unless another one is labelled too.
    On the scale of 20 a number without `/20` that may be a probability (0.7, or 1.0 with its decimals) is ambiguous.
    A reply that was cut off by the token limit has the reason `cut_off`, unless a whole object is in it; so has a bare
    number in a reply that is not known to have ended by itself: it may have lost its end.
    """
    field = _FIELDS[answer]
    visible = without_thinking(text)
    in_json = "{" in visible
    parsed = _from_json(visible, field) if in_json else _from_words(visible, field)
    cut, read = _is_cut(finish_reason), parsed.reason is None
    if (cut and not (read and in_json)) or (read and not in_json and not has_ended(finish_reason)):
        return Parsed(None, Reason.CUT_OFF, parsed.reasoning)
    return parsed


def parse_yes_no(top_logprobs: Iterable[tuple[str, float]]) -> Parsed[float]:
    """P(Yes) / (P(Yes) + P(No)) at the first token, from pairs of token and natural-log probability.

    Spellings that differ only in case and leading space are summed. Refused where P(Yes) + P(No) is below
    MIN_YES_NO_MASS, where the endpoint gave no log-probabilities, or where one of them is none: not a number, or above
    0 by more than ROUNDING.
    """
    mass = {"yes": 0.0, "no": 0.0}
    seen = False
    for token, logprob in top_logprobs:
        # Not passed over: without one that is wrong the others would say something else.
        if math.isnan(logprob) or logprob > ROUNDING:
            return _refused(Reason.NO_LOGPROBS)
        seen = True
        word = token.lstrip(" \t\n▁Ġ").casefold()
        if word in mass:
            mass[word] += math.exp(min(logprob, 0.0))
    if not seen:
        return _refused(Reason.NO_LOGPROBS)
    total = mass["yes"] + mass["no"]
    if total < MIN_YES_NO_MASS:
        return _refused(Reason.NO_YES_NO_TOKEN)
    return Parsed(mass["yes"] / total, None)


def number_of(value: Any, answer: AnswerKind) -> Parsed[float]:
    """The probability that a value of a JSON answer states: a number, or a text that holds nothing but one."""
    return _from_value(value, _FIELDS[answer])


def whole_number(value: Any) -> int | None:
    """The number in 1, 1.0 or "1", as it tells one thing from another; None for anything else, true among it."""
    if isinstance(value, str):
        text = value.strip()
        return int(text) if _WHOLE.fullmatch(text) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if type(value) is int else None


def parse_texts(text: str, field: str, finish_reason: str | None = None) -> Parsed[list[str]]:
    """The texts of a reply that holds one JSON object with this field, a list of texts."""
    found = parse_field(text, field, finish_reason)
    if found.reason is not None:
        return Parsed(None, found.reason)
    values = found.value
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return Parsed(values, None)
    return Parsed(None, Reason.MISSING_FIELD)


def parse_text(text: str, field: str, finish_reason: str | None = None) -> Parsed[str]:
    """The text, not blank, of a reply that holds one JSON object with this field."""
    found = parse_field(text, field, finish_reason)
    if found.reason is not None:
        return Parsed(None, found.reason)
    if not isinstance(found.value, str):
        return Parsed(None, Reason.MISSING_FIELD)
    value = found.value.strip()
    return Parsed(value, None) if value else Parsed(None, Reason.EMPTY)


def parse_field(text: str, field: str, finish_reason: str | None = None) -> Parsed[Any]:
    """Whatever the field holds in a reply with one JSON object that has it; a field given twice is refused."""
    visible = without_thinking(text)
    found = objects_with(visible, field)
    if len(found) != 1:
        return Parsed(None, why_no_object(visible, found, finish_reason))
    value = found[0][field]
    return Parsed(None, Reason.SEVERAL_ANSWERS) if isinstance(value, DuplicateValue) else Parsed(value, None)


def why_no_object(visible: str, found: Sequence[object], finish_reason: str | None) -> Reason:
    """Why a reply that should hold one object with a field does not; `found` are the objects that have the field."""
    if _is_cut(finish_reason):
        return Reason.CUT_OFF
    if not visible:
        return Reason.EMPTY
    if found:
        return Reason.SEVERAL_ANSWERS
    return Reason.MISSING_FIELD if objects(visible) else Reason.NOT_JSON


def _is_cut(finish_reason: str | None) -> bool:
    return (finish_reason or "").casefold() in CUT


def without_thinking(text: str) -> str:
    """The reply without its <think> blocks; an open block takes the rest, a lone closing tag what stands before."""
    return _apart(text)[1].strip()


def thinking_of(text: str) -> str | None:
    """What without_thinking takes away, without its tags; None where that is nothing."""
    return "\n".join(part.strip() for part in _apart(text)[0] if part.strip()) or None


def _apart(text: str) -> tuple[list[str], str]:
    if "<" not in text:
        return [], text
    *closed, rest = re.split(r"</think>", _THINK.sub("", text), flags=re.IGNORECASE)
    visible, *opened = re.split(r"<think>", rest, maxsplit=1, flags=re.IGNORECASE)
    return [*_THINK.findall(text), *closed, *opened], visible


def _refused(reason: Reason, reasoning: str | None = None) -> Parsed[float]:
    return Parsed(None, reason, reasoning)


def _from_json(text: str, field: _Field) -> Parsed[float]:
    found = objects_with(text, field.name)
    if len(found) > 1:
        return _refused(Reason.SEVERAL_ANSWERS)
    if found:
        reasoning = found[0].get("reasoning")
        value = _from_value(found[0][field.name], field)
        return Parsed(value.value, value.reason, reasoning if isinstance(reasoning, str) else None)
    return _refused(Reason.MISSING_FIELD if objects(text) else Reason.NOT_JSON)


def _from_value(value: Any, field: _Field) -> Parsed[float]:
    if isinstance(value, DuplicateValue):
        return _refused(Reason.SEVERAL_ANSWERS)
    if isinstance(value, str):
        return _from_plain(value.strip(), field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _refused(Reason.NO_NUMBER)
    return _in_range(value, field, "", isinstance(value, float))


def _from_words(text: str, field: _Field) -> Parsed[float]:
    """From a reply without JSON: all of it, or its last line where that is a label and a number."""
    if not text:
        return _refused(Reason.EMPTY)
    text = _EMPHASIS.sub(r"\2", text)
    above, _, last = text.rpartition("\n")
    if above and field.labelled.fullmatch(last.strip()):
        said = {_from_plain(each[0], field) for each in field.labelled.finditer(text)}
        return said.pop() if len(said) == 1 else _refused(Reason.SEVERAL_ANSWERS)
    return _from_plain(text, field)


def _from_plain(text: str, field: _Field) -> Parsed[float]:
    match = field.plain.fullmatch(text)
    if match is None:
        return _refused(_why_not_plain(text))
    suffix = re.sub(r"\s", "", match[2] or "")
    if suffix not in field.suffixes:
        return _refused(Reason.AMBIGUOUS)
    with_decimals = any(mark in match[1].rstrip(".") for mark in ".eE")
    return _in_range(float(match[1]), field, suffix, with_decimals)


def _why_not_plain(text: str) -> Reason:
    numbers = len(_ANY_NUMBER.findall(text))
    if numbers == 0:
        return Reason.NO_NUMBER
    return Reason.AMBIGUOUS if numbers == 1 else Reason.SEVERAL_ANSWERS


def _in_range(value: float, field: _Field, suffix: str, with_decimals: bool) -> Parsed[float]:
    top = field.suffixes[suffix]
    if isinstance(value, float) and not math.isfinite(value):
        return _refused(Reason.NOT_FINITE)
    if not 0 <= value <= top:
        return _refused(Reason.OUT_OF_RANGE)
    if with_decimals and not suffix and top > 1 and 0 < value <= 1:
        return _refused(Reason.AMBIGUOUS)
    return Parsed(value / top, None)
