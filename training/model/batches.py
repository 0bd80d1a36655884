"""Batches: which prompts go through the model together, as padded tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from training.model.prompt import Encoded, encode, join
from warehouse.records import Drop, PropositionText, content_id

Indices = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 4096
_SORTED_TOGETHER = 32  # batches sorted by length together: less padding, still well shuffled


class Batch(NamedTuple):
    """Prompts of one batch, padded on the left, so that the answer position is the last one; each [batch, length]."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor


def shuffled_batches(lengths: Indices, batch_size: int, seed: int, epoch: int) -> list[Indices]:
    """Return every index once, in batches of similar length, in an order that depends only on seed and epoch."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    chunk = batch_size * _SORTED_TOGETHER
    batches = [
        batch
        for start in range(0, len(order), chunk)
        for batch in _by_length(order[start : start + chunk], lengths, batch_size)
    ]
    return [batches[i] for i in rng.permutation(len(batches))]


def sorted_batches(lengths: Indices, batch_size: int) -> list[Indices]:
    """Return every index once, in batches of similar length, longest first, to run out of memory early or never."""
    return _by_length(np.arange(len(lengths)), lengths, batch_size)[::-1]


def padded_tokens(lengths: Indices, indices: Indices) -> int:
    """Return how many tokens a batch has with padding."""
    return int(lengths[indices].max()) * len(indices)


def pair_batches(pairs: int, steps: int, most: int, seed: int, epoch: int) -> list[Indices]:
    """Return the order pairs of each step of an epoch, in an order that depends only on seed and epoch.

    Every pair comes once if at most `most` per step suffice; otherwise a random selection. A step may have none.
    """
    order = np.random.default_rng([seed, epoch, 1]).permutation(pairs)[: steps * most]
    return [part.astype(np.int64) for part in np.array_split(order, steps)]


def collate(encoded: Encoded, indices: Indices, pad: int, device: torch.device) -> Batch:
    """Return the prompts at `indices` as one batch on `device`."""
    lengths = encoded.lengths()[indices]
    width = int(lengths.max())
    ids = np.full((len(indices), width), pad, dtype=np.int64)
    mask = np.arange(width) >= width - lengths[:, None]
    for row, index in enumerate(indices):
        ids[row, width - lengths[row] :] = encoded.tokens[encoded.offsets[index] : encoded.offsets[index + 1]]
    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    return Batch(*(torch.from_numpy(array).to(device) for array in (ids, mask.astype(np.int64), positions)))


def texts(table: pa.Table) -> Iterator[PropositionText]:
    """Yield the propositions of a table with the columns proposition_id, premise and hypothesis."""
    for batch in table.select(["proposition_id", "premise", "hypothesis"]).to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield PropositionText(**row)


def encode_table(tokenizer: Any, table: pa.Table, max_length: int) -> tuple[Encoded, list[Drop]]:
    """Return the prompts of a table, and drops for propositions whose question alone exceeds `max_length` tokens."""
    parts, counts, drops = [], [], []
    for start in range(0, table.num_rows, _ROWS_AT_ONCE):
        propositions = list(texts(table.slice(start, _ROWS_AT_ONCE)))
        part = encode(tokenizer, propositions, max_length)
        parts.append(part)
        counts.append(len(propositions))
        drops += too_long(propositions, part, max_length, "train")
    return join(parts, counts), drops


def too_long(propositions: list[PropositionText], encoded: Encoded, max_length: int, stage: str) -> list[Drop]:
    """Return a drop for each proposition that `encode` left out."""
    kept = set(encoded.rows.tolist())
    return [
        Drop(
            drop_id=content_id("drop", stage, each.proposition_id, str(max_length)),
            stage=stage,
            subject_id=each.proposition_id,
            reason="question too long",
            detail=f"the hypothesis leaves no room for a premise in {max_length} tokens",
        )
        for row, each in enumerate(propositions)
        if row not in kept
    ]


def pair_texts(pairs: pa.Table) -> pa.Table:
    """Return the propositions of n order pairs, [2 n] rows: first all higher ones, then the lower ones."""
    names = ("proposition_id", "premise", "hypothesis")
    sides = [pairs.select([f"{side}_{name}" for name in names]).rename_columns(names) for side in ("higher", "lower")]
    return pa.concat_tables(sides)


def _by_length(indices: Indices, lengths: Indices, batch_size: int) -> list[Indices]:
    ordered = indices[np.argsort(lengths[indices], kind="stable")]
    return [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
