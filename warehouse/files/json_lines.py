"""JSON Lines: one object per line, read with its line number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from warehouse.errors import InputError
from warehouse.files.cells import CellError, parsed, pointed, scalar_text
from warehouse.files.header import Place, Wanted, check_required, find
from warehouse.files.source import ROWS_AT_ONCE, Chunk, Source

Row = tuple[int, dict[str, object]]


def json_lines(path: Path, encoding: str, wanted: Mapping[str, Wanted]) -> Source:
    """Read the objects of a file; blank lines are skipped.

    Raises:
        InputError: A line is not a JSON object or lacks a required key; raised while the chunks are read.
    """
    places: dict[str, Place] = {}
    seen: dict[str, None] = {}
    return Source(_chunks(path, encoding, wanted, places, seen), places, seen)


def _chunks(
    path: Path, encoding: str, wanted: Mapping[str, Wanted], places: dict[str, Place], seen: dict[str, None]
) -> Iterator[Chunk]:
    rows = _rows(path, encoding)
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        known = len(seen)
        for _, row in chunk:
            seen.update(dict.fromkeys(row))
        if len(seen) > known:
            _renew(path, places, find(path, list(seen), wanted))
        values = {}
        for field, one in wanted.items():
            if one.required:
                _check_there(path, chunk, wanted, places, field)
            if field in places:
                values[field] = _values(path, chunk, places[field], one.kind == "json")
        yield [number for number, _ in chunk], values


def _renew(path: Path, places: dict[str, Place], found: dict[str, Place]) -> None:
    for field, place in found.items():
        if places.setdefault(field, place).name != place.name:
            raise InputError(f"{path} has both {places[field].name!r} and {place.name!r}; rename one of them")


def _check_there(
    path: Path, chunk: list[Row], wanted: Mapping[str, Wanted], places: Mapping[str, Place], field: str
) -> None:
    name = places[field].name if field in places else None
    for number, row in chunk:
        if name not in row:
            check_required(f"{path}, line {number}", row, {field: wanted[field]}, ())


def _rows(path: Path, encoding: str) -> Iterator[Row]:
    errors = "surrogatepass" if encoding.startswith("utf") else "strict"
    with path.open(encoding=encoding, errors=errors) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = parsed(line)
            except CellError as error:
                array = "; a JSON array is not read: write one object per line" if line.lstrip().startswith("[") else ""
                raise InputError(f"{path}, line {number}: {error}{array}") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: every line must be a JSON object, such as {{...}}")
            yield number, row


def _values(path: Path, chunk: list[Row], place: Place, as_json: bool) -> list[str | None]:
    found = [(number, row.get(place.name)) for number, row in chunk]
    if as_json and not place.pointer:
        return [value if isinstance(value, str | None) else json.dumps(value) for _, value in found]
    if place.pointer:
        return [_text(path, number, value, place) for number, value in found]
    return [value if isinstance(value, str) else _text(path, number, value, place) for number, value in found]


def _text(path: Path, number: int, value: object, place: Place) -> str | None:
    if value is None:
        return None
    try:
        if place.pointer:
            value = pointed(parsed(value) if isinstance(value, str) else value, place.pointer)
        return scalar_text(value)
    except CellError as error:
        raise InputError(f"{path}, line {number}, column {place.label!r}: {error}") from error
