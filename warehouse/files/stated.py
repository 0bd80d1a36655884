"""Splits that a file states for its premises, in a column or for the whole file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from warehouse import records
from warehouse.files.cells import shown
from warehouse.files.columns import Distinct
from warehouse.files.reading import TextColumns
from warehouse.records import Split, SplitShares, StatedSplit

WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "development", "validation", "valid", "val"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
HELD_OUT: tuple[Split, ...] = ("train", "dev", "test")  # of several for a premise, the last counts


@dataclass(frozen=True)
class Stated:
    """The split stated for each premise that has one, by its id."""

    splits: dict[str, Split] = field(default_factory=dict)

    def of(self, premise: str, shares: SplitShares) -> Split:
        """Return the split of a premise: the stated one, or that of its hash."""
        return self.splits.get(premise) or records.split_of(premise, *shares)

    def rows(self, file: str, source: str) -> list[StatedSplit]:
        """Return the rows that keep what the file states."""
        return [
            StatedSplit(
                stated_split_id=records.content_id("stated split", premise, source, file),
                premise_id=premise,
                split=split,
                source=source,
                file=file,
            )
            for premise, split in self.splits.items()
        ]


def stated_in(
    read: TextColumns, premises: Distinct, whole: Split | None = None, rows: pa.Array | None = None
) -> Stated:
    """Return what a file states about the split of its premises. Of several for one premise the most held-out counts.

    Args:
        read: The columns of the file. It is told how many premises have several splits.
        premises: The premise of each row.
        whole: The split of the whole file, in place of its column.
        rows: The row of each premise, if they are not those of the file in order.

    Raises:
        InputError: A value of the column is no split.
    """
    ids = [records.premise_id(text) for text in premises.values]
    if whole is not None:
        return Stated(dict.fromkeys(ids, whole))
    if "split" not in read.columns:
        return Stated()
    found: dict[str, set[Split]] = {}
    splits = _splits(read)
    for index, row in enumerate(range(len(read)) if rows is None else rows.to_pylist()):
        split = splits[row]
        if split is not None:
            found.setdefault(ids[premises.codes[index]], set()).add(split)
    if several := sum(len(splits) > 1 for splits in found.values()):
        read.said.append(f"premises with several splits: {several:,}; of each the most held-out one counts")
    return Stated({premise: max(splits, key=HELD_OUT.index) for premise, splits in found.items()})


def _splits(read: TextColumns) -> Sequence[Split | None]:
    column = read.columns["split"]
    encoded = column.dictionary_encode()
    words = [WORDS.get(text.lower()) for text in encoded.dictionary.to_pylist()]
    for text, split in zip(encoded.dictionary.to_pylist(), words, strict=True):
        if split is None:
            index = column.index(text).as_py()
            raise read.error(
                index, "split", f"{shown(text)} is not train, dev or test; --column split= leaves the column out"
            )
    return [None if code is None else words[code] for code in encoded.indices.to_pylist()]
