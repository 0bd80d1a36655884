"""The order in which a fit sees its examples: one stream of propositions and one of order pairs, mixed at random."""

from __future__ import annotations

import numpy as np

from training.model.packing import Indices


def epoch_order(propositions: int, pairs: int, pair_rate: float, seed: int, epoch: int) -> Indices:
    """Return the examples of an epoch in their order, which depends only on the numbers, seed and epoch.

    Every proposition comes once, and the order pairs `pair_rate` times on average; all of them as often as possible
    before any comes again. Indices from `propositions` on are order pairs.
    """
    rng = np.random.default_rng([seed, epoch])
    draws = round(pairs * pair_rate)
    rounds = [rng.permutation(pairs).astype(np.int32) for _ in range(-(-draws // pairs) if pairs else 0)]
    drawn = np.concatenate([np.empty(0, np.int32), *rounds])[:draws]
    order: Indices = np.concatenate([np.arange(propositions, dtype=np.int32), np.int32(propositions) + drawn])
    rng.shuffle(order)
    return order


def steps_of(propositions: int, pairs: int, pair_rate: float, batch_size: int) -> int:
    """Return the number of steps of an epoch."""
    return -(-(propositions + round(pairs * pair_rate)) // batch_size)


def step_costs(costs: Indices, order: Indices, batch_size: int) -> Indices:
    """Return the cost of each step of an epoch from the costs of the examples."""
    return np.add.reduceat(costs[order], np.arange(0, len(order), batch_size), dtype=np.int64)
