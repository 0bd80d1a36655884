"""Reading a column of dates and times in the one way that fits all rows; UTC if there is no zone."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dateutil import parser as date_parser

from warehouse.files.cells import shown
from warehouse.files.columns import numbers
from warehouse.files.reading import TextColumns

Order = Literal["day-first", "month-first"]
ORDERS = get_args(Order)
UTC_TIMES = pa.timestamp("us", "UTC")
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
UNIT_SECONDS = {"epoch": 1.0, "epoch-ms": 0.001, "excel": 86_400.0}
EXCEL_ZERO_S = -25_569 * 86_400.0  # 30 December 1899, which Excel counts days from
LONGEST_S = 1e11  # what fits a datetime, either way

# UTC offsets in hours of unambiguous zone names; dateutil knows UTC and GMT itself.
ZONE_HOURS = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
ZONE_HOURS |= {"AKST": -9, "AKDT": -8, "HST": -10, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3}
ZONE_SECONDS = {name: hours * 3600 for name, hours in ZONE_HOURS.items()}
ZONES = {name: timezone(timedelta(hours=hours)) for name, hours in ZONE_HOURS.items()} | {"UTC": UTC, "GMT": UTC}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

NUMERIC = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)(?:(?:,? +|T)(.+))?", re.ASCII)
COMPACT = re.compile(r"(19|20)\d{6}(\d{6})?", re.ASCII)  # 20240305, 20240305090000
YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:(?:,? +|T)(.+))?", re.ASCII)
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?", re.ASCII)
UNIX = re.compile(
    rf"[A-Z][a-z]{{2}} ({'|'.join(MONTHS)}) +(\d\d?) (\d\d):(\d\d):(\d\d) ([A-Z]{{3,4}}) (\d{{4}})", re.ASCII
)
NAMED_OFFSET = re.compile(r"\b([A-Z]{3,5})(?=[+-]\d{1,2}(?::?\d\d)?(?: |$))", re.ASCII)  # GMT+1, GMT+0100
ZONE_IN_WORDS = re.compile(r"(?<=[+-]\d{4}) \([^()]+\)$", re.ASCII)  # what JavaScript adds


def times(read: TextColumns, field: str) -> pa.Array:
    """Return a field of dates and times in UTC; null where missing.

    Raises:
        InputError: A value is not a time, is ambiguous, or lies before 1990 or after tomorrow.
    """
    column, how = read.columns[field], read.reading.dates
    if how in UNIT_SECONDS:
        values = _counted(read, field, how)
    else:
        encoded = column.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        order = _order(read, field, texts)
        values = pa.array([parse_time(text, order) for text in texts], UTC_TIMES).take(encoded.indices)
        broken = read.first(pc.and_(pc.is_null(values), pc.is_valid(column)))
        if broken is not None:
            raise read.error(broken, field, f"{shown(column[broken].as_py())} {_problem(column[broken].as_py())}")
    _check_range(read, field, values)
    return values


def _problem(text: str) -> str:
    if NUMBER.fullmatch(text) and not COMPACT.fullmatch(text):
        return "is a number; give its unit with --dates epoch, epoch-ms or excel"
    return "is not a date; write e.g. 2018-12-19T16:10:21Z"


def _counted(read: TextColumns, field: str, unit: str) -> pa.Array:
    """Numbers as times, to the millisecond."""
    seconds = pc.multiply(numbers(read, field, (float("-inf"), float("inf"))), UNIT_SECONDS[unit])
    if unit == "excel":
        seconds = pc.add(seconds, EXCEL_ZERO_S)
    bounded = pc.min_element_wise(
        pc.max_element_wise(seconds, -LONGEST_S, skip_nulls=False), LONGEST_S, skip_nulls=False
    )
    return pc.multiply(pc.round(pc.multiply(bounded, 1000.0)).cast(pa.int64()), 1000).cast(UTC_TIMES)


def _check_range(read: TextColumns, field: str, values: pa.Array) -> None:
    latest = datetime.now(UTC) + timedelta(days=1)
    outside = read.first(pc.or_(pc.less(values, pa.scalar(EARLIEST)), pc.greater(values, pa.scalar(latest))))
    if outside is None:
        return
    text = shown(read.columns[field][outside].as_py())
    early = np.datetime64(values[outside].value, "us") < np.datetime64(EARLIEST.replace(tzinfo=None), "us")
    when = "before 1990" if early else "after tomorrow"
    how = f" as {read.reading.dates}" if read.reading.dates else ""
    raise read.error(outside, field, f"{text} read{how} is {when}; check it, or use --dates to say how to read it")


def _order(read: TextColumns, field: str, texts: list[str]) -> Order | None:
    """The order of day and month that fits all numeric dates; None if there are none.

    Raises:
        InputError: Both orders fit, neither does, or a year has two digits.
    """
    how = read.reading.dates
    if how in ORDERS:
        return cast(Order, how)
    found = [(text, int(match[1]), int(match[3]), match[4]) for text in texts if (match := NUMERIC.fullmatch(text))]
    if not found:
        return None
    late_day = next((text for text, first, _, _ in found if first > 12), None)
    late_month = next((text for text, _, second, _ in found if second > 12), None)
    short = next((text for text, _, _, year in found if len(year) == 2), None)
    open_ = next((text for text, first, second, _ in found if first != second), None)
    ask = "use --dates day-first or --dates month-first"
    if short is not None:
        raise read.error_about(short, field, f"{shown(short)} has a two-digit year; {ask}")
    if late_day and late_month:
        other = f"{shown(late_day)} is not month-first and {shown(late_month)} not day-first"
        raise read.error_about(late_month, field, f"{other}; write all dates the same way, such as 2024-03-13")
    if not late_day and not late_month and open_:
        raise read.error_about(
            open_, field, f"{shown(open_)} may be day-first or month-first, like all dates here; {ask}"
        )
    order: Order = "month-first" if late_month else "day-first"
    read.said.append(f"{order} dates in {read.labels[field]!r}")
    return order


def parse_time(text: str, order: Order | None = None) -> datetime | None:
    """Parse a date and time in UTC: ISO 8601, the output of Unix `date`, numeric dates in `order`, or with words.

    Returns None for anything else, including bare numbers, unknown zones and ambiguous dates.
    """
    if NUMBER.fullmatch(text) and not COMPACT.fullmatch(text):
        return None
    if (match := UNIX.fullmatch(text)) and match[6] in ZONES:
        return _unix(match)
    try:
        return _utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        pass
    if match := NUMERIC.fullmatch(text):
        return parse_time(_ordered(match, order)) if order else None
    if match := YEAR_FIRST.fullmatch(text):
        year, _, month, day, time = match.groups()
        if (iso := _iso(year, month, day, time)) != text:
            return parse_time(iso)
    return _with_words(text)


def _unix(match: re.Match[str]) -> datetime | None:
    month = MONTHS.index(match[1]) + 1
    try:
        day, hour, minute, second = (int(match[number]) for number in range(2, 6))
        return datetime(int(match[7]), month, day, hour, minute, second, tzinfo=ZONES[match[6]]).astimezone(UTC)
    except ValueError:
        return None


def _ordered(match: re.Match[str], order: Order) -> str:
    first, _, second, year, time = match.groups()
    day, month = (first, second) if order == "day-first" else (second, first)
    if len(year) == 2:
        year = f"19{year}" if int(year) > 68 else f"20{year}"
    return _iso(year, month, day, time)


def _iso(year: str, month: str, day: str, time: str | None) -> str:
    """A date as ISO 8601, followed by its time unchanged."""
    if time and time[1:2] == ":":
        time = f"0{time}"
    return f"{year}-{month:0>2}-{day:0>2}" + (f" {time}" if time else "")


def _with_words(text: str) -> datetime | None:
    text = ZONE_IN_WORDS.sub("", text)
    if (named := NAMED_OFFSET.search(text)) and named[1][:3].title() not in MONTHS:
        if named[1] not in ("GMT", "UTC"):
            return None  # as POSIX writes zones, BRT+3 is behind
        # dateutil takes GMT+1 for such a zone too, but browsers and survey tools mean an hour ahead.
        text = NAMED_OFFSET.sub(" ", text)
    # Unless a text starts with its year, day, month and a short year could be confused.
    orders = (False, not YEAR_FIRST.fullmatch(text))
    defaults = (datetime(2000, 1, 1), datetime(2001, 2, 2))  # noqa: DTZ001
    try:
        with warnings.catch_warnings():
            # An unknown zone only warns, and would silently shift the time.
            warnings.simplefilter("error")
            # A text without day or year takes it from the default, and then the two results differ.
            first, second = (
                date_parser.parse(text, tzinfos=ZONE_SECONDS, default=default, dayfirst=swapped, yearfirst=swapped)
                for default, swapped in zip(defaults, orders, strict=True)
            )
        return _utc(first) if first == second else None
    except (ValueError, OverflowError, Warning):
        return None


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
