"""Which propositions get one more judgment, beside calculations by hand and a simulation with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from warehouse.consensus.redundancy import Judged, Spread, asked, spread


def judged(*values: list[float]) -> Judged:
    return Judged(*np.array([[len(each), sum(each), sum(x * x for x in each)] for each in values]).T)


def test_spread_and_gain_are_those_worked_out_by_hand() -> None:
    found = spread(judged([0.2, 0.4], [0.9, 0.9, 0.9]))
    assert found is not None
    within = 0.02 / 3  # the sum of squares .02 over 1 + 2 degrees of freedom
    variance = np.array([(0.02 + 4 * within) / 5, 4 * within / 6])
    assert found.variance == pytest.approx(variance)
    assert found.sd == pytest.approx((variance / [2, 3]) ** 0.5)
    assert found.gain == pytest.approx(variance / [2 * 3, 3 * 4])
    assert spread(judged([0.2], [0.9])) is None


def test_contested_propositions_come_first_and_settled_ones_never() -> None:
    found = Spread(np.zeros(5), np.array([0.2, 0.05, 0.2, 0.2, 0.2]), np.array([1.0, 9.0, 3.0, 2.0, 4.0]))
    waits = np.array([False, False, False, False, True])
    given = np.array([3, 3, 3, 10, 3])
    assert asked(found, given, waits, target_sd=0.1, most=10).tolist() == [2, 0]
    assert asked(found, given, waits, target_sd=0.1, most=11).tolist() == [2, 3, 0]
    assert asked(found, given, waits, target_sd=0.2, most=10).tolist() == []


def test_more_judgments_go_to_wider_propositions_and_the_error_falls_below_that_of_equal_numbers() -> None:
    rng, n, added = np.random.default_rng(0), 400, 3
    wide = np.arange(n) < n // 4
    sd = np.where(wide, 0.3, 0.06)
    truth = rng.uniform(0.2, 0.8, n)
    stream = truth[:, None] + rng.normal(0, 1, (n, 60)) * sd[:, None]
    count = np.full(n, 3)
    for _ in range(added * n // 20):
        known = np.arange(60) < count[:, None]
        found = spread(Judged(count.astype(float), (stream * known).sum(1), (stream**2 * known).sum(1)))
        assert found is not None
        count[asked(found, count, np.zeros(n, bool), 0.01, 60)[:20]] += 1
    assert count.mean() == 3 + added
    assert count[wide].mean() > 1.5 * count[~wide].mean()  # 5 with known SDs, which six judgments tell roughly
    adaptive = (stream * (np.arange(60) < count[:, None])).sum(1) / count
    assert ((adaptive - truth) ** 2).mean() < 0.8 * ((stream[:, : 3 + added].mean(1) - truth) ** 2).mean()
