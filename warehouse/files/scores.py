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


def read_scores(path: Path, columns: Mapping[str, str | None] | None = None) -> dict[str, float]:
    """Return the scores of a file by proposition id: columns `premise`, `hypothesis` and `score`, in [0, 1].

    `columns` names columns that are called otherwise. Rows without a score are left out; a proposition may come again
    with the same score.

    Raises:
        InputError: the file cannot be read, a score is not in [0, 1], or a proposition has two.
    """
    read = read_columns(path, named(FIELDS, columns or {}))
    premises, hypotheses = distinct(read, "premise"), distinct(read, "hypothesis")
    found: dict[str, float] = {}
    for index, score in enumerate(numbers(read, "score", (0.0, 1.0)).to_pylist()):
        if score is not None:
            texts = premises.values[premises.codes[index]], hypotheses.values[hypotheses.codes[index]]
            if (before := found.setdefault(records.proposition_id(*texts), score)) != score:
                problem = f"{score:g} after {before:g} for the same premise and hypothesis; keep one of the rows"
                raise read.error(index, "score", problem)
    return found
