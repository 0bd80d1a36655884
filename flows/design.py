"""Design: how many judgments a study needs, before anybody is paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from rich.table import Table

from flows.research.query import rows_file
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.services import has_warehouse, reading
from flows.terminal.console import money
from flows.terminal.tables import narrow_table
from warehouse.agreement.design import LITERATURE, MOST, Moments, Plan, Prior, fewest_judgments, first, plans
from warehouse.agreement.prior import measured
from warehouse.errors import InputError
from warehouse.files.formats import write_table

TEXTS = {
    "precision": "95% interval of alpha within ±{}",
    "reliability": "reliability of the mean of at least {}",
    "consensus-sd": "SD of the consensus of at most {}",
}


@dataclass(frozen=True)
class Goal:
    """A wanted figure, and the plan with the fewest judgments that reaches it; None if none does."""

    text: str
    plan: Plan | None


@dataclass(frozen=True)
class StudyDesign:
    """What a study with so many propositions shows.

    Attributes:
        propositions: The number of propositions.
        prior: What was expected of the judgments.
        plans: What 2, 3, ... judgments of each proposition show.
        goals: What each wanted figure needs.
        fewest: For a wanted interval of alpha: the propositions, and the judgments of each, that reach it at the least
            total.
    """

    propositions: int
    prior: Prior
    plans: list[Plan]
    goals: list[Goal]
    fewest: tuple[int, int] | None


def design(
    propositions: int,
    *,
    precision: float | None = None,
    reliability: float | None = None,
    consensus_sd: float | None = None,
    cost_per_judgment: float | None = None,
    alpha: float | None = None,
    sd: float | None = None,
    mean: float | None = None,
    most: int = MOST,
    output: Path | None = None,
    config: Config = None,
) -> StudyDesign:
    """Return how many judgments each proposition of a study needs.

    What is not stated is expected to be as in the warehouse, or, if that has too few judgments, as in the literature.

    Args:
        propositions: How many propositions the study has.
        precision: The wanted half-width of the 95% interval of alpha.
        reliability: The wanted reliability of the mean of a proposition's judgments.
        consensus_sd: The wanted posterior SD of the consensus, a probability.
        cost_per_judgment: The cost of a judgment; by default `annotation.cost_per_judgment`.
        alpha: The expected interval alpha.
        sd: The expected SD of the judgments of one proposition.
        mean: The expected mean of all judgments.
        most: The most judgments of a proposition to consider.
        output: Also write the plans to this .jsonl, .csv or .parquet file.
        config: The settings, or the file to read them from.

    Raises:
        InputError: a number is impossible, or the file cannot be written.
    """
    settings = load_settings(config)
    if cost_per_judgment is None:
        cost_per_judgment = settings.annotation.cost_per_judgment
    wanted = {"precision": precision, "reliability": reliability, "consensus-sd": consensus_sd}
    _check(propositions, wanted, cost_per_judgment, most)
    if output is not None:
        output = rows_file(settings, output)
    prior = _prior(settings, alpha, sd, mean)
    found = plans(prior, propositions, cost_per_judgment, most)
    texts = [TEXTS[name].format(value) for name, value in wanted.items() if value is not None]
    goals = list(map(Goal, texts, first(found, precision, reliability, consensus_sd)))
    if output is not None:
        write_table(pa.Table.from_pylist([plan._asdict() for plan in found], schema=_SCHEMA), output)
    fewest = None if precision is None else fewest_judgments(found, propositions, precision)
    return StudyDesign(propositions, prior, found, goals, fewest)


_SCHEMA = pa.schema(
    [
        ("judgments_each", pa.int64()),
        ("alpha_half_width", pa.float64()),
        ("reliability", pa.float64()),
        ("consensus_sd", pa.float64()),
        ("judgments", pa.int64()),
        ("cost", pa.float64()),
    ]
)


def design_parts(study: StudyDesign) -> list[Table | str]:
    """Return the answers and the table of a design for a terminal."""
    prior = study.prior
    parts: list[Table | str] = [
        f"expected: alpha {prior.alpha:.2f}, SD within a proposition {prior.sd:.2f}, mean {prior.mean:.2f}",
        f"(from {prior.source})",
    ]
    parts += [_answer(goal, study) for goal in study.goals]
    if study.fewest is not None:
        n, k = study.fewest
        parts.append(f"for alpha alone, the fewest judgments: {n:,} propositions with {k} each, {n * k:,} judgments")
    with_cost = study.plans[0].cost is not None
    table = narrow_table(
        "judgments each", "alpha ±", "reliability", "consensus SD", "judgments", *(["cost"] if with_cost else [])
    )
    table.columns[0].justify = "right"
    for plan in _shown(study):
        row = (f"{plan.alpha_half_width:.3f}", f"{plan.reliability:.3f}", f"{plan.consensus_sd:.3f}")
        cost = [] if plan.cost is None else [money(plan.cost)]
        table.add_row(f"{plan.judgments_each}", *row, f"{plan.judgments:,}", *cost)
    return [*parts, table]


def _answer(goal: Goal, study: StudyDesign) -> str:
    if goal.plan is None:
        return f"{goal.text}: not with up to {study.plans[-1].judgments_each} judgments each"
    cost = "" if goal.plan.cost is None else f", cost {money(goal.plan.cost)}"
    return f"{goal.text}: {goal.plan.judgments_each} judgments each, {goal.plan.judgments:,} in all{cost}"


def _shown(study: StudyDesign) -> list[Plan]:
    """The first plans, and around each answer."""
    answers = {goal.plan.judgments_each for goal in study.goals if goal.plan}
    near = {each + step for each in answers for step in (-1, 0, 1)}
    return [plan for plan in study.plans if plan.judgments_each in {2, 3, 4, 5, 7, 10, 15, 20, 30} | near]


def _check(propositions: int, wanted: Mapping[str, float | None], cost: float | None, most: int) -> None:
    """Raise `InputError` unless the numbers are possible."""
    if propositions < 2:
        raise InputError(f"odds design: --propositions must be at least 2, not {propositions}")
    if not 2 <= most <= 1000:
        raise InputError(f"odds design: --most must be from 2 to 1000, not {most}")
    for name, value in wanted.items():
        if value is not None and not 0 < value < 1:
            raise InputError(f"odds design: --{name} must be between 0 and 1, not {value:g}")
    if cost is not None and not 0 <= cost < float("inf"):
        raise InputError(f"odds design: --cost-per-judgment must be a number of 0 or more, not {cost:g}")


def _prior(settings: Settings, alpha: float | None, sd: float | None, mean: float | None) -> Prior:
    """Return what to expect: what is stated, and the rest from the warehouse or the literature."""
    options = {"alpha": alpha, "sd": sd, "mean": mean}
    open_ = [name for name, value in options.items() if value is None]
    known: Prior | Moments = LITERATURE
    if open_ and has_warehouse(settings):
        with reading(settings) as warehouse:
            known = measured(warehouse) or LITERATURE
    sources = ["the options"] * (len(open_) < len(options)) + [known.source] * bool(open_)
    merged: dict[str, float] = {
        name: getattr(known, name) if value is None else value for name, value in options.items()
    }
    try:
        return Prior(**merged, source=", and ".join(sources))
    except InputError as error:
        raise InputError(f"odds design: {error}{_origin(known, open_)}") from error


def _origin(known: Prior | Moments, names: Sequence[str]) -> str:
    """Tell where the values come from that were not stated, and how to state them."""
    values = " and ".join(f"{name} {getattr(known, name):.3g}" for name in names)
    options = " and ".join(f"--{name}" for name in names)
    return f"; {values} come from {known.source}: state {options} too" if names else ""
