"""Which propositions to judge again: the rules of `odds select` beside chance, on real slider judgments.

    python -m benchmarks.select nli_variation/judgments.parquet [--start 3] [--replicates 20]

About 50 people judged each of 351 propositions. In each replicate, a random half of a proposition's judgments can be
asked for; the mean of the other half is the truth. Every proposition starts with a few judgments; a rule then chooses a
tenth of the propositions per round, which get one more judgment each. The consensus is that of `odds agree` (EM). The
estimator is a ridge regression on the level probabilities of the pretrained one, fitted again on the judgments of each
round, and scores only premises that it was not fitted on. `benchmarks/README.md` has the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from training import Estimator
from training.embedded import pretrained_path
from training.levels import sd as level_sd
from training.targets import gaussian
from warehouse.consensus.doubt import Known, doubt
from warehouse.consensus.random_effects import fit_em
from warehouse.records import content_id

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHARE, LAST, AT = 0.1, 10, (4, 6, 8)
RIDGE, FOLDS, DRAWS, SHRINKAGE = 1.0, 5, 2000, 4.0
ITERATIONS = 25  # of EM in each round; it has converged to three digits by then


@dataclass(frozen=True)
class Real:
    """The propositions: premises, hypotheses, and for each its judgments with their annotators."""

    texts: list[tuple[str, str]]
    values: list[Floats]
    annotators: list[Ints]


@dataclass(frozen=True)
class Pool:
    """The judgments that may be asked for, [n, m] in the order in which they come; `size` [n] says how many there are.

    `levels` [n, m, K] are running sums of their level masses. `truth` [n] is the mean of the others, `noise` its mean
    squared error.
    """

    values: Floats
    annotators: Ints
    levels: Floats
    size: Ints
    truth: Floats
    noise: float


@dataclass(frozen=True)
class State:
    """What is known after a round."""

    count: Ints
    mean: Floats
    sd: Floats
    score: Floats
    level_sd: Floats
    spread: Floats


Rule = Callable[[State, np.random.Generator], Floats]


def _by(rule: Any, state: State, _: np.random.Generator) -> Floats:
    unknown = np.full(len(state.mean), np.nan)
    return doubt(rule, Known(state.mean, state.sd, state.score, state.level_sd, unknown))


RULES: dict[str, Rule] = {
    "at random": lambda state, rng: rng.random(len(state.mean)),
    "evenly": lambda state, rng: rng.random(len(state.mean)) - state.count,
    "consensus": partial(_by, "consensus"),
    "uncertainty": partial(_by, "uncertainty"),
    "disagreement": partial(_by, "disagreement"),
    "difference alone": lambda state, _: np.abs(state.score - state.mean),
    "spread of the judgments": lambda state, _: state.spread / (state.count * (state.count + 1)),
    "uncertainty x consensus": lambda state, _: state.level_sd * state.sd,
}


def read(file: Path) -> Real:
    """Return the valid judgments of a file: the first of each annotator, neither rejected nor "cannot judge"."""
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for row in pq.read_table(file).to_pylist():
        if not row["cannot_judge"] and row["status"] != "Rejected":
            rows.setdefault((row["premise"], row["hypothesis"]), {}).setdefault(row["annotator"], row["rating"] / 100)
    names = sorted({name for each in rows.values() for name in each})
    number = {name: place for place, name in enumerate(names)}
    texts = sorted(rows)
    values = [np.array(list(rows[text].values())) for text in texts]
    return Real(texts, values, [np.array([number[name] for name in rows[text]]) for text in texts])


def smoother(real: Real, levels: Floats) -> Floats:
    """Return the matrix [n, n] that maps targets to ridge predictions, each from the folds of other premises."""
    centred = levels - levels.mean(0)
    kernel = centred @ centred.T
    fold = np.array([int(content_id("fold", premise), 16) % FOLDS for premise, _ in real.texts])
    found = np.zeros(kernel.shape)
    for each in range(FOLDS):
        inside, outside = np.flatnonzero(fold == each), np.flatnonzero(fold != each)
        n = len(outside)
        weights = np.linalg.solve(kernel[np.ix_(outside, outside)] + RIDGE * np.eye(n), kernel[np.ix_(outside, inside)])
        found[np.ix_(inside, outside)] = weights.T @ (np.eye(n) - 1 / n) + 1 / n
    return found


def pool_of(real: Real, rng: np.random.Generator, levels: int) -> Pool:
    """Part the judgments of each proposition at random."""
    order = [rng.permutation(len(each)) for each in real.values]
    asked = [each[: len(each) // 2] for each in order]
    held = [real.values[i][each[len(each) // 2 :]] for i, each in enumerate(order)]
    size = np.array([len(each) for each in asked])
    shape = (len(size), size.max())
    pool = Pool(
        np.zeros(shape),
        np.zeros(shape, np.int64),
        np.zeros((*shape, levels)),
        size,
        np.array([each.mean() for each in held]),
        float(np.mean([each.var(ddof=1) / len(each) for each in held])),
    )
    for i, each in enumerate(asked):
        pool.values[i, : len(each)] = real.values[i][each]
        pool.annotators[i, : len(each)] = real.annotators[i][each]
        pool.levels[i, : len(each)] = gaussian(real.values[i][each], 0.1, levels).cumsum(0)
    return pool


def state_of(pool: Pool, count: Ints, smooth: Floats) -> State:
    """Fit the consensus and the estimator to the first `count` [n] judgments of each proposition."""
    known = np.arange(pool.values.shape[1]) < count[:, None]
    unit = np.nonzero(known)[0]
    fit = fit_em(unit, pool.annotators[known], pool.values[known], max_iterations=ITERATIONS)
    target = pool.levels[np.arange(len(count)), count - 1] / count[:, None]
    levels = np.clip(smooth @ target, 1e-4, None)
    levels /= levels.sum(1, keepdims=True)
    # the variance within each proposition, shrunken towards that within all of them
    squares = np.bincount(unit, (pool.values[known] - (np.bincount(unit, pool.values[known]) / count)[unit]) ** 2)
    common = squares.sum() / (count - 1).sum()
    spread = (squares + SHRINKAGE * common) / (count - 1 + SHRINKAGE)
    return State(count, fit.theta, fit.sd, smooth @ fit.theta, level_sd(levels), spread)


def rounds(pool: Pool, smooth: Floats, rule: Rule, start: int, rng: np.random.Generator) -> Iterator[State]:
    """Yield the state after each round, until the propositions have `LAST` judgments on average."""
    state = state_of(pool, np.full(len(pool.size), start), smooth)
    yield state
    while state.count.mean() < LAST:
        value = np.where(state.count < pool.size, rule(state, rng), -np.inf)
        count = state.count.copy()
        count[np.argsort(-value, kind="stable")[: round(SHARE * len(count))]] += 1
        state = state_of(pool, count, smooth)
        yield state


def errors(real: Real, levels: Floats, start: int, replicates: int) -> dict[str, Floats]:
    """Return for each rule [3, rounds, n]: judgments, squared errors of consensus and estimator, over the replicates.

    What the truth itself is wrong by is subtracted.
    """
    smooth = smoother(real, levels)
    found: dict[str, Any] = dict.fromkeys(RULES, 0.0)
    for seed in range(replicates):
        pool = pool_of(real, np.random.default_rng(seed), levels.shape[1])
        for name, rule in RULES.items():
            states = list(rounds(pool, smooth, rule, start, np.random.default_rng((seed, 1))))
            parts = [
                [each.count.astype(float) for each in states],
                [(each.mean - pool.truth) ** 2 - pool.noise for each in states],
                [(each.score - pool.truth) ** 2 - pool.noise for each in states],
            ]
            found[name] = found[name] + np.array(parts) / replicates
    return found


def needed(count: Floats, error: Floats, reached: float) -> float:
    """Return the judgments per proposition at which an error is reached; nan if it never is."""
    best = np.minimum.accumulate(error)
    if best[-1] > reached:
        return np.nan
    return float(np.interp(-reached, -best, count))


def saved(curves: dict[str, Floats], weights: Floats, against: str, name: str) -> list[float]:
    """Return the share of the added judgments that a rule saves at the error that another reaches with `AT`."""
    count, error, _ = curves[name] @ weights
    other_count, other_error, _ = curves[against] @ weights
    start = other_count[0]
    reached = [float(np.interp(at, other_count, other_error)) for at in AT]
    return [1 - (needed(count, error, each) - start) / (at - start) for at, each in zip(AT, reached, strict=True)]


def premise_weights(real: Real) -> list[Floats]:
    """The weights of the propositions, each [n] with sum 1: equal ones, then those of bootstrap draws of premises."""
    groups = np.unique([premise for premise, _ in real.texts], return_inverse=True)[1]
    many = int(groups.max()) + 1
    rng = np.random.default_rng(0)
    drawn = [np.bincount(each, minlength=many)[groups] for each in rng.integers(many, size=(DRAWS, many))]
    return [np.full(len(groups), 1 / len(groups)), *(each / each.sum() for each in drawn)]


def _shown(values: list[list[float]]) -> list[str]:
    """The first of the values with the interval of the others, for each place; a dash if the error is never reached."""
    shown = []
    for place in zip(*values, strict=True):
        drawn = np.nan_to_num(np.array(place[1:]), nan=-np.inf)
        low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
        ends = " to ".join("never" if np.isinf(end) else f"{end:.0%}" for end in (low, high))
        shown.append(f"never reached ({ends})" if np.isnan(place[0]) else f"{place[0]:.0%} ({ends})")
    return shown


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--start", type=int, default=3, help="Judgments per proposition at the start, at least 2.")
    parser.add_argument("--replicates", type=int, default=20)
    chosen = parser.parse_args()
    real = read(chosen.file)
    levels = np.array(Estimator.load(pretrained_path()).score(real.texts).level_probabilities)
    full = np.array([each.mean() for each in real.values])
    fitted = smoother(real, levels) @ full
    print(
        f"{len(full)} propositions; the estimator's Pearson with all judgments: {np.corrcoef(fitted, full)[0, 1]:.3f}\n"
    )
    curves = errors(real, levels, chosen.start, chosen.replicates)
    weights = premise_weights(real)
    heads = [f"{at} judgments" for at in (chosen.start, *AT, LAST)]
    print(f"| rule | {' | '.join(heads)} | estimator at {LAST} |", "|---" * (len(heads) + 2) + "|", sep="\n")
    for name, curve in curves.items():
        count, error, refitted = curve.mean(2)
        figures = [*np.interp([chosen.start, *AT, LAST], count, error), refitted[-1]]
        print(f"| {name} | {' | '.join(f'{1000 * each:.2f}' for each in figures)} |")
    for against in ("at random", "evenly"):
        print(
            f"\n| saved against {against} | {' | '.join(f'at {at} judgments' for at in AT)} |",
            "|---" * 4 + "|",
            sep="\n",
        )
        for name in RULES:
            if name != against:
                print(f"| {name} | {' | '.join(_shown([saved(curves, each, against, name) for each in weights]))} |")


if __name__ == "__main__":
    main()
