"""Writing a training set: sorted shards of bounded size from a stream of rows, then the card, the manifest last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.atomic import atomic_folder
from warehouse.datasets.card import card_of
from warehouse.datasets.verify import check_splits
from warehouse.errors import InputError
from warehouse.records import Split, now
from warehouse.shards import (
    CARD,
    KEYS,
    MANIFEST,
    ORIGINS,
    SCHEMAS,
    SPLITS,
    File,
    Manifest,
    ManifestHead,
    Part,
    ShardFile,
    columns_of,
    sha256,
)

TEXTS = ("premise", "hypothesis")
ROW_GROUP = 16_384  # rows that a reader looking for one premise has to read


@dataclass(frozen=True)
class ShardLimits:
    """The most rows and bytes of a shard. The last row group may exceed the bytes."""

    rows: int = 100_000
    bytes: int = 2**28
    row_group: int = ROW_GROUP


@dataclass(frozen=True)
class _Target:
    """Where shards go, their limits, and the stack that closes them after a failure."""

    folder: Path
    limits: ShardLimits
    stack: ExitStack


class _Shards:
    """Writes the shards of one part of a split, opening a new one when one is full.

    Row groups depend only on the number of rows, so the same rows always give the same bytes.
    """

    def __init__(self, target: _Target, split: Split, part: Part) -> None:
        self.target, self.split, self.part = target, split, part
        self.waiting: list[pa.Table] = []
        self.files: list[ShardFile] = []
        self.writer: pq.ParquetWriter | None = None
        self.rows = 0
        self.ends = ("", "")

    def add(self, rows: pa.Table) -> None:
        self.waiting.append(rows)
        while sum(each.num_rows for each in self.waiting) >= (size := self._next_group()):
            self._write(size)

    def finish(self) -> None:
        if rest := sum(each.num_rows for each in self.waiting):
            self._write(rest)
        if self.rows:
            self._close()

    def _next_group(self) -> int:
        return min(self.target.limits.row_group, self.target.limits.rows - self.rows)

    def _path(self) -> Path:
        stem = self.split if self.part == "propositions" else f"pairs-{self.split}"
        return self.target.folder / f"{stem}-{len(self.files):05d}.parquet"

    def _write(self, size: int) -> None:
        waiting = pa.concat_tables(self.waiting)
        group, self.waiting = waiting.slice(0, size).combine_chunks(), [waiting.slice(size)]
        if self.writer is None:
            self.sink = self.target.stack.enter_context(pa.OSFile(str(self._path()), "wb"))
            self.writer = self.target.stack.enter_context(_parquet(self.sink, self.part))
            self.ends = (group["premise_id"][0].as_py(), "")
        self.writer.write_table(group, row_group_size=size)
        self.rows += size
        self.ends = (self.ends[0], group["premise_id"][-1].as_py())
        if self.rows >= self.target.limits.rows or self.sink.tell() >= self.target.limits.bytes:
            self._close()

    def _close(self) -> None:
        assert self.writer is not None
        self.writer.close()
        self.sink.close()
        path = self._path()
        self.files.append(
            ShardFile(
                split=self.split,
                part=self.part,
                rows=self.rows,
                first_premise_id=self.ends[0],
                last_premise_id=self.ends[1],
                **file_of(path).model_dump(),
            )
        )
        self.writer, self.rows = None, 0


def write_dataset(
    rows: Iterable[pa.RecordBatch],
    folder: Path,
    head: ManifestHead,
    *,
    pairs: Iterable[pa.RecordBatch] = (),
    limits: ShardLimits | None = None,
) -> Manifest:
    """Write rows of `SHARD_SCHEMA` and pairs of `PAIR_SCHEMA`, sorted by premise, as shards into a new folder.

    The shards are `train-00000.parquet` ... and `pairs-train-00000.parquet` ... They are written batch by batch into a
    temporary folder, then the card, then the manifest, and the folder is renamed into place. So it appears complete.

    Raises:
        InputError: The folder exists, there is nothing to write, or a premise is in two splits.
    """
    if folder.exists():
        raise InputError(f"{folder} already exists; a published training set never changes, so publish a new version")
    with atomic_folder(folder) as partial:
        manifest = _write(rows, pairs, partial, head, limits or ShardLimits())
        (partial / CARD).write_text(card_of(manifest), encoding="utf-8")
        manifest = manifest.model_copy(update={"card": file_of(partial / CARD)})
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def file_of(path: Path) -> File:
    """Return the name, size and hash of a file."""
    return File(path=path.name, bytes=path.stat().st_size, sha256=sha256(path))


def _write(
    rows: Iterable[pa.RecordBatch],
    pairs: Iterable[pa.RecordBatch],
    folder: Path,
    head: ManifestHead,
    limits: ShardLimits,
) -> Manifest:
    totals: Counter[str] = Counter()
    with ExitStack() as stack:
        target = _Target(folder, limits, stack)
        files = [*_write_part(rows, "propositions", target, totals), *_write_part(pairs, "pairs", target, totals)]
    if not files:
        raise InputError("There is nothing to publish: no proposition has a consensus yet; run `odds agree` first")
    check_splits(folder, files)
    origins = {origin: {split: totals[f"{origin} {split}"] for split in SPLITS} for origin in ORIGINS}
    return Manifest(
        **head.model_dump(),
        created_at=now(),
        counts={split: sum(by_split[split] for by_split in origins.values()) for split in SPLITS},
        origins=origins,
        pairs={split: sum(f.rows for f in files if (f.part, f.split) == ("pairs", split)) for split in SPLITS},
        n_judgments=totals["n_judgments"],
        n_estimates=totals["n_estimates"],
        n_simulated=totals["human n_simulated"],
        n_simulated_estimates=totals["synthetic n_simulated"],
        columns={part: columns_of(part) for part in SCHEMAS if any(file.part == part for file in files)},
        files=tuple(files),
    )


def _write_part(rows: Iterable[pa.RecordBatch], part: Part, target: _Target, totals: Counter[str]) -> list[ShardFile]:
    """Write the shards of a part, and count its rows, judgments and estimates in `totals`."""
    shards = {split: _Shards(target, split, part) for split in SPLITS}
    for batch in rows:
        table = pa.Table.from_batches([batch]).cast(SCHEMAS[part])
        if part == "propositions":
            totals.update(_totals(table))
        for split, each in shards.items():
            each.add(table.filter(pc.equal(table["split"], split)))
    for each in shards.values():
        each.finish()
    return sorted((file for each in shards.values() for file in each.files), key=lambda file: file.path)


def _totals(table: pa.Table) -> Counter[str]:
    """The rows by origin and split, and their judgments and estimates."""
    sums = [(name, "sum") for name in ("n_judgments", "n_estimates", "n_simulated")]
    totals: Counter[str] = Counter()
    for row in table.group_by(["origin", "split"]).aggregate([*sums, ([], "count_all")]).to_pylist():
        totals[f"{row['origin']} {row['split']}"] += row["count_all"]
        totals[f"{row['origin']} n_simulated"] += row["n_simulated_sum"]
        for name in ("n_judgments", "n_estimates"):
            totals[name] += row[f"{name}_sum"]
    return totals


def _parquet(sink: pa.NativeFile, part: Part) -> pq.ParquetWriter:
    schema = SCHEMAS[part]
    order = pq.SortingColumn.from_ordering(schema, [("premise_id", "ascending"), (KEYS[part], "ascending")])
    # Statistics of texts would not help readers to skip, and bloat the footer.
    figured = [each.name for each in schema if not (each.name.endswith(TEXTS) or pa.types.is_nested(each.type))]
    return pq.ParquetWriter(
        sink, schema, compression="zstd", sorting_columns=order, write_statistics=figured, write_page_index=True
    )
