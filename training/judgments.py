"""What people said about propositions: what an estimator is calibrated on, and its intervals are measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.levels import Floats

if TYPE_CHECKING:
    from training.model.texts import Rows

Indices = npt.NDArray[np.int64]
_COLUMNS = ["premise_id", "mean", "weight", "values", "n_judgments", "n_simulated"]


@dataclass(frozen=True)
class Judgments:
    """The n propositions of some rows that people judged, and their m judgments.

    Attributes:
        rows: The place [n] of each proposition among those that were looked at.
        premises: The premise [n] of each, as a number.
        means: The consensus means [n].
        weights: The weights [n] in the loss.
        simulated: How many judgments [n] are simulated.
        values: All judgments [m]. One that stands for an interval, such as a label of five, is its middle.
        owners: The proposition [m] of each judgment, in [0, n), ascending.
    """

    rows: Indices
    premises: Indices
    means: Floats
    weights: Floats
    simulated: Indices
    values: Floats
    owners: Indices

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shares(self) -> Floats:
        """One over the number of judgments of its proposition, for each judgment [m]."""
        result: Floats = 1.0 / np.bincount(self.owners, minlength=len(self))[self.owners]
        return result


def judgments_of(rows: Rows, kept: Indices | None = None) -> Judgments:
    """Return the judgments in rows with a shard's columns.

    The `values` of a row are its judgments, then estimates of labelers, which are left out.

    Args:
        rows: The rows.
        kept: The indices of the rows to look at; by default all.
    """
    batches = [batch.select(_COLUMNS) for batch in rows.to_batches()]
    if not batches:
        none = np.empty(0, dtype=np.int64)
        return Judgments(none, none, np.empty(0), np.empty(0), none, np.empty(0), none)
    table = pa.Table.from_batches(batches)
    batch = (table if kept is None else table.take(kept)).combine_chunks()
    lists = pa.concat_arrays(batch["values"].chunks) if batch.num_rows else pa.array([], pa.list_(pa.float64()))
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    judged = (place < _numbers(batch, "n_judgments")[owners]) & np.isfinite(values)
    has = np.unique(owners[judged])
    _, premises = np.unique(batch["premise_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    return Judgments(
        rows=has,
        premises=premises[has],
        means=_numbers(batch, "mean")[has],
        weights=_numbers(batch, "weight")[has],
        simulated=_numbers(batch, "n_simulated")[has].astype(np.int64),
        values=values[judged],
        owners=np.searchsorted(has, owners[judged]),
    )


def _numbers(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
