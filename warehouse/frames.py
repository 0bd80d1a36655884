"""Judgments in a data frame, for agreement and consensus without a catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.errors import InputError

COLUMNS = ("proposition", "annotator", "probability")
Repeats = Literal["first", "all"]


@dataclass(frozen=True)
class Judgments:
    """Judgments as numbers, sorted by proposition and annotator.

    Attributes:
        propositions: The id of each proposition.
        annotators: The id of each annotator.
        proposition_index: For each judgment the place of its proposition in `propositions`.
        annotator_index: For each judgment the place of its annotator in `annotators`.
        values: For each judgment its probability, in [0, 1].
    """

    propositions: pa.Array
    annotators: pa.Array
    proposition_index: npt.NDArray[np.int64]
    annotator_index: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def read_frame(frame: Any, repeats: Repeats = "first") -> Judgments:
    """Read the judgments of a frame.

    Args:
        frame: A pyarrow Table, a pandas or polars DataFrame, a dict of columns, or anything else that `pa.table` takes,
            with the columns proposition, annotator (ids of any type) and probability (in [0, 1]). A judgment without a
            probability (null or nan) does not count.
        repeats: Which judgments of an annotator on the same proposition count: the first in the frame, or all.

    Raises:
        InputError: A column is missing, an id is null, or a probability is not a number in [0, 1].
    """
    table = frame if isinstance(frame, pa.Table) else pa.table(frame)
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"The frame has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
    try:
        values = table["probability"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise InputError("The column 'probability' must hold numbers") from error
    outside = np.flatnonzero((values < 0) | (values > 1))
    if len(outside):
        row = int(outside[0])
        raise InputError(f"The probability in row {row} (from 0) is {values[row]:g}; it must be in [0, 1]")
    valid = ~np.isnan(values)
    (propositions, unit), (annotators, annotator) = (_coded(table[name], name, valid) for name in COLUMNS[:2])
    if repeats == "first":
        order = np.unique(unit * len(annotators) + annotator, return_index=True)[1]
    else:
        order = np.lexsort((annotator, unit))
    return Judgments(propositions, annotators, unit[order], annotator[order], values[valid][order])


def _coded(column: pa.ChunkedArray, name: str, valid: npt.NDArray[np.bool_]) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The distinct ids of a column, and for each valid row the place of its id among them."""
    if column.null_count:
        raise InputError(f"The column {name!r} has nulls; every judgment needs one")
    if not pa.types.is_dictionary(column.type):
        if pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        column = pc.dictionary_encode(column)
    coded = column.unify_dictionaries().combine_chunks()
    used, codes = np.unique(coded.indices.to_numpy(zero_copy_only=False)[valid], return_inverse=True)
    return coded.dictionary.take(pa.array(used)), codes.astype(np.int64)
