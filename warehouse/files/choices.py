"""Reading multiple-choice questions: the right alternative next to each wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from warehouse import records
from warehouse.catalog.schema import to_table
from warehouse.errors import InputError
from warehouse.files.cells import shown
from warehouse.files.columns import Distinct, distinct
from warehouse.files.header import Wanted, named, renamed
from warehouse.files.known import CHOICES, ChoiceFormat
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_columns
from warehouse.files.stated import Stated, stated_in
from warehouse.files.structures import parsed_field, texts_of
from warehouse.files.texts import proposition_of
from warehouse.records import (
    DEFAULT_SHARES,
    Choice,
    Drop,
    Premise,
    Proposition,
    Split,
    SplitShares,
    StatedSplit,
)

MOST = 10  # columns of alternatives
FIELDS: dict[str, Wanted] = {
    "premise": Wanted(("premise",), True, "text"),
    "asks_for": Wanted(("asks_for",)),
    "alternatives": Wanted(("alternatives",), kind="json"),
    **{f"alternative_{number}": Wanted((f"alternative_{number}",), kind="text") for number in range(1, MOST + 1)},
    "answer": Wanted(("answer",), True),
    "source_id": Wanted(("source_id",), kind="id"),
    "split": Wanted(("split",)),
}
ASKS: dict[str | None, Literal["cause", "effect"]] = {"cause": "cause", "effect": "effect", None: "effect"}


@dataclass(frozen=True)
class ChoiceBatch:
    """Choices with their propositions, as Arrow rows of their records, stated splits, and what was dropped.

    `said` is what was detected in the file, as messages.
    """

    premises: pa.Table
    propositions: pa.Table
    choices: pa.Table
    stated: list[StatedSplit]
    drops: list[Drop] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Question:
    """A question of a row: the texts of its propositions (premise, hypothesis), the right one first."""

    row: int
    source_id: str
    texts: list[tuple[str, str]]


def read_choices(
    path: Path,
    source: str | None = None,
    *,
    split_shares: SplitShares = DEFAULT_SHARES,
    columns: Mapping[str, str | None] | None = None,
    first: int = 0,
    split: Split | None = None,
    format_: ChoiceFormat = "plain",
    reading: Reading = AS_FOUND,
) -> ChoiceBatch:
    """Read the choices of a file: columns `premise`, `alternative_1`, `alternative_2` ... and `answer`.

    A list of `alternatives` may take the place of their columns. Optional are `asks_for` (effect, the default, or
    cause), `source_id` (of the question) and `split`. An alternative is a hypothesis about the premise; where a cause
    is asked for, it is a premise of which the question's premise is the hypothesis. A question without an answer is
    dropped, and so is an alternative that says the same as the right one. `columns` gives names that differ from the
    defaults; None means no column. `first` is the number of the first alternative in `answer`. `split` is the split
    stated for the whole file.

    Raises:
        InputError: The file cannot be read, has no answers, or a row is not a question with its answer.
    """
    read = read_columns(path, named(choice_fields(format_), columns or {}), reading)
    source = source or path.stem
    questions, drops = _questions(read, first)
    if not questions:
        raise InputError(f"{path} has no answers")
    texts = [text for question in questions for text in question.texts]
    stated = _stated(read, questions, split)
    premises = {
        (key := records.premise_id(text)): Premise(premise_id=key, text=text, source=source)
        for text, _ in reversed(texts)
    }
    propositions: dict[str, Proposition] = {}
    choices: list[Choice] = []
    for question in questions:
        homes = [(premises[records.premise_id(premise)], hypothesis) for premise, hypothesis in question.texts]
        rows = [
            proposition_of(home, hypothesis, stated.of(home.premise_id, split_shares)) for home, hypothesis in homes
        ]
        for row in rows:
            propositions.setdefault(row.proposition_id, row)
        right = rows[0].proposition_id
        for row in rows[1:]:
            if row.proposition_id == right:
                drops.append(read.drop(question.row, right, "an alternative says the same as the right one"))
            else:
                choices.append(_choice(right, row.proposition_id, source, question.source_id))
    return ChoiceBatch(
        to_table(Premise, premises.values()),
        to_table(Proposition, propositions.values()),
        to_table(Choice, choices),
        stated.rows(path.name, source),
        drops,
        read.said,
    )


def choice_fields(format_: ChoiceFormat = "plain") -> dict[str, Wanted]:
    """Return the fields of a file of choices in a format, with the names of their columns."""
    known = CHOICES.get(format_)
    return renamed(FIELDS, known.columns, known.columns.keys() - {"split", "source_id"}) if known else FIELDS


def _questions(read: TextColumns, first: int) -> tuple[list[_Question], list[Drop]]:
    """The questions of the rows, and a drop for each without an answer."""
    columns = {name: column.to_pylist() for name, column in read.columns.items()}
    distinct(read, "premise")  # none may be empty
    questions: list[_Question] = []
    drops: list[Drop] = []
    for index in range(len(read)):
        alternatives = _alternatives(read, columns, index)
        premise = columns["premise"][index]
        source_id = columns["source_id"][index] if "source_id" in columns else None
        source_id = source_id or records.content_id("question", premise, *alternatives)
        if columns["answer"][index] is None:
            drops.append(read.drop(index, source_id, "no answer"))
            continue
        right = _answer(read, index, columns["answer"][index], first, len(alternatives))
        ordered = [alternatives[right], *alternatives[:right], *alternatives[right + 1 :]]
        is_cause = _asks_for(read, columns, index) == "cause"
        texts = [(each, premise) if is_cause else (premise, each) for each in ordered]
        questions.append(_Question(index, source_id, texts))
    return questions, drops


def _alternatives(read: TextColumns, columns: Mapping[str, list[str | None]], index: int) -> list[str]:
    if "alternatives" in columns:
        texts = texts_of(parsed_field(read, "alternatives", index))
        if texts is None:
            raise read.error(index, "alternatives", 'not a list of texts such as ["It rains.", "It snows."]')
    else:
        numbered = [
            columns[f"alternative_{number}"][index]
            for number in range(1, MOST + 1)
            if f"alternative_{number}" in columns
        ]
        texts = [each for each in numbered if each is not None]
        if None in numbered[: len(texts)]:
            raise read.error(index, "alternative_1", "an alternative is empty, but a later one is not")
    if len(texts) < 2:
        field = "alternatives" if "alternatives" in columns else "alternative_1"
        raise read.error(index, field, "a question needs at least two alternatives")
    return texts


def _answer(read: TextColumns, index: int, text: str, first: int, n: int) -> int:
    number = float(text) - first if text.replace(".", "", 1).isdecimal() else -1.0
    if not number.is_integer() or not 0 <= number < n:
        raise read.error(
            index, "answer", f"{shown(text)} is not the number of an alternative, from {first} to {first + n - 1}"
        )
    return int(number)


def _asks_for(read: TextColumns, columns: Mapping[str, list[str | None]], index: int) -> Literal["cause", "effect"]:
    text = columns["asks_for"][index] if "asks_for" in columns else None
    if (asked := ASKS.get(text and text.lower())) is None:
        raise read.error(index, "asks_for", f"{shown(text or '')} is neither cause nor effect")
    return asked


def _stated(read: TextColumns, questions: list[_Question], whole: Split | None) -> Stated:
    """What the file states, for the premise of every proposition."""
    pairs = list(dict.fromkeys((question.row, premise) for question in questions for premise, _ in question.texts))
    rows = pa.array([row for row, _ in pairs])
    texts = pa.array([premise for _, premise in pairs]).dictionary_encode()
    premises = Distinct(texts.dictionary.to_pylist(), texts.indices.to_numpy().astype(np.int64))
    return stated_in(read, premises, whole, rows)


def _choice(higher: str, lower: str, source: str, source_id: str) -> Choice:
    key = records.content_id("choice", source, source_id, higher, lower)
    return Choice(choice_id=key, higher_id=higher, lower_id=lower, source=source, source_id=source_id)
