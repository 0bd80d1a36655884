"""The families of evaluation sets: what is measured of a subject's answers to the items of each."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from training.evaluation.coherence import COHERENCE, coherence_values
from training.evaluation.correlation import Answered
from training.evaluation.paired import Mean, Rows, Statistic
from training.evaluation.structure import Relation, structure_accuracy
from training.levels import Floats
from training.model.calibration import Calibration
from warehouse.records import Difference, Family, SuiteItem


class Answer(NamedTuple):
    """A subject's probability of a proposition, and its level distribution [K] if it gives one."""

    score: float
    distribution: Sequence[float] | None = None


Answers = Mapping[str, Answer]
"""The answers of a subject by proposition id."""
SHOWN: Mapping[Family, tuple[str, ...]] = {
    "correlation": ("pearson", "spearman", "mse", "crps_judgments"),
    "update": ("accuracy",),
    "choice": ("accuracy",),
    "structure": ("accuracy",),
    "coherence": COHERENCE,
}
"""The figures of a family in the table of a terminal and in the report, the most important one first."""


def figures_shown(family: Family, measured: Container[str]) -> list[str]:
    """Return those of the shown figures of a family that were measured; all of them if none was."""
    return [name for name in SHOWN[family] if name in measured] or list(SHOWN[family])


def p_values(differences: Iterable[Difference], metric: str) -> dict[str, float]:
    """Return Holm's p-value of no difference between the estimator and each other subject in a figure.

    It is that of the squared error for a subject without the figure, as a constant has no correlation.
    """
    found = {(each.metric, each.against): each.p_holm for each in differences}
    return {against: p for wanted in ("mse", metric) for (name, against), p in found.items() if name == wanted}


@dataclass(frozen=True)
class Item:
    """One item: its propositions in order, their labels and roles, and the judgments and relations of the first one.

    `n_simulated` of the judgments come from simulated annotators. What else is known of the first proposition tells
    the slices that it belongs to: the words of premise and hypothesis, its source and kind, and whether an estimator
    learned from its premise or one much like it (None: not marked).
    """

    group: str
    propositions: tuple[str, ...]
    labels: tuple[float | None, ...]
    judgments: Floats
    roles: tuple[str | None, ...] = ()
    relations: tuple[Relation, ...] | None = None
    n_simulated: int = 0
    words: int = 0
    source: str | None = None
    kind: str | None = None
    seen: bool | None = None


@dataclass(frozen=True)
class Items:
    """The items of a suite, or of the test split of a training set.

    `slider` says that the labels were given on the slider of UNLI.
    """

    family: Family
    items: tuple[Item, ...]
    slider: bool = False

    @classmethod
    def of(
        cls, family: Family, rows: Iterable[SuiteItem], *, slider: bool = False, seen: Container[str] | None = None
    ) -> Items:
        """Put the rows of each item together, and mark those that were seen in training if these are given."""
        found: dict[str, list[SuiteItem]] = {}
        for row in sorted(rows, key=lambda each: (each.item, each.place)):
            found.setdefault(row.item, []).append(row)
        return cls(
            family,
            tuple(
                Item(
                    group=some[0].premise_group,
                    propositions=tuple(each.proposition_id for each in some),
                    labels=tuple(each.label for each in some),
                    judgments=np.array(some[0].judgments, dtype=np.float64),
                    roles=tuple(each.role for each in some),
                    relations=_relations(some[0].relations),
                    words=len(some[0].premise.split()) + len(some[0].hypothesis.split()),
                    seen=None if seen is None else name in seen,
                )
                for name, some in found.items()
            ),
            slider,
        )

    @property
    def groups(self) -> list[str]:
        """The group of each item, which bootstrap resamples keep together."""
        return [item.group for item in self.items]

    def answered(self, answers: Answers) -> Rows:
        """Return the places of the items of which a subject answered every proposition."""
        found = [place for place, item in enumerate(self.items) if all(each in answers for each in item.propositions)]
        return np.array(found, dtype=np.int64)

    def simulated(self, rows: Rows) -> int:
        """Return how many judgments of the items at some places come from simulated annotators."""
        return sum(self.items[row].n_simulated for row in rows)

    def measure(self, answers: Answers, rows: Rows) -> dict[str, Statistic]:
        """Return what is measured of a subject's answers to the items at some places, by name.

        correlation: see `training.evaluation.correlation`. update, choice and structure: the accuracy, in which a
        tie counts as a guess. coherence: those of `training.evaluation.coherence` for which there are items.
        """
        items = [self.items[row] for row in rows]
        if self.family == "update":
            return {"accuracy": Mean(np.array([_update(item, answers) for item in items]))}
        if self.family == "choice":
            return {"accuracy": Mean(np.array([_choice(item, answers) for item in items]))}
        if self.family == "structure":
            return {"accuracy": Mean(np.array([_structure(item, answers) for item in items]))}
        if self.family == "coherence":
            scored = [(item.roles, [answers[each].score for each in item.propositions]) for item in items]
            return {name: Mean(values) for name, values in coherence_values(scored).items()}
        return self._correlation(answers, rows).measure()

    def describe(self, answers: Answers, rows: Rows) -> dict[str, float | None]:
        """Return figures without an interval: those of calibration and coarseness."""
        return self._correlation(answers, rows).describe() if self.family == "correlation" else {}

    def coverage(self, answers: Answers, rows: Rows, calibration: Calibration) -> dict[str, Statistic]:
        """Return how many truths the intervals of an estimator hold, and how wide these are."""
        return self._correlation(answers, rows).coverage(calibration) if self.family == "correlation" else {}

    def _correlation(self, answers: Answers, rows: Rows) -> Answered:
        items = [self.items[row] for row in rows]
        given = [answers[item.propositions[0]] for item in items]
        levels = [each.distribution for each in given if each.distribution is not None]
        return Answered(
            scores=np.array([each.score for each in given], dtype=np.float64),
            levels=np.array(levels) if levels and len(levels) == len(given) else None,
            labels=np.array([item.labels[0] for item in items], dtype=np.float64),
            judgments=[item.judgments for item in items],
            slider=self.slider,
        )


def _update(item: Item, answers: Answers) -> float:
    """Whether an update moves the probability as it must."""
    without, updated = (answers[each].score for each in item.propositions)
    if updated == without:
        return 0.5
    return float((updated > without) == (item.labels[1] == 1.0))


def _choice(item: Item, answers: Answers) -> float:
    """Whether the right alternative is the most probable one; if others are as probable, the chance to guess it."""
    scores = np.array([answers[each].score for each in item.propositions])
    right = np.array(item.labels) == 1.0
    best = scores == scores.max()
    return float((best & right).sum() / best.sum())


def _structure(item: Item, answers: Answers) -> float:
    """Whether the answer that follows from all propositions of a decision or a tree is right."""
    scores = [answers[each].score for each in item.propositions]
    return structure_accuracy(item.roles, item.labels, item.relations, scores)


def _relations(text: str | None) -> tuple[Relation, ...] | None:
    return None if text is None else tuple((start, kind, end, weight) for start, kind, end, weight in json.loads(text))
