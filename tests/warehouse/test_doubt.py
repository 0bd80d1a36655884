"""The rules of `odds select`, beside calculations by hand."""

from __future__ import annotations

import numpy as np
import pytest

from warehouse.consensus.doubt import Known, Rule, doubt

NAN = float("nan")
KNOWN = Known(
    mean=np.array([0.2, 0.5, NAN, 0.4]),
    sd=np.array([0.1, 0.25, NAN, 0.0]),
    score=np.array([0.5, 0.4, 0.9, 0.4]),
    level_sd=np.array([0.2, 0.3, 0.1, 0.15]),
    panel=np.array([0.9, NAN, 0.6, 0.4]),
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("consensus", [0.1, 0.25, NAN, 0.0]),
        ("disagreement", [3.0, 0.4, NAN, NAN]),
        ("panel", [0.4, NAN, 0.3, 0.0]),
        ("uncertainty", [0.2, 0.3, 0.1, 0.15]),
    ],
)
def test_doubt_is_what_the_rule_says(rule: Rule, expected: list[float]) -> None:
    assert doubt(rule, KNOWN) == pytest.approx(expected, nan_ok=True)
