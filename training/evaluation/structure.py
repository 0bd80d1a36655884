"""What many probabilities say together: the outcome of a decision by factors, and the root of a tree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from training.levels import Floats

Relation = tuple[int, Literal["entails", "contradicts"], int, float]
"""The place of a proposition, what it does to another one, the place of that one, and the weight."""

OUTCOME = "outcome"
_SCALE = 1_000_000  # weights are whole numbers for the solver
_SAME = 1e-12


def structure_accuracy(
    roles: Sequence[str | None],
    labels: Sequence[float | None],
    relations: Sequence[Relation] | None,
    scores: Sequence[float],
) -> float:
    """Return whether the answer that follows from an item's scores [n] is right; a tie is the chance to guess it.

    Args:
        roles: What each proposition is (`SuiteItem.role`).
        labels: The label of each proposition (`SuiteItem.label`).
        relations: Those of a tree; None for a decision by factors.
        scores: The probability of each proposition.
    """
    if relations is None:
        right = [label == 1.0 for role, label in zip(roles, labels, strict=True) if role == OUTCOME]
        found = outcome_logs(roles, scores)
        best = found >= found.max() - _SAME
        return float((best & np.array(right[: len(found)])).sum() / best.sum())
    if_true, if_false = tree_costs(scores, relations)
    return 0.5 if if_true == if_false else float((if_true < if_false) == (labels[0] == 1.0))


def outcome_logs(roles: Sequence[str | None], scores: Sequence[float]) -> Floats:
    """Return the log of the probability of each outcome [o] of a decision, up to a common constant.

    P(o) is proportional to the sum, over all combinations of one value f of each factor, of the product of
    P(f | story) P(o | story, f) (after Feng et al. 2024, BIRD). Each factor appears in a product once, so the sum is
    the product, over the factors, of the sum of P(f | story) P(o | story, f) over the values of each: it is exact for
    any number of combinations.

    Args:
        roles: Those of the propositions, in order: each value of a factor, followed by every outcome given that value.
        scores: Their probabilities [n].
    """
    starts = [place for place, role in enumerate(roles) if role != OUTCOME]
    n_outcomes = len(roles) // len(starts) - 1
    table = np.asarray(scores, dtype=np.float64).reshape(len(starts), 1 + n_outcomes)
    factors = np.unique([str(roles[place]) for place in starts], return_inverse=True)[1]
    sums = np.zeros((factors.max() + 1, n_outcomes))
    np.add.at(sums, factors, table[:, :1] * table[:, 1:])
    with np.errstate(divide="ignore"):
        result: Floats = np.log(sums).sum(axis=0)
    return result


def tree_costs(beliefs: Sequence[float], relations: Sequence[Relation]) -> tuple[int, int]:
    """Return the least weight that must be violated if the root of a tree is true, and if it is false, in millionths.

    As in maieutic prompting (Jung et al. 2022), a belief p is a clause of weight |2p - 1| for or against its
    proposition; one that entails another is a clause (not a, or b), one that contradicts it (not a, or not b). The
    best assignment is the solution of a weighted MaxSAT problem.

    Args:
        beliefs: The probability of each proposition [n], the root first.
        relations: How they are related.
    """
    weights = tuple(round((2 * each - 1) * _SCALE) for each in beliefs)
    return _cost(weights, tuple(relations), True), _cost(weights, tuple(relations), False)


@lru_cache(maxsize=65_536)
def _cost(weights: tuple[int, ...], relations: tuple[Relation, ...], root: bool) -> int:
    from pysat.examples.rc2 import RC2
    from pysat.formula import WCNF

    problem = WCNF()
    problem.append([1 if root else -1])
    for place, weight in enumerate(weights, 1):
        if weight:
            problem.append([place if weight > 0 else -place], weight=abs(weight))
    for start, kind, end, share in relations:
        clause = [-(start + 1), end + 1 if kind == "entails" else -(end + 1)]
        problem.append(clause, weight=max(round(share * _SCALE), 1))
    with RC2(problem) as solver:
        solver.compute()
        return int(solver.cost)
