from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.store import made_judgment, made_rows
from warehouse import Warehouse
from warehouse.consensus import consensus_records
from warehouse.errors import InputError
from warehouse.publish import dataset_fingerprint, publish_rows
from warehouse.queries import valid_judgments
from warehouse.records import Split
from warehouse.shards import (
    SHARD_SCHEMA,
    Manifest,
    ManifestHead,
    read_batches,
    read_manifest,
    read_split,
    verify,
    write_dataset,
)
from warehouse.store import merge, merge_all, replace

HEAD = ManifestHead(name="demo", version=1, dataset_id="d", snapshot_id=3, code_version="0", consensus="em")


def made_batch(split: Split, numbers: range, premise: str = "") -> pa.RecordBatch:
    """Made-up rows of a split, each on a premise of its own or all on one."""
    rows = [
        {
            "proposition_id": f"{split}-{n}",
            "premise_id": premise or f"premise-{split}-{n}",
            "premise": "p",
            "hypothesis": "h",
            "kind": "imported",
            "source": "made-up",
            "split": split,
            "mean": 0.5,
            "sd": None,
            "values": [0.25, 0.75],
            "weights": [0.5, 0.5],
            "n_judgments": 2,
            "n_simulated": 1,
        }
        for n in numbers
    ]
    return pa.RecordBatch.from_pylist(rows, SHARD_SCHEMA)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A small published training set."""
    folder = tmp_path / "sets" / "v1"
    batches = [made_batch("train", range(7)), made_batch("test", range(2)), made_batch("train", range(7, 12))]
    write_dataset(batches, folder, HEAD, max_rows_per_shard=5)
    return folder


def test_shards_and_manifest_say_the_same(dataset: Path) -> None:
    manifest = verify(dataset)
    assert [(file.path, file.split, file.rows) for file in manifest.files] == [
        ("test-00000.parquet", "test", 2),
        ("train-00000.parquet", "train", 5),
        ("train-00001.parquet", "train", 5),
        ("train-00002.parquet", "train", 2),
    ]
    assert manifest.counts == {"train": 12, "dev": 0, "test": 2}
    assert (manifest.n_judgments, manifest.n_simulated) == (28, 14)
    for file in manifest.files:
        data = (dataset / file.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
        assert pq.read_metadata(dataset / file.path).row_group(0).column(0).compression == "ZSTD"
    assert {path.name for path in dataset.iterdir()} == {"manifest.json", *(file.path for file in manifest.files)}


def test_a_split_is_read_in_its_order(dataset: Path) -> None:
    train = read_split(dataset, "train")
    assert train["proposition_id"].to_pylist() == [f"train-{n}" for n in range(12)]
    assert train.schema.equals(SHARD_SCHEMA)
    assert sum(batch.num_rows for batch in read_batches(dataset, "train", rows=2)) == 12
    assert read_split(dataset, "dev").num_rows == 0


def test_a_changed_or_missing_shard_is_named(dataset: Path) -> None:
    path = dataset / "train-00001.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"train-00001\.parquet.*SHA-256"):
        verify(dataset)
    path.unlink()
    with pytest.raises(InputError, match=r"train-00001\.parquet is missing"):
        verify(dataset)


def test_no_premise_stands_in_two_splits(tmp_path: Path) -> None:
    batches = [made_batch("train", range(3), "shared"), made_batch("test", range(1), "shared")]
    with pytest.raises(InputError, match=r"shared stands in the splits"):
        write_dataset(batches, tmp_path / "v1", HEAD)
    assert not list(tmp_path.iterdir())


def test_a_failure_halfway_leaves_nothing(tmp_path: Path) -> None:
    def breaking() -> Iterator[pa.RecordBatch]:
        yield made_batch("train", range(3))
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        write_dataset(breaking(), tmp_path / "v1", HEAD)
    assert not list(tmp_path.iterdir())


def test_a_published_folder_is_never_written_again(dataset: Path) -> None:
    before = read_manifest(dataset)
    with pytest.raises(InputError, match="is there already"):
        write_dataset([made_batch("train", range(1))], dataset, HEAD)
    assert read_manifest(dataset) == before


def test_nothing_to_publish_and_nothing_published_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="odds agree"):
        write_dataset([], tmp_path / "v1", HEAD)
    with pytest.raises(InputError, match="odds publish"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format_version": 2}')
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        read_manifest(tmp_path)


def published(warehouse: Warehouse, folder: Path) -> Manifest:
    return write_dataset(publish_rows(warehouse, "em"), folder, HEAD)


def agree(warehouse: Warehouse) -> None:
    replace(warehouse, consensus_records(valid_judgments(warehouse), "em", 1), "method = ?", ["em"])


def test_what_is_published_is_the_consensus_with_its_texts(warehouse: Warehouse, tmp_path: Path) -> None:
    ratings = [(f"p{n}", name, value) for n in range(40) for name, value in (("a", n / 40), ("b", 1 - n / 40))]
    merge_all(warehouse, made_rows(ratings, {"b": "simulated"}))
    agree(warehouse)
    manifest = published(warehouse, tmp_path / "v1")
    assert sum(manifest.counts.values()) == 40
    assert (manifest.n_judgments, manifest.n_simulated) == (80, 40)
    splits = {name: read_split(tmp_path / "v1", name) for name in manifest.counts}
    for name, table in splits.items():
        assert set(table["split"].to_pylist()) <= {name}
    rows = [row for table in splits.values() for row in table.to_pylist()]
    row = next(row for row in rows if row["hypothesis"] == "hypothesis p10")
    assert row["premise"] == "premise p10"
    assert sorted(row["values"]) == [0.25, 0.75]
    assert sum(row["weights"]) == pytest.approx(1)
    # The same rows again are the same bytes, so the same hashes.
    assert published(warehouse, tmp_path / "v2").files == manifest.files


def test_the_fingerprint_changes_with_the_content_alone(warehouse: Warehouse) -> None:
    empty = dataset_fingerprint(warehouse, "em")
    merge_all(warehouse, made_rows([("p", "a", 0.25), ("p", "b", 0.5), ("q", "a", 0.75)]))
    agree(warehouse)
    first = dataset_fingerprint(warehouse, "em")
    assert first != empty
    agree(warehouse)
    assert dataset_fingerprint(warehouse, "em") == first
    merge(warehouse, [made_judgment("p", "a", 0.3)])
    assert dataset_fingerprint(warehouse, "em") == first
    agree(warehouse)
    assert dataset_fingerprint(warehouse, "em") != first
    assert dataset_fingerprint(warehouse, "mean") == empty
