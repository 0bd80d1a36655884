"""From a reply to a probability, or to the reason why it is refused: never a guess between two readings. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from synthesis.llm.loose_json import DuplicateValue, objects, objects_with
from synthesis.prompts.render import AnswerKind
from synthesis.questions.parse import Parsed, Reason, has_ended, is_cut_off, without_thinking

MIN_YES_NO_MASS = 0.2
"""The least joint probability of Yes and No at the first token; below it the model was not answering the question."""
ROUNDING = 1e-3
"""How far above 0 a log-probability may be: servers compute it in half precision."""

# Not \d, which matches the digits of every script: float() would read them, but what a model means is a guess.
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER_AND_SUFFIX = rf"({_NUMBER}|[+-]?(?:nan|inf(?:inity)?))\s*(%|/\s*20)?\.?"


@dataclass(frozen=True)
class _Field:
    """The field of a number in a JSON answer, and the divisor for each suffix that the number may have.

    `plain` matches the number as text, with or without a label, `labelled` only with one.
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


def parse_number(text: str, answer: AnswerKind, finish_reason: str | None = "stop") -> Parsed[float]:
    """The probability in a reply whose answer is "probability" (0.7 or 70%) or "scale20" (14 of 20 is 0.7).

    Accepts one JSON object with the field `probability` or `score`, in a code fence or among other text; a bare number
    with or without a label or emphasis (`**0.7**`); and, whatever numbers precede it, a last line that is just a label
    and a number ("Probability: 0.7"), unless a different number is labelled too. On the scale of 20, a number without
    `/20` that may be a probability (0.7, or 1.0 with its decimals) is ambiguous. A reply that the token limit cut off
    is refused as `cut_off` unless it contains a whole object; so is a bare number in a reply that is not known to have
    ended by itself, because its end may be missing.
    """
    field = _FIELDS[answer]
    visible = without_thinking(text)
    in_json = "{" in visible
    parsed = _from_json(visible, field) if in_json else _from_words(visible, field)
    cut, read = is_cut_off(finish_reason), parsed.reason is None
    if (cut and not (read and in_json)) or (read and not in_json and not has_ended(finish_reason)):
        return Parsed(None, Reason.CUT_OFF, parsed.reasoning)
    return parsed


def parse_yes_no(top_logprobs: Iterable[tuple[str, float]]) -> Parsed[float]:
    """P(Yes) / (P(Yes) + P(No)) at the first token, from pairs of token and natural-log probability.

    Sums over spellings that differ only in case and leading space. Refused if P(Yes) + P(No) is below MIN_YES_NO_MASS,
    if the endpoint gave no log-probabilities, or if one of them is invalid: NaN, or above 0 by more than ROUNDING.
    """
    mass = {"yes": 0.0, "no": 0.0}
    seen = False
    for token, logprob in top_logprobs:
        # Not skipped: without the invalid one the others would say something else.
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


def probability_of(value: Any) -> Parsed[float]:
    """The probability that a JSON value states: a number, or a text that is just a number."""
    return _from_value(value, _FIELDS["probability"])


def whole_number(value: Any) -> int | None:
    """The integer in 1, 1.0 or "1", as in an enumeration; None for anything else, including booleans."""
    if isinstance(value, str):
        text = value.strip()
        return int(text) if _WHOLE.fullmatch(text) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if type(value) is int else None


def _refused(reason: Reason) -> Parsed[float]:
    return Parsed(None, reason)


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
    """From a reply without JSON: all of it, or its last line if that is a label and a number."""
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
