from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from synthesis.recalibrate import ENOUGH, fit_maps, isotonic

rng = np.random.default_rng(0)


def made_pairs(n: int = 100, labeler: str = "one", split: str = "train") -> pa.Table:
    estimate = np.random.default_rng(n).random(n)
    return pa.table(
        {
            "labeler": [labeler] * n,
            "labeler_version": ["1"] * n,
            "proposition_id": [f"{labeler}{i:04}" for i in range(n)],
            "split": [split] * n,
            "estimate": estimate,
            "judged": estimate**2,
            "n_judgments": [3] * n,
            "n_simulated": [1] * n,
        }
    )


def test_by_hand() -> None:
    # .3 and .5 stand in the wrong order, so they are pooled: (2 * .6 + 1 * .3) / 3 = .5.
    corners, probabilities = isotonic(
        np.array([0.1, 0.3, 0.5, 0.9]), np.array([0.2, 0.6, 0.3, 0.8]), np.array([1, 2, 1, 1.0])
    )
    assert np.interp([0.1, 0.3, 0.5, 0.9], corners, probabilities) == pytest.approx([0.2, 0.5, 0.5, 0.8])
    assert np.interp(0.7, corners, probabilities) == pytest.approx(0.65)


@settings(max_examples=50, deadline=None)
@example([(0.0, 0.0, 1), (1e-12, 0.0, 1)])
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 5)), min_size=1, max_size=30))
def test_a_map_ascends_within_the_scale_and_keeps_the_mean(rows: list[tuple[float, float, int]]) -> None:
    x, y, w = (np.array(column, float) for column in zip(*rows, strict=True))
    corners, probabilities = isotonic(x, y, w)
    assert all(np.diff(corners) > 0)
    assert all(np.diff(probabilities) >= 0)
    assert 0 <= min(probabilities) <= max(probabilities) <= 1
    if len(set(x.round(6))) == len(x):
        fitted = np.interp(x, corners, probabilities)
        assert np.average(fitted, weights=w) == pytest.approx(np.average(y, weights=w), abs=1e-6)


def test_each_labeler_with_enough_propositions_has_a_map() -> None:
    few = made_pairs(ENOUGH - 1, "few")
    found = fit_maps(pa.concat_tables([made_pairs(), made_pairs(ENOUGH, "two"), few]), 7)
    assert [each.labeler for each in found.fits] == ["one", "two"]
    assert found.too_few == ["few"]
    one = found.fits[0]
    assert (one.n_propositions, one.n_judgments, one.n_simulated, one.snapshot_id) == (100, 300, 100, 7)
    assert np.interp(0.5, one.estimates, one.probabilities) == pytest.approx(0.25, abs=0.02)


def test_the_same_pairs_in_another_order_give_the_same_map() -> None:
    pairs = made_pairs()
    shuffled = pairs.take(pa.array(rng.permutation(pairs.num_rows)))
    (one,), (other,) = fit_maps(pairs, 1).fits, fit_maps(shuffled, 2).fits
    assert one.recalibration_id == other.recalibration_id
    assert (one.estimates, one.probabilities) == (other.estimates, other.probabilities)


def test_a_single_row_of_the_test_split_is_refused() -> None:
    mixed = pa.concat_tables([made_pairs(), made_pairs(1, "one", split="test")])
    with pytest.raises(ValueError, match="test split"):
        fit_maps(mixed, 1)


def test_the_means_weighed_by_their_number_are_the_single_judgments() -> None:
    single = [(x / 40, y) for x in range(40) for y in rng.random(1 + x % 4)]
    model = IsotonicRegression(out_of_bounds="clip").fit(*np.array(single).T)
    by_proposition = [np.array([y for x, y in single if x == number / 40]) for number in range(40)]
    pairs = made_pairs(40).set_column(4, "estimate", [[number / 40 for number in range(40)]])
    pairs = pairs.set_column(5, "judged", [[each.mean() for each in by_proposition]])
    pairs = pairs.set_column(6, "n_judgments", [[len(each) for each in by_proposition]])
    (fit,) = fit_maps(pairs, 1).fits
    everywhere = np.linspace(0, 1, 50)
    assert np.interp(everywhere, fit.estimates, fit.probabilities) == pytest.approx(model.predict(everywhere), abs=1e-6)
