"""Parquet, CSV and JSONL files, written from Arrow batches."""

from __future__ import annotations

import csv
import json
import math
import re
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.atomic import atomic_file
from warehouse.errors import InputError

KINDS = (".parquet", ".csv", ".jsonl")
# What spreadsheets run as formulas, including after white space and in full-width characters.
FORMULA = re.compile(r"[\t\r\n]|\s*[=+@\-\uff1d\uff0b\uff20\uff0d]")


class Writable(Protocol):
    """Anything that text can be written to."""

    def write(self, text: str, /) -> object:
        """Write the text."""


def check_output(path: Path) -> None:
    """Refuse a file that cannot be written, before doing any work."""
    if path.suffix not in KINDS:
        raise InputError(f"{path}: the extension must be .parquet, .csv or .jsonl")
    check_place(path)


def check_place(path: Path) -> None:
    """Refuse a file whose folder is missing, or that is itself a folder."""
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: {path.parent} must be a folder, and {path.name} must not")


def write_table(table: pa.Table, path: Path) -> int:
    """Write a table as `write_batches` does. Returns the number of rows."""
    return write_batches(table.to_reader(), path)


def write_batches(reader: pa.RecordBatchReader, path: Path, kind: str | None = None, *, formulas: bool = False) -> int:
    """Write a stream of batches to a parquet (zstd), CSV or JSONL file. Returns the number of rows.

    An existing file is replaced once the new one is complete. CSV has lists and structs as JSON and times in ISO 8601;
    JSON has null for nan and infinity. In CSV, texts that a spreadsheet would run as formulas get an apostrophe, unless
    `formulas` is set. `kind` is `.parquet`, `.csv` or `.jsonl`; by default the extension of the path.

    Raises:
        InputError: The file cannot be written.
    """
    if kind is None:
        check_output(path)
        kind = path.suffix
    check_place(path)
    try:
        with atomic_file(path) as partial:
            if kind == ".parquet":
                rows = _write_parquet(reader, partial)
            else:
                with partial.open("w", encoding="utf-8", newline="") as file:
                    rows = write_csv(reader, file, formulas=formulas) if kind == ".csv" else write_jsonl(reader, file)
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
    """Open a parquet file for writing batches, compressed with zstd."""
    return pq.ParquetWriter(path, schema, compression="zstd")


def write_jsonl(reader: pa.RecordBatchReader, file: Writable) -> int:
    """Write each row as a line of JSON. Returns the number of rows."""
    rows = 0
    for batch in reader:
        rows += batch.num_rows
        file.write("".join(json_text(row) + "\n" for row in batch.to_pylist()))
    return rows


def write_csv(reader: pa.RecordBatchReader, file: Writable, *, formulas: bool = False, line_end: str = "\r\n") -> int:
    """Write the rows as CSV, as described in `write_batches`. Returns their number."""
    rows = 0
    writer = csv.writer(file, lineterminator=line_end)
    cell = _cell if formulas else inert
    writer.writerow(map(cell, reader.schema.names))
    for batch in reader:
        rows += batch.num_rows
        writer.writerows(map(cell, row.values()) for row in batch.to_pylist())
    return rows


def inert(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    cell = _cell(value)
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        return json_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date | time) else value


def cell_text(value: object) -> str:
    """Return the value as text for a CSV cell; empty for None."""
    return "" if value is None else str(_cell(value))


def json_text(value: object) -> str:
    """Return the value as JSON on one line."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    """Convert a value that JSON does not support."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
