"""The cells of an ablation: each variant with each seed, on the training set that it is fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flows.ablation.datasets import reweighted
from flows.ablation.plan import Plan, Variant
from flows.settings.settings import Settings
from flows.stages.services import estimator_base, estimator_teacher
from flows.train import model_id_of
from warehouse.records import Dataset, content_id

DEV = "dev"


@dataclass(frozen=True)
class Cell:
    """A variant with a seed: its settings, its training set, and the id of its estimator, which may be to come.

    The id is empty if the training set of the variant is to come too; the cell then has the published one.
    """

    variant: Variant
    seed: int
    settings: Settings
    dataset: Dataset
    model_id: str


@dataclass(frozen=True)
class PlannedFit:
    """A variant with a seed: the id of its estimator, and the seconds that fitting it may take; 0 if it is there."""

    variant: str
    seed: int
    model_id: str
    seconds: float


def cells_of(settings: Settings, plan: Plan, dataset: Dataset, *, write: bool) -> Iterator[Cell]:
    """Yield the cells of a plan on a published dataset, variant by variant.

    Variants with other weights publish a dataset of theirs if they may `write`.

    Raises:
        InputError: the base of a variant cannot be used.
    """
    for variant in plan.variants:
        own = reweighted(settings, dataset, variant.weights, write=write)
        for seed in plan.seeds:
            training = variant.training.model_copy(update={"seed": seed})
            how = settings.model_copy(update={"training": training})
            base = estimator_base(how)
            model_id = "" if own is None else model_id_of(own, training, base, estimator_teacher(how))
            yield Cell(variant, seed, how, own or dataset, model_id)


def run_of(plan: Plan, dataset: Dataset, cells: list[Cell], suites: list[str]) -> str:
    """Return the id of what is compared: the estimators, and what they are measured on."""
    measured = [dataset.dataset_id, str(plan.items), *(suites or [DEV])]
    return content_id("ablation", plan.name, *(each.model_id for each in cells), *measured)
