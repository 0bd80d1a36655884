"""What the readers of the formats give: values as Python text, in chunks, with the number of every row."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from warehouse.files.header import Place

ROWS_AT_ONCE = 50_000

Chunk = tuple[list[int], Mapping[str, list[str | None]]]


@dataclass
class Source:
    """Chunks of values by field, and the columns they are from: complete once the chunks are read.

    `said` is what was recognised, for a person.
    """

    chunks: Iterator[Chunk]
    places: Mapping[str, Place]
    header: Collection[str]
    said: list[str] = field(default_factory=list)
