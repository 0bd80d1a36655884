"""What an estimator learned from is told by its folder, and what its base learned from with it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.estimator import shard_table
from training.fit.loop import fit
from training.identity import SEEN
from training.model.seen import copy_seen, read_seen, unseen, write_seen
from training.settings import FitSettings
from warehouse.errors import InputError


def rows(*ids: str, column: str = "premise_id") -> pa.Table:
    return pa.table({column: pa.array(ids, pa.string())})


def test_the_premises_of_rows_pairs_and_bases_are_told_once(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third=3"))
    for folder in (first, second, third):
        folder.mkdir()
    write_seen(first, "a/name-on-the-hub", [rows("a", "b", "a"), rows("f")])
    pairs = rows("c", "c").append_column("lower_premise_id", pa.array(["b", "d"]))
    write_seen(second, str(first), [rows("e")], [pairs])
    write_seen(third, str(second), [])
    seen = read_seen(third)
    assert seen is not None
    assert sorted(seen.to_pylist()) == ["a", "b", "c", "d", "e", "f"]
    assert unseen(rows("a", "g", "e"), seen) == rows("g")
    copy_seen(third, tmp_path)
    assert read_seen(tmp_path) == seen


def test_a_folder_that_does_not_tell_and_one_that_saw_nothing_differ(tmp_path: Path) -> None:
    assert read_seen(tmp_path) is None
    write_seen(tmp_path, "base", [rows()])
    assert read_seen(tmp_path) == pa.array([], pa.string())


@pytest.mark.parametrize("content", ["no parquet", "another column"])
def test_a_file_that_tells_nothing_is_refused_before_a_fit(tmp_path: Path, content: str) -> None:
    if content == "another column":
        pq.write_table(rows("a", column="premise"), tmp_path / SEEN)
    else:
        (tmp_path / SEEN).write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(InputError, match=r"premises\.parquet cannot be read; copy the estimator again"):
        read_seen(tmp_path)
    settings = FitSettings(base=str(tmp_path), kind="encoder", device="cpu")
    with pytest.raises(InputError, match=r"premises\.parquet cannot be read"):
        fit(shard_table(4), shard_table(4, start=9), settings, tmp_path, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [SEEN]
