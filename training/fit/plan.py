"""What a fit would take, from two steps of it."""

from __future__ import annotations

import math
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from training.fit.examples import Choosing
from training.fit.loop import read_splits
from training.fit.objective import Objective
from training.fit.order import epoch_order, step_costs
from training.fit.pace import FORWARD_SHARE
from training.fit.processes import processes
from training.fit.rounds import Run
from training.fit.step import Stepper, optimizer_of
from training.fit.teaching import check_teacher
from training.fit.watch import Watch
from training.fit.workplace import full_disk_in_one_line
from training.model.device import place_of
from training.model.start import start
from training.model.texts import Rows
from training.settings import FitSettings


@dataclass(frozen=True)
class Plan:
    """What a fit would take: steps, tokens to read in all of them, seconds, and the most memory in bytes.

    Tokens are counted without what all prompts share at their start. The seconds are those of one process without a
    time limit.
    """

    steps: int
    tokens: int
    seconds: float
    memory: int


def plan(
    train: tuple[Rows, Rows | None], dev: tuple[Rows, Rows | None], settings: FitSettings, cache: Path, watch: Watch
) -> Plan:
    """Make two steps of a fit, of which the second is timed, and return what the whole would take.

    Args:
        train: Propositions and order pairs to learn from.
        dev: Those that select the epoch.
        settings: How to fit.
        cache: Where a converted base is kept.
        watch: Told what goes on.

    Raises:
        InputError: there is nothing to learn from, or the base cannot be used.
    """
    check_teacher(settings)
    place = place_of(settings.device, settings.precision)
    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng():
        folder = Path(scratch)
        with full_disk_in_one_line(folder), processes(place.device, folder) as accelerator:
            watch.doing("loading the base model")
            estimator = start(settings, cache, train[0], folder / "estimator", pairs=train[1])
            watch.doing("tokenising the propositions for training and dev")
            splits, _ = read_splits(estimator, settings, folder, train, (Choosing(dev[0], settings.dev_rows), dev[1]))
            watch.doing("making two steps")
            return _planned(Run(estimator, settings, *splits, accelerator, watch))


def _planned(run: Run) -> Plan:
    settings, network = run.settings, run.estimator.network
    order = epoch_order(*run.sizes, settings.seed, 0)
    stepper = Stepper(
        Objective(run.estimator, network, settings), run.train, optimizer_of(network, settings), run.accelerator,
        run.watch.note,
    )  # fmt: skip
    costs, seconds = step_costs(run.train.costs, order, settings.batch_size), 0.0
    for step in range(min(2, len(costs))):
        began = time.monotonic()
        stepper.step(order[step * settings.batch_size : (step + 1) * settings.batch_size], 0.0, step).item()
        seconds = (time.monotonic() - began) / costs[step]
    share = run.steps / run.steps_per_epoch  # of an epoch
    tokens = round(share * costs.sum())
    evaluated = math.ceil(share) * int(run.dev.costs.sum()) * FORWARD_SHARE
    on_device = torch.cuda.max_memory_allocated() if run.estimator.device.type == "cuda" else 0
    return Plan(
        steps=run.steps,
        tokens=tokens,
        seconds=float(seconds * (tokens + evaluated)),
        memory=on_device or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )
