"""What an estimator learns from: propositions with their targets, and order pairs, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from training.levels import Floats
from training.model.batches import Indices, encode_table, pair_texts
from training.model.estimator import Estimator
from training.model.prompt import Encoded
from training.settings import FitSettings
from training.targets import Judged, Prior, targets
from warehouse.errors import InputError
from warehouse.records import Drop

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Examples:
    """The prompts, with their targets [n, K], consensus means [n] and weights [n].

    `ids` are the proposition ids of the table, which `prompts.rows` points into.
    """

    ids: pa.ChunkedArray
    prompts: Encoded
    targets: torch.Tensor
    means: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class OrderPairs:
    """Order pairs: the indices [n] of their prompts, and their weights [n]."""

    prompts: Encoded
    higher: Indices
    lower: Indices
    weights: torch.Tensor


def examples_of(
    table: pa.Table, estimator: Estimator, settings: FitSettings, prior: Prior, split: str
) -> tuple[Examples, list[Drop]]:
    """Return the prompts and targets of the propositions of a table, and drops for those that are too long."""
    prompts, drops = encode_table(estimator.tokenizer, table, settings.max_length)
    if not len(prompts.rows):
        raise InputError(f"no {split} proposition fits into {settings.max_length} tokens; raise max_length")
    means = table.column("mean").to_numpy()
    parts = [
        targets(
            settings.target,
            judged(table.slice(start, _ROWS_AT_ONCE)),
            means[start : start + _ROWS_AT_ONCE],
            settings.spread,
            prior,
        )
        for start in range(0, table.num_rows, _ROWS_AT_ONCE)
    ]
    rows = prompts.rows
    columns = (np.concatenate(parts)[rows], means[rows], table.column("weight").to_numpy()[rows])
    return Examples(table["proposition_id"], prompts, *(_tensor(column, estimator) for column in columns)), drops


def judged(table: pa.Table) -> Judged:
    """Return the judgments in the columns `values`, `weights` and, if present, `widths` of a table.

    A null value is a missing judgment; without widths all are points.
    """
    values, weights = (table.column(name).combine_chunks() for name in ("values", "weights"))
    lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    if not np.array_equal(lengths, weights.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)):
        raise ValueError("a proposition has another number of weights than of values")
    widths = table.column("widths").combine_chunks().flatten() if "widths" in table.column_names else None
    return Judged(
        values.flatten().to_numpy(zero_copy_only=False).astype(np.float64),
        weights.flatten().to_numpy(zero_copy_only=False).astype(np.float64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        None if widths is None else widths.to_numpy(zero_copy_only=False).astype(np.float64),
    )


def choosing(dev: pa.Table) -> pa.Table:
    """Return the rows of dev that select the epoch: those that people judged, or all if there are none."""
    human = dev.filter(pc.equal(dev["origin"], "human"))
    return human if human.num_rows else dev


def pairs_of(
    table: pa.Table | None, estimator: Estimator, settings: FitSettings
) -> tuple[OrderPairs | None, list[Drop]]:
    """Return the order pairs of which both sides fit, or None, and drops for what is too long."""
    if table is None or not table.num_rows:
        return None, []
    prompts, drops = encode_table(estimator.tokenizer, pair_texts(table), settings.max_length)
    place = np.full(2 * table.num_rows, -1, dtype=np.int64)
    place[prompts.rows] = np.arange(len(prompts.rows))
    higher, lower = place[: table.num_rows], place[table.num_rows :]
    fits = (higher >= 0) & (lower >= 0)
    if not fits.any():
        return None, drops
    weights = _tensor(table.column("weight").to_numpy()[fits], estimator)
    return OrderPairs(prompts, higher[fits], lower[fits], weights), drops


def _tensor(array: Floats, estimator: Estimator) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(estimator.device)
