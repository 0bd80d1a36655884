"""Reading premises and propositions, with strengthening and weakening updates, from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from warehouse import records
from warehouse.catalog.schema import to_table
from warehouse.files.columns import distinct, numbers
from warehouse.files.header import Wanted, named, renamed
from warehouse.files.known import PROPOSITIONS, PropositionFormat
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_columns
from warehouse.files.stated import Stated, stated_in
from warehouse.records import (
    DEFAULT_SHARES,
    Drop,
    Premise,
    Proposition,
    PropositionKind,
    Split,
    SplitShares,
    StatedSplit,
)

PREMISE_FIELDS = {
    "premise": Wanted(("premise", "text"), True, "text"),
    "source": Wanted(("source",), kind="id"),
    "license": Wanted(("license",)),
    "language": Wanted(("language",), kind="id"),
    "split": Wanted(("split",)),
}
PROPOSITION_FIELDS = PREMISE_FIELDS | {
    "premise": Wanted(("premise",), True, "text"),
    "hypothesis": Wanted(("hypothesis",), True, "text"),
    "probability": Wanted(("probability",)),
    "update": Wanted(("update",), kind="text"),
    "update_type": Wanted(("update_type",)),
}
UPDATES: dict[str, PropositionKind] = {"strengthener": "strengthened", "weakener": "weakened"}


@dataclass(frozen=True)
class PropositionBatch:
    """Premises and their propositions, as Arrow rows of their records, stated splits, and what was dropped.

    `said` is what was detected in the file, as messages.
    """

    premises: pa.Table
    propositions: pa.Table
    stated: list[StatedSplit] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Update:
    """An update of a premise, and the kind of the proposition that results."""

    text: str
    kind: PropositionKind


def premise_columns(path: Path, columns: Mapping[str, str | None], reading: Reading = AS_FOUND) -> TextColumns:
    """Read the columns of a file of premises; `columns` gives names that differ from the defaults."""
    return read_columns(path, named(PREMISE_FIELDS, columns), reading)


def stated_splits_of(read: TextColumns, source: str | None = None, split: Split | None = None) -> list[StatedSplit]:
    """Return the splits that a file of premises states, in its column or with `split` for the whole file."""
    return stated_in(read, distinct(read, "premise"), split).rows(read.path.name, source or read.path.stem)


def premises_of(read: TextColumns, source: str | None = None) -> list[Premise]:
    """Return the distinct premises in the columns of a file. Raises `InputError` for an empty one."""
    premises = distinct(read, "premise")
    rows: dict[str, Premise] = {}
    for index, code in enumerate(premises.codes):
        premise = _premise(read, index, premises.values[code], source)
        rows.setdefault(premise.premise_id, premise)
    return list(rows.values())


def read_propositions(
    path: Path,
    source: str | None = None,
    *,
    split_shares: SplitShares = DEFAULT_SHARES,
    columns: Mapping[str, str | None] | None = None,
    scale: tuple[float, float] = (0.0, 1.0),
    split: Split | None = None,
    format_: PropositionFormat = "plain",
    reading: Reading = AS_FOUND,
) -> PropositionBatch:
    """Read the propositions of a file: columns `premise`, `hypothesis` and, optionally, `probability` on `scale`.

    The probability becomes the target probability. `source`, `license` and `language` are read as for premises. A row
    with `update` (a sentence) and `update_type` (strengthener or weakener) makes a second proposition: the premise with
    the update appended, and the same hypothesis. Its parent is the row's proposition, one of the two must score higher,
    and it gets the split of the original premise. If a file gives the same update both types, the first row counts and
    the other is dropped. `columns` gives names that differ from the defaults; None means no column. The column `split`,
    or `split` for the whole file, states the split of the premises in place of their hash.

    Raises:
        InputError: The file cannot be read, a text is empty, a probability is not a number on the scale, or an update
            and its type do not come together.
    """
    read = read_columns(path, named(proposition_fields(format_), columns or {}), reading)
    premises, hypotheses = distinct(read, "premise"), distinct(read, "hypothesis")
    stated = stated_in(read, premises, split)
    targets = _targets(read, scale) if "probability" in read.columns else None
    premise_rows: dict[str, Premise] = {}
    rows: dict[str, Proposition] = {}
    made_from: dict[str, str] = {}
    drops: list[Drop] = []
    for index in range(len(read)):
        premise = _premise(read, index, premises.values[premises.codes[index]], source)
        hypothesis = hypotheses.values[hypotheses.codes[index]]
        own_split = stated.of(premise.premise_id, split_shares)
        parent = proposition_of(premise, hypothesis, own_split, target=targets[index] if targets else None)
        premise_rows.setdefault(premise.premise_id, premise)
        rows.setdefault(parent.proposition_id, parent)
        if (update := update_of(read, index)) is None:
            continue
        longer = _premise(read, index, f"{premise.text} {update.text}", source)
        # Its split follows from its root, once the whole file is read.
        child = proposition_of(longer, hypothesis, parent.split, kind=update.kind, parent=parent.proposition_id)
        premise_rows.setdefault(longer.premise_id, longer)
        made_from.setdefault(longer.premise_id, premise.premise_id)
        if rows.setdefault(child.proposition_id, child).kind != child.kind:
            drops.append(_contradiction(read, index, child))
    placed = [_with_split_of_root(row, made_from, stated, split_shares) for row in rows.values()]
    texts = to_table(Premise, premise_rows.values())
    said = stated.rows(path.name, source or path.stem)
    return PropositionBatch(texts, to_table(Proposition, placed), said, drops, read.said)


def proposition_fields(format_: PropositionFormat) -> dict[str, Wanted]:
    """Return the fields of a file of propositions in a format, with the names of their columns."""
    known = PROPOSITIONS.get(format_)
    return renamed(PROPOSITION_FIELDS, known.columns, ("update", "update_type")) if known else PROPOSITION_FIELDS


def _targets(read: TextColumns, scale: tuple[float, float]) -> list[float | None]:
    low, high = scale
    found: list[float | None] = pc.divide(pc.subtract(numbers(read, "probability", scale), low), high - low).to_pylist()
    return found


def _with_split_of_root(
    row: Proposition, made_from: Mapping[str, str], stated: Stated, shares: SplitShares
) -> Proposition:
    """The row with the split of the original premise, over any number of updates."""
    root = row.premise_id
    while root in made_from:  # each premise is longer than its original, so this ends
        root = made_from[root]
    return row if root == row.premise_id else row.model_copy(update={"split": stated.of(root, shares)})


def _premise(read: TextColumns, index: int, text: str, source: str | None) -> Premise:
    return Premise(
        premise_id=records.premise_id(text),
        text=text,
        source=read.value(index, "source") or source or read.path.stem,
        license=read.value(index, "license"),
        language=read.value(index, "language") or "en",
    )


def proposition_of(
    premise: Premise,
    hypothesis: str,
    split: Split,
    *,
    kind: PropositionKind = "imported",
    parent: str | None = None,
    target: float | None = None,
) -> Proposition:
    """Return the row of a proposition on a premise, which is also its source."""
    return Proposition(
        proposition_id=records.proposition_id(premise.text, hypothesis),
        premise_id=premise.premise_id,
        hypothesis=hypothesis,
        kind=kind,
        source=premise.source,
        split=split,
        parent_id=parent,
        target_probability=target,
    )


def update_of(read: TextColumns, index: int) -> Update | None:
    """Return the update of a row; None if it has none. Raises `InputError` for half of one."""
    text, kind = read.value(index, "update"), read.value(index, "update_type")
    if text is None and kind is None:
        return None
    if text is None:
        raise read.error(index, "update", "empty, but update_type is not; fill in both or neither")
    if kind is None or kind.lower() not in UPDATES:
        shown = "empty" if kind is None else f"{kind!r} is unknown"
        raise read.error(index, "update_type", f"{shown}; use strengthener or weakener with an update")
    return Update(text, UPDATES[kind.lower()])


def _contradiction(read: TextColumns, index: int, child: Proposition) -> Drop:
    return Drop(
        drop_id=records.content_id("import", child.proposition_id, child.kind),
        stage="import",
        subject_id=child.proposition_id,
        reason="another row says otherwise of this proposition",
        detail=f"{child.kind}, {read.place(index)}",
    )
