"""The order of the examples of a fit."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.fit.order import epoch_order, step_costs, steps_of

COUNTS = st.integers(0, 60)


@given(COUNTS, COUNTS, st.floats(0, 4), st.integers(0, 5), st.integers(1, 20))
def test_every_proposition_comes_once_and_pairs_as_often_as_stated(
    propositions: int, pairs: int, rate: float, epoch: int, size: int
) -> None:
    order = epoch_order(propositions, pairs, rate, 1, epoch)
    assert sorted(order[order < propositions].tolist()) == list(range(propositions))
    draws = np.bincount(order[order >= propositions] - propositions, minlength=pairs)
    assert len(draws) == pairs
    assert draws.sum() == round(pairs * rate)
    assert not pairs or draws.max() - draws.min() <= 1
    assert steps_of(propositions, pairs, rate, size) == -(-len(order) // size)


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    first = epoch_order(50, 20, 0.5, 1, 0).tolist()
    np.random.default_rng(7).standard_normal(3)
    assert first == epoch_order(50, 20, 0.5, 1, 0).tolist()
    assert first != epoch_order(50, 20, 0.5, 1, 1).tolist()
    assert first != epoch_order(50, 20, 0.5, 2, 0).tolist()


def test_all_pairs_come_in_time_where_few_fit_into_an_epoch() -> None:
    seen = {int(each) for epoch in range(200) for each in epoch_order(0, 1000, 0.02, 1, epoch)}
    assert len(seen) > 950  # of 4,000 draws; each is left out with p = .98^200


def test_both_streams_are_mixed_over_the_whole_epoch() -> None:
    order = epoch_order(500, 500, 1.0, 0, 0)
    shares = [(part < 500).mean() for part in np.split(order, 10)]
    assert 0.3 < min(shares) <= max(shares) < 0.7


def test_the_cost_of_a_step_is_that_of_its_examples() -> None:
    costs = np.array([5, 1, 2, 40, 7])
    assert step_costs(costs, np.array([3, 0, 4, 1, 1]), 2).tolist() == [45, 8, 1]


def test_an_order_takes_few_bytes_an_example() -> None:
    epoch_order(10, 10, 1.0, 0, 0)
    tracemalloc.start()
    try:
        order = epoch_order(100_000, 50_000, 1.0, 0, 0)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / len(order) < 5
    assert peak / len(order) < 16
