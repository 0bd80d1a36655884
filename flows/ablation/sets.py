"""What the variants of an ablation are measured on: the dev split of the training set, or suites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from flows.estimators.named import learned_from
from flows.evaluation.subjects import texts_of
from training.evaluation.families import SHOWN, Items
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.errors import InputError
from warehouse.queries.suites import seen_in_training, suite_of_name
from warehouse.records import Family, Model, PropositionText, Suite, SuiteItem
from warehouse.shards import read_pairs, read_split

FEWEST = 10
"""Items of fewer premises than this say nothing about others; such a set is left out."""


@dataclass(frozen=True)
class ItemSet:
    """Items to measure on, and how many were left out since they are like what was trained on."""

    name: str
    family: Family
    rows: Sequence[SuiteItem]
    n_seen: int = 0
    slider: bool = False

    @property
    def main(self) -> Sequence[str]:
        """Its figures, the most important one first."""
        return SHOWN[self.family]

    @property
    def items(self) -> Items:
        """The items."""
        return Items.of(self.family, self.rows, slider=self.slider)

    @property
    def texts(self) -> dict[str, PropositionText]:
        """The propositions by their ids."""
        return texts_of(self.rows)


def sets_of(
    warehouse: Warehouse, dataset: Path, suites: Sequence[str], models: Sequence[Model], most: int | None
) -> tuple[list[ItemSet], list[str]]:
    """Return the sets to measure on, and the names of those left out since they have too few premises.

    Without suites they are the dev split of a dataset: for each source the propositions that people judged, and the
    order pairs. Items of suites with premises that a model was trained on, or others much like them, are left out.

    Args:
        warehouse: The warehouse.
        dataset: The folder of the dataset that is published, whatever the variants were fitted on.
        suites: The names of suites, or "all".
        models: The estimators.
        most: The maximum number of items of each set: one of each premise, then a second one, and so on.

    Raises:
        InputError: there is no such suite, or nothing to measure on.
    """
    found = list(_of_suites(warehouse, suites, models) if suites else _of_dev(dataset))
    first = [_first(each, most) for each in found]
    kept = [each for each in first if len({row.premise_group for row in each.rows}) >= FEWEST]
    if not kept:
        what = "suite" if suites else "part of the dev split"
        raise InputError(f"no {what} has the {FEWEST} premises that a comparison needs")
    return kept, [each.name for each in found if each.name not in {one.name for one in kept}]


def _of_suites(warehouse: Warehouse, names: Sequence[str], models: Sequence[Model]) -> Iterator[ItemSet]:
    known = sorted(read(warehouse, Suite), key=lambda each: each.name)
    suites = known if list(names) == ["all"] else [suite_of_name(warehouse, name) for name in names]
    trained = learned_from(warehouse, models)
    for suite in suites:
        seen = seen_in_training(warehouse, suite, trained)
        rows = [row for row in read(warehouse, SuiteItem, "suite_id = ?", [suite.suite_id]) if row.item not in seen]
        yield ItemSet(suite.name, suite.family, rows, len(seen), suite.format == "unli")


def _of_dev(dataset: Path) -> Iterator[ItemSet]:
    """Yield the sets of the dev split: a correlation or a choice between two for each source."""
    rows = read_split(dataset, "dev", "human").to_pylist()
    for source, some in _by_source(rows):
        yield ItemSet(f"dev:{source}", "correlation", [_judged(row) for row in some])
    for source, some in _by_source(read_pairs(dataset, "dev").to_pylist()):
        yield ItemSet(f"dev pairs:{source}", "choice", [side for row in some for side in _sides(row)])


def _by_source(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for source, some in groupby(sorted(rows, key=lambda row: row["source"]), key=lambda row: row["source"]):
        yield source, list(some)


def _judged(row: dict[str, Any]) -> SuiteItem:
    judgments = [value for value in row["values"][: row["n_judgments"]] if value is not None]
    return _item(row["proposition_id"], 0, row, label=row["mean"], judgments=judgments)


def _sides(row: dict[str, Any]) -> Iterator[SuiteItem]:
    for place, side in enumerate(("higher", "lower")):
        texts = {name: row[f"{side}_{name}"] for name in ("proposition_id", "premise", "hypothesis")}
        yield _item(row["pair_id"], place, texts | {"premise_id": row["premise_id"]}, label=1.0 - place, judgments=[])


def _item(item: str, place: int, row: dict[str, Any], *, label: float, judgments: list[float]) -> SuiteItem:
    return SuiteItem(
        suite_item_id=f"{item} {place}",
        suite_id="dev",
        item=item,
        place=place,
        premise_group=row["premise_id"],
        label=label,
        judgments=judgments,
        **{name: row[name] for name in ("proposition_id", "premise_id", "premise", "hypothesis")},
    )


def _first(found: ItemSet, most: int | None) -> ItemSet:
    """Return the first items of a set: one of each premise in the order of their hashes, then a second one of each."""
    by_premise: dict[str, list[str]] = {}
    for group, item in sorted({(row.premise_group, row.item) for row in found.rows}):
        by_premise.setdefault(group, []).append(item)
    order = sorted((turn, group, item) for group, items in by_premise.items() for turn, item in enumerate(items))
    kept = {item for _, _, item in order[:most]}
    return replace(found, rows=[row for row in found.rows if row.item in kept])
