"""Rows for a pipe: CSV, JSON, JSON lines or a Markdown table, batch by batch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import pyarrow as pa

from warehouse.files.formats import Writable, cell_text, json_text, write_csv
from warehouse.files.markdown import plain

Form: TypeAlias = Literal["csv", "json", "jsonl", "markdown"]
# JSON can escape what a terminal would interpret, so the values stay unchanged.
STEERING = re.compile("[\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")


def first(reader: pa.RecordBatchReader, limit: int) -> pa.RecordBatchReader:
    """Return the first rows of a stream; the rest is not computed."""

    def batches() -> Iterator[pa.RecordBatch]:
        left = limit
        for batch in reader:
            yield batch.slice(0, left)
            left -= batch.num_rows
            if left <= 0:
                return

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def write_rows(reader: pa.RecordBatchReader, form: Form, file: Writable, *, formulas: bool = False) -> None:
    """Write rows in a format; `formulas` keeps texts in CSV that a spreadsheet would run as formulas."""
    if form == "csv":
        write_csv(reader, file, formulas=formulas, line_end="\n")
    else:
        WRITERS[form](reader, file)


def _json_rows(reader: pa.RecordBatchReader) -> Iterator[list[str]]:
    for batch in reader:
        yield [STEERING.sub(lambda one: f"\\u{ord(one[0]):04x}", json_text(row)) for row in batch.to_pylist()]


def _write_jsonl(reader: pa.RecordBatchReader, file: Writable) -> None:
    for rows in _json_rows(reader):
        file.write("".join(f"{row}\n" for row in rows))


def _write_json(reader: pa.RecordBatchReader, file: Writable) -> None:
    before = "[\n"
    for rows in _json_rows(reader):
        if rows:
            file.write(before + ",\n".join(rows))
            before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")


def _write_markdown(reader: pa.RecordBatchReader, file: Writable) -> None:
    file.write(_line(map(plain, reader.schema.names)) + _line("---" for _ in reader.schema.names))
    for batch in reader:
        file.write("".join(_line(plain(cell_text(value)) for value in row.values()) for row in batch.to_pylist()))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


WRITERS: dict[Form, Callable[[pa.RecordBatchReader, Writable], None]] = {
    "json": _write_json,
    "jsonl": _write_jsonl,
    "markdown": _write_markdown,
}
