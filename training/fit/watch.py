"""Who is told how a fit goes while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Where a fit is after a step.

    `loss` is the mean since the last record in `training.json`; `dev_loss` is given where dev was evaluated; `left_s`
    is an estimate.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    dev_loss: float | None
    elapsed_s: float
    left_s: float


def _ignore(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Watch:
    """What is called while a fit runs, all from the thread that fits.

    Attributes:
        step: after each step.
        dev: while dev is evaluated: the propositions done, and all of them.
        doing: when something else begins, such as "loading the base model".
        note: a line for a person, such as what a setting costs.
    """

    step: Callable[[Progress], None] = _ignore
    dev: Callable[[int, int], None] = _ignore
    doing: Callable[[str], None] = _ignore
    note: Callable[[str], None] = _ignore
