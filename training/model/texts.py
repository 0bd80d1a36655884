"""The texts of propositions in tables, and those that are too long for a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa

from training.model.prompt import Encoded
from warehouse.records import Drop, PropositionText, content_id

_ROWS_AT_ONCE = 4096


class Rows(Protocol):
    """Rows that can be read again and again, batch by batch: a `pyarrow.Table`, or a split of a training set."""

    def to_batches(self) -> Any:
        """Return an iterable of record batches."""


def texts(rows: Rows) -> Iterator[PropositionText]:
    """Yield the propositions of rows with the columns proposition_id, premise and hypothesis."""
    for batch in rows.to_batches():
        yield from batch_texts(batch)


def batch_texts(batch: pa.RecordBatch) -> Iterator[PropositionText]:
    """Yield the propositions of a batch of such rows."""
    for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
        few = batch.select(["proposition_id", "premise", "hypothesis"]).slice(start, _ROWS_AT_ONCE)
        for row in few.to_pylist():
            yield PropositionText(**row)


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


def pair_sides(pairs: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Return the higher and the lower propositions of order pairs."""
    names = ("proposition_id", "premise", "hypothesis")
    higher, lower = (
        pa.RecordBatch.from_arrays([pairs[f"{side}_{name}"] for name in names], names=list(names))
        for side in ("higher", "lower")
    )
    return higher, lower
