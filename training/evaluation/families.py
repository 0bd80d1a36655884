"""The families of evaluation sets: what is measured of a subject's answers to the items of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from training.evaluation.metrics import calibration_error, decompose
from training.evaluation.paired import Mean, Pearson, Rows, Spearman, Statistic
from training.evaluation.structure import Relation, structure_accuracy
from training.levels import Floats, entropy, exact_crps, one_hot, wasserstein
from warehouse.records import Family, SuiteItem

LEVELS = 10
"""The levels on which an answer that is a single number is compared with people's judgments."""
DRAWS = 20  # of the judgments that stand for a single annotator
_ENOUGH = 3  # judgments, to speak of their spread


class Answer(NamedTuple):
    """A subject's probability of a proposition, and its level distribution [K] if it gives one."""

    score: float
    distribution: Sequence[float] | None = None


Answers = Mapping[str, Answer]
"""The answers of a subject by proposition id."""


@dataclass(frozen=True)
class Item:
    """One item: its propositions in order, their labels and roles, and the judgments and relations of the first one."""

    group: str
    propositions: tuple[str, ...]
    labels: tuple[float | None, ...]
    judgments: Floats
    roles: tuple[str | None, ...]
    relations: tuple[Relation, ...] | None = None


@dataclass(frozen=True)
class Items:
    """The items of a suite."""

    family: Family
    items: tuple[Item, ...]

    @classmethod
    def of(cls, family: Family, rows: Iterable[SuiteItem]) -> Items:
        """Put the rows of each item together."""
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
                )
                for some in found.values()
            ),
        )

    @property
    def groups(self) -> list[str]:
        """The group of each item, which bootstrap resamples keep together."""
        return [item.group for item in self.items]

    def answered(self, answers: Answers) -> Rows:
        """Return the places of the items of which a subject answered every proposition."""
        found = [place for place, item in enumerate(self.items) if all(each in answers for each in item.propositions)]
        return np.array(found, dtype=np.int64)

    def measure(self, answers: Answers, rows: Rows) -> dict[str, Statistic]:
        """Return what is measured of a subject's answers to the items at some places, by name.

        correlation: Pearson's and Spearman's correlation with the labels, mse and mae; against people's judgments, if
        every item has some, crps_judgments (every judgment; `training.levels.exact_crps`) and wasserstein (their
        distribution over levels); and spread_correlation, that of the entropies of both distributions. update, choice
        and structure: the accuracy, in which a tie counts as a guess.
        """
        items = [self.items[row] for row in rows]
        if self.family == "update":
            return {"accuracy": Mean(np.array([_update(item, answers) for item in items]))}
        if self.family == "choice":
            return {"accuracy": Mean(np.array([_choice(item, answers) for item in items]))}
        if self.family == "structure":
            return {"accuracy": Mean(np.array([_structure(item, answers) for item in items]))}
        return _correlation(_Answered(items, [answers[item.propositions[0]] for item in items]))

    def describe(self, answers: Answers, rows: Rows) -> dict[str, float | None]:
        """Return figures without an interval, since resampling biases a binned gap upwards: those of calibration."""
        if self.family != "correlation":
            return {}
        items = [self.items[row] for row in rows]
        scores = np.array([answers[item.propositions[0]].score for item in items])
        labels = np.array([item.labels[0] for item in items], dtype=np.float64)
        parts = decompose(scores, labels)
        found: dict[str, float | None] = {"calibration_error": calibration_error(scores, labels)}
        return found | (parts._asdict() if parts else {})

    def annotators(self, k: int, seed: int = 0) -> tuple[Rows, dict[str, Statistic]]:
        """Return what the mean of k annotators reaches against the mean of the others, where more than k judged.

        Each figure is the mean over many draws of the k. The others' mean is noisier than a consensus.
        """
        rows = np.array([row for row, item in enumerate(self.items) if len(item.judgments) > k], dtype=np.int64)
        if self.family != "correlation" or not len(rows):
            return rows, {}
        draws = [self._drawn(k, rows, np.random.default_rng([seed, draw])) for draw in range(DRAWS)]
        return rows, {name: Averaged(tuple(each[name] for each in draws)) for name in draws[0]}

    def _drawn(self, k: int, rows: Rows, rng: np.random.Generator) -> dict[str, Statistic]:
        shuffled = [rng.permutation(self.items[row].judgments) for row in rows]
        scores, labels = (np.array([each[part].mean() for each in shuffled]) for part in (slice(k), slice(k, None)))
        distances = [np.abs(each[k:] - score).mean() for each, score in zip(shuffled, scores, strict=True)]
        return _of_points(scores, labels) | {"crps_judgments": Mean(np.array(distances))}


@dataclass(frozen=True)
class Averaged:
    """The mean of statistics of the same rows."""

    statistics: tuple[Statistic, ...]

    def over(self, counts: Floats) -> Floats:
        """Return the mean for each resample."""
        result: Floats = np.mean([each.over(counts) for each in self.statistics], axis=0)
        return result


@dataclass(frozen=True)
class _Answered:
    """Items of the family correlation with a subject's answers."""

    items: list[Item]
    answers: list[Answer]

    @cached_property
    def scores(self) -> Floats:
        return np.array([each.score for each in self.answers])

    @cached_property
    def labels(self) -> Floats:
        return np.array([item.labels[0] for item in self.items], dtype=np.float64)

    def each(self, measure: Callable[[Answer, Floats], float]) -> Floats:
        return np.array([measure(*each) for each in zip(self.answers, (i.judgments for i in self.items), strict=True)])

    @property
    def fewest_judgments(self) -> int:
        return min((len(item.judgments) for item in self.items), default=0)


def _correlation(found: _Answered) -> dict[str, Statistic]:
    measured = _of_points(found.scores, found.labels)
    if found.fewest_judgments:
        measured["crps_judgments"] = Mean(found.each(_crps))
        measured["wasserstein"] = Mean(found.each(_wasserstein))
    if found.fewest_judgments >= _ENOUGH and all(each.distribution is not None for each in found.answers):
        measured["spread_correlation"] = Pearson(found.each(_entropy), found.each(_entropy_of_judgments))
    return measured


def _of_points(scores: Floats, labels: Floats) -> dict[str, Statistic]:
    return {
        "pearson": Pearson(scores, labels),
        "spearman": Spearman(scores, labels),
        "mse": Mean((scores - labels) ** 2),
        "mae": Mean(np.abs(scores - labels)),
    }


def _crps(answer: Answer, judgments: Floats) -> float:
    if answer.distribution is None:
        return float(np.abs(answer.score - judgments).mean())
    return float(exact_crps(np.asarray(answer.distribution), judgments).mean())


def _wasserstein(answer: Answer, judgments: Floats) -> float:
    ours = one_hot(answer.score, LEVELS) if answer.distribution is None else np.asarray(answer.distribution)
    return float(wasserstein(ours, one_hot(judgments, ours.shape[-1]).mean(axis=0)))


def _entropy(answer: Answer, _: Floats) -> float:
    return float(entropy(np.asarray(answer.distribution)))


def _entropy_of_judgments(_: Answer, judgments: Floats) -> float:
    return float(entropy(one_hot(judgments, LEVELS).mean(axis=0)))


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
