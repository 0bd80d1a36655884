"""Scales other than [0, 1], used only where data comes in or figures are compared with published ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SLIDER_MAX = 10_000
_STEEP, _FLAT = 0.3, 0.02


def _sigmoid(x: Any, slope: float) -> Any:
    return 1.0 / (1.0 + np.exp(-slope * x))


_LOW = _sigmoid(-50.0, _STEEP)
_HIGH = _sigmoid(50.0, _FLAT)


def slider_to_probability(slider: npt.ArrayLike) -> Any:
    """Return the probability in [0, 1] of each UNLI slider position in [0, 10000] (Chen et al. 2020, section 3).

    With x = slider/100 - 50, it is a logistic of slope 0.3 for x <= 0 and of slope 0.02 for x > 0, each stretched so
    that the positions 0, 5000 and 10000 mean 0, 0.5 and 1.
    """
    x = np.asarray(slider, dtype=np.float64) / 100 - 50
    low = (_sigmoid(np.minimum(x, 0), _STEEP) - _LOW) / (0.5 - _LOW) / 2
    high = 0.5 + (_sigmoid(np.maximum(x, 0), _FLAT) - 0.5) / (_HIGH - 0.5) / 2
    return np.where(x <= 0, low, high)


def probability_to_slider(probability: npt.ArrayLike) -> Any:
    """Return the UNLI slider position in [0, 10000] of each probability in [0, 1]: the exact inverse."""
    p = np.asarray(probability, dtype=np.float64)
    low = _LOW + np.minimum(p, 0.5) * 2 * (0.5 - _LOW)
    high = 0.5 + (np.maximum(p, 0.5) - 0.5) * 2 * (_HIGH - 0.5)
    x = np.where(p <= 0.5, np.log(low / (1 - low)) / _STEEP, np.log(high / (1 - high)) / _FLAT)
    return (x + 50) * 100
