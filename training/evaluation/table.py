"""The table of an evaluation: every subject's figures, and how the first subject differs from each other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.families import Answers, Items
from training.evaluation.paired import RESAMPLES, Difference, Draws, Figure, difference, figure, holm


@dataclass(frozen=True)
class Measured:
    """Figures by subject and metric, and differences between the first subject and every other one."""

    figures: dict[tuple[str, str], Figure]
    differences: list[Difference]


def measure(
    items: Items,
    subjects: Mapping[str, Answers],
    *,
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
        annotators: The numbers k of annotators whose mean is measured against that of the others.
        resamples: How many resamples to draw.
        seed: The seed of all draws.
    """
    draws = Draws.of(items.groups, resamples, seed)
    figures: dict[tuple[str, str], Figure] = {}
    for name, answers in subjects.items():
        rows = items.answered(answers)
        for metric, statistic in items.measure(answers, rows).items():
            figures[name, metric] = figure(statistic, rows, draws)
        for metric, value in items.describe(answers, rows).items():
            figures[name, metric] = Figure(value, None, None, len(rows))
    for k in annotators:
        rows, statistics = items.annotators(k, seed)
        for metric, statistic in statistics.items():
            figures["one-annotator" if k == 1 else f"{k}-annotators", metric] = figure(statistic, rows, draws)
    return Measured(figures, holm(_differences(items, subjects, draws)))


def _differences(items: Items, subjects: Mapping[str, Answers], draws: Draws) -> list[Difference]:
    names = list(subjects)
    found: list[Difference] = []
    for first, name in ((names[0], other) for other in names[1:]):
        both = np.intersect1d(items.answered(subjects[first]), items.answered(subjects[name]))
        ours, theirs = (items.measure(subjects[each], both) for each in (first, name))
        for metric in ours.keys() & theirs.keys():
            made = difference((first, name), metric, (ours[metric], theirs[metric]), both, draws)
            found += [] if made is None else [made]
    return sorted(found, key=lambda each: (each.against, each.metric))
