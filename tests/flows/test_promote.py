"""An estimator is promoted only for a difference that the number of suites does not explain."""

from __future__ import annotations

from flows.promote import _verdict
from warehouse.records import Difference


def apart(suite: str, metric: str, value: float, p: float) -> Difference:
    """A difference whose 95% interval leaves 0 out if p is below .05."""
    reach = abs(value) * (0.5 if p < 0.05 else 2)
    return Difference(
        difference_id=f"{suite} {metric}", model_id="m", suite=suite, subject="estimator", against="estimator before",
        metric=metric, value=value, low=value - reach, high=value + reach, n=100, p=p, p_holm=1.0,
    )  # fmt: skip


def test_one_of_many_suites_with_a_small_p_value_is_not_enough() -> None:
    others = [apart(f"s{n}", "pearson", 0.01, 0.5) for n in range(5)]
    by_chance, sure = apart("s5", "pearson", 0.05, 0.02), apart("s5", "pearson", 0.05, 0.008)
    assert _verdict([by_chance]) == (True, "better on s5 (pearson +0.050, 95% [+0.025, +0.075]), worse on none of 1")
    promoted, reason = _verdict([*others, by_chance])
    assert not promoted
    assert reason.startswith("no better on s0")
    assert _verdict([*others, sure])[0]  # .008 * 6 < .05


def test_a_larger_squared_error_is_worse_whatever_the_correlation() -> None:
    promoted, reason = _verdict([apart("s", "pearson", 0.1, 0.001), apart("s", "mse", 0.02, 0.001)])
    assert (promoted, reason) == (False, "worse on s (mse +0.020, 95% [+0.010, +0.030])")
    assert _verdict([apart("s", "pearson", 0.1, 0.001), apart("s", "mse", -0.02, 0.001)])[0]
