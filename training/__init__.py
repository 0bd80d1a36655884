"""What can a model learn from it, and how good is it? Targets, the estimator, scores and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.model.estimator import Estimator
    from training.model.scores import Scores

__all__ = ["Estimator", "Scores"]


def __getattr__(name: str) -> object:
    """Load torch only when the estimator is used."""
    if name in __all__:
        from training.model import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
