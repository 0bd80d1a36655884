"""Converting columns of text to numbers and booleans. A value that does not fit is an `InputError` with its place."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.files.cells import shown
from warehouse.files.reading import DecimalMark, TextColumns

# Includes the words that German, French, Italian and Spanish spreadsheets write.
TRUE = ("true", "t", "yes", "y", "1", "1.0", "on", "wahr", "vrai", "vero", "verdadero")
FALSE = ("false", "f", "no", "n", "0", "0.0", "off", "falsch", "faux", "falso")

NUMBERS: dict[DecimalMark, re.Pattern[str]] = {
    "point": re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+|(?=\.\d))(\.\d*)?([eE][+-]?\d+)?", re.ASCII),
    "comma": re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(\.\d{3})+|(?=,\d))(,\d*)?([eE][+-]?\d+)?", re.ASCII),
}
CODE = re.compile(r"-\d+|99+", re.ASCII)  # what survey tools write for a missing number
LONGEST_CODE = 8
IF_WORDS = "; if ratings are words, give them from low to high, as in --ordinal unlikely,maybe,likely"
MINUS = "\u2212"
GROUPS: dict[DecimalMark, str] = {"point": ",", "comma": "."}


@dataclass(frozen=True)
class Distinct:
    """The distinct values of a column; `codes` has the index of each row's value."""

    values: list[str]
    codes: np.ndarray[Any, np.dtype[np.int64]]


def distinct(read: TextColumns, field: str) -> Distinct:
    """Return the distinct values of a field that must not be missing."""
    values = read.columns[field]
    empty = read.first(pc.is_null(values))
    if empty is not None:
        raise read.error(empty, field, "empty, or a word for missing such as NA; fill it in or remove the row")
    encoded = values.dictionary_encode()
    return Distinct(encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64))


def numbers(read: TextColumns, field: str, scale: tuple[float, float]) -> pa.Array:
    """Return a field as floats; null where missing. All values use the same decimal mark."""
    column = read.columns[field]
    encoded = column.dictionary_encode()
    values = _plain(encoded.dictionary)
    if values is None:
        values = _marked(read, field, encoded.dictionary.to_pylist(), scale)
    n_broken = int(pc.sum(pc.is_nan(values)).as_py() or 0)
    values = values.take(encoded.indices)
    low, high = scale
    broken = read.first(pc.is_nan(values))
    if broken is not None:
        text = column[broken].as_py()
        hint = (
            f"; point to a value in it, such as --column {field}=COLUMN:/0/key"
            if text[0] in "[{" and len(text) > 2
            else (IF_WORDS if field == "rating" and n_broken > 1 else _if_missing(text))
        )
        raise read.error(broken, field, f"{shown(text)} is not a number{hint}")
    outside = read.first(pc.or_(pc.less(values, low), pc.greater(values, high)))
    if outside is not None:
        text = column[outside].as_py()
        told = text if len(text) < 20 else shown(text)
        hint = _if_missing(text) if CODE.fullmatch(text) else ""
        raise read.error(outside, field, f"{told} is outside the scale from {low:g} to {high:g}{hint}")
    return values


def _if_missing(text: str) -> str:
    """What to do if a text stands for a missing value."""
    return f"; if it means that there is none, add --missing {shlex.quote(text)}" if len(text) <= LONGEST_CODE else ""


def _plain(texts: pa.Array) -> pa.Array | None:
    """The numbers if all are plain (no percent signs, decimal points only); otherwise None."""
    try:
        values = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return values if pc.all(pc.is_finite(values)).as_py() in (True, None) else None


def _marked(read: TextColumns, field: str, texts: list[str], scale: tuple[float, float]) -> pa.Array:
    bare = [text.removesuffix("%").rstrip().replace(MINUS, "-") for text in texts]
    mark = read.reading.decimal or _mark(read, field, texts, bare)
    values = np.array([_number(text, mark) for text in bare])
    percent = np.array([text.endswith("%") for text in texts])
    if percent.any():
        low, high = scale
        if low != 0 or high not in (1.0, 100.0):
            index = read.first(pc.ends_with(read.columns[field], "%"))
            assert index is not None
            raise read.error(index, field, "percent signs only fit the scales 0:100 and 0:1")
        others = values[~percent]
        if high == 100 and len(others) and 0 < others.max() <= 1:
            text = texts[int(np.flatnonzero(~percent)[others.argmax()])]
            problem = f"{text} beside percent signs may be {text}% or a share; write all alike"
            raise read.error_about(text, field, problem)
        values[percent] *= high / 100
        read.said.append(f"percent signs in {read.labels[field]!r}")
    return pa.array(values)


def _mark(read: TextColumns, field: str, texts: list[str], bare: list[str]) -> DecimalMark:
    """The decimal mark that fits most values. Raises `InputError` if point and comma both fit all."""
    with_comma = [index for index, text in enumerate(bare) if "," in text]
    if not with_comma:
        return "point"
    fits = {mark: sum(bool(number.fullmatch(text)) for text in bare) for mark, number in NUMBERS.items()}
    if fits["point"] == fits["comma"] == len(bare):
        text = texts[with_comma[0]]
        problem = f"{shown(text)} may have a decimal comma or a thousands separator; use --decimal comma or point"
        raise read.error_about(text, field, problem)
    if fits["comma"] < fits["point"]:
        return "point"
    read.said.append(f"decimal comma in {read.labels[field]!r}")
    return "comma"


def _number(text: str, mark: DecimalMark) -> float:
    """The number; nan if the text is not one."""
    if not NUMBERS[mark].fullmatch(text):
        return float("nan")
    return float(text.replace(GROUPS[mark], "").replace(",", "."))


def booleans(read: TextColumns, field: str) -> pa.Array:
    """Return a field of true/false, yes/no or 1/0 as booleans; missing is false."""
    values = pc.utf8_lower(pc.fill_null(read.columns[field], "false"))
    unknown = read.first(pc.invert(pc.is_in(values, pa.array(TRUE + FALSE))))
    if unknown is not None:
        text = read.columns[field][unknown].as_py()
        raise read.error(unknown, field, f"{shown(text)} is neither true nor false")
    return pc.is_in(values, pa.array(TRUE))


def texts(read: TextColumns, field: str) -> pa.Array:
    """Return a field unchanged."""
    return read.columns[field]


def seconds(read: TextColumns, field: str) -> pa.Array:
    """Return a field of durations in seconds; null where missing."""
    return numbers(read, field, (0.0, float("inf")))
