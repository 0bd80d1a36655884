from __future__ import annotations

import hashlib
import html
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml

from tests.fixtures.shards import HEAD, batch_of, made_pair, made_row, pairs_of
from warehouse.datasets.verify import verify
from warehouse.datasets.write import ShardLimits, write_dataset
from warehouse.errors import InputError
from warehouse.shards import (
    PAIR_SCHEMA,
    SCHEMAS,
    SHARD_SCHEMA,
    Licence,
    Recipe,
    read_batches,
    read_manifest,
    read_pairs,
    read_split,
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A small published training set: 12 human and 2 synthetic rows, 3 order pairs."""
    folder = tmp_path / "sets" / "v1"
    synthetic = {"origin": "synthetic", "weight": 0.25, "n_judgments": 0, "n_estimates": 2, "n_simulated": 0}
    rows = [
        batch_of(made_row("train", n) for n in range(7)),
        batch_of([made_row("test", 0), made_row("test", 1, **synthetic)]),
        batch_of([*(made_row("train", n) for n in range(7, 11)), made_row("train", 11, **synthetic)]),
    ]
    pairs = [pairs_of([made_pair("train", 0), made_pair("train", 2)]), pairs_of([made_pair("test", 0)])]
    write_dataset(rows, folder, HEAD, pairs=pairs, limits=ShardLimits(rows=5))
    return folder


def test_shards_manifest_and_card_say_the_same(dataset: Path) -> None:
    manifest = verify(dataset)
    assert [(file.path, file.part, file.split, file.rows) for file in manifest.files] == [
        ("test-00000.parquet", "propositions", "test", 2),
        ("train-00000.parquet", "propositions", "train", 5),
        ("train-00001.parquet", "propositions", "train", 5),
        ("train-00002.parquet", "propositions", "train", 2),
        ("pairs-test-00000.parquet", "pairs", "test", 1),
        ("pairs-train-00000.parquet", "pairs", "train", 2),
    ]
    assert manifest.counts == {"train": 12, "dev": 0, "test": 2}
    assert manifest.origins == {
        "human": {"train": 11, "dev": 0, "test": 1},
        "synthetic": {"train": 1, "dev": 0, "test": 1},
    }
    assert manifest.pairs == {"train": 2, "dev": 0, "test": 1}
    assert (manifest.n_judgments, manifest.n_estimates, manifest.n_simulated) == (24, 4, 12)
    assert [(file.first_premise_id, file.last_premise_id) for file in manifest.files][1:4] == [
        ("premise-00000-train", "premise-00004-train"),
        ("premise-00005-train", "premise-00009-train"),
        ("premise-00010-train", "premise-00011-train"),
    ]
    assert manifest.card is not None
    for file in [*manifest.files, manifest.card]:
        data = (dataset / file.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
    for part, schema in SCHEMAS.items():
        assert [(each.name, each.type) for each in manifest.columns[part]] == [(f.name, str(f.type)) for f in schema]
        assert all(each.meaning for each in manifest.columns[part])
    names = {"manifest.json", "README.md", *(file.path for file in manifest.files)}
    assert {path.name for path in dataset.iterdir()} == names


def test_a_split_is_read_in_its_order(dataset: Path) -> None:
    train = read_split(dataset, "train")
    assert train["proposition_id"].to_pylist() == [f"train-{n:05d}" for n in range(12)]
    assert train.schema.equals(SHARD_SCHEMA)
    assert sum(batch.num_rows for batch in read_batches(dataset, "train", rows=2)) == 12
    assert read_split(dataset, "dev").num_rows == 0
    assert read_split(dataset, "train", "synthetic")["weight"].to_pylist() == [0.25]
    assert read_split(dataset, "train", "human").num_rows == 11
    pairs = read_pairs(dataset, "train")
    assert pairs.schema.equals(PAIR_SCHEMA)
    assert pairs["lower_proposition_id"].to_pylist() == ["train-00001", "train-00003"]
    assert read_pairs(dataset, "dev").num_rows == 0


def test_the_same_rows_give_the_same_bytes_in_whatever_batches(tmp_path: Path) -> None:
    rows = batch_of(made_row("train", n) for n in range(100))
    limits = ShardLimits(rows=30, row_group=7)
    whole = write_dataset([rows], tmp_path / "v1", HEAD, limits=limits)
    parts = write_dataset([rows[:1], rows[1:64], rows[64:]], tmp_path / "v2", HEAD, limits=limits)
    assert [file.sha256 for file in parts.files] == [file.sha256 for file in whole.files]
    assert [file.rows for file in whole.files] == [30, 30, 30, 10]


def test_a_shard_ends_at_so_many_bytes(tmp_path: Path) -> None:
    # Text that does not compress, so that the rows and not the footer make up the file.
    noise = ["".join(hashlib.sha256(bytes([n, k])).hexdigest() for k in range(60)) for n in range(40)]
    rows = batch_of(made_row("train", n, premise=text) for n, text in enumerate(noise))
    (whole,) = write_dataset([rows], tmp_path / "v1", HEAD, limits=ShardLimits(row_group=4)).files
    manifest = write_dataset([rows], tmp_path / "v2", HEAD, limits=ShardLimits(bytes=whole.bytes // 6, row_group=4))
    assert 3 <= len(manifest.files) <= 7
    assert sum(file.rows for file in manifest.files) == 40
    verify(tmp_path / "v2")


def test_a_reader_that_wants_one_premise_reads_one_row_group(tmp_path: Path) -> None:
    write_dataset(
        [batch_of(made_row("train", n) for n in range(1000))], tmp_path / "v1", HEAD, limits=ShardLimits(row_group=100)
    )
    path, wanted = tmp_path / "v1" / "train-00000.parquet", "premise-00437-train"
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100] * 10
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert metadata.row_group(0).sorting_columns[0].column_index == SHARD_SCHEMA.get_field_index("premise_id")
    (fragment,) = ds.dataset(path).get_fragments()
    (left,) = fragment.split_by_row_group(pc.field("premise_id") == wanted)
    assert [group.id for group in left.row_groups] == [4]
    # DuckDB skips by the same figures: with every other row group destroyed it still answers.
    data = bytearray(path.read_bytes())
    for i in set(range(10)) - {4}:
        for j in range(metadata.num_columns):
            column = metadata.row_group(i).column(j)
            start = column.dictionary_page_offset or column.data_page_offset
            data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(bytes(data))
    found = duckdb.sql(f"SELECT proposition_id FROM '{broken}' WHERE premise_id = '{wanted}'").fetchall()
    assert found == [("train-00437",)]
    with pytest.raises(duckdb.Error):
        duckdb.sql(f"SELECT max(proposition_id) FROM '{broken}' WHERE premise_id <> '{wanted}'").fetchall()


def test_a_changed_or_missing_file_is_named(dataset: Path) -> None:
    for name in ("train-00001.parquet", "README.md"):
        path = dataset / name
        data = bytearray(path.read_bytes())
        path.write_bytes(bytes([*data[:-40], data[-40] ^ 1, *data[-39:]]))
        with pytest.raises(InputError, match=rf"{name}.*SHA-256"):
            verify(dataset)
        path.write_bytes(bytes(data))
    verify(dataset)
    shutil.copy(dataset / "train-00001.parquet", dataset / "train-00009.parquet")
    with pytest.raises(InputError, match=r"train-00009\.parquet was not published"):
        verify(dataset)
    (dataset / "train-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"train-00001\.parquet is missing"):
        verify(dataset)


SHARED = {"premise_id": "premise-00003-shared"}


@pytest.mark.parametrize("rows_at_once", [1, 3, 65_536])
def test_no_premise_stands_in_two_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    monkeypatch.setattr("warehouse.datasets.verify._AT_ONCE", rows_at_once)
    train = [made_row("train", n) for n in range(20)]
    for place in (0, 3, 9):
        test = [made_row("test", n) for n in range(10)]
        test[place] = made_row("test", place, premise_id=train[place]["premise_id"])
        with pytest.raises(
            InputError, match=rf"Premise premise-0000{place}-train is in the splits (test and train|train and test)"
        ):
            write_dataset([batch_of(train), batch_of(test)], tmp_path / "v1", HEAD, limits=ShardLimits(rows=4))
        assert not list(tmp_path.iterdir())
    write_dataset([batch_of(train), batch_of(made_row("test", n) for n in range(10))], tmp_path / "v1", HEAD)


@pytest.mark.parametrize(
    "pair",
    [
        made_pair("test", 0, premise_id="premise-00003-train"),
        made_pair("test", 0, lower_premise_id="premise-00003-train"),
    ],
)
def test_no_premise_of_a_pair_stands_in_two_splits(tmp_path: Path, pair: dict[str, object]) -> None:
    rows = [batch_of(made_row("train", n) for n in range(5))]
    with pytest.raises(InputError, match=r"Premise premise-00003-train is in the splits"):
        write_dataset(rows, tmp_path / "v1", HEAD, pairs=[pairs_of([pair])])
    with pytest.raises(InputError, match=r"Premise premise-00003-train is in the splits"):
        write_dataset([], tmp_path / "v1", HEAD, pairs=[pairs_of([pair]), pairs_of([made_pair("train", 2)])])


def test_rows_that_are_not_sorted_are_refused(tmp_path: Path) -> None:
    rows = [made_row("train", n) for n in (1, 3, 2)]
    for batches in ([batch_of(rows)], [batch_of(rows[:2]), batch_of(rows[2:])]):
        with pytest.raises(InputError, match="propositions of the split train are not sorted"):
            write_dataset(batches, tmp_path / "v1", HEAD)


def test_a_failure_halfway_leaves_nothing(tmp_path: Path) -> None:
    def breaking() -> Iterator[pa.RecordBatch]:
        yield batch_of(made_row("train", n) for n in range(3))
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        write_dataset(breaking(), tmp_path / "v1", HEAD, limits=ShardLimits(rows=2))
    assert not list(tmp_path.iterdir())


def test_a_published_folder_is_never_written_again(dataset: Path) -> None:
    before = read_manifest(dataset)
    with pytest.raises(InputError, match="already exists"):
        write_dataset([batch_of([made_row("train", 0)])], dataset, HEAD)
    assert read_manifest(dataset) == before


def test_nothing_to_publish_and_nothing_published_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="odds agree"):
        write_dataset([], tmp_path / "v1", HEAD)
    with pytest.raises(InputError, match="odds publish"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format_version": 4}')
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        read_manifest(tmp_path)


def version_1(folder: Path) -> None:
    """A training set as format 1 wrote it: no parts, no weights, sorted by proposition."""
    folder.mkdir()
    new = ("origin", "weight", "n_estimates", "widths", "sources")
    files = []
    for split, numbers in (("train", (3, 1, 2)), ("test", (9,))):
        table = pa.Table.from_pylist(
            [made_row("train" if split == "train" else "test", n) for n in numbers], SHARD_SCHEMA
        )
        path = folder / f"{split}-00000.parquet"
        pq.write_table(table.drop_columns(list(new)), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        files.append({"split": split, "path": path.name, "rows": len(numbers), "bytes": size, "sha256": digest})
    manifest = {
        "name": "old", "version": 1, "dataset_id": "d", "snapshot_id": 1, "code_version": "0.1.0", "consensus": "em",
        "format_version": 1, "created_at": "2026-11-01T00:00:00Z", "counts": {"train": 3, "dev": 0, "test": 1},
        "n_judgments": 8, "n_simulated": 4, "files": files,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_set_of_version_1_is_still_read(tmp_path: Path) -> None:
    version_1(tmp_path / "v1")
    manifest = verify(tmp_path / "v1")
    assert manifest.recipe.consensus == "em"
    assert manifest.origins["human"]["train"] == 3
    train = read_split(tmp_path / "v1", "train", "human")
    assert train.schema.equals(SHARD_SCHEMA)
    assert (
        train.select(["origin", "weight", "n_estimates"]).to_pylist()
        == [{"origin": "human", "weight": 1.0, "n_estimates": 0}] * 3
    )


def test_a_set_of_version_2_is_still_read_with_all_values_as_points(dataset: Path) -> None:
    manifest = json.loads((dataset / "manifest.json").read_text())
    (dataset / "manifest.json").write_text(json.dumps(manifest | {"format_version": 2}))
    for path in dataset.glob("train-*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["widths", "sources"]), path)
    assert read_manifest(dataset).origins["human"]["train"] == 11
    train = read_split(dataset, "train")
    assert train.schema.equals(SHARD_SCHEMA)
    assert train["widths"].to_pylist() == [[0.0, 0.0]] * 12
    assert train["sources"].to_pylist() == [["", ""]] * 12


def test_everybody_reads_it_without_our_code(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [f"train-{n:05d}" for n in range(12)]
    shards = sorted(str(path) for path in dataset.glob("train-*.parquet"))
    pd = pytest.importorskip("pandas")
    assert pd.concat([pd.read_parquet(path) for path in shards])["proposition_id"].tolist() == expected
    assert pl.read_parquet(dataset / "train-*.parquet")["proposition_id"].to_list() == expected
    query = f"SELECT proposition_id, \"values\"[2] FROM '{dataset}/train-*.parquet' ORDER BY premise_id"
    assert duckdb.sql(query).fetchall() == [(each, 0.75) for each in expected]
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(dataset), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in found.items()} == {"train": 12, "test": 2}
    assert found["train"]["proposition_id"][:] == expected
    assert found["train"][0]["values"] == [0.25, 0.75]
    pairs = datasets.load_dataset(str(dataset), "pairs", cache_dir=str(tmp_path / "cache"), split="train")
    assert pairs["higher_proposition_id"][:] == ["train-00000", "train-00002"]


@pytest.mark.parametrize(
    ("licences", "simulated", "hub", "told"),
    [
        ([("CC-BY-4.0", "a"), ("CC-BY-4.0", "b")], 0, "cc-by-4.0", "None of its 6 judgments come from simulated"),
        ([("CC-BY-4.0", "a"), ("MIT", "b")], 1, "other", "**3 of its 6 judgments come from simulated annotators**"),
        ([("MIT", "a"), ("unknown", "b | c")], 2, "unknown", "**6 of its 6 judgments come from simulated annotators**"),
        ([], 0, "unknown", "None of its 6"),
    ],
)
def test_the_card_tells_what_is_simulated_and_under_which_licence(
    tmp_path: Path, licences: list[tuple[str, str]], simulated: int, hub: str, told: str
) -> None:
    named = tuple(Licence(licence=licence, source=source, premises=2) for licence, source in licences)
    head = HEAD.model_copy(update={"licences": named, "queries": {"propositions": "SELECT 1"}})
    rows = [
        made_row("train", 0, n_simulated=simulated),
        made_row("dev", 1, n_simulated=simulated),
        made_row("dev", 2, n_simulated=simulated),
    ]
    write_dataset([batch_of(rows)], tmp_path / "v1", head)
    card = (tmp_path / "v1" / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == hub
    assert [config["config_name"] for config in front["configs"]] == ["default"]
    assert [each["split"] for each in front["configs"][0]["data_files"]] == ["train", "validation"]
    assert told in card
    assert "```sql\nSELECT 1\n```" in card
    assert "| human | 1 | 2 | 0 | 1 |" in card
    for licence, source in licences:
        assert f"| {licence} | {source} | 2 |" in html.unescape(card)
        assert "b | c" not in card  # it would begin another cell


def test_a_recipe_refuses_what_is_no_weight() -> None:
    for wrong in ({"human_weight": -1.0}, {"near_duplicates": 1.5}, {"pairs_weight": float("inf")}, {"human": 1}):
        with pytest.raises(ValueError, match="validation error"):
            Recipe.model_validate({"consensus": "em", **wrong})


def test_a_shard_that_lacks_a_column_is_refused(dataset: Path) -> None:
    path = dataset / "train-00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["mean"]), path)
    with pytest.raises(InputError, match="a shard has no column 'mean'; publish the training set again"):
        read_split(dataset, "train")
