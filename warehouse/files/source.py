"""What the readers of all formats return: values as text, in chunks, with row numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from warehouse.files.header import Place

ROWS_AT_ONCE = 10_000

Chunk = tuple[list[int], Mapping[str, list[str | None]]]


@dataclass
class Source:
    """Chunks of values by field, and their columns, which are complete once all chunks are read.

    `said` is what was detected in the file, as messages.
    """

    chunks: Iterator[Chunk]
    places: Mapping[str, Place]
    header: Collection[str]
    said: list[str] = field(default_factory=list)
