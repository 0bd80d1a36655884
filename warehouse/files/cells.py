"""Cleaning the values of a file: surrogates, white space, words for "missing", ids, JSON in a cell."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NaT", "NULL", "null", "None")
SHOWN_CHARACTERS = 60

WHOLE = r"^([+-]?\d{1,15})\.0*$"
SHORTENED = r"^[+-]?(\d(\.\d+)?[eE]\+\d{2,}|\d{16,}\.0*)$"
INVISIBLE = "\u200b\u2060\ufeff"
"""What copying from a page or a file leaves. The joiners that scripts and emoji need are not here."""
CONTROL = {"id": f"[\\x00-\\x1f\\x7f-\\x{{9f}}{INVISIBLE}]", "text": "[\\x00-\\x08\\x0e-\\x1b\\x7f]"}
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class CellError(ValueError):
    """A value that cannot be used as text. The message says why."""


def as_array(values: Sequence[str | None]) -> tuple[pa.Array, list[int]]:
    """Return the texts as an Arrow array, and the indices of those with a lone surrogate, replaced by U+FFFD."""
    try:
        return pa.array(values, pa.string()), []
    except UnicodeEncodeError:
        whole = [None if value is None else _whole(value) for value in values]
        halves = [index for index, value in enumerate(values) if value and _SURROGATE.search(value)]
        return pa.array(whole, pa.string()), halves


def _whole(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def trimmed(column: pa.Array, missing: Sequence[str] = ()) -> pa.Array:
    """Strip white space and invisible characters; null where nothing is left, or only a word for "missing"."""
    column = pc.utf8_trim_whitespace(pc.utf8_trim(pc.utf8_trim_whitespace(column), INVISIBLE))
    absent = pc.is_in(column, pa.array(["", *MISSING, *missing]))
    return pc.if_else(absent, pa.scalar(None, pa.string()), column)


def without_entities(column: pa.Array) -> pa.Array:
    """Decode HTML entities, each distinct value once."""
    encoded = column.dictionary_encode()
    texts = [html.unescape(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


def whole_numbers(column: pa.Array) -> pa.Array:
    """Return ids as text: 17.0 becomes 17."""
    return pc.replace_substring_regex(column, WHOLE, r"\1")


def scalar_text(value: object) -> str | None:
    """Return a JSON value as text. Raises `CellError` for a list or an object."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    kind = "a list" if isinstance(value, list) else "an object"
    raise CellError(f"it is {kind}, not text or a number; point to a value in it, such as --column FIELD=COLUMN:/0/key")


def pointed(value: object, pointer: Sequence[str]) -> object:
    """Follow a JSON pointer (RFC 6901) into a value; None if it leads nowhere."""
    for part in pointer:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def parsed(text: str) -> object:
    """Parse JSON, refusing duplicate keys, excessive nesting and overlong integers.

    Raises:
        CellError: The JSON cannot be used.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise CellError(f"broken JSON ({error.msg}, character {error.colno})") from error
    except RecursionError as error:
        raise CellError("the JSON is nested too deeply") from error
    except CellError:
        raise
    except ValueError as error:  # Python's limit for integers
        raise CellError("a number of more than 4,300 digits") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise CellError(f"an object has the key {twice!r} twice; rename one of them")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def shown(text: str) -> str:
    """Return a value for a message: quoted, escaped and shortened."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")
