"""The ordinal labels of propositions, apart from their other judgments: cut points are learned from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.levels import Floats
from training.model.cut_points import Scale
from training.targets import Judged

_NOTHING = 1e-6
"""Below this, what weights leave is rounding."""
Ints = npt.NDArray[np.int64]


class Labels(NamedTuple):
    """The m labels of some propositions: the proposition of each, ascending, its scale, r from 1, and its weight."""

    owners: Ints
    scales: Ints
    labels: Ints
    weights: Floats

    @classmethod
    def of(cls, rows: list[npt.NDArray[np.float32]]) -> Labels:
        """Return the labels from the rows (scale, label, weight) of each proposition."""
        owners = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        scales, labels, weights = np.concatenate([np.empty((0, 3), np.float32), *rows]).T
        return cls(owners, scales.astype(np.int64), labels.astype(np.int64), weights.astype(np.float64))

    def points(self, n: int) -> Floats:
        """Return the share [n] of the weights of each of n propositions that is not on labels."""
        share = 1 - np.bincount(self.owners, self.weights, n)
        return np.where(share < _NOTHING, 0.0, share)


def parted(judged: Judged, names: list[str], known: dict[Scale, int]) -> tuple[Judged, list[Floats]]:
    """Part the judgments of propositions into points, whose weights grow to make up for the labels, and labels.

    Args:
        judged: The judgments of n propositions.
        names: The source of each judgment.
        known: The index of each scale, in the order in which they were met; new ones are added.

    Returns:
        The points, and for each proposition its labels as rows of `Labels.of`.
    """
    n, widths = len(judged.offsets) - 1, judged.widths
    ordinal = np.zeros(len(judged.values), bool) if widths is None else (widths > 0) & ~np.isnan(judged.values)
    if widths is None or not ordinal.any():
        return judged, [np.empty((0, 3))] * n
    sizes = np.rint(1 / widths[ordinal]).astype(np.int64)
    labels = np.clip(np.rint(judged.values[ordinal] * sizes + 0.5), 1, sizes)
    sources = [names[place] for place in np.flatnonzero(ordinal)]
    scales = [known.setdefault(scale, len(known)) for scale in zip(sources, sizes.tolist(), strict=True)]
    owners = np.repeat(np.arange(n), np.diff(judged.offsets))
    rows = np.column_stack([scales, labels, judged.weights[ordinal]])
    counts = np.bincount(owners[ordinal], minlength=n)
    left = 1 - np.bincount(owners[ordinal], judged.weights[ordinal], n)
    grown = np.where(left > _NOTHING, 1 / np.maximum(left, _NOTHING), 0.0)[owners]
    points = judged._replace(
        values=np.where(ordinal, np.nan, judged.values),
        weights=np.where(ordinal, 0.0, judged.weights * grown),
        widths=None,
    )
    return points, np.split(rows, np.cumsum(counts)[:-1])


def sources_in(part: pa.RecordBatch, judged: Judged) -> list[str]:
    """Return the source of each judgment of some rows with a shard's columns; of older shards, that of the row."""
    columns = part.schema.names
    own = part["source"].to_pylist() if "source" in columns else [""] * part.num_rows
    rows = [own[row] for row in np.repeat(np.arange(part.num_rows), np.diff(judged.offsets))]
    told = part["sources"].flatten().to_pylist() if "sources" in columns else rows
    return [name or row for name, row in zip(told, rows, strict=True)]
