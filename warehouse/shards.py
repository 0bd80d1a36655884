"""A published training set: parquet shards in a folder with a manifest that is written last.

Training reads it, so nothing here knows the database.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from warehouse.errors import InputError
from warehouse.records import ConsensusMethod, Count, Split, Text, now

MANIFEST = "manifest.json"
SHARD_SCHEMA = pa.schema(
    [
        pa.field("proposition_id", pa.string(), nullable=False),
        pa.field("premise_id", pa.string(), nullable=False),
        pa.field("premise", pa.string(), nullable=False),
        pa.field("hypothesis", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("mean", pa.float64(), nullable=False),
        pa.field("sd", pa.float64()),
        pa.field("values", pa.list_(pa.float64()), nullable=False),
        pa.field("weights", pa.list_(pa.float64()), nullable=False),
        pa.field("n_judgments", pa.int32(), nullable=False),
        pa.field("n_simulated", pa.int32(), nullable=False),
    ]
)


class ManifestHead(BaseModel):
    """What a training set is called and what it was made from. `consensus` is the method of the consensus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    version: int = Field(ge=1)
    dataset_id: Text
    snapshot_id: int
    code_version: Text
    consensus: ConsensusMethod


class ShardFile(BaseModel):
    """A shard: its path relative to the folder, its size in bytes and its SHA-256 hash in hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Split
    path: Text
    rows: Count
    bytes: Count
    sha256: Text


class Manifest(ManifestHead):
    """Everything about a training set. `counts` are propositions by split."""

    format_version: Literal[1] = 1
    created_at: AwareDatetime
    counts: dict[Split, Count]
    n_judgments: Count
    n_simulated: Count
    files: tuple[ShardFile, ...]


class _Shards:
    """The open shard of each split; a full one is closed and the next one opened."""

    def __init__(self, folder: Path, max_rows: int, stack: ExitStack) -> None:
        self.folder = folder
        self.max_rows = max_rows
        self.stack = stack
        self.writers: dict[Split, pq.ParquetWriter] = {}
        self.rows: dict[tuple[Split, str], int] = {}
        self.current: dict[Split, str] = {}

    def write(self, split: Split, rows: pa.Table) -> None:
        while rows.num_rows:
            room = self.max_rows - self.rows.get((split, self.current.get(split, "")), self.max_rows)
            if room == 0:
                self._open_next(split)
                room = self.max_rows
            part, rows = rows.slice(0, room), rows.slice(room)
            self.writers[split].write_table(part)
            self.rows[split, self.current[split]] += part.num_rows

    def _open_next(self, split: Split) -> None:
        if split in self.writers:
            self.writers[split].close()
        number = sum(1 for other, _ in self.rows if other == split)
        name = f"{split}-{number:05d}.parquet"
        self.writers[split] = self.stack.enter_context(
            pq.ParquetWriter(self.folder / name, SHARD_SCHEMA, compression="zstd")
        )
        self.current[split] = name
        self.rows[split, name] = 0


def write_dataset(
    rows: pa.RecordBatchReader | Iterable[pa.RecordBatch],
    folder: Path,
    head: ManifestHead,
    *,
    max_rows_per_shard: int = 100_000,
    created_at: datetime | None = None,
) -> Manifest:
    """Write rows of `SHARD_SCHEMA` as shards `train-00000.parquet` ... into a new folder, batch by batch.

    They are written into a folder beside it, the manifest last, and renamed into place: a folder that is
    there is whole.

    Raises:
        InputError: the folder is there already, there are no rows, or a premise stands in two splits.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already: a published training set never changes, publish a new version")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        manifest = _write(rows, partial, head, max_rows_per_shard, created_at or now())
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _write(
    rows: Iterable[pa.RecordBatch], folder: Path, head: ManifestHead, max_rows: int, created_at: datetime
) -> Manifest:
    judgments = simulated = 0
    with ExitStack() as stack:
        shards = _Shards(folder, max_rows, stack)
        for batch in rows:
            table = pa.Table.from_batches([batch]).cast(SHARD_SCHEMA)
            judgments += pc.sum(table["n_judgments"]).as_py() or 0
            simulated += pc.sum(table["n_simulated"]).as_py() or 0
            for split in ("train", "dev", "test"):
                shards.write(split, table.filter(pc.equal(table["split"], split)))
    if not shards.rows:
        raise InputError("There is nothing to publish: no proposition has a consensus yet, run `odds agree` first")
    files = [_described(folder, split, name, n) for (split, name), n in sorted(shards.rows.items())]
    _check_splits(folder, files)
    counts: dict[Split, int] = {"train": 0, "dev": 0, "test": 0}
    for file in files:
        counts[file.split] += file.rows
    return Manifest(
        **head.model_dump(),
        created_at=created_at,
        counts=counts,
        n_judgments=judgments,
        n_simulated=simulated,
        files=tuple(files),
    )


def _described(folder: Path, split: Split, name: str, rows: int) -> ShardFile:
    path = folder / name
    return ShardFile(split=split, path=name, rows=rows, bytes=path.stat().st_size, sha256=_sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_splits(folder: Path, files: Iterable[ShardFile]) -> None:
    """Refuse a premise in two splits: an estimator would be tested on what it was trained on.

    Reads one column; memory grows with the number of premises alone.
    """
    seen: dict[Split, pa.Array] = {}
    for file in files:
        column = pq.read_table(folder / file.path, columns=["premise_id"])["premise_id"]
        known = seen.get(file.split, pa.array([], pa.string()))
        seen[file.split] = pc.unique(pa.chunked_array([known, *column.chunks], pa.string()))
    splits = list(seen)
    for number, split in enumerate(splits):
        for other in splits[number + 1 :]:
            both = seen[split].filter(pc.is_in(seen[split], seen[other]))
            if len(both):
                raise InputError(
                    f"Premise {both[0].as_py()} stands in the splits {split} and {other}: "
                    "the shares of the splits must not change once there are propositions"
                )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a training set. Raises `InputError` where the folder holds none that can be read."""
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(f"{folder} is no published training set: there is no {MANIFEST} in it; run `odds publish`")
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: it is broken, or a newer `odds` wrote it; publish again") from error


def verify(folder: Path) -> Manifest:
    """Check every shard against the manifest, and the splits against each other; the manifest.

    Raises:
        InputError: a shard is missing or not the one that was published, or a premise stands in two splits.
    """
    manifest = read_manifest(folder)
    for file in manifest.files:
        path = folder / file.path
        if not path.exists():
            raise InputError(f"{path} is missing: the training set is not whole, publish it again")
        if _sha256(path) != file.sha256:
            raise InputError(f"{path} is not the file that was published (its SHA-256 differs): publish again")
    _check_splits(folder, manifest.files)
    return manifest


def read_batches(folder: Path, split: Split, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
    """The rows of a split in their order, batch by batch."""
    for file in read_manifest(folder).files:
        if file.split == split:
            with pq.ParquetFile(folder / file.path) as shard:
                yield from shard.iter_batches(batch_size=rows)


def read_split(folder: Path, split: Split) -> pa.Table:
    """The rows of a split as one table; empty where the split has none."""
    return pa.Table.from_batches(read_batches(folder, split), SHARD_SCHEMA)
