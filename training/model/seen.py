"""The premises that an estimator learned from, in a file beside its weights, so that no figure rests on them.

The file has ids alone, which are hashes of the texts. It travels with the estimator: whoever goes on from one, or
measures one that was fitted elsewhere, knows what to leave out. Imports nothing heavy.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.identity import SEEN
from warehouse.errors import InputError

if TYPE_CHECKING:
    from training.model.texts import Rows

_ID = "premise_id"
_SCHEMA = pa.schema([pa.field(_ID, pa.string(), nullable=False)])


def write_seen(
    folder: Path, base: str, propositions: Iterable[Rows], pairs: Iterable[Rows] = (), *, teacher: str | None = None
) -> None:
    """Write the ids of the premises of what an estimator, its base and its teacher learned from, in bounded memory.

    The dev split belongs to it: it selected the epoch, and the calibration was fitted on it.

    Args:
        folder: The folder of the estimator.
        base: What it was fitted from: a folder, or the name of a model.
        propositions: Splits with a shard's columns.
        pairs: Order pairs with the columns of theirs.
        teacher: The folder of the estimator whose answers it learned too.
    """
    before = [Path(each) for each in (base, teacher) if each is not None]
    with pq.ParquetWriter(folder / SEEN, _SCHEMA, compression="zstd", use_dictionary=False) as file:
        for ids in _learned_from(before, propositions, pairs):
            file.write_batch(pa.RecordBatch.from_arrays([pc.unique(ids)], schema=_SCHEMA))


def read_seen(folder: Path) -> pa.Array | None:
    """Return the ids of the premises that the estimator in a folder learned from; None if the folder does not tell.

    Raises:
        InputError: the file cannot be read.
    """
    path = folder / SEEN
    if not path.is_file():
        return None
    try:
        # Read with the schema, a file without the column would have nulls.
        return pc.unique(pq.read_table(path, columns=[_ID])[_ID].cast(pa.string()))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read; copy the estimator again, or remove the file") from error


def copy_seen(folder: Path, existing: Path) -> None:
    """Copy what a folder tells, if it does, to another folder."""
    if (path := folder / SEEN).is_file():
        shutil.copy(path, existing / SEEN)


def unseen(rows: pa.Table | pa.RecordBatch, seen: pa.Array) -> pa.Table | pa.RecordBatch:
    """Return the rows whose premise was not learned from, by their column premise_id."""
    return rows.filter(pc.invert(pc.is_in(rows[_ID], value_set=seen)))


def _learned_from(before: Iterable[Path], propositions: Iterable[Rows], pairs: Iterable[Rows]) -> Iterator[pa.Array]:
    yield from (known for folder in before if (known := read_seen(folder)) is not None)
    yield from (batch[_ID] for rows in propositions for batch in rows.to_batches())
    yield from (batch[name] for rows in pairs for batch in rows.to_batches() for name in (_ID, f"lower_{_ID}"))
