"""The table of an evaluation: every subject's figures, and how the first subject differs from each other one."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from training.evaluation.annotators import Annotators, name_of
from training.evaluation.coherence import COHERENCE
from training.evaluation.families import Answers, Items
from training.evaluation.paired import RESAMPLES, Difference, Draws, Figure, Rows, Statistic, differences, figures, holm
from training.evaluation.slices import slices
from training.model.calibration import Calibration

SLICED = ("pearson", "mse", "mae", "crps_judgments", "accuracy", *COHERENCE)
"""What is measured by slice."""


@dataclass(frozen=True)
class Measured:
    """Figures, and differences between the first subject and every other one.

    Attributes:
        figures: The figures of all items, by subject and metric.
        differences: The differences.
        sliced: The figures of slices of the items, by slice, subject and metric.
    """

    figures: dict[tuple[str, str], Figure]
    differences: list[Difference]
    sliced: dict[tuple[str, str, str], Figure]


def measure(
    items: Items,
    subjects: Mapping[str, Answers],
    *,
    calibrations: Mapping[str, Calibration | None] | None = None,
    annotators: Sequence[int] = (1,),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Measured:
    """Measure subjects on the items of a suite, with the same bootstrap resamples for all of them.

    Each subject is measured on the items that it answered. Differences are between the first subject and every other
    one on the items that both answered, with Holm's correction over all of them.

    Args:
        items: The items.
        subjects: The answers of each subject by name; the first one is compared with the others.
        calibrations: What the intervals of estimators among the subjects come from.
        annotators: The numbers k of annotators whose mean is measured against that of the others.
        resamples: How many resamples to draw.
        seed: The seed of all draws.
    """
    draws, parts = Draws.of(items.groups, resamples, seed), slices(items)
    measured: dict[tuple[str, str], Figure] = {}
    sliced: dict[tuple[str, str, str], Figure] = {}
    for name, subject in _subjects(items, subjects, calibrations or {}, annotators, seed):
        simulated = items.simulated(subject.rows)
        for metric, value in subject.described.items():
            measured[name, metric] = Figure(value, None, None, len(subject.rows), simulated)
        for metric, found in _figures(items, subject, subject.rows, draws):
            measured[name, metric] = found
        for part, inside in parts.items():
            rows = np.intersect1d(subject.rows, inside)
            for metric, found in _figures(items, subject, rows, draws, SLICED) if len(rows) else ():
                sliced[part, name, metric] = found
    return Measured(measured, holm(_differences(items, subjects, draws)), sliced)


class _Subject(NamedTuple):
    """The items that a subject answered, what is measured of some of them, and its figures without an interval."""

    rows: Rows
    measure: Callable[[Rows], dict[str, Statistic]]
    described: dict[str, float | None]


def _subjects(
    items: Items,
    subjects: Mapping[str, Answers],
    calibrations: Mapping[str, Calibration | None],
    annotators: Sequence[int],
    seed: int,
) -> Iterator[tuple[str, _Subject]]:
    for name, answers in subjects.items():
        rows = items.answered(answers)
        measured = partial(_with_coverage, items, answers, calibrations.get(name))
        yield name, _Subject(rows, measured, items.describe(answers, rows))
    for k in annotators:
        drawn = Annotators.of(items, k, seed)
        if len(drawn.rows):
            yield name_of(k), _Subject(drawn.rows, drawn.measure, drawn.describe())


def _with_coverage(items: Items, answers: Answers, calibration: Calibration | None, rows: Rows) -> dict[str, Statistic]:
    covered = {} if calibration is None else items.coverage(answers, rows, calibration)
    return items.measure(answers, rows) | covered


def _figures(
    items: Items, subject: _Subject, rows: Rows, draws: Draws, metrics: Container[str] | None = None
) -> Iterator[tuple[str, Figure]]:
    simulated = items.simulated(rows)
    statistics = {name: each for name, each in subject.measure(rows).items() if metrics is None or name in metrics}
    for metric, found in figures(statistics, rows, draws).items():
        yield metric, found._replace(n_simulated=simulated)


def _differences(items: Items, subjects: Mapping[str, Answers], draws: Draws) -> list[Difference]:
    names = list(subjects)
    found: list[Difference] = []
    for first, name in ((names[0], other) for other in names[1:]):
        both = np.intersect1d(items.answered(subjects[first]), items.answered(subjects[name]))
        ours, theirs = (items.measure(subjects[each], both) for each in (first, name))
        found += differences((first, name), ours, theirs, both, draws)
    return sorted(found, key=lambda each: (each.against, each.metric))
