from __future__ import annotations

import pytest

from training.fit.pace import Pace


class Clock:
    """Time that passes when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def pace(clock: Clock, limit_s: float | None, steps: int = 10) -> Pace:
    """Steps of 100 tokens, dev of 300 tokens, two evaluations, begun at 0; loading took 20 seconds."""
    clock.now = 20.0
    return Pace([100] * steps, 300, 2, limit_s=limit_s, began=0.0, clock=clock)


def step(pace: Pace, clock: Clock, seconds: float = 6.0) -> None:
    clock.now += seconds
    pace.stepped(seconds)


def test_what_is_left_follows_from_the_first_step() -> None:
    clock = Clock()
    fit = pace(clock, None)
    step(fit, clock)
    # 9 steps of 6 s, and two evaluations of three batches that take a third of a step each
    assert fit.left_s() == pytest.approx(9 * 6 + 2 * 6)
    assert fit.room() == 10
    assert not fit.is_over()
    assert fit.share_done() == pytest.approx(0.1)


def test_the_rate_is_that_of_the_steps_alone() -> None:
    clock = Clock()
    fit = pace(clock, None)
    assert fit.examples_per_s() is None
    fit.stepped(6.0, 8)
    fit.looked(20.0)
    fit.stepped(2.0, 4)
    assert fit.examples_per_s() == pytest.approx(12 / 8)


def test_the_evaluation_that_was_measured_counts() -> None:
    clock = Clock()
    fit = pace(clock, None)
    step(fit, clock)
    fit.looked(20.0)
    assert fit.left_s() == pytest.approx(9 * 6 + 20)


def test_long_prompts_cost_more_than_short_ones() -> None:
    clock = Clock()
    clock.now = 0.0
    fit = Pace([100, 400], 300, 0, limit_s=None, began=0.0, clock=clock)
    step(fit, clock, 5.0)
    assert fit.left_s() == pytest.approx(20)


def test_a_limit_leaves_time_for_the_last_evaluation() -> None:
    clock = Clock()
    fit = pace(clock, 60.0)
    made = 0
    while not fit.is_over():
        assert 0 <= fit.share_done() < 1
        step(fit, clock)
        made += 1
        assert fit.left_s() <= 60 - clock.now
        assert fit.room() == 5  # 20 s of loading, 5 x 6 s, then 6 s of evaluation; a sixth step would end at 62 s
    assert made == 5
    assert clock.now + fit.look_s() == 56


def test_the_schedule_follows_the_clock_where_it_ends_the_fit() -> None:
    clock = Clock()
    fit = pace(clock, 60.0, steps=1000)
    shares = []
    while not fit.is_over():
        shares.append(fit.share_done())
        step(fit, clock)
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(24 / 34)  # 34 s from the first step until the last evaluation has to begin


def test_a_limit_that_is_never_reached_changes_nothing() -> None:
    clock = Clock()
    limited, free = pace(clock, 10_000.0), pace(clock, None)
    for _ in range(9):
        step(limited, clock, 3.0)
        free.stepped(3.0)
        assert limited.share_done() == free.share_done()
        assert not limited.is_over()


def test_one_step_is_always_made() -> None:
    clock = Clock()
    fit = pace(clock, 1.0)
    assert not fit.is_over()
    step(fit, clock)
    assert fit.is_over()
    assert fit.room() == 1
