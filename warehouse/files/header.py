"""Finding the columns of a file that hold the wanted fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from warehouse.errors import InputError

NAMES_SHOWN = 30
CHARACTERS_SHOWN = 60


@dataclass(frozen=True)
class Wanted:
    """A field to look for.

    Attributes:
        names: The names that its column may have; the first one found counts.
        required: Whether the file must have it.
        kind: How to clean its values: a `text` for people, an `id`, another `value`, or `json`, a list or an object.
        hints: What to add to the error about a missing required field if the file has a column; "" stands for any.
    """

    names: tuple[str, ...]
    required: bool = False
    kind: Literal["text", "id", "value", "json"] = "value"
    hints: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Place:
    """A column of a file by name and number, and optionally a JSON pointer (RFC 6901) into its values."""

    name: str
    index: int
    pointer: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The column as a person would write it."""
        return self.name.strip() + (":" + "".join(f"/{part}" for part in self.pointer) if self.pointer else "")


def named(wanted: Mapping[str, Wanted], given: Mapping[str, str | None]) -> dict[str, Wanted]:
    """Return the wanted fields with the columns that a person named. Named columns must exist; None means no column.

    Raises:
        InputError: A required field has no column.
    """
    chosen = dict(wanted)
    for field, column in given.items():
        if column is not None:
            chosen[field] = Wanted((column,), True, wanted[field].kind)
        elif wanted[field].required:
            raise InputError(f"--column {field}=: the file needs a column for {field}")
        else:
            del chosen[field]
    return chosen


def renamed(
    wanted: Mapping[str, Wanted], columns: Mapping[str, tuple[str, ...]], required: Collection[str] = ()
) -> dict[str, Wanted]:
    """Return the wanted fields with the names that a format gives their columns. Those in `required` must be there."""
    return {
        name: Wanted(columns.get(name, ()), one.required or name in required, one.kind) for name, one in wanted.items()
    }


def find(path: Path, header: Sequence[str], wanted: Mapping[str, Wanted]) -> dict[str, Place]:
    """Find the fields in a header. Case and spaces only matter if two names differ in nothing else.

    Raises:
        InputError: Two columns have the name of a field.
    """
    alike = [_plain(name) for name in header]
    found = {}
    for field, one in wanted.items():
        places = (_place(path, header, alike, name) for name in one.names)
        if place := next((place for place in places if place is not None), None):
            found[field] = place
    return found


def _place(path: Path, header: Sequence[str], alike: Sequence[str], name: str) -> Place | None:
    places = [index for index, one in enumerate(header) if one == name]
    places = places or [index for index, one in enumerate(alike) if one == _plain(name)]
    if len(places) > 1:
        numbers = " and ".join(str(index + 1) for index in places)
        raise InputError(f"{path} has two columns {name!r} (columns {numbers}); rename one of them")
    if places:
        return Place(header[places[0]], places[0])
    column, colon, pointer = name.partition(":/")
    if not colon or (place := _place(path, header, alike, column)) is None:
        return None
    parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/"))
    return Place(place.name, place.index, parts)


def _plain(name: str) -> str:
    return "_".join(name.split()).casefold()


def check_required(where: str, header: Collection[str], wanted: Mapping[str, Wanted], found: Collection[str]) -> None:
    """Raise `InputError` for the first required field without a column; `where` names the file or line."""
    for field, one in wanted.items():
        if one.required and field not in found:
            names = " or ".join(repr(name) for name in one.names)
            hint = next((f"; {hint}" for column, hint in one.hints if not column or column in header), "")
            raise InputError(
                f"{where} has no column {names}, only {listed(header)}; "
                f"name the right one with --column {field}=COLUMN, or rename it{hint}"
            )


def listed(names: Collection[str], limit: int = NAMES_SHOWN) -> str:
    """List names of columns for a message."""
    cut = [name.strip()[:CHARACTERS_SHOWN] for name in names if name.strip()]
    shown = [name if name.isprintable() else repr(name) for name in cut]
    more = [f"{len(shown) - limit} more"] if len(shown) > limit else []
    return ", ".join([*shown[:limit], *more]) or "no names"
