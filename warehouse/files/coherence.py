"""Reading groups of related propositions, whose probabilities must fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from warehouse.files.columns import distinct
from warehouse.files.header import Wanted, named
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_columns
from warehouse.files.structures import ItemBatch, ItemProposition, collected, parsed_field, texts_of

COHERENCE_FIELDS: dict[str, Wanted] = {
    "premise": Wanted(("premise",), True, "text"),
    "hypothesis": Wanted(("hypothesis",), True, "text"),
    "negation": Wanted(("negation",), kind="text"),
    "paraphrases": Wanted(("paraphrases",), kind="json"),
    "other": Wanted(("other",), kind="text"),
    "conjunction": Wanted(("conjunction",), kind="text"),
    "strengtheners": Wanted(("strengtheners",), kind="json"),
    "weakeners": Wanted(("weakeners",), kind="json"),
    "source_id": Wanted(("id", "source_id"), kind="id"),
}
UPDATES = {"strengtheners": "strengthened", "weakeners": "weakened"}


def read_coherence(
    path: Path, *, columns: Mapping[str, str | None] | None = None, reading: Reading = AS_FOUND
) -> ItemBatch:
    """Read groups of related propositions, one group a row: a `premise` and a `hypothesis` with what is derived.

    Optional are its `negation`; a list of `paraphrases`; an `other` hypothesis with the `conjunction` of both; lists of
    `strengtheners` and `weakeners`, which are appended to the premise; and an `id`. Each makes an item: the hypothesis
    with its negation, with its paraphrases, with the other one and the conjunction, with an update. A row with none of
    them is dropped.

    Raises:
        InputError: The file cannot be read, or a row is not such a group.
    """
    read = read_columns(path, named(COHERENCE_FIELDS, columns or {}), reading)
    for field in ("premise", "hypothesis"):
        distinct(read, field)  # none may be empty
    return collected(read, "coherence", lambda index: _checks(read, index), "nothing that it could be checked against")


def _checks(read: TextColumns, index: int) -> Iterator[tuple[str, list[ItemProposition]]]:
    premise, hypothesis = read.value(index, "premise") or "", read.value(index, "hypothesis") or ""

    def one(text: str, role: str = "hypothesis", update: str | None = None) -> ItemProposition:
        return ItemProposition(premise if update is None else f"{premise} {update}", text, role=role)

    first = one(hypothesis)
    if negation := read.value(index, "negation"):
        yield premise, [first, one(negation, "negation")]
    if paraphrases := _texts(read, "paraphrases", index):
        yield premise, [first, *(one(text, "paraphrase") for text in paraphrases)]
    other, both = read.value(index, "other"), read.value(index, "conjunction")
    if (other is None) != (both is None):
        raise read.error(index, "other", "give both other and conjunction, or neither")
    if other and both:
        yield premise, [first, one(other), one(both, "conjunction")]
    for field, role in UPDATES.items():
        for update in _texts(read, field, index):
            yield premise, [first, one(hypothesis, role, update)]


def _texts(read: TextColumns, field: str, index: int) -> list[str]:
    found = parsed_field(read, field, index)
    if found in (None, []):
        return []
    texts = texts_of(found)
    if texts is None:
        raise read.error(index, field, 'not a list of texts such as ["It is raining."]')
    return texts
