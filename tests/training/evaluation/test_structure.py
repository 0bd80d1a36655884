"""Decisions by factors and trees of propositions, against hand calculations and every combination or assignment."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from training.evaluation.structure import Relation, outcome_logs, structure_accuracy, tree_costs


def roles(sizes: list[int], outcomes: int = 2) -> list[str]:
    values = [factor for factor, n in enumerate(sizes) for _ in range(n)]
    return [role for factor in values for role in (f"value of {factor}", *["outcome"] * outcomes)]


def test_the_outcome_of_one_factor_by_hand() -> None:
    # P(rain) = .8, P(dry) = .1; P(drives | rain) = .9, P(walks | rain) = .2; P(drives | dry) = .3, P(walks | dry) = .6
    found = np.exp(outcome_logs(roles([2]), [0.8, 0.9, 0.2, 0.1, 0.3, 0.6]))
    assert found.tolist() == pytest.approx([0.8 * 0.9 + 0.1 * 0.3, 0.8 * 0.2 + 0.1 * 0.6])


@pytest.mark.parametrize(("sizes", "outcomes"), [([2, 3], 2), ([1, 2, 2, 3], 2), ([3, 2, 2], 4)])
def test_the_outcome_is_the_sum_over_every_combination(sizes: list[int], outcomes: int) -> None:
    rng = np.random.default_rng(5)
    scores = rng.random(sum(sizes) * (1 + outcomes))
    table = scores.reshape(-1, 1 + outcomes)
    parts = np.split(table, np.cumsum(sizes)[:-1])
    total = np.zeros(outcomes)
    for combination in itertools.product(*(range(n) for n in sizes)):
        chosen = [part[value] for part, value in zip(parts, combination, strict=True)]
        total += [
            math.prod(row[0] for row in chosen) * math.prod(row[1 + outcome] for row in chosen)
            for outcome in range(outcomes)
        ]
    assert np.exp(outcome_logs(roles(sizes, outcomes), scores.tolist())) == pytest.approx(total)


def test_forty_factors_have_too_many_combinations_to_list_and_are_exact() -> None:
    logs = outcome_logs(roles([4] * 40), [0.25, 0.5, 0.1] * 160)
    assert logs == pytest.approx([40 * math.log(0.5), 40 * math.log(0.1)])


def test_the_preferred_outcome_is_right_wrong_or_a_guess() -> None:
    labels = [None, 0.0, 1.0]
    assert structure_accuracy(roles([1]), labels, None, [0.5, 0.2, 0.4]) == 1
    assert structure_accuracy(roles([1]), labels, None, [0.5, 0.4, 0.2]) == 0
    assert structure_accuracy(roles([1]), labels, None, [0.5, 0.4, 0.4]) == 0.5
    assert structure_accuracy(roles([1]), labels, None, [0.0, 0.4, 0.2]) == 0.5  # nothing is possible


def violated(values: tuple[bool, ...], beliefs: list[float], relations: list[Relation]) -> float:
    """The weight that an assignment violates."""
    total = sum(abs(2 * p - 1) for value, p in zip(values, beliefs, strict=True) if value != (p > 0.5))
    for start, kind, end, weight in relations:
        if values[start] and values[end] == (kind == "contradicts"):
            total += weight
    return total


@pytest.mark.parametrize("seed", range(40))
def test_the_costs_of_a_tree_are_the_best_of_every_assignment(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    beliefs = rng.random(n).tolist()
    relations: list[Relation] = []
    for child in range(1, n):
        kind = "entails" if rng.random() < 0.5 else "contradicts"
        relations.append((child, kind, int(rng.integers(child)), float(rng.uniform(0.1, 1.5))))  # type: ignore[arg-type]
    found = [cost / 1e6 for cost in tree_costs(beliefs, relations)]
    assignments = list(itertools.product([True, False], repeat=n))
    best = [
        min(violated(each, beliefs, relations) for each in assignments if each[0] == root) for root in (True, False)
    ]
    assert found == pytest.approx(best, abs=1e-5)


def test_what_surely_contradicts_a_root_outweighs_a_weak_belief_in_it() -> None:
    beliefs, names = [0.6, 0.95], ["root", "a"]
    against: list[Relation] = [(1, "contradicts", 0, 1.0)]
    assert tree_costs(beliefs, against) == (900_000, 200_000)  # give up a (.9), or the root (.2)
    assert structure_accuracy(names, [0.0, None], against, beliefs) == 1
    assert structure_accuracy(names, [1.0, None], against, beliefs) == 0
    assert structure_accuracy(names, [1.0, None], [(1, "entails", 0, 1.0)], beliefs) == 1
    weak: list[Relation] = [(1, "contradicts", 0, 0.1)]
    assert structure_accuracy(names, [1.0, None], weak, beliefs) == 1
    assert structure_accuracy(names, [1.0, None], [], [0.5, 0.9]) == 0.5
