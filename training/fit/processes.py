"""The processes that fit an estimator together: one, or several that `accelerate launch` started."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

TENSORBOARD = "tensorboard"
"""The name of its package, and of the folder for its files in that of an estimator."""


@contextmanager
def processes(device: torch.device, logs: Path) -> Iterator[Any]:
    """Give the accelerator of a fit, and end it afterwards.

    Its trackers, once started, write TensorBoard files into `logs`, where TensorBoard is installed.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState

    tracker = TENSORBOARD if importlib.util.find_spec(TENSORBOARD) else None
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no", log_with=tracker, project_dir=str(logs))
    try:
        yield accelerator
        accelerator.end_training()
    finally:
        # Accelerate keeps these for the whole process; another fit in it may run on another device.
        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()
