"""What can a model learn from it, and how good is it? Targets, the estimator, scores and evaluation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.model.estimator import Estimator
    from training.model.scores import Scores

__all__ = ["Estimator", "Scores"]

# Has to be set before torch is loaded. By default, torch's threads spin while they wait for each other: if another
# program needs a core, the one that is waited for gets none for long. docs/log.md has the figures.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> object:
    """Load torch only when the estimator is used."""
    if name in __all__:
        from training.model import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
