"""Evaluation sets from what was read of a file: judgments, updates, choices, structures or checks of coherence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse import records
from warehouse.errors import InputError
from warehouse.files.choices import ChoiceBatch
from warehouse.files.imports import REJECTED, JudgmentBatch
from warehouse.files.stated import Stated
from warehouse.files.structures import Item, ItemBatch, ItemProposition
from warehouse.files.texts import PropositionBatch
from warehouse.records import Drop, Family, StatedSplit, Suite, SuiteItem

_LATER = ("role", "relations")  # fields that the digests of older suites don't have


@dataclass(frozen=True)
class SuiteBatch:
    """A suite with its items. `stated` keeps their premises out of training; `said` is what was detected in the file.

    `drops` are rows without an answer or in contradiction to others.
    """

    suite: Suite
    items: list[SuiteItem]
    stated: list[StatedSplit]
    drops: list[Drop] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


Batch = JudgmentBatch | PropositionBatch | ChoiceBatch | ItemBatch
"""What a file of a suite is read as."""


def suite_of(batch: Batch, name: str, file: str, licence: str | None = None) -> SuiteBatch:
    """Return what was read from a file as a suite.

    Judgments make a suite of the family correlation, whose labels are the means of the valid ones; propositions with
    updates one of the family update; choices one of the family choice. Items have their family.

    Raises:
        InputError: there is no item in it.
    """
    family: Family
    if isinstance(batch, JudgmentBatch):
        family, found = "correlation", _judged(batch)
    elif isinstance(batch, ChoiceBatch):
        family, found = "choice", _chosen(batch)
    elif isinstance(batch, ItemBatch):
        family, found = batch.family, iter(batch.items)
    else:
        family, found = "update", _updated(batch)
    items = list(_items(records.content_id("suite", name), found))
    if not items:
        lacking = "updates: it needs the columns update and update_type" if family == "update" else "valid judgments"
        raise InputError(f"{file} has no {lacking}")
    held_out = Stated({each.premise_id: "test" for each in items}).rows(file, f"suite {name}")
    return SuiteBatch(_suite(name, family, file, licence, items), items, held_out, batch.drops, batch.said)


def _judged(batch: JudgmentBatch) -> Iterator[Item]:
    judged = _valid(batch.judgments)
    values: dict[str, list[float]] = {}
    for key, value in zip(judged["proposition_id"].to_pylist(), judged["probability"].to_pylist(), strict=True):
        values.setdefault(key, []).append(value)
    for row in _texts(batch.premises, batch.propositions).values():
        if judgments := values.get(row["proposition_id"]):
            one = ItemProposition(row["premise"], row["hypothesis"], float(np.mean(judgments)), judgments)
            yield row["proposition_id"], row["premise"], [one]


def _valid(judgments: pa.Table) -> pa.Table:
    """Return the judgments that count, as in the view `valid_judgments`: an annotator's first one of a proposition.

    The first is that of the file, whose rows are numbered in `sequence`.
    """
    valid = pc.and_(pc.is_valid(judgments["probability"]), pc.not_equal(judgments["status"], REJECTED))
    judgments = judgments.filter(valid)
    first: dict[tuple[str, str], int] = {}
    pairs = zip(*(judgments[name].to_pylist() for name in ("annotator_id", "proposition_id")), strict=True)
    for row, pair in enumerate(pairs):
        first.setdefault(pair, row)
    return judgments.take(pa.array(first.values(), pa.int64()))


def _updated(batch: PropositionBatch) -> Iterator[Item]:
    texts = _texts(batch.premises, batch.propositions)
    for row in texts.values():
        if row["kind"] in ("strengthened", "weakened"):
            without = texts[row["parent_id"]]
            yield (
                row["proposition_id"],
                without["premise"],
                [
                    ItemProposition(without["premise"], without["hypothesis"], None),
                    ItemProposition(row["premise"], row["hypothesis"], float(row["kind"] == "strengthened")),
                ],
            )


def _chosen(batch: ChoiceBatch) -> Iterator[Item]:
    texts = _texts(batch.premises, batch.propositions)
    wrong: dict[tuple[str, str], list[str]] = {}
    for choice in batch.choices.to_pylist():
        wrong.setdefault((choice["source_id"], choice["higher_id"]), []).append(choice["lower_id"])
    for (item, right), others in wrong.items():
        rows = [texts[right], *(texts[other] for other in others)]
        labels = [1.0] + [0.0] * len(others)
        found = [
            ItemProposition(row["premise"], row["hypothesis"], label) for row, label in zip(rows, labels, strict=True)
        ]
        # The question's own text is the premise of all alternatives, or their hypothesis where a cause is asked for.
        about = rows[0]["premise"] if rows[0]["premise"] == rows[1]["premise"] else rows[0]["hypothesis"]
        yield item, about, found


def _texts(premises: pa.Table, propositions: pa.Table) -> dict[str, dict[str, str]]:
    """The propositions with the texts of their premises, by id."""
    texts = dict(zip(*(premises[name].to_pylist() for name in ("premise_id", "text")), strict=True))
    rows = propositions.select(["proposition_id", "premise_id", "hypothesis", "kind", "parent_id"]).to_pylist()
    return {row["proposition_id"]: {**row, "premise": texts[row["premise_id"]]} for row in rows}


def _items(suite_id: str, found: Iterable[Item]) -> Iterator[SuiteItem]:
    for item, about, propositions in found:
        for place, each in enumerate(propositions):
            yield SuiteItem(
                suite_item_id=records.content_id("suite item", suite_id, item, str(place)),
                suite_id=suite_id,
                item=item,
                place=place,
                proposition_id=records.proposition_id(each.premise, each.hypothesis),
                premise_id=records.premise_id(each.premise),
                premise=each.premise,
                hypothesis=each.hypothesis,
                premise_group=records.premise_id(about),
                label=each.label,
                judgments=list(each.judgments),
                role=each.role,
                relations=each.relations,
            )


def _suite(name: str, family: Family, file: str, licence: str | None, items: Sequence[SuiteItem]) -> Suite:
    digest = hashlib.sha256()
    for each in sorted(items, key=lambda item: item.suite_item_id):
        later = {name for name in _LATER if getattr(each, name) is None}
        digest.update(each.model_dump_json(exclude={"created_at", *later}).encode())
    return Suite(
        suite_id=records.content_id("suite", name),
        name=name,
        family=family,
        file=file,
        license=licence,
        n_items=len({each.item for each in items}),
        content=digest.hexdigest(),
    )
