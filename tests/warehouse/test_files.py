from __future__ import annotations

import csv
import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse.errors import InputError
from warehouse.files.formats import write_batches, write_table

WHEN = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
ROWS = pa.table(
    {
        "text": ['It "rains",\nall day', "é", None],
        "p": pa.array([0.5, float("nan"), None], pa.float64()),
        "n": pa.array([Decimal(12), None, Decimal(0)], pa.decimal128(38, 0)),
        "flag": pa.array([True, False, None]),
        "at": pa.array([WHEN, None, WHEN], pa.timestamp("us", "UTC")),
        "day": pa.array([date(2026, 1, 2), None, None]),
        "values": pa.array([[0.25, 1.0], [], None], pa.list_(pa.float64())),
        "nested": pa.array([{"a": [float("inf")]}, None, None]),
    }
)


def test_parquet_holds_the_rows_compressed_by_zstd(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    assert write_table(ROWS, path) == 3
    assert pq.read_table(path).drop_columns(["p"]).to_pylist() == ROWS.drop_columns(["p"]).to_pylist()
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_jsonl_is_json_in_every_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert write_table(ROWS, path) == 3

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    first, second, third = (json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines())
    assert first == {
        "text": 'It "rains",\nall day',
        "p": 0.5,
        "n": 12,
        "flag": True,
        "at": "2026-11-20T14:30:00+00:00",
        "day": "2026-01-02",
        "values": [0.25, 1.0],
        "nested": {"a": [None]},
    }
    assert (second["p"], second["n"], second["values"], third["text"], third["n"]) == (None, None, [], None, 0)


def test_csv_is_read_alike_by_others(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_table(ROWS.drop_columns(["p", "nested"]), path)
    with path.open(newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["flag"], first["at"], first["values"]) == ("true", "2026-11-20T14:30:00+00:00", "[0.25, 1.0]")
    assert pl.read_csv(path, try_parse_dates=True)["flag"].to_list() == [True, False, None]
    found = duckdb.sql(f"SELECT text, n, day FROM read_csv('{path}')").fetchall()
    assert found[0] == ('It "rains",\nall day', 12, date(2026, 1, 2))


def test_the_format_may_differ_from_the_extension(tmp_path: Path) -> None:
    assert write_batches(ROWS.to_reader(), tmp_path / "rows.txt", ".jsonl") == 3
    assert json.loads((tmp_path / "rows.txt").read_text().splitlines()[1])["text"] == "é"


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_table(ROWS.select(["text"]), path)
    before = path.read_bytes()

    def broken() -> pa.RecordBatchReader:
        def batches() -> object:
            yield from ROWS.select(["text"]).to_batches()
            raise InputError("the query broke")

        return pa.RecordBatchReader.from_batches(ROWS.select(["text"]).schema, batches())

    for name in ("rows.csv", "rows.parquet", "rows.jsonl"):
        with pytest.raises(InputError, match="the query broke"):
            write_batches(broken(), tmp_path / name)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["rows.csv"]
    write_table(ROWS.select(["flag"]), path)
    assert path.read_text().splitlines() == ["flag", "true", "false", '""']


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for path in (tmp_path / "rows.txt", tmp_path / "none" / "rows.csv", tmp_path / "folder.csv"):
        with pytest.raises(InputError, match=path.name) as raised:
            write_table(ROWS, path)
        assert "\n" not in str(raised.value)
