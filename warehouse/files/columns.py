"""Columns of text as numbers, truth values and times; the first that is none is an `InputError` with its place."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dateutil import parser as date_parser

from warehouse.files.formats import TextColumns

TRUE, FALSE = ("true", "t", "yes", "1", "1.0"), ("false", "f", "no", "0", "0.0")

# Hours from UTC of the zone names that American sources write; dateutil knows UTC and GMT itself.
ZONE_HOURS = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
ZONE_HOURS |= {"AKST": -9, "AKDT": -8, "HST": -10}
ZONE_SECONDS = {name: hours * 3600 for name, hours in ZONE_HOURS.items()}


@dataclass(frozen=True)
class Distinct:
    """The distinct values of a column: `codes[row]` is the place of the value of a row in `values`."""

    values: list[str]
    codes: np.ndarray[Any, np.dtype[np.int64]]


def distinct(read: TextColumns, column: str) -> Distinct:
    """The distinct values of a column that must not be empty."""
    values = read.columns[column]
    empty = read.first(pc.is_null(values))
    if empty is not None:
        raise read.error(empty, column, "it is empty: fill it in, or take the row out")
    encoded = values.dictionary_encode()
    return Distinct(encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64))


def numbers(read: TextColumns, column: str, scale: tuple[float, float]) -> pa.Array:
    """The numbers of a column as floats; null where it is empty."""
    encoded = read.columns[column].dictionary_encode()
    parsed = np.array([_number(text) for text in encoded.dictionary.to_pylist()], dtype=np.float64)
    values = pa.array(parsed).take(encoded.indices)
    low, high = scale
    broken = read.first(pc.is_nan(values))
    if broken is not None:
        raise read.error(broken, column, f"{read.columns[column][broken].as_py()!r} is not a number")
    outside = read.first(pc.or_(pc.less(values, low), pc.greater(values, high)))
    if outside is not None:
        value = read.columns[column][outside].as_py()
        raise read.error(outside, column, f"{value} is out of the scale from {low:g} to {high:g}")
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def booleans(read: TextColumns, column: str) -> pa.Array:
    """A column of true and false, yes and no, 1 and 0; empty is false."""
    values = pc.utf8_lower(pc.fill_null(read.columns[column], "false"))
    unknown = read.first(pc.invert(pc.is_in(values, pa.array(TRUE + FALSE))))
    if unknown is not None:
        raise read.error(unknown, column, f"{values[unknown].as_py()!r} is neither true nor false")
    return pc.is_in(values, pa.array(TRUE))


def times(read: TextColumns, column: str) -> pa.Array:
    """A column of dates and times in UTC; null where it is empty."""
    encoded = read.columns[column].dictionary_encode()
    parsed = [parse_time(text) for text in encoded.dictionary.to_pylist()]
    values = pa.array(parsed, pa.timestamp("us", "UTC")).take(encoded.indices)
    broken = read.first(pc.and_(pc.is_null(values), pc.is_valid(read.columns[column])))
    if broken is not None:
        shown = read.columns[column][broken].as_py()
        raise read.error(broken, column, f"{shown!r} is not a date: write it like 2018-12-19T16:10:21Z")
    return values


def parse_time(text: str) -> datetime | None:
    """A date and time in UTC, from ISO 8601 or what dateutil reads; without a zone it is UTC. None if it is neither."""
    try:
        return _utc(datetime.fromisoformat(text))
    except ValueError:
        pass
    try:
        with warnings.catch_warnings():
            # An unknown zone only warns, and would shift the time without a word.
            warnings.simplefilter("error")
            # A text that leaves out the day or the year takes it from the default: then the two differ.
            first, second = (
                date_parser.parse(text, tzinfos=ZONE_SECONDS, default=default)
                for default in (datetime(2000, 1, 1), datetime(2001, 2, 2))  # noqa: DTZ001
            )
    except (ValueError, OverflowError, Warning):
        return None
    return _utc(first) if first == second else None


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def texts(read: TextColumns, column: str) -> pa.Array:
    """A column as it is."""
    return read.columns[column]


def seconds(read: TextColumns, column: str) -> pa.Array:
    """A column of durations in seconds; null where it is empty."""
    return numbers(read, column, (0.0, float("inf")))
