"""What the rows of a file answer: a rating each, a label of an ordinal scale, or a list or counts of responses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.files.cells import CellError, parsed, shown
from warehouse.files.columns import numbers
from warehouse.files.judgment_columns import JudgmentMapping
from warehouse.files.reading import TextColumns
from warehouse.scales import slider_to_probability

DEFAULT_SCALE = (0.0, 100.0)
LOW = 10  # the highest rating of a whole file is rarely this low on a scale to 100
LABELS = 3  # so many different ones are hardly percentages
ASKED_FREELY = ("plain", "mturk")  # formats that do not say on which scale people were asked
MOST_RESPONSES = 10_000  # of one row; more is a mistake, such as counts in a column of ratings


@dataclass(frozen=True)
class Answers:
    """The ratings of a file.

    Attributes:
        rows: For each rating its row, ascending.
        values: For each rating its place in [0, 1]; null if it is missing.
        width: The width of the interval that each stands for; None for points.
    """

    rows: npt.NDArray[np.int64]
    values: pa.Array
    width: float | None = None


def answers_of(read: TextColumns, mapping: JudgmentMapping) -> Answers:
    """Return the ratings of the rows, on [0, 1].

    A label r of an ordinal scale from 1 to R is the interval [(r - 1)/R, r/R], given by its centre and its width.

    Raises:
        InputError: A rating is not a number or not on the scale, or no scale is given and all are up to 1, or all
            are whole and up to 10.
    """
    if "responses" in read.columns:
        rows, ratings = _responses(read, mapping)
        ratings = pa.array(ratings, pa.float64())
    else:
        rows = np.arange(len(read))
        ratings = numbers(_worded(read, mapping.words), "rating", mapping.bounds(read))
    if mapping.scale is None and mapping.bounds(read) == DEFAULT_SCALE:
        _check_default_scale(read, rows, ratings, mapping)
    if mapping.labels is None:
        return Answers(rows, _on_unit(ratings, mapping.bounds(read), mapping.is_slider(read)))
    low, high = mapping.labels
    between = pc.fill_null(pc.not_equal(ratings, pc.round(ratings)), False)
    if (index := pc.index(between, True).as_py()) >= 0:
        field = "responses" if "responses" in read.columns else "rating"
        raise read.error(int(rows[index]), field, f"{ratings[index].as_py():g} is not a label from {low} to {high}")
    labels = high - low + 1
    return Answers(rows, pc.divide(pc.add(pc.subtract(ratings, low), 0.5), float(labels)), 1.0 / labels)


def _check_default_scale(
    read: TextColumns, rows: npt.NDArray[np.int64], ratings: pa.Array, mapping: JudgmentMapping
) -> None:
    """Refuse ratings that may be probabilities or labels, and report few of these, where nobody named the scale."""
    distinct = pc.unique(ratings.drop_null())
    highest = pc.max(distinct).as_py() or 0.0
    labels = pc.all(pc.equal(distinct, pc.round(distinct))).as_py()
    problem = ""
    if 0 < highest <= 1 and (len(distinct) > 1 or not labels):
        problem = f"{highest:g} is the highest; use --scale 0:1, or --scale 0:100 if 1 means 1%"
    elif labels and 0 < highest <= LOW and len(distinct) >= LABELS and mapping.format in ASKED_FREELY:
        problem = (
            f"{highest:g} is the highest, so these may be labels; name the scale, such as --ordinal 1:7 or "
            f"--scale 1:7, or use --scale 0:100 if {highest:g} means {highest:g}%"
        )
    elif labels and 0 < highest <= LOW:
        read.said.append(f"the highest rating is {highest:g} on the scale 0:100; --scale or --ordinal name another")
    if problem:
        field = "responses" if "responses" in read.columns else "rating"
        raise read.error(int(rows[pc.index(ratings, highest).as_py()]), field, problem)


def _on_unit(ratings: pa.Array, scale: tuple[float, float], is_slider: bool) -> pa.Array:
    low, high = scale
    if is_slider:
        there = ratings.to_numpy(zero_copy_only=False)
        return pa.array(slider_to_probability(there), from_pandas=True)
    return pc.divide(pc.subtract(ratings, low), high - low)


def _worded(read: TextColumns, words: Mapping[str, float]) -> TextColumns:
    """The columns with the ratings that words stand for. Raises `InputError` for other words."""
    if words:
        column = read.columns["rating"]
        place = pc.index_in(pc.utf8_lower(column), pa.array([word.lower() for word in words]))
        other = read.first(pc.and_(pc.is_null(place), pc.is_valid(column)))
        if other is not None:
            raise read.error(other, "rating", f"{shown(column[other].as_py())} is not one of {', '.join(words)}")
        read.columns["rating"] = pa.array([repr(value) for value in words.values()]).take(place)
    return read


def _responses(read: TextColumns, mapping: JudgmentMapping) -> tuple[npt.NDArray[np.int64], list[float]]:
    """The row and the rating of each response; a row without any has one that is missing."""
    counts: list[int] = []
    ratings: list[float] = []
    scale = mapping.bounds(read)
    known: dict[str, list[float]] = {}
    for index, text in enumerate(read.columns["responses"].to_pylist()):
        if text is None:
            found = [float("nan")]
        elif (found := known.get(text, [])) == []:
            try:
                found = known[text] = _unfolded(parsed(text), mapping, scale)
            except CellError as error:
                raise read.error(index, "responses", f"{shown(text)}: {error}") from error
        counts.append(len(found))
        ratings += found
    missing = np.isnan(ratings)
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, pa.array(np.array(ratings), mask=missing).to_pylist()


def _unfolded(value: object, mapping: JudgmentMapping, scale: tuple[float, float]) -> list[float]:
    """The ratings of a list of ratings, a list of counts (of `mapping.counted`), or an object of counts by rating."""
    words = {word.lower(): rating for word, rating in mapping.words.items()}
    if isinstance(value, dict):
        found = _repeated([(_rating(key, words, scale), count) for key, count in value.items()])
    elif isinstance(value, list) and (ratings := mapping.counted or _words_counted(value, mapping.known.words)):
        if len(value) != len(ratings):
            raise CellError(f"it has {len(value)} counts; {len(ratings)} are expected, one per rating")
        found = _repeated(list(zip(ratings, value, strict=True)))
    elif isinstance(value, list):
        found = [_rating(each, words, scale) for each in value if not _is_absent(each)]
    else:
        raise CellError('not a list such as [70, 80], nor counts such as {"0": 2, "100": 1}')
    if not found:
        raise CellError("it holds no response")
    return found


def _words_counted(value: list[Any], words: Mapping[str, float]) -> list[float]:
    """The ratings that a list of numbers counts, if the format has words for ratings."""
    return list(words.values()) if all(isinstance(each, int | float) for each in value) else []


def _is_absent(value: object) -> bool:
    """Whether a value of a list or an object is one that programs fill rows up with: null or nan."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _repeated(counts: Sequence[tuple[float, object]]) -> list[float]:
    found: list[float] = []
    for rating, count in counts:
        if _is_absent(count):  # a key that other rows have
            continue
        if not isinstance(count, int | float) or isinstance(count, bool) or count < 0 or count != count // 1:
            raise CellError(f"{shown(str(count))} is not a count")
        if len(found) + count > MOST_RESPONSES:
            raise CellError(f"more than {MOST_RESPONSES:,} responses")
        found += [rating] * int(count)
    return found


def _rating(value: object, words: Mapping[str, float], scale: tuple[float, float]) -> float:
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        rating = float(value)
    except ValueError:
        expected = f"one of {', '.join(words)}" if words else "a number"
        raise CellError(f"{shown(str(value))} is not {expected}") from None
    low, high = scale
    if not low <= rating <= high:
        raise CellError(f"{rating:g} is outside the scale from {low:g} to {high:g}")
    return rating
