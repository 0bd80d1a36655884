"""Files of scores that somebody else's model gave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from warehouse import records
from warehouse.files.columns import distinct, numbers
from warehouse.files.header import Wanted, named
from warehouse.files.reading import read_columns

FIELDS: Mapping[str, Wanted] = {
    "premise": Wanted(("premise",), True, "text"),
    "hypothesis": Wanted(("hypothesis",), True, "text"),
    "score": Wanted(("score", "probability"), True),
}


def read_scores(path: Path) -> dict[str, float]:
    """Return the scores of a file by proposition id: columns `premise`, `hypothesis` and `score`, in [0, 1].

    Rows without a score are left out; of several rows of a proposition the first one counts.

    Raises:
        InputError: the file cannot be read, or a score is not in [0, 1].
    """
    read = read_columns(path, named(FIELDS, {}))
    premises, hypotheses = distinct(read, "premise"), distinct(read, "hypothesis")
    found: dict[str, float] = {}
    for index, score in enumerate(numbers(read, "score", (0.0, 1.0)).to_pylist()):
        if score is not None:
            texts = premises.values[premises.codes[index]], hypotheses.values[hypotheses.codes[index]]
            found.setdefault(records.proposition_id(*texts), score)
    return found
