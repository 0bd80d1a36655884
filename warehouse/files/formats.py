"""Parquet, CSV and JSONL files, written from Arrow batches."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import InputError
from warehouse.whole import whole_file


def check_output(path: Path) -> None:
    """Refuse a file that cannot be written, before any work is done for it."""
    if path.suffix not in WRITERS:
        raise InputError(f"{path}: the extension must be .parquet, .csv or .jsonl")
    check_place(path)


def check_place(path: Path) -> None:
    """Refuse a file whose folder is missing, or that is a folder itself."""
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: {path.parent} must be a folder, and {path.name} none")


def write_table(table: pa.Table, path: Path) -> int:
    """Write a table as `write_batches` does; how many rows it has."""
    return write_batches(table.to_reader(), path)


def write_batches(reader: pa.RecordBatchReader, path: Path, kind: str | None = None) -> int:
    """Write a stream of batches to a parquet (zstd), CSV or JSONL file; how many rows it has.

    `kind` is one of `.parquet`, `.csv` and `.jsonl`, the extension of the path where it is not given. A file that is
    there is replaced once the new one is whole. Lists and structs stand in CSV as JSON, times in ISO 8601; what is no
    number (nan, infinity) is null in JSON, which has no word for it.

    Raises:
        InputError: the file cannot be written. Nothing half-written stays.
    """
    if kind is None:
        check_output(path)
        kind = path.suffix
    check_place(path)
    try:
        with whole_file(path) as partial:
            rows = WRITERS[kind](reader, partial)
    except (OSError, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error
    return rows


def _write_parquet(reader: pa.RecordBatchReader, path: Path) -> int:
    rows = 0
    with parquet_writer(path, reader.schema) as writer:
        for batch in reader:
            rows += batch.num_rows
            writer.write_batch(batch)
    return rows


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A parquet file to write batches to, compressed as everything that the product writes is."""
    return pq.ParquetWriter(path, schema, compression="zstd")


def _write_jsonl(reader: pa.RecordBatchReader, path: Path) -> int:
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        for batch in reader:
            rows += batch.num_rows
            file.writelines(_json(row) + "\n" for row in batch.to_pylist())
    return rows


def _write_csv(reader: pa.RecordBatchReader, path: Path) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(reader.schema.names)
        for batch in reader:
            rows += batch.num_rows
            writer.writerows(map(_cell, row.values()) for row in batch.to_pylist())
    return rows


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        return _json(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date | time) else value


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    """A value that JSON does not know as one that it does."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


WRITERS: dict[str, Callable[[pa.RecordBatchReader, Path], int]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}
