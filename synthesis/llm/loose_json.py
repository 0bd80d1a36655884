"""JSON objects in text that a model wrote: whole ones only, and never one from inside a broken one. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

_SURROGATE = re.compile(r"[\ud800-\udfff]")
# A brace that does not open JSON but words, as in "the set {a, b}".
_WORDS = re.compile(r'\{[^{}":]*\}')
# A string (to its end, or to the end of the text), or the one comma between a value and a closing bracket.
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|(?<=["\w\]}])\s*,(?=\s*[\]}])', re.DOTALL)


class DuplicateValue:
    """The value of a key that an object has more than once with different values."""


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, half a character that no file or table can hold."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects in the text, from left to right, without what is between them.

    Empty if any brace opens a broken object, for example one that was cut off or contains a bare quote: whatever is
    inside or after it may be a part of it. A brace around words without quotes and colons, such as {a, b}, is text.
    Raw line breaks in strings and one trailing comma are accepted.
    """
    found: list[dict[str, Any]] = []
    escaped = "\\u" in text
    position = text.find("{")
    while position >= 0:
        try:
            value, end = _DECODER.raw_decode(text, position)
        except RecursionError:
            return []
        except ValueError:
            if (words := _WORDS.match(text, position)) is None:
                mended = text[:position] + _STRING_OR_COMMA.sub(_without_comma, text[position:])
                if mended == text:
                    return []
                text = mended
                continue
            end = words.end()
        else:
            found.append(_sound_value(value) if escaped else value)
        position = text.find("{", end)
    return found


def objects_with(text: str, name: str) -> list[dict[str, Any]]:
    """The objects that have the field, without repeats: a model may give the same answer twice."""
    found: list[dict[str, Any]] = []
    for value in objects(text):
        if name in value and value[name] not in [other[name] for other in found]:
            found.append(value)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        result[key] = DuplicateValue() if key in result and result[key] != value else value
    return result


_DECODER = json.JSONDecoder(object_pairs_hook=_object, strict=False)


def _without_comma(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else ""


def _sound_value(value: Any) -> Any:
    """The value with no lone surrogate in any text; an escape in JSON may stand for one."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, list):
        return [_sound_value(each) for each in value]
    if isinstance(value, dict):
        return {without_surrogates(key): _sound_value(each) for key, each in value.items()}
    return value
