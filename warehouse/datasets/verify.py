"""Verifying a training set in constant memory: every hash, and that no premise is in two splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.errors import InputError
from warehouse.records import Split
from warehouse.shards import File, Manifest, Part, ShardFile, read_manifest, sha256

_AT_ONCE = 65_536  # rows
_LOOSE_AT_ONCE = 1_000_000  # premises in unsorted columns


def verify(folder: Path) -> Manifest:
    """Check every shard and the card against the manifest, and the splits against each other. Returns the manifest.

    Raises:
        InputError: A file is missing, changed or extra, or a premise is in two splits.
    """
    manifest = read_manifest(folder)
    files: list[File] = [*manifest.files, *([manifest.card] if manifest.card else [])]
    for file in files:
        path = folder / file.path
        if not path.exists():
            raise InputError(f"{path} is missing; the training set is incomplete, publish it again")
        if sha256(path) != file.sha256:
            raise InputError(f"{path} has changed since it was published (its SHA-256 differs); publish again")
    if more := {path.name for path in folder.glob("*.parquet")} - {file.path for file in files}:
        raise InputError(f"{folder / min(more)} was not published; remove it, or it will be read as part of the set")
    check_splits(folder, manifest.files)
    return manifest


def check_splits(folder: Path, files: Iterable[ShardFile]) -> None:
    """Refuse a premise in two splits, which would test an estimator on its training data.

    The premises of each split are sorted, so they are compared as in a merge.

    Raises:
        InputError: A premise is in two splits, or a part is not sorted by premise.
    """
    listed = list(files)
    in_order = [file for file in listed if file.first_premise_id is not None]
    parts: list[tuple[Split, Part]] = sorted({(file.split, file.part) for file in in_order})
    live = [_Premises(folder, *part, [f for f in in_order if (f.split, f.part) == part]) for part in parts]
    while live := [each for each in live if each.ready()]:
        bound = min(each.last for each in live)
        _refuse_shared([(each.split, each.take(bound)) for each in live])
    for file in listed:
        for name in _without_order(file):
            _check_against(folder, file, name, [other for other in listed if other.split != file.split])


class _Premises:
    """The premises of one part of a split, across files, a batch at a time."""

    def __init__(self, folder: Path, split: Split, part: Part, files: list[ShardFile]) -> None:
        self.split, self.part = split, part
        self._batches = (batch for file in files for batch in _column(folder / file.path, "premise_id"))
        self._ids = pa.array([], pa.string())
        self.last = ""

    def ready(self) -> bool:
        """Load the next premises if needed; whether there are any."""
        while not len(self._ids):
            batch = next(self._batches, None)
            if batch is None:
                return False
            if len(batch) and (batch[0].as_py() < self.last or pc.any(pc.less(batch[1:], batch[:-1])).as_py()):
                raise InputError(f"the {self.part} of the split {self.split} are not sorted by premise; publish again")
            self._ids = batch
            self.last = batch[-1].as_py() if len(batch) else self.last
        return True

    def take(self, bound: str) -> pa.Array:
        """Take the distinct premises up to a bound."""
        n = pc.sum(pc.less_equal(self._ids, bound)).as_py() or 0
        taken, self._ids = self._ids[:n], self._ids[n:]
        return pc.unique(taken)


def _without_order(file: ShardFile) -> list[str]:
    """The premise columns that a shard is not sorted by; shards of version 1 were not sorted by premise at all."""
    loose = ["premise_id"] if file.first_premise_id is None else []
    return [*loose, "lower_premise_id"] if file.part == "pairs" else loose


def _check_against(folder: Path, file: ShardFile, name: str, others: list[ShardFile]) -> None:
    """Look for the premises of a column in shards of other splits."""
    for chunk in _column(folder / file.path, name, _LOOSE_AT_ONCE):
        ids = pc.unique(chunk)
        for other in others:
            for column in ("premise_id", "lower_premise_id") if other.part == "pairs" else ("premise_id",):
                for other_ids in _column(folder / other.path, column, _LOOSE_AT_ONCE):
                    _refuse_shared([(file.split, ids), (other.split, other_ids)])


def _column(path: Path, name: str, rows: int = _AT_ONCE) -> Iterator[pa.Array]:
    with pq.ParquetFile(path) as shard:
        for batch in shard.iter_batches(batch_size=rows, columns=[name]):
            yield batch[name]


def moved_between(before: Path, after: Path) -> int:
    """Count the propositions that two training sets have in different splits."""
    found = []
    for folder in (before, after):
        paths = [str(folder / file.path) for file in read_manifest(folder).files if file.part == "propositions"]
        if not paths:
            return 0
        found.append(paths)
    query = """
        SELECT count(*) FROM read_parquet(?) b JOIN read_parquet(?) a USING (proposition_id) WHERE b.split <> a.split
    """
    with duckdb.connect() as connection:
        return int(connection.execute(query, found).fetchall()[0][0])


def _refuse_shared(sides: list[tuple[Split, pa.Array]]) -> None:
    for (split, ids), (other, other_ids) in combinations(sides, 2):
        if split == other:
            continue
        both = ids.filter(pc.is_in(ids, other_ids))
        if len(both):
            raise InputError(
                f"Premise {both[0].as_py()} is in the splits {split} and {other}; "
                "do not change the shares of the splits once there are propositions"
            )
