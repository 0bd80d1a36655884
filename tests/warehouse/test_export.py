from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.fixtures.store import made_proposition, made_rows
from warehouse import Warehouse, open_warehouse
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import InputError
from warehouse.files.export import export, format_of, write_query
from warehouse.records import PremiseGroup

RATINGS = [("p", "a", 0.25), ("p", "s", 0.5), ("q", "a", 1.0)]
QUERY = "SELECT source_id, probability, submitted_at FROM judgments ORDER BY source_id"
CACHE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    """Two propositions, three judgments, one of them simulated."""
    merge_all(warehouse, made_rows(RATINGS, {"s": "simulated"}))
    return warehouse


def loaded(folder: Path, cache: Path) -> dict[str, list[dict[str, object]]]:
    """The rows of each split as `datasets` reads the folder, in a process of its own."""
    code = (
        "import datasets, json, sys; d = datasets.load_dataset(sys.argv[1]); "
        "print(json.dumps({k: v.to_list() for k, v in d.items()}, default=str))"
    )
    environment = os.environ | CACHE | {"HF_HOME": str(cache), "HF_DATASETS_CACHE": str(cache)}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    return found


def test_a_query_goes_to_each_kind_of_file(filled: Warehouse, tmp_path: Path) -> None:
    for extension in ("parquet", "csv", "jsonl"):
        assert write_query(filled, QUERY, tmp_path / f"out.{extension}") == 3
    assert pq.read_table(tmp_path / "out.parquet")["probability"].to_pylist() == [0.25, 0.5, 1.0]
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["source_id"] for line in lines] == ["p/a", "p/s", "q/a"]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 4


def test_tables_views_and_queries_are_exported(filled: Warehouse, tmp_path: Path) -> None:
    for what, rows in (("judgments", 3), ("Disagreement", 1), ('"premises"', 2), (QUERY, 3), ("FROM premises", 2)):
        assert export(filled, what, tmp_path / "out.parquet").rows == rows
        assert pq.read_metadata(tmp_path / "out.parquet").num_rows == rows
    assert export(filled, "premises", tmp_path / "out.txt", "csv").rows == 2
    assert (tmp_path / "out.txt").read_text().startswith("premise_id,")


MISTAKES = [
    ("judgements", "out.csv", "odds tables"),
    ("SELECT nothing FROM judgments", "out.csv", "cannot be run"),
    ("DROP TABLE judgments", "out.csv", "more than read"),
    ("SELECT 1; SELECT 2", "out.csv", "2 queries"),
    ("SELECT 1 AS a, 2 AS a", "folder", "'a'"),
    ("SELECT 'x'::INTEGER", "folder", "cannot be run"),
    ("SELECT 1 AS x WHERE false", "folder", "no rows"),
    ("judgments", "out.xlsx", "extension"),
    ("judgments", "none/out.csv", "cannot be written"),
    ("judgments", "none/folder", "cannot be written"),
]


def test_a_mistake_is_one_line_and_leaves_nothing(filled: Warehouse, tmp_path: Path) -> None:
    place = tmp_path / "exports"
    place.mkdir()
    for what, output, said in MISTAKES:
        with pytest.raises(InputError, match=said) as raised:
            export(filled, what, place / output)
        assert "\n" not in str(raised.value)
        assert list(place.iterdir()) == []


def test_formats_by_extension(tmp_path: Path) -> None:
    assert [format_of(Path(name)) for name in ("a.parquet", "a.CSV", "a.b.jsonl", "a")] == [
        "parquet",
        "csv",
        "jsonl",
        "hf",
    ]
    assert format_of(tmp_path) == "hf"


def test_a_dataset_folder_opens_with_datasets(filled: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "judged"
    query = (
        "SELECT v.judgment_id, v.probability, v.is_simulated, v.submitted_at, [v.probability, 1.0] AS both "
        "FROM valid_judgments v ORDER BY v.probability"
    )
    done = export(filled, query, folder)
    assert (done.rows, done.snapshot_id) == (3, filled.snapshot_id())
    rows = loaded(folder, tmp_path / "cache")["train"]
    assert [row["probability"] for row in rows] == [0.25, 0.5, 1.0]
    assert [row["both"] for row in rows] == [[0.25, 1.0], [0.5, 1.0], [1.0, 1.0]]

    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
    ]
    assert query in card
    assert f"| snapshot of the warehouse | {filled.snapshot_id()}, of 20" in card
    assert "1 of 3 rows come from simulated annotators (column `is_simulated`)" in card
    assert "1 of 3 judgments come from simulated annotators" in card
    assert "| `probability` | double | As in `valid_judgments`: The probability, in [0, 1]. |" in card
    assert "| Computed by the query. |" in next(line for line in card.splitlines() if line.startswith("| `both`"))
    assert "unknown (2 premises)" in card


def test_a_table_has_its_own_comments_and_splits_are_parted(filled: Warehouse, tmp_path: Path) -> None:
    merge_all(filled, made_rows([(f"p{n}", "a", 0.5) for n in range(40)]))
    grouped = next(made_proposition(f"p{n}") for n in range(40) if made_proposition(f"p{n}").split == "test")
    merge(filled, [PremiseGroup(premise_id=grouped.premise_id, group_id="g", reason="near-duplicate", split="train")])
    export(filled, "propositions", tmp_path / "all")
    card = (tmp_path / "all" / "README.md").read_text()
    assert "| `split` | string |" in card
    assert "No column of these rows tells" in card  # the kind there is not that of an annotator
    export(filled, "annotators", tmp_path / "annotators")
    assert (
        "1 of 2 rows are of simulated annotators (column `kind`)" in (tmp_path / "annotators" / "README.md").read_text()
    )
    found = loaded(tmp_path / "all", tmp_path / "cache")
    found["dev"] = found.pop("validation")
    expected = {
        row["split"]: row["n"] for row in filled.sql("SELECT split, count(*) AS n FROM splits GROUP BY 1").to_pylist()
    }
    assert {split: len(rows) for split, rows in found.items()} == expected
    assert all(row["split"] == split for split, rows in found.items() for row in rows)
    assert f"| `test` | {expected['test']} |" in card


@pytest.mark.slow
def test_rows_of_no_split_go_apart(filled: Warehouse, tmp_path: Path) -> None:
    export(filled, "SELECT unnest(['train', 'holdout', NULL]) AS split, 1 AS x", tmp_path / "odd")
    found = loaded(tmp_path / "odd", tmp_path / "cache")
    assert {split: len(rows) for split, rows in found.items()} == {"train": 1, "other": 2}


def test_only_the_folder_of_an_export_is_replaced(filled: Warehouse, tmp_path: Path) -> None:
    mine, ours = tmp_path / "mine", tmp_path / "ours"
    mine.mkdir()
    (mine / "README.md").write_text("my thesis")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is not an export"):
            export(filled, "judgments", mine, overwrite=overwrite)
    assert (mine / "README.md").read_text() == "my thesis"
    export(filled, "judgments", ours)
    with pytest.raises(InputError, match="--overwrite"):
        export(filled, "premises", ours)
    with pytest.raises(InputError, match="cannot be run"):
        export(filled, "SELECT nothing FROM judgments", ours, overwrite=True)
    assert pq.read_table(ours / "data" / "train-00000.parquet").num_rows == 3
    assert export(filled, "premises", ours, overwrite=True).rows == 2
    assert pq.read_table(ours / "data" / "train-00000.parquet").num_rows == 2
    assert sorted(
        path.name for path in tmp_path.iterdir() if path.name in ("mine", "ours") or ".ours" in path.name
    ) == [
        "mine",
        "ours",
    ]
    (tmp_path / "empty").mkdir()
    export(filled, "judgments", tmp_path / "empty")


def test_files_of_a_folder_are_bounded(filled: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.files.export.ROWS_A_FILE", 70_000)
    export(filled, "SELECT i FROM range(200000) t(i) ORDER BY i", tmp_path / "many")
    files = sorted((tmp_path / "many" / "data").iterdir())
    assert [path.name for path in files] == ["train-00000.parquet", "train-00001.parquet", "train-00002.parquet"]
    tables = [pq.read_table(path)["i"].to_pylist() for path in files]
    assert [len(rows) for rows in tables] == [70_000, 70_000, 60_000]
    assert [i for rows in tables for i in rows] == list(range(200_000))


MEASURE = """
import resource, sys
from pathlib import Path
from warehouse import open_warehouse
from warehouse.files.export import export
with open_warehouse(sys.argv[1]) as warehouse:
    rows = int(sys.argv[3])
    text = "concat(md5(i::VARCHAR), md5((i + 1)::VARCHAR), md5((i + 2)::VARCHAR))"
    export(warehouse, f"SELECT i, {text} AS text, [i / 7, i / 3] AS values FROM range({rows}) t(i)", Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "folder"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str) -> None:
    catalog = tmp_path / "catalog.sqlite"
    open_warehouse(catalog, read_only=False).close()

    def peak(rows: int) -> float:
        command = [sys.executable, "-c", MEASURE, str(catalog), str(tmp_path / f"{rows}{name}"), str(rows)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    few, many = peak(100_000), peak(500_000)
    # 400,000 rows more are 45 MB of text alone, and three times that as Python objects.
    assert many - few < 40, (few, many)
