"""The rounds of a fit: steps, an evaluation on dev at the end of each epoch, checkpoints, and the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from training.fit.calibrate import calibrate
from training.fit.checkpoints import Checkpoints, Progress
from training.fit.objective import Answers, Evidence, Objective, dev_loss, most_parts
from training.fit.order import epoch_order, step_costs, steps_of
from training.fit.pace import Pace
from training.fit.room import Room
from training.fit.splitting import filled, settle
from training.fit.step import Stepper, optimizer_of
from training.fit.watch import FitProgress, Watch
from training.fit.workplace import is_full
from training.model.base import line_of
from training.model.estimator import Estimator
from training.model.network import Network
from training.model.packing import Indices
from training.model.saved import EstimatorInfo, is_estimator
from training.model.stacking import stand_alone
from training.settings import FitSettings
from warehouse.atomic import atomic_folder
from warehouse.errors import OddsError

RECORD_EVERY = 5  # steps


@dataclass(frozen=True)
class Run:
    """A running fit. If the model is split over its processes, `hollow` takes the weights to save."""

    estimator: Estimator
    settings: FitSettings
    train: Evidence
    dev: Evidence
    accelerator: Any
    watch: Watch
    hollow: Network | None = None

    @property
    def split(self) -> bool:
        """Whether each process has only a share of the model."""
        return self.hollow is not None

    @property
    def sizes(self) -> tuple[int, int, float]:
        """The numbers of propositions and order pairs, and how often an epoch goes through the pairs."""
        return len(self.train.propositions.prompts), len(self.train.pairs.weights), self.settings.pair_rate

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps of an epoch."""
        return steps_of(*self.sizes, self.settings.batch_size)

    @property
    def steps(self) -> int:
        """The number of steps of the fit."""
        return min(self.steps_per_epoch * self.settings.epochs, self.settings.max_steps or sys.maxsize)


def train(run: Run, work: Path, started: float) -> Progress:
    """Train, keeping the estimator of the epoch with the lowest dev loss in `work/best`.

    Raises:
        OddsError: the loss is no longer a number, or memory does not suffice.
    """
    settings, network, is_main = run.settings, run.estimator.network, run.accelerator.is_main_process
    optimizer = optimizer_of(network, settings)
    checkpoints = Checkpoints(work, network, optimizer, run.watch.note)
    if is_main:
        checkpoints.sweep()
    progress = checkpoints.load()
    if progress.step:
        run.watch.note(f"going on after step {progress.step:,}")
    wrapped = network if run.split else run.accelerator.prepare(network)
    objective = Objective(run.estimator, wrapped, settings)
    stepper = Stepper(objective, run.train, optimizer, run.accelerator, run.watch.note, split=run.split)
    pace = _pace(run, progress.step, started)
    room = Room(stepper.room.tokens, 0 if run.split else sys.maxsize, run.watch.note, " of dev")
    total, losses, saved_at = run.steps, Losses(stepper, progress), time.monotonic()
    progress.base = progress.base if progress.step else _of_base(run, objective, room, pace)
    run.watch.doing("making the first step")
    for step, indices in _steps(run, progress.step):
        if settings.patience is not None and progress.worse >= settings.patience:
            break  # here, so that a fit that was killed after its last checkpoint ends as it would have
        began = time.monotonic()
        rate = _agreed(run, _rate(pace.share_done(), settings.warmup))
        losses.add(stepper.step(indices, rate, step), step)
        pace.stepped(time.monotonic() - began, len(indices))
        progress.step = step + 1
        if pace.is_first:
            _say_cost(pace, total, settings, run.watch)
        late, on_dev = bool(_agreed(run, float(pace.is_over()))), None
        if late or step + 1 == total or (step + 1) % run.steps_per_epoch == 0:
            losses.wait()
            room.limit(stepper.room.tokens)
            on_dev, answers = _evaluate(run, objective, room, pace)
            _keep_best(run, work, progress, on_dev, answers)
        epoch = step // run.steps_per_epoch + 1
        times = (pace.elapsed_s, pace.left_s(), pace.examples_per_s())
        _report(run, progress, FitProgress(step + 1, total, epoch, losses.mean, on_dev, *times))
        if on_dev is not None or _is_due(run, saved_at):
            losses.wait()
            if is_main or run.split:
                checkpoints.save(progress, write=is_main)
            saved_at = time.monotonic()
        if late:
            break
    return progress


class Losses:
    """The losses since the last record. A GPU is waited for only now and then, so that it need not wait for Python."""

    def __init__(self, stepper: Stepper, progress: Progress) -> None:
        self._stepper, self._progress = stepper, progress
        self._waiting: list[torch.Tensor] = []
        self._started = False

    def add(self, loss: torch.Tensor, step: int) -> None:
        """Add the loss of a step."""
        self._waiting.append(loss)
        if loss.device.type == "cpu" or not self._started or (step + 1) % RECORD_EVERY == 0:
            self.wait()
        self._started = True

    def wait(self) -> None:
        """Take what is waiting. Raises `OddsError` if a loss is not a number."""
        self._stepper.check()
        self._progress.recent += [loss.item() for loss in self._waiting]
        self._waiting.clear()

    @property
    def mean(self) -> float:
        """The mean of the losses since the last record that are known."""
        known = self._progress.recent
        return float(np.mean(known)) if known else self._progress.history[-1]["loss"]


def _steps(run: Run, done: int) -> Iterator[tuple[int, Indices]]:
    """Yield the number of each step that is left, and the examples of its batch."""
    size = run.settings.batch_size
    order: Indices = np.empty(0, dtype=np.int64)
    for step in range(done, run.steps):
        epoch, place = divmod(step, run.steps_per_epoch)
        if place == 0 or step == done:
            order = epoch_order(*run.sizes, run.settings.seed, epoch)
        yield step, order[place * size : (place + 1) * size]


def _evaluate(run: Run, objective: Objective, room: Room, pace: Pace) -> tuple[float, Answers]:
    """Return the mean dev loss and the answers on dev, of which each process computes a share."""
    began, accelerator, answers = time.monotonic(), run.accelerator, Answers.of(run.dev)
    objective = replace(objective, network=run.estimator.network)  # without the wrapper, whose forward passes wait
    order, processes = np.argsort(run.dev.costs, kind="stable")[::-1], accelerator.num_processes
    mine = order[accelerator.process_index :: processes]
    costs = run.dev.costs[mine]

    def read(at_once: int) -> tuple[float, float]:
        passes = most_parts(run.dev, order, processes, at_once) if run.split else 0
        return dev_loss(objective, run.dev, mine, at_once, run.watch.dev, answers=answers, passes=passes)

    total, weight = room.fit(read, int(costs.sum()), least=int(costs.max(initial=1)))
    if run.split:
        settle(run.estimator.network)
    if accelerator.num_processes > 1:
        total, weight, *told = _summed(run, [total, weight, *answers.values.ravel()])
        answers = Answers(np.reshape(told, answers.values.shape))
    pace.looked(time.monotonic() - began)
    return (total / weight if weight else total), answers


def _of_base(run: Run, objective: Objective, room: Room, pace: Pace) -> float | None:
    """Return the mean dev loss before the first step, if the base is an estimator."""
    return _evaluate(run, objective, room, pace)[0] if is_estimator(run.settings.base) else None


def _summed(run: Run, numbers: list[float]) -> list[float]:
    """Return the sums of the numbers of all processes."""
    mine = torch.tensor(numbers, dtype=torch.float32, device=run.estimator.device)
    result: list[float] = run.accelerator.reduce(mine, "sum").tolist()
    return result


def _keep_best(run: Run, work: Path, progress: Progress, on_dev: float, answers: Answers) -> None:
    """Save the estimator, calibrated, if it is better on dev than before."""
    if not on_dev < progress.best:
        progress.worse += 1
        return
    progress.best, progress.worse = on_dev, 0
    with _whole(run) as estimator:
        if run.accelerator.is_main_process:
            _save_best(run, estimator, work, answers)


@contextmanager
def _whole(run: Run) -> Iterator[Estimator]:
    """Give the estimator as a single process has it; of a split model, only the first process has the weights."""
    if run.hollow is None:
        yield run.estimator
    else:
        with filled(run.hollow, run.estimator.network, keep=run.accelerator.is_main_process) as network:
            yield replace(run.estimator, network=network)


def _save_best(run: Run, estimator: Estimator, work: Path, answers: Answers) -> None:
    truth = run.dev.propositions.judgments
    scores, sd = answers.values[:, truth.rows]
    calibration = calibrate(scores, sd, truth, run.settings)
    try:
        with atomic_folder(work / "best", replace=True) as scratch:
            replace(estimator, calibration=calibration, info=_info(estimator)).save(scratch)
            stand_alone(scratch, run.settings.base, work)  # `work` is beside the place of the estimator
    except SafetensorError as error:
        if is_full(error):
            raise
        raise OddsError(f"{work} cannot be written: {line_of(error)}; odds train goes on from there") from error


def _info(estimator: Estimator) -> EstimatorInfo:
    """Return the description of an estimator, with the cut points that it has learned so far."""
    cuts = estimator.network.cuts
    return estimator.info if cuts is None else estimator.info.model_copy(update={"cut_points": cuts.found()})


def _report(run: Run, progress: Progress, now: FitProgress) -> None:
    """Show a step, and record it if dev was evaluated or some steps have passed."""
    run.watch.step(now)
    if now.dev_loss is None and now.step % RECORD_EVERY:
        return
    progress.recent.clear()
    progress.history.append(asdict(now))
    figures = {"loss": now.loss} | ({} if now.dev_loss is None else {"dev_loss": now.dev_loss})
    run.accelerator.log(figures, step=now.step)


def _agreed(run: Run, value: float) -> float:
    """Return a value that depends on the clock as the first process has it, so that all do the same."""
    if run.accelerator.num_processes == 1 or run.settings.max_minutes is None:
        return value
    return _told(run, value)


def _is_due(run: Run, saved_at: float) -> bool:
    """Return whether the time for a checkpoint has come; all processes of a split model take part in one."""
    due = time.monotonic() - saved_at > 60 * run.settings.checkpoint_minutes
    return bool(_told(run, float(due))) if run.split else due


def _told(run: Run, value: float) -> float:
    """Return a value as the first process has it."""
    return _summed(run, [value * run.accelerator.is_main_process])[0]


def _pace(run: Run, done: int, started: float) -> Pace:
    """Return the clock of the fit, which knows how many tokens each step and each evaluation reads."""
    settings, epochs = run.settings, -(-run.steps // run.steps_per_epoch)
    costs = [
        step_costs(run.train.costs, epoch_order(*run.sizes, settings.seed, epoch), settings.batch_size)
        for epoch in range(epochs)
    ]
    return Pace(
        np.concatenate(costs)[: run.steps],
        int(run.dev.costs.sum()),
        epochs - done // run.steps_per_epoch + (not done and is_estimator(settings.base)),
        limit_s=None if settings.max_minutes is None else 60 * settings.max_minutes,
        began=started,
        done=done,
        clock=time.monotonic,
    )


def _say_cost(pace: Pace, steps: int, settings: FitSettings, watch: Watch) -> None:
    """After the first step, note how long the fit will take if that is long, and how far a time limit reaches."""
    minutes = (pace.elapsed_s + pace.whole_s()) / 60
    if (room := pace.room()) < steps:
        watch.note(
            f"max_minutes = {settings.max_minutes:g} leaves room for about {room:,} of {steps:,} steps; all of them "
            f"would take about {minutes:.0f} minutes"
        )
    elif minutes > 1:
        watch.note(f"{steps:,} steps take about {minutes:.0f} minutes here; training.max_minutes can end a fit sooner")


def _rate(done: float, warmup: float) -> float:
    """Return the share of the peak learning rate after a share `done` of the steps: linear up, then linear down."""
    return (done + 1e-3) / (warmup + 1e-3) if done < warmup else (1 - done) / (1 - warmup)
