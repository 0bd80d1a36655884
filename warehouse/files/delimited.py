"""CSV and similar files: finds the separator, and reads each row with its line number."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from warehouse.errors import InputError
from warehouse.files.cells import CellError, parsed, pointed, scalar_text
from warehouse.files.header import Place, Wanted, check_required, find
from warehouse.files.source import ROWS_AT_ONCE, Chunk, Source

SEPARATORS = {",": "", ";": "separated by semicolons", "\t": "separated by tabs", "|": "separated by |"}
SEPARATOR_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
SEP_LINE = re.compile(r'"?sep=(.)"?\s*')
HEADER_ROWS = 3
IMPORT_ID = re.compile(r'\{"ImportId":')
LONGEST_VALUE = 1 << 24

Row = tuple[int, list[str]]


def delimited(path: Path, encoding: str, wanted: Mapping[str, Wanted], separator: str | None) -> Source:
    """Read the rows of a CSV. If no separator is given, use the one that finds the most wanted fields.

    Blank rows and unnamed columns at the end are left out.

    Raises:
        InputError: A line is not valid CSV or does not match the header, or a column is missing.
    """
    chosen, header = _layout(path, encoding, wanted, _separator(separator))
    places = find(path, header, wanted)
    check_required(str(path), header, wanted, places)
    said = [SEPARATORS.get(chosen, f"separated by {chosen!r}")] if separator is None and chosen != "," else []
    further = _further_headers(_rows(path, encoding, chosen))
    if further:
        said.append("Qualtrics' further header rows left out")
    source = Source(iter(()), places, header, said)
    source.chunks = _chunks(path, islice(_body(path, encoding, chosen, len(header)), further, None), places)
    return source


def _separator(named: str | None) -> str | None:
    if named is None:
        return None
    separator = SEPARATOR_NAMES.get(named.lower(), named)
    if len(separator) != 1 or separator in '"\r\n':
        raise InputError(f"--separator {named} must be one character, or comma, semicolon, tab or pipe")
    return separator


def _layout(
    path: Path, encoding: str, wanted: Mapping[str, Wanted], separator: str | None
) -> tuple[str, Sequence[str]]:
    """The separator and the header."""
    with _opened(path, encoding) as file:
        first = next((line for line in file if line.strip()), "")
    told = SEP_LINE.fullmatch(first)
    candidates = [separator] if separator else [told[1]] if told else list(SEPARATORS)
    best: tuple[tuple[int, int], str, list[str]] | None = None
    failure: InputError | None = None
    for candidate in candidates:
        try:
            header = _without_nameless_end(next(_rows(path, encoding, candidate))[1])
        except StopIteration:
            raise InputError(f"{path} has no rows") from None
        except InputError as error:
            failure = failure or error
            continue
        rank = (sum(name in places for name in wanted) if (places := _found(path, header, wanted)) else 0, len(header))
        if best is None or rank > best[0]:
            best = (rank, candidate, header)
    if best is None:
        raise InputError(f"{failure}, or name the --separator" if failure else f"{path} has no rows")
    return best[1], best[2]


def _found(path: Path, header: Sequence[str], wanted: Mapping[str, Wanted]) -> Mapping[str, Place]:
    try:
        return find(path, header, wanted)
    except InputError:  # duplicate names: they were found with this separator
        return dict.fromkeys(wanted, Place("", 0))


def _without_nameless_end(header: list[str]) -> list[str]:
    while len(header) > 1 and not header[-1].strip():
        header = header[:-1]
    return header


def _opened(path: Path, encoding: str):  # type: ignore[no-untyped-def]
    errors = "surrogatepass" if encoding.startswith("utf") else "strict"
    return path.open(encoding=encoding, errors=errors, newline="")


def _rows(path: Path, encoding: str, separator: str) -> Iterator[Row]:
    """The rows that are not blank, header first, each with the number of its first line."""
    csv.field_size_limit(LONGEST_VALUE)
    with _opened(path, encoding) as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        line, first = 1, True
        try:
            for row in reader:
                if any(map(str.strip, row)) and not (first and SEP_LINE.fullmatch(separator.join(row))):
                    first = False
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{path}, line {line}: {_problem(str(error))}") from error


def _problem(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quotation mark opens a value and none closes it"
    if "field limit" in message:
        return f"a value has more than {LONGEST_VALUE:,} characters; is a quotation mark missing?"
    if "expected after" in message:
        return "a quotation mark within a quoted value must be written twice"
    return f"not readable ({message})"


def _further_headers(rows: Iterator[Row]) -> int:
    """How many rows after the first are headers too: Qualtrics adds the questions, and their ids as JSON."""
    for number, (_, row) in enumerate(islice(rows, HEADER_ROWS)):
        if all(IMPORT_ID.match(cell) for cell in row):
            return number
    return 0


def _body(path: Path, encoding: str, separator: str, width: int) -> Iterator[Row]:
    rows = _rows(path, encoding, separator)
    next(rows)
    for line, row in rows:
        if len(row) != width and (len(row) < width or any(map(str.strip, row[width:]))):
            raise InputError(
                f"{path}, line {line} has {len(row)} values and the header {width}; "
                f"put values that contain {separator!r} in quotation marks"
            )
        yield line, row


def _chunks(path: Path, rows: Iterator[Row], places: Mapping[str, Place]) -> Iterator[Chunk]:
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        lines = [line for line, _ in chunk]
        values: dict[str, list[str | None]] = {}
        for field, place in places.items():
            cells: list[str | None] = [row[place.index] for _, row in chunk]
            values[field] = _inside(path, lines, cells, place) if place.pointer else cells
        yield lines, values


def _inside(path: Path, lines: list[int], cells: list[str | None], place: Place) -> list[str | None]:
    """Follow the pointer into the JSON of every cell."""
    found = []
    for line, cell in zip(lines, cells, strict=True):
        try:
            found.append(scalar_text(pointed(parsed(cell), place.pointer)) if cell and cell.strip() else None)
        except CellError as error:
            raise InputError(f"{path}, line {line}, column {place.label!r}: {error}") from error
    return found
