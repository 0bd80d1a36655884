"""Ablate: fit the variants of an estimator with several seeds, and compare them with the first one in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from flows.ablation.cells import Cell, PlannedFit, cells_of, run_of
from flows.ablation.plan import Plan, read_plan
from flows.ablation.sets import ItemSet, sets_of
from flows.estimators.scoring import scored
from flows.evaluation.subjects import stored_scores
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import reading, writing
from flows.stages.stage import stage
from flows.terminal.activity import activity, duration
from flows.terminal.console import note
from flows.train import planned, required_dataset, trained
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import to_table
from warehouse.catalog.store import merge, read, replace
from warehouse.queries.models import all_models
from warehouse.records import Ablation, Dataset, Model, content_id

if TYPE_CHECKING:
    from training.evaluation.ablation import Measured
    from training.evaluation.families import Answer


Fitted: TypeAlias = tuple[Settings, Model]
"""An estimator, and the settings to score it with."""


@stage("ablate", hours=168)
def ablate(plan: Path, config: Config = None, suites: list[str] | None = None, dry_run: bool = False) -> Outcome:
    """Fit the variants of a plan, each with all seeds, and compare them with the first one.

    They are measured on the dev split of the newest dataset, or on suites. Estimators that exist already are not
    fitted again, and an interrupted fit goes on from its last checkpoint. None of them is in use afterwards.
    `ablate_figures` returns the figures, which are in the table `ablations`.

    Args:
        plan: The file of the plan; docs/ablation.md explains it.
        config: The settings, or the file to read them from.
        suites: The suites to measure on instead of the dev split, or "all". Choose no variant by them.
        dry_run: Only make two steps of each variant, and return what all fits would take.

    Raises:
        InputError: the plan has a mistake, nothing is published, or there is no such suite.
    """
    settings = load_settings(config)
    if dry_run:
        fits = [each.seconds for each in ablate_plan(plan, config=settings)]
        counts = {"fits": sum(map(bool, fits)), "minutes": round(sum(fits) / 60)}
        return Outcome(stage="ablate", counts=counts, note=f"dry run: {len(fits):,} fits in all")
    wanted, dataset, cells = _read(settings, plan, write=True)
    run = run_of(wanted, dataset, cells, suites or [])
    with writing(settings) as warehouse:
        models, made = _fitted(warehouse, wanted, cells)
        all_of_them = [model for some in models.values() for _, model in some]
        sets, small = sets_of(warehouse, warehouse.place(dataset.path), suites or [], all_of_them, wanted.items)
        answers = {name: [_answers(warehouse, *each, sets) for each in some] for name, some in models.items()}
        with activity("ablate") as shown:
            shown.doing(f"measuring {len(cells):,} estimators on {len(sets)} sets of items")
            rows = [_row(wanted, run, models, each) for each in _measured(settings, sets, answers)]
        changed = replace(warehouse, to_table(Ablation, rows), "plan = ?", [run]).changed
    said = [f"{len(models)} variants on {'suites' if suites else 'the dev split'}"]
    said += [f"too few premises in {', '.join(small)}"] if small else []
    said += [f"{seen:,} items like those of the training set left out"] if (seen := sum(e.n_seen for e in sets)) else []
    said += [f"{dataset.n_simulated:,} judgments of the dataset are simulated"] if dataset.n_simulated else []
    return Outcome(stage="ablate", counts={"fits": made, "new figures": changed}, note="; ".join(said))


def ablate_figures(plan: Path, *, config: Config = None, suites: list[str] | None = None) -> list[Ablation]:
    """Return the figures of an ablation that was run; none if it was not run as it is now."""
    settings = load_settings(config)
    wanted, dataset, cells = _read(settings, plan, write=False)
    with reading(settings) as warehouse:
        found = read(warehouse, Ablation, "plan = ?", [run_of(wanted, dataset, cells, suites or [])])
    order = [each.name for each in wanted.variants]
    return sorted(found, key=lambda row: (row.suite, row.metric, order.index(row.variant)))


def ablate_plan(plan: Path, *, config: Config = None) -> list[PlannedFit]:
    """Return the fits of an ablation with the time that they may take, from two steps of each variant.

    Raises:
        InputError: the plan has a mistake, or nothing is published.
    """
    settings = load_settings(config)
    _, _, cells = _read(settings, plan, write=False)
    with reading(settings) as warehouse:
        there = {row.model_id: row for row in all_models(warehouse) if row.deleted_at is None}
    found: list[PlannedFit] = []
    guesses: dict[str, float] = {}
    for cell in cells:
        name = cell.variant.name
        if cell.model_id not in there and name not in guesses:
            guesses[name] = _guess(cell, cells, there)
        seconds = 0.0 if cell.model_id in there else guesses[name]
        found.append(PlannedFit(name, cell.seed, cell.model_id, seconds))
    return found


def _guess(cell: Cell, cells: Sequence[Cell], there: Mapping[str, Model]) -> float:
    """Return how long a fit takes: as long as one of the same variant took, or else by two steps of it."""
    done = [there[each.model_id] for each in cells if each.variant == cell.variant and each.model_id in there]
    if done:
        return max(row.duration_s for row in done)
    with reading(cell.settings) as warehouse:
        folder = warehouse.place(cell.dataset.path)
    limit = cell.settings.training.max_minutes
    seconds = planned(cell.settings, folder).seconds
    return seconds if limit is None else min(seconds, 60 * limit)


def _read(settings: Settings, plan: Path, *, write: bool) -> tuple[Plan, Dataset, list[Cell]]:
    wanted = read_plan(Path(plan), settings)
    with reading(settings) as warehouse:
        dataset = required_dataset(warehouse, settings.publish.name)
    return wanted, dataset, list(cells_of(settings, wanted, dataset, write=write))


def _fitted(warehouse: Warehouse, plan: Plan, cells: Sequence[Cell]) -> tuple[dict[str, list[Fitted]], int]:
    """Return the estimators of each variant, one for each seed, and how many of them were fitted now."""
    found: dict[str, list[Fitted]] = {}
    made = 0
    for number, cell in enumerate(cells, 1):
        model, record = trained(cell.settings, warehouse, cell.dataset, ablation=plan.name)
        found.setdefault(cell.variant.name, []).append((cell.settings, model))
        if record is not None:
            made += 1
            note(
                f"ablate: {number} of {len(cells)}: {cell.variant.name}, seed {cell.seed}: dev loss "
                f"{record.dev_loss:.4f} after {record.steps:,} steps, {duration(record.duration_s)}"
            )
    return found, made


def _answers(warehouse: Warehouse, settings: Settings, model: Model, sets: Sequence[ItemSet]) -> dict[str, Answer]:
    """Return an estimator's answers to all items; those that are missing are computed and stored."""
    from training.evaluation.families import Answer

    texts = {key: text for each in sets for key, text in each.texts.items()}
    there = stored_scores(warehouse, model, list(texts))
    waiting = [text for key, text in texts.items() if key not in there]
    if waiting:
        with scored(settings, model, waiting, len(waiting)) as parts:
            for part in parts:
                merge(warehouse, part.scores.values())
                there |= {key: Answer(each.score, each.level_probabilities) for key, each in part.scores.items()}
    return there


def _measured(
    settings: Settings, sets: Sequence[ItemSet], answers: Mapping[str, Sequence[Mapping[str, Answer]]]
) -> list[Measured]:
    from training.evaluation.ablation import ablated

    items, main = {each.name: each.items for each in sets}, {each.name: each.main for each in sets}
    return ablated(items, answers, main, resamples=settings.agreement.draws, seed=settings.agreement.seed)


def _row(plan: Plan, run: str, models: Mapping[str, Sequence[Fitted]], each: Measured) -> Ablation:
    apart = each.difference
    return Ablation(
        ablation_id=content_id("ablation", run, each.variant, each.suite, each.metric),
        name=plan.name,
        plan=run,
        variant=each.variant,
        changes=next(one.told for one in plan.variants if one.name == each.variant),
        models=[model.model_id for _, model in models[each.variant]],
        suite=each.suite,
        metric=each.metric,
        value=each.figure.value,
        low=each.figure.low,
        high=each.figure.high,
        seed_sd=each.seed_sd,
        n=each.figure.n,
        against=plan.variants[0].name,
        difference=None if apart is None else apart.value,
        difference_low=None if apart is None else apart.low,
        difference_high=None if apart is None else apart.high,
        p=None if apart is None else apart.p,
        p_holm=None if apart is None else apart.p_holm,
    )
