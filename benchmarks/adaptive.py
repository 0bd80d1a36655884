"""What adaptive redundancy saves, on real slider judgments: against a fixed number, and against random order.

    python -m benchmarks.adaptive nli_variation/judgments.parquet [--start 3] [--replicates 20]

About 50 people judged each of 351 propositions. In each replicate, a random half of a proposition's judgments can be
asked for; the mean of the other half is the truth. Every proposition starts with a few judgments; then each round a
tenth of the propositions get one more. The consensus is that of `odds agree` (EM). "Known spread" orders by the
variance of all judgments of a proposition, which nobody knows beforehand. `benchmarks/README.md` has the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.select import Floats, Ints, Real, needed, premise_weights, read
from warehouse.consensus.random_effects import fit_em
from warehouse.consensus.redundancy import Judged, asked, spread

SHARE, LAST, AT, ITERATIONS = 0.1, 10, (4, 6, 8), 25
TARGETS = (0.15, 0.12, 0.1)


class Pool(NamedTuple):
    """The judgments that may be asked for, [n, m] in the order in which they come; `size` [n] says how many there are.

    `truth` [n] is the mean of the others, `noise` its mean squared error, `known` [n] the variance of all judgments.
    """

    values: Floats
    annotators: Ints
    size: Ints
    truth: Floats
    noise: float
    known: Floats

    def judged(self, count: Ints) -> Judged:
        """Return the sums of the first `count` judgments of each proposition."""
        given = np.where(np.arange(self.values.shape[1]) < count[:, None], self.values, 0)
        return Judged(count.astype(np.float64), given.sum(1), (given**2).sum(1))

    def errors(self, count: Ints) -> Floats:
        """Return the squared error of each proposition's consensus, less what the truth itself is wrong by."""
        given = np.arange(self.values.shape[1]) < count[:, None]
        unit = np.nonzero(given)[0]
        fit = fit_em(unit, self.annotators[given], self.values[given], max_iterations=ITERATIONS)
        errors: Floats = (fit.theta - self.truth) ** 2 - self.noise
        return errors


def pool_of(real: Real, rng: np.random.Generator) -> Pool:
    """Part the judgments of each proposition at random."""
    order = [rng.permutation(len(each)) for each in real.values]
    size = np.array([len(each) // 2 for each in order])
    values, annotators = np.zeros((len(size), size.max())), np.zeros((len(size), size.max()), np.int64)
    for i, (each, n) in enumerate(zip(order, size, strict=True)):
        values[i, :n] = real.values[i][each[:n]]
        annotators[i, :n] = real.annotators[i][each[:n]]
    held = [real.values[i][each[n:]] for i, (each, n) in enumerate(zip(order, size, strict=True))]
    truth = np.array([each.mean() for each in held])
    noise = float(np.mean([each.var(ddof=1) / len(each) for each in held]))
    return Pool(values, annotators, size, truth, noise, np.array([each.var(ddof=1) for each in real.values]))


def by_gain(pool: Pool, count: Ints, _: np.random.Generator) -> Floats:
    """Return the expected gain of one more judgment of each proposition."""
    found = spread(pool.judged(count))
    assert found is not None
    return found.gain


RULES: dict[str, Callable[[Pool, Ints, np.random.Generator], Floats]] = {
    "random order": lambda _, count, rng: rng.random(len(count)),
    "fixed number": lambda _, count, rng: rng.random(len(count)) - count,
    "adaptive": by_gain,
    "known spread": lambda pool, count, _: pool.known / (count * (count + 1)),
}


def curve(pool: Pool, rule: str, start: int, rng: np.random.Generator) -> list[Floats]:
    """Return the squared errors [n] at `start`, `start` + 1 ... `LAST` judgments per proposition on average."""
    count = np.full(len(pool.size), start)
    found = [pool.errors(count)]
    for mean in range(start + 1, LAST + 1):
        while (left := mean * len(count) - count.sum()) > 0:
            value = np.where(count < pool.size, RULES[rule](pool, count, rng), -np.inf)
            count[np.argsort(-value, kind="stable")[: min(round(SHARE * len(count)), left)]] += 1
        found.append(pool.errors(count))
    return found


def settle(pool: Pool, target: float, start: int) -> Ints:
    """Return the judgments of each proposition once all are settled, or nothing is left to ask for."""
    count = np.full(len(pool.size), start)
    while True:
        found = spread(pool.judged(count))
        assert found is not None
        places = asked(found, count, count >= pool.size, target, int(pool.size.max()))
        if not len(places):
            return count
        count[places] += 1


def share_within(pool: Pool, count: Floats | Ints, target: float) -> float:
    """Return the share of propositions whose mean really has at most this standard error."""
    return float(np.mean(np.sqrt(pool.known / count) <= target))


def _interval(values: Floats) -> str:
    """The first of the values with the 95% interval of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{values[0]:.0%} ({low:.0%} to {high:.0%})"


def ordered(real: Real, weights: list[Floats], start: int, replicates: int) -> None:
    """Print the error of each rule, and what adaptive redundancy saves."""
    found: dict[str, Any] = dict.fromkeys(RULES, 0.0)
    for seed in range(replicates):
        pool = pool_of(real, np.random.default_rng(seed))
        for name in RULES:
            found[name] = (
                found[name] + np.array(curve(pool, name, start, np.random.default_rng((seed, 1)))) / replicates
            )
    steps = np.arange(start, LAST + 1, dtype=np.float64)
    print(f"| order | {' | '.join(f'{each:.0f}' for each in steps)} |", "|---" * (len(steps) + 1) + "|", sep="\n")
    for name, errors in found.items():
        print(f"| {name} | {' | '.join(f'{1000 * each:.2f}' for each in errors.mean(1))} |")
    heads = " | ".join(f"{name}, {at}" for name in ("random order", "fixed number") for at in AT)
    print(f"\n| share of the added judgments saved against | {heads} |", "|---" * 7 + "|", sep="\n")
    for name in ("adaptive", "known spread"):
        cells = []
        for against in ("random order", "fixed number"):
            for at in AT:
                saved = [
                    1
                    - (needed(steps, found[name] @ each, float((found[against] @ each)[at - start])) - start)
                    / (at - start)
                    for each in weights
                ]
                cells.append(_interval(np.nan_to_num(np.array(saved), nan=-1.0)))
        print(f"| {name} | {' | '.join(cells)} |")


def settled(real: Real, weights: list[Floats], start: int, replicates: int) -> None:
    """Print what it takes to settle all propositions, and the fixed number that does as well."""
    print(
        "\n| target SD | judgments each | within the target | error x 1000 | fixed number as often within | saved |",
        "|---" * 6 + "|",
        sep="\n",
    )
    pools = [pool_of(real, np.random.default_rng(seed)) for seed in range(replicates)]
    fixed = np.arange(start, 40)
    for target in TARGETS:
        counts = [settle(pool, target, start) for pool in pools]
        error = np.mean([pool.errors(count).mean() for pool, count in zip(pools, counts, strict=True)])
        inside = np.mean([np.sqrt(p.known / c) <= target for p, c in zip(pools, counts, strict=True)], axis=0)
        evenly = np.array([np.sqrt(pools[0].known / k) <= target for k in fixed], dtype=np.float64)
        used = np.mean(counts, axis=0)
        numbers = [float(np.interp(inside @ each, evenly @ each, fixed)) for each in weights]
        saved = np.array([1 - (used @ each) / number for each, number in zip(weights, numbers, strict=True)])
        print(
            f"| {target} | {used.mean():.1f} | {inside.mean():.0%} | {1000 * error:.2f} | {numbers[0]:.1f} | "
            f"{_interval(saved)} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--start", type=int, default=3, help="Judgments per proposition at the start, at least 2.")
    parser.add_argument("--replicates", type=int, default=20)
    chosen = parser.parse_args()
    real = read(chosen.file)
    weights = premise_weights(real)
    print(f"{len(real.texts)} propositions of {len({premise for premise, _ in real.texts})} premises\n")
    ordered(real, weights, chosen.start, chosen.replicates)
    settled(real, weights, chosen.start, chosen.replicates)


if __name__ == "__main__":
    main()
