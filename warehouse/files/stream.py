"""The distinct propositions of a file as a stream, for work that needs their texts and nothing else of the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from warehouse import records
from warehouse.errors import OddsError
from warehouse.files.columns import distinct
from warehouse.files.header import Wanted, named
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_parts
from warehouse.files.texts import PROPOSITION_FIELDS, update_of
from warehouse.records import PropositionText

FIELDS = {name: PROPOSITION_FIELDS[name] for name in ("premise", "hypothesis", "update", "update_type")}


@dataclass(frozen=True)
class PropositionStream:
    """The distinct propositions of a file in its order; each iteration reads the file again.

    Attributes:
        path: The file.
        wanted: The fields to read.
        reading: How to read the file.
        total: How many there are.
        said: What was detected in the file, as messages.
    """

    path: Path
    wanted: Mapping[str, Wanted]
    reading: Reading
    total: int
    said: tuple[str, ...]

    def __iter__(self) -> Iterator[PropositionText]:
        """Yield the propositions. Memory does not grow with their number."""
        return _distinct(self.path, self.wanted, self.reading)


def proposition_stream(
    path: Path, columns: Mapping[str, str | None] | None = None, reading: Reading = AS_FOUND
) -> PropositionStream:
    """Read a file once, checking every row, and return its propositions, to be read again.

    Columns are those of `warehouse.files.texts.read_propositions`, which alone reads probabilities, sources, languages
    and splits. A row with an update makes two propositions. Texts that differ in white space are the same one; the
    first counts. `columns` gives names that differ from the defaults; None means no column.

    Raises:
        InputError: The file cannot be read, a text is empty, or an update and its type do not come together.
        OddsError: The temporary folder is full.
    """
    said: list[str] = []
    wanted = named(FIELDS, columns or {})
    total = sum(1 for _ in _distinct(path, wanted, reading, said))
    return PropositionStream(path, wanted, reading, total, tuple(said))


def _distinct(
    path: Path, wanted: Mapping[str, Wanted], reading: Reading, said: list[str] | None = None
) -> Iterator[PropositionText]:
    """Yield each proposition once. The ids seen are on disk, in a database that SQLite removes when it is closed."""
    try:
        with closing(sqlite3.connect("", check_same_thread=False)) as seen:
            seen.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID")
            for part in read_parts(path, wanted, reading, said=said):
                for text in _texts(part):
                    key = bytes.fromhex(text.proposition_id)
                    if seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", [key]).rowcount:
                        yield text
    except sqlite3.Error as error:
        raise OddsError(f"{path}: the ids of its rows cannot be kept in the temporary folder ({error})") from error


def _texts(read: TextColumns) -> Iterator[PropositionText]:
    """Yield the propositions of some rows: that of the row, then that of its update."""
    premises, hypotheses = distinct(read, "premise"), distinct(read, "hypothesis")
    for index in range(len(read)):
        premise = premises.values[premises.codes[index]]
        hypothesis = hypotheses.values[hypotheses.codes[index]]
        yield _text(premise, hypothesis)
        if (update := update_of(read, index)) is not None:
            yield _text(f"{premise} {update.text}", hypothesis)


def _text(premise: str, hypothesis: str) -> PropositionText:
    key = records.proposition_id(premise, hypothesis)
    return PropositionText(proposition_id=key, premise=premise, hypothesis=hypothesis)
