"""Reading decisions by factors and trees of propositions: items of many propositions that have one answer together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc

from warehouse.errors import InputError
from warehouse.files.cells import CellError, parsed, shown
from warehouse.files.columns import distinct
from warehouse.files.header import Wanted, named
from warehouse.files.known import StructureFormat
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_columns
from warehouse.records import Drop, Family, content_id

FACTOR_FIELDS: dict[str, Wanted] = {
    "story": Wanted(("story",), True, "text"),
    "outcomes": Wanted(("outcomes",), True, "json"),
    "factors": Wanted(("factors",), True, "json"),
    "answer": Wanted(("answer",), True),
    "source_id": Wanted(("id", "source_id"), kind="id"),
}
TREE_FIELDS: dict[str, Wanted] = {
    "premise": Wanted(("premise",), True, "text"),
    "propositions": Wanted(("propositions",), True, "json"),
    "relations": Wanted(("relations",), True, "json"),
    "answer": Wanted(("answer",), True),
    "source_id": Wanted(("id", "source_id"), kind="id"),
}
STRUCTURE_FIELDS: Mapping[StructureFormat, dict[str, Wanted]] = {"bird": FACTOR_FIELDS, "maieutic": TREE_FIELDS}
RELATIONS = ("entails", "contradicts")
TRUTHS: Mapping[str, float] = {"true": 1.0, "1": 1.0, "yes": 1.0, "false": 0.0, "0": 0.0, "no": 0.0}


@dataclass(frozen=True)
class ItemProposition:
    """One proposition of an item of a suite.

    `role` is what it is in its item, `relations` (JSON) how the propositions of the item are related.
    """

    premise: str
    hypothesis: str
    label: float | None = None
    judgments: Sequence[float] = ()
    role: str | None = None
    relations: str | None = None


Item = tuple[str, str, list[ItemProposition]]
"""The item's name, the premise that it is about, and its propositions."""


@dataclass(frozen=True)
class ItemBatch:
    """Items of a family as a file has them, what was dropped, and what was detected in the file, as messages."""

    family: Family
    items: list[Item]
    drops: list[Drop] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def read_structures(
    path: Path,
    *,
    format_: StructureFormat,
    columns: Mapping[str, str | None] | None = None,
    reading: Reading = AS_FOUND,
) -> ItemBatch:
    """Read decisions by factors (bird) or trees of propositions (maieutic), one a row.

    bird: a `story`, a list of `outcomes`, an object of `factors` with the statements of their values, and the number of
    the right outcome, from 0, as `answer`. Each value is asked given the story, and each outcome given the story and
    the value.

    maieutic: a `premise`, an object of `propositions` by name, the root first, a list of `relations` [from, entails or
    contradicts, to, weight] whose weight may be left out (1), and whether the root is true as `answer`.

    Both may have an `id`. A row without an answer is dropped.

    Raises:
        InputError: The file cannot be read, or a row is not such an item.
    """
    read = read_columns(path, named(STRUCTURE_FIELDS[format_], columns or {}), reading)
    item = _decision if format_ == "bird" else _tree
    distinct(read, "story" if format_ == "bird" else "premise")  # none may be empty
    answered = pc.is_valid(read.columns["answer"]).to_pylist()
    return collected(read, "structure", lambda index: [item(read, index)] if answered[index] else [])


def collected(
    read: TextColumns,
    family: Family,
    items: Callable[[int], Iterable[tuple[str, list[ItemProposition]]]],
    reason: str = "no answer",
) -> ItemBatch:
    """Return the items of all rows, each named by the id of its row or else by its texts.

    Args:
        read: The columns of the file.
        family: The family of the items.
        items: Returns the items of the row at an index: the premise that each is about, and its propositions.
        reason: Why a row without items is dropped.

    Raises:
        InputError: There are no items, or two rows contradict each other.
    """
    found: dict[str, Item] = {}
    drops: list[Drop] = []
    for index in range(len(read)):
        made, given = list(items(index)), read.value(index, "source_id")
        if not made:
            drops.append(read.drop(index, given or read.place(index), reason))
        for number, (about, propositions) in enumerate(made):
            name = content_id("item", *(f"{each.premise}\n{each.hypothesis}" for each in propositions))
            name = name if given is None else f"{given} {number}" if len(made) > 1 else given
            item = (name, about, propositions)
            if found.setdefault(name, item) != item:
                same = "the same texts" if given is None else f"the id {given}"
                where = f"{read.path}, {read.unit} {read.rows[index].as_py()}"
                raise InputError(f"{where}: an earlier row has {same} and says something else; remove one of them")
    if not found:
        raise InputError(f"{read.path}: every row was left out: {reason}")
    return ItemBatch(family, list(found.values()), drops, read.said)


def parsed_field(read: TextColumns, name: str, index: int) -> object:
    """Return a field that is a list or an object."""
    text = read.value(index, name)
    try:
        return None if text is None else parsed(text)
    except CellError as error:
        raise read.error(index, name, f"{shown(text or '')}: {error}") from error


def object_of(found: object) -> dict[str, object]:
    """Return an object; an empty one if it is anything else."""
    return found if isinstance(found, dict) else {}


def texts_of(found: object) -> list[str] | None:
    """Return a list of texts without white space around them; None if it is anything else."""
    if isinstance(found, list) and found and all(isinstance(each, str) and each.strip() for each in found):
        return [each.strip() for each in found]
    return None


def _decision(read: TextColumns, index: int) -> tuple[str, list[ItemProposition]]:
    story = read.value(index, "story") or ""
    outcomes = texts_of(parsed_field(read, "outcomes", index))
    if outcomes is None or len(outcomes) < 2:
        raise read.error(index, "outcomes", 'not a list of at least two texts such as ["He walks.", "He drives."]')
    answer = read.value(index, "answer") or ""
    if answer not in map(str, range(len(outcomes))):
        raise read.error(
            index, "answer", f"{shown(answer)} is not the number of an outcome, from 0 to {len(outcomes) - 1}"
        )
    return story, list(_asked(story, outcomes, _factors(read, index), int(answer)))


def _factors(read: TextColumns, index: int) -> dict[str, list[str]]:
    found = parsed_field(read, "factors", index)
    pairs = {name: texts_of(some) for name, some in object_of(found).items() if some is not None}
    factors = {name: some for name, some in pairs.items() if some is not None}
    if not factors or len(factors) < len(pairs):
        raise read.error(
            index, "factors", 'not an object of lists of texts such as {"weather": ["It rains.", "It is dry."]}'
        )
    return factors


def _asked(
    story: str, outcomes: Sequence[str], factors: Mapping[str, Sequence[str]], answer: int
) -> Iterator[ItemProposition]:
    for name, statements in factors.items():
        for statement in statements:
            yield ItemProposition(story, statement, role=f"value of {name}")
            for number, outcome in enumerate(outcomes):
                yield ItemProposition(f"{story} {statement}", outcome, float(number == answer), role="outcome")


def _tree(read: TextColumns, index: int) -> tuple[str, list[ItemProposition]]:
    premise = read.value(index, "premise") or ""
    found = parsed_field(read, "propositions", index)
    named_texts = {name: text for name, text in object_of(found).items() if text is not None}
    texts = texts_of(list(named_texts.values()))
    if texts is None:
        raise read.error(index, "propositions", 'not an object of texts such as {"root": "It rains.", "a": "..."}')
    answer = read.value(index, "answer") or ""
    if answer.lower() not in TRUTHS:
        raise read.error(index, "answer", f"{shown(answer)} is neither true nor false")
    names = list(named_texts)
    relations = json.dumps(_relations(read, index, names))
    root = ItemProposition(premise, texts[0], TRUTHS[answer.lower()], role=names[0], relations=relations)
    others = zip(names[1:], texts[1:], strict=True)
    return premise, [root, *(ItemProposition(premise, text, role=name) for name, text in others)]


def _relations(read: TextColumns, index: int, names: Sequence[str]) -> list[tuple[int, str, int, float]]:
    found = parsed_field(read, "relations", index)
    if not isinstance(found, list):
        raise read.error(index, "relations", 'not a list such as [["a", "entails", "root", 0.8]]')
    return [_relation(read, index, each, names) for each in found]


def _relation(read: TextColumns, index: int, found: object, names: Sequence[str]) -> tuple[int, str, int, float]:
    def wrong(problem: str) -> InputError:
        return read.error(index, "relations", f"{shown(json.dumps(found))}: {problem}")

    if not isinstance(found, list) or len(found) not in (3, 4):
        raise wrong('a relation is a list such as ["a", "entails", "root", 0.8]')
    start, kind, end, *weights = found
    for name in (start, end):
        if name not in names:
            raise wrong(f"there is no proposition {name!r}")
    if kind not in RELATIONS or start == end:
        raise wrong("write entails or contradicts between two different propositions")
    weight = weights[0] if weights else 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float("inf"):
        raise wrong("the weight must be a number above 0")
    return names.index(start), kind, names.index(end), float(weight)
