"""A person's parquet, CSV and JSONL files: read as columns of text, with the place of a mistake, and written."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from warehouse.errors import InputError

LINES_AT_ONCE = 50_000


@dataclass(frozen=True)
class TextColumns:
    """The wanted columns of a file, every value as text (empty is null); `rows` are the numbers that a person counts.

    A row of CSV or parquet is counted from 1 without the header, a line of JSONL from 1.
    """

    path: Path
    unit: str
    rows: pa.Array
    columns: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.rows)

    def error(self, index: int, column: str | None, problem: str) -> InputError:
        """An InputError about the row at an index (from 0)."""
        where = f", column {column!r}" if column else ""
        return InputError(f"{self.path}, {self.unit} {self.rows[index].as_py()}{where}: {problem}")

    def first(self, mask: pa.Array) -> int | None:
        """The index of the first row where the mask holds; None where it never does."""
        index = pc.index(pc.fill_null(mask, False), True).as_py()
        return None if index < 0 else int(index)


def read_columns(path: Path, required: Collection[str], optional: Collection[str] = ()) -> TextColumns:
    """The named columns of a .parquet, .csv or .jsonl (.ndjson) file; optional ones only where the file has them.

    Raises:
        InputError: no such file, an unknown extension, a file that cannot be read, or a required column that is not
            there (it says which ones are).
    """
    readers = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: the extension must be .parquet, .csv or .jsonl")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        read = reader(path, required, optional)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, csv.Error) as error:
        raise InputError(f"{path} is not a readable {path.suffix} file: {str(error).splitlines()[0]}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or str(error).splitlines()[0]}") from error
    if len(read) == 0:
        raise InputError(f"{path} has no rows")
    return read


def _chosen(path: Path, there: Collection[str], required: Collection[str], optional: Collection[str]) -> list[str]:
    for name in required:
        if name not in there:
            raise InputError(f"{path} has no column {name!r}; it has {', '.join(sorted(there))}: name the right one")
    return list(dict.fromkeys([*required, *(name for name in optional if name in there)]))


def _parquet(path: Path, required: Collection[str], optional: Collection[str]) -> TextColumns:
    chosen = _chosen(path, pq.read_schema(path).names, required, optional)
    table = pq.read_table(path, columns=chosen)
    columns = {}
    for name in chosen:
        column = table[name].combine_chunks()
        if pa.types.is_nested(column.type):
            raise InputError(f"{path}, column {name!r}: it holds {column.type}, not text or numbers")
        columns[name] = _blank_to_null(column.cast(pa.string()))
    return TextColumns(path, "row", pa.array(range(1, table.num_rows + 1), pa.int64()), columns)


def _csv(path: Path, required: Collection[str], optional: Collection[str]) -> TextColumns:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    chosen = _chosen(path, header, required, optional)
    table = pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(chosen, pa.string()), include_columns=chosen, strings_can_be_null=False
        ),
    )
    columns = {name: _blank_to_null(table[name].combine_chunks()) for name in chosen}
    return TextColumns(path, "row", pa.array(range(1, table.num_rows + 1), pa.int64()), columns)


def _jsonl(path: Path, required: Collection[str], optional: Collection[str]) -> TextColumns:
    numbers: list[pa.Array] = []
    chunks: dict[str, list[pa.Array]] = {name: [] for name in dict.fromkeys([*required, *optional])}
    seen: set[str] = set()
    for rows in _json_chunks(path):
        numbers.append(pa.array([number for number, _ in rows], pa.int64()))
        for number, row in rows:
            seen.update(row)
            for name in required:
                if name not in row:
                    there = ", ".join(sorted(row)) or "nothing"
                    raise InputError(f"{path}, line {number} has no {name!r}; it has {there}: name the right one")
        for name, parts in chunks.items():
            parts.append(pa.array([_text(path, number, name, row.get(name)) for number, row in rows], pa.string()))
    columns = {name: _blank_to_null(pa.concat_arrays(parts)) for name, parts in chunks.items() if name in seen}
    rows_read = pa.concat_arrays(numbers) if numbers else pa.array([], pa.int64())
    return TextColumns(path, "line", rows_read, columns)


def _json_chunks(path: Path) -> Iterator[list[tuple[int, dict[str, object]]]]:
    with path.open(encoding="utf-8-sig") as file:
        lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        while chunk := [(number, _json_object(path, number, line)) for number, line in islice(lines, LINES_AT_ONCE)]:
            yield chunk


def _json_object(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {number}: broken JSON ({error.msg}, character {error.colno})") from error
    if not isinstance(row, dict):
        raise InputError(f"{path}, line {number}: every line must be a JSON object, such as {{...}}")
    return row


def _text(path: Path, number: int, name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise InputError(f"{path}, line {number}, column {name!r}: it must be text or a number, not {type(value).__name__}")


def _blank_to_null(column: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


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
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        rows = WRITERS[kind](reader, partial)
        partial.replace(path)
    except (OSError, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error
    finally:
        partial.unlink(missing_ok=True)
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
