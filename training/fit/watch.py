"""Callbacks that report how a fit goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FitProgress:
    """The progress of a fit after a step.

    `loss` is the mean since the last record in `training.json`; `dev_loss` is None unless dev was evaluated; `left_s`
    is an estimate; `examples_per_s` is the mean over the steps since the fit started or went on, without evaluations.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    dev_loss: float | None
    elapsed_s: float
    left_s: float
    examples_per_s: float | None = None


def _ignore(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Watch:
    """Callbacks of a fit, called from its thread.

    Attributes:
        step: Called after each step.
        dev: Called while dev is evaluated, with the propositions done and all of them.
        asked: Called while a teacher is asked, with the propositions done and all of them.
        doing: Called when something else starts, such as "loading the base model".
        note: Called with a line for the user, such as the cost of a setting.
    """

    step: Callable[[FitProgress], None] = _ignore
    dev: Callable[[int, int], None] = _ignore
    asked: Callable[[int, int], None] = _ignore
    doing: Callable[[str], None] = _ignore
    note: Callable[[str], None] = _ignore
