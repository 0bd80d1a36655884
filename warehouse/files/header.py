"""Which column of a file holds a wanted field."""

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
    """A field that is looked for: the names that its column may have, the first one found counts.

    The kind says how its values are cleaned: a `text` for people, an `id`, or another `value`. `hint` ends the line
    about a required one that is not there, where the file has the column `hint_for`, if that is given.
    """

    names: tuple[str, ...]
    required: bool = False
    kind: Literal["text", "id", "value"] = "value"
    hint: str = ""
    hint_for: str = ""


@dataclass(frozen=True)
class Place:
    """A column by its name and number in the file, and a JSON pointer (RFC 6901) into its values where one is given."""

    name: str
    index: int
    pointer: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What a person calls the column."""
        return self.name.strip() + (":" + "".join(f"/{part}" for part in self.pointer) if self.pointer else "")


def named(wanted: Mapping[str, Wanted], given: Mapping[str, str | None]) -> dict[str, Wanted]:
    """The wanted fields with the columns that a person names: those must be there, and None is no column.

    Raises:
        InputError: no column for a required field.
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


def find(path: Path, header: Sequence[str], wanted: Mapping[str, Wanted]) -> dict[str, Place]:
    """The places of those fields that the header has. Capitals and spaces matter only where two names differ by them.

    Raises:
        InputError: two columns have the name of a field.
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
        raise InputError(f"{path} has two columns {name!r} (columns {numbers}): rename one of them")
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
    """Raise an `InputError` about the first required field that was not found; `where` is the file or its line."""
    for field, one in wanted.items():
        if one.required and field not in found:
            names = " or ".join(repr(name) for name in one.names)
            hint = f"; {one.hint}" if one.hint and (not one.hint_for or one.hint_for in header) else ""
            raise InputError(
                f"{where} has no column {names}; it has {listed(header)}: "
                f"name the right one with --column {field}=COLUMN{hint}"
            )


def listed(names: Collection[str], limit: int = NAMES_SHOWN) -> str:
    """Names of columns for a line that a person reads."""
    cut = [name.strip()[:CHARACTERS_SHOWN] for name in names if name.strip()]
    shown = [name if name.isprintable() else repr(name) for name in cut]
    more = [f"{len(shown) - limit} more"] if len(shown) > limit else []
    return ", ".join([*shown[:limit], *more]) or "no names"
