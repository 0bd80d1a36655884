"""Reading parquet, CSV and JSONL files as columns of text, with the place of every value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from warehouse.errors import InputError
from warehouse.files import cells
from warehouse.files.delimited import LONGEST_VALUE, delimited
from warehouse.files.encodings import SHOWN, encoding_of
from warehouse.files.header import Place, Wanted, check_required, find, listed
from warehouse.files.json_lines import json_lines
from warehouse.files.source import ROWS_AT_ONCE, Chunk, Source
from warehouse.records import Drop, content_id

Dates = Literal["day-first", "month-first", "epoch", "epoch-ms", "excel"]
DecimalMark = Literal["point", "comma"]
DELIMITED, JSON = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson")
PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz")
# How files start whose extension says otherwise.
STARTS = {
    b"PK\x03\x04": "is a zip archive or a spreadsheet; unpack it, or save it as CSV",
    b"\x1f\x8b": "is compressed; unpack it, and import the file in it",
    b"PAR1": "is a parquet file; name it .parquet",
}
UNREAD_SHOWN = 8
BYTES_AT_ONCE = 1 << 20
EXACT = 2.0**53


class Reading(BaseModel):
    """How to read a file. Whatever is None is detected.

    Attributes:
        separator: The separator of a CSV.
        encoding: The usual name of the encoding.
        decimal: The decimal mark.
        dates: The order of day and month, or the unit of numeric times.
        missing: Words for "no value", besides NA and the like.
        entities: Whether to decode HTML entities such as `&amp;`; None decides by format.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    separator: str | None = None
    encoding: str | None = None
    decimal: DecimalMark | None = None
    dates: Dates | None = None
    missing: tuple[str, ...] = ()
    entities: bool | None = None


AS_FOUND = Reading()


class TextColumns:
    """The wanted fields of a file as text (missing is null), with line or row numbers from 1.

    `said` is what was detected in the file, as messages; converting a column may add to it.
    """

    def __init__(self, path: Path, unit: str, rows: pa.Array, labels: Mapping[str, str], reading: Reading) -> None:
        self.path, self.unit, self.rows, self.labels, self.reading = path, unit, rows, labels, reading
        self.columns: dict[str, pa.Array] = {}
        self.said: list[str] = []

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, index: int) -> str:
        """Return the place of the row at an index (from 0), without the folder."""
        return f"{self.path.name}, {self.unit} {self.rows[index].as_py()}"

    def value(self, index: int, field: str) -> str | None:
        """Return the text of a field of the row at an index (from 0); None if it is missing."""
        text: str | None = self.columns[field][index].as_py() if field in self.columns else None
        return text

    def error(self, index: int, field: str, problem: str) -> InputError:
        """Return an `InputError` about a field of the row at an index (from 0)."""
        label = self.labels.get(field, field)
        return InputError(f"{self.path}, {self.unit} {self.rows[index].as_py()}, column {label!r}: {problem}")

    def error_about(self, text: str, field: str, problem: str) -> InputError:
        """Return an `InputError` about the first row with this text in a field."""
        index = self.first(pc.equal(self.columns[field], text))
        assert index is not None
        return self.error(index, field, problem)

    def drop(self, index: int, subject: str, reason: str) -> Drop:
        """Return a drop for what the row at an index (from 0) says of a subject."""
        return Drop(
            drop_id=content_id("import", subject, reason),
            stage="import",
            subject_id=subject,
            reason=reason,
            detail=self.place(index),
        )

    def first(self, mask: pa.Array) -> int | None:
        """Return the index of the first row where the mask is true; None if there is none."""
        index = pc.index(pc.fill_null(mask, False), True).as_py()
        return None if index < 0 else int(index)


def read_columns(path: Path, wanted: Mapping[str, Wanted], reading: Reading = AS_FOUND) -> TextColumns:
    """Read the wanted fields of a .parquet, .csv (.tsv, .txt) or .jsonl (.ndjson) file.

    Raises:
        InputError: The file does not exist or cannot be read, its extension is unknown, or a required column is
            missing.
    """
    with _readable(path, reading):
        file = _File(path, wanted, reading)
        read = _parquet(file) if file.is_parquet else _text_file(file)
    if len(read) == 0:
        raise InputError(f"{path} has no rows")
    return read


def read_parts(
    path: Path, wanted: Mapping[str, Wanted], reading: Reading = AS_FOUND, *, said: list[str] | None = None
) -> Iterator[TextColumns]:
    """Yield the rows of a file some thousand at a time, as `read_columns` reads all of them.

    `said`, if given, gets what was detected in the file, once all parts are read.

    Raises:
        InputError: As `read_columns` does, for the first part that is at fault.
    """
    n = 0
    with _readable(path, reading):
        file = _File(path, wanted, reading)
        for part in _parquet_parts(file) if file.is_parquet else _text_parts(file):
            n += len(part)
            yield part
    if n == 0:
        raise InputError(f"{path} has no rows")
    if said is not None:
        said += file.told()


@dataclass
class _File:
    """A file, the fields wanted of it, and what is found out about it while it is read."""

    path: Path
    wanted: Mapping[str, Wanted]
    reading: Reading
    source: Source = field(default_factory=lambda: Source(iter(()), {}, ()))
    halves: list[tuple[int, int]] = field(default_factory=list)
    """How many values had lone surrogates, and the line of the first one, by chunk and field."""

    @property
    def is_parquet(self) -> bool:
        return self.path.suffix.lower() == ".parquet"

    def labels(self) -> dict[str, str]:
        return {name: place.label for name, place in self.source.places.items()}

    def told(self) -> list[str]:
        """What was detected, once all rows are read."""
        said = list(self.source.said)
        if self.halves:
            n, line = sum(n for n, _ in self.halves), min(line for _, line in self.halves)
            some = "1 value" if n == 1 else f"{n:,} values"
            said.append(f"invalid characters in {some} replaced by U+FFFD, first in {self.path.name}, line {line}")
        used = {place.name for place in self.source.places.values()}
        if unread := [name for name in self.source.header if name not in used and name.strip()]:
            said.append(f"not read: {listed(unread, UNREAD_SHOWN)}")
        return said


@contextmanager
def _readable(path: Path, reading: Reading) -> Iterator[None]:
    """Check that a file may be read, and turn what fails while it is into an `InputError`."""
    kind = path.suffix.lower()
    try:
        _check_input(path, kind)
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path} is not a readable {kind} file: {str(error).splitlines()[0]}") from error
    except UnicodeError as error:
        raise InputError(
            f"{path} is not {reading.encoding or 'readable'} text ({error}); give its --encoding"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or str(error).splitlines()[0]}") from error


def _check_input(path: Path, kind: str) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it")
    if kind in (".xlsx", ".xls", ".ods"):
        raise InputError(f"{path} is a spreadsheet; save it as CSV (the extension must be .csv, .jsonl or .parquet)")
    if kind in PACKED:
        raise InputError(f"{path} is compressed; unpack it, and import the file in it")
    if kind not in (".parquet", *DELIMITED, *JSON):
        array = "; write a JSON array as .jsonl, one object per line" if kind == ".json" else ""
        raise InputError(f"{path}: the extension must be .parquet, .csv (.tsv, .txt) or .jsonl{array}")
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; it has no rows")
    with path.open("rb") as file:
        start = file.read(4)
    for sign, problem in STARTS.items():
        if start.startswith(sign) and (sign, kind) != (b"PAR1", ".parquet"):
            raise InputError(f"{path} {problem}")


def _open_text(file: _File) -> None:
    path, reading = file.path, file.reading
    encoding = encoding_of(path, reading.encoding)
    if path.suffix.lower() in JSON:
        file.source = json_lines(path, encoding, file.wanted)
    else:
        file.source = delimited(path, encoding, file.wanted, reading.separator)
    if reading.encoding is None and encoding in SHOWN:
        file.source.said.append(SHOWN[encoding])


def _text_file(file: _File) -> TextColumns:
    _open_text(file)
    read = _collected(file, file.source.chunks)
    read.said += file.told()
    return read


def _text_parts(file: _File) -> Iterator[TextColumns]:
    _open_text(file)
    for chunk in file.source.chunks:
        yield _collected(file, [chunk])


def _collected(file: _File, chunks: Iterable[Chunk]) -> TextColumns:
    numbers: list[pa.Array] = []
    parts: dict[str, list[pa.Array]] = {name: [] for name in file.wanted}
    for lines, values in chunks:
        numbers.append(pa.array(lines, pa.int64()))
        for name, arrays in parts.items():
            if name in values:
                array, broken = cells.as_array(values[name])
                file.halves += [(len(broken), lines[broken[0]])] if broken else []
            else:
                array = pa.nulls(len(lines), pa.string())
            arrays.append(array)
    rows = pa.concat_arrays(numbers) if numbers else pa.array([], pa.int64())
    columns = {name: pa.concat_arrays(parts.pop(name)) for name in file.source.places if numbers}
    return _cleaned(TextColumns(file.path, "line", rows, file.labels(), file.reading), columns, file.wanted)


def _open_parquet(file: _File) -> list[str]:
    """Find the columns of a parquet file, and return the names of those to read."""
    header = pq.read_schema(file.path).names
    places = find(file.path, header, file.wanted)
    check_required(str(file.path), header, file.wanted, places)
    file.source = Source(iter(()), places, header)
    return sorted({place.name for place in places.values()})


def _parquet(file: _File) -> TextColumns:
    names = _open_parquet(file)
    read = _of_table(file, pq.read_table(file.path, columns=names), 0)
    read.said += file.told()
    return read


def _parquet_parts(file: _File) -> Iterator[TextColumns]:
    names, done = _open_parquet(file), 0
    # Without a buffer, the whole column of a row group is read, which may be the whole file.
    with pq.ParquetFile(file.path, buffer_size=BYTES_AT_ONCE) as opened:
        for batch in opened.iter_batches(batch_size=ROWS_AT_ONCE, columns=names):
            yield _of_table(file, pa.Table.from_batches([batch]), done)
            done += batch.num_rows


def _of_table(file: _File, table: pa.Table, before: int) -> TextColumns:
    """The fields in the rows of a table, of which the file has so many before."""
    rows = pa.array(range(before + 1, before + table.num_rows + 1), pa.int64())
    read = TextColumns(file.path, "row", rows, file.labels(), file.reading)
    columns = {
        name: _as_json(table[place.name])
        if file.wanted[name].kind == "json" and pa.types.is_nested(table[place.name].type) and not place.pointer
        else _as_text(read, name, table[place.name], place)
        for name, place in file.source.places.items()
    }
    return _cleaned(read, columns, file.wanted)


def _as_json(column: pa.ChunkedArray) -> pa.Array:
    texts = [None if value is None else json.dumps(value) for value in column.to_pylist()]
    return pa.array(texts, pa.string())


def _as_text(read: TextColumns, field: str, column: pa.ChunkedArray, place: Place) -> pa.Array:
    values = column.combine_chunks()
    if place.pointer:
        return _inside(read, field, values, place.pointer)
    if pa.types.is_nested(values.type):
        raise InputError(
            f"{read.path}, column {place.name!r}: its type is {values.type}, not text or numbers; name what is meant "
            f"in it as {field}={place.name}:/KEY, or store it as a column of its own"
        )
    if pa.types.is_duration(values.type):
        values = pc.divide(values.cast(pa.duration("ns")).cast(pa.int64()).cast(pa.float64()), 1e9)
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        values = _decoded(read, field, values)
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
        if pc.all(pc.and_(pc.equal(values, pc.trunc(values)), pc.less(pc.abs(values), EXACT))).as_py():
            values = values.cast(pa.int64())
    return values.cast(pa.string())


def _decoded(read: TextColumns, field: str, values: pa.Array) -> pa.Array:
    """Bytes as the texts in UTF-8 that they are: some writers of parquet do not mark texts as such."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        index = next(index for index, value in enumerate(values.to_pylist()) if not _is_text(value))
        raise read.error(index, field, "these bytes are not text in UTF-8; store the column as text") from None


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or value.decode() is not None
    except UnicodeDecodeError:
        return False


def _inside(read: TextColumns, field: str, values: pa.Array, pointer: Sequence[str]) -> pa.Array:
    found = []
    for index, value in enumerate(values.to_pylist()):
        try:
            inner = cells.parsed(value) if isinstance(value, str) and value.strip() else value
            found.append(cells.scalar_text(cells.pointed(inner, pointer)))
        except cells.CellError as error:
            raise read.error(index, field, str(error)) from error
    return pa.array(found, pa.string())


def _cleaned(read: TextColumns, columns: Mapping[str, pa.Array], wanted: Mapping[str, Wanted]) -> TextColumns:
    """Strip white space and words for "missing", and check what the kinds forbid."""
    for name, column in columns.items():
        read.columns[name] = _clean(read, name, column, wanted[name].kind)
    return read


def _clean(read: TextColumns, field: str, column: pa.Array, kind: str) -> pa.Array:
    if kind == "text" and read.reading.entities:
        column = cells.without_entities(column)
    column = cells.trimmed(column, read.reading.missing)
    if (index := read.first(pc.greater(pc.utf8_length(column), LONGEST_VALUE))) is not None:
        raise read.error(index, field, f"a value has more than {LONGEST_VALUE:,} characters")
    if kind in cells.CONTROL:
        index = read.first(pc.match_substring_regex(column, cells.CONTROL[kind]))
        if index is not None:
            raise read.error(
                index,
                field,
                f"{cells.shown(column[index].as_py())} contains a control or invisible character; remove it",
            )
    if kind == "id":
        index = read.first(pc.match_substring_regex(column, cells.SHORTENED))
        if index is not None:
            value = cells.shown(column[index].as_py())
            raise read.error(
                index, field, f"{value} is a number that lost digits; store the column as text and export it again"
            )
        column = cells.whole_numbers(column)
    return column
