from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.scales import probability_to_slider, slider_to_probability

KNOWN = [
    (0, 0.0),
    (1000, 5.83828e-6),
    (2500, 5.52473e-4),
    (4000, 0.0474256),
    (5000, 0.5),
    (6000, 0.607838),
    (7500, 0.764996),
    (9000, 0.911096),
    (10000, 1.0),
]


@pytest.mark.parametrize(("slider", "probability"), KNOWN)
def test_published_points(slider: float, probability: float) -> None:
    assert slider_to_probability(slider) == pytest.approx(probability, rel=1e-5, abs=1e-12)


@given(st.floats(0, 10000))
def test_the_inverse_is_exact(slider: float) -> None:
    assert probability_to_slider(slider_to_probability(slider)) == pytest.approx(slider, abs=1e-3)


def test_it_rises_everywhere() -> None:
    assert (np.diff(slider_to_probability(np.arange(0, 10001))) > 0).all()
