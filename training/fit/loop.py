"""Fit an estimator: train on one split, keep the epoch that is best on dev, and write a complete folder."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.fit.checkpoints import Checkpoints, Progress
from training.fit.examples import Choosing, Counts, examples_of, pairs_of, prior_for
from training.fit.kept import keep
from training.fit.objective import Evidence, Objective, constant_loss, dev_loss
from training.fit.order import epoch_order, step_costs, steps_of
from training.fit.pace import Pace
from training.fit.processes import processes
from training.fit.record import SUMMARY, summary_of
from training.fit.step import Stepper, optimizer_of
from training.fit.store import opening
from training.fit.watch import FitProgress, Watch
from training.model.device import place_of
from training.model.estimator import Estimator
from training.model.packing import Indices
from training.model.start import lower_layers, start
from training.model.texts import Rows
from training.settings import FitSettings
from warehouse.atomic import atomic_folder
from warehouse.errors import InputError
from warehouse.records import Drop

_RECORD_EVERY = 5  # steps
NOBODY = Watch()


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator: its folder, the dev loss of the epoch that was kept, and what was cut or dropped.

    `constant_loss` is the dev loss of an answer that is the same for every proposition; None if dev has none.
    """

    path: Path
    dev_loss: float
    constant_loss: float | None
    steps: int
    duration_s: float
    history: tuple[FitProgress, ...]
    truncated: int
    drops: tuple[Drop, ...]


def fit(
    train: Rows,
    dev: Rows,
    settings: FitSettings,
    cache: Path,
    out_dir: Path,
    *,
    pairs: Rows | None = None,
    dev_pairs: Rows | None = None,
    watch: Watch = NOBODY,
    fresh: bool = False,
) -> Fitted:
    """Fit an estimator on `train` and `pairs`, select its epoch by the loss on `dev`, and write it to `out_dir`.

    A fit that was interrupted goes on from its last checkpoint, in the folder with `.fit` after its name. On a CPU the
    same rows, settings and seed give the same weights, whether it was interrupted or not, unless time ran out.
    `max_minutes` limits everything from loading the base to the last evaluation, but at least one step is made; the
    learning rate falls to 0 by then.

    Args:
        train: Propositions with a shard's columns, which `weight` multiplies the loss of; there may be none.
        dev: The same. If people judged some of its rows, only these select the epoch.
        settings: How to fit.
        cache: Where a converted base is kept.
        out_dir: The folder of the estimator. It appears complete at the end, or not at all.
        pairs: Order pairs with the columns of their shards. Each adds the margin loss between its two scores.
        dev_pairs: Order pairs that select the epoch if dev has no propositions.
        watch: Told how the fit goes.
        fresh: Start anew, even if a checkpoint exists.

    Raises:
        InputError: there is nothing to learn from or to select by, the base cannot be used, or `out_dir` exists.
        OddsError: the loss is no longer a number, or memory does not suffice.
    """
    started = time.monotonic()
    if out_dir.exists():
        raise InputError(f"{out_dir} already exists; move it away to fit this estimator again")
    place = place_of(settings.device, settings.precision)
    if place.warning:
        watch.note(place.warning)
    with (
        _workplace(out_dir, fresh=fresh) as (work, rows),
        torch.random.fork_rng(),
        processes(place.device, work) as accelerator,
    ):
        watch = watch if accelerator.is_main_process else NOBODY
        torch.manual_seed(settings.seed)
        watch.doing("loading the base model")
        estimator = start(settings, cache, train, out_dir)
        watch.doing("tokenising the propositions for training and dev")
        splits, counts = read_splits(estimator, settings, rows, (train, pairs), (Choosing(dev), dev_pairs))
        run = Run(estimator, settings, *splits, accelerator, watch)
        return _fitted(run, work, out_dir, started, counts)


@dataclass(frozen=True)
class Run:
    """A running fit."""

    estimator: Estimator
    settings: FitSettings
    train: Evidence
    dev: Evidence
    accelerator: Any
    watch: Watch


@contextmanager
def _workplace(out_dir: Path, *, fresh: bool) -> Iterator[tuple[Path, Path]]:
    """Give the folder of a running fit, which stays if the fit stops after a checkpoint, and a temporary one in it."""
    work = out_dir.with_name(f"{out_dir.name}.fit")
    if fresh:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="rows-", dir=work) as rows:
            yield work, Path(rows)
    finally:
        if not any(work.glob("step-*.json")):
            shutil.rmtree(work, ignore_errors=True)


def read_splits(
    estimator: Estimator,
    settings: FitSettings,
    folder: Path,
    train: tuple[Rows, Rows | None],
    dev: tuple[Rows, Rows | None],
) -> tuple[tuple[Evidence, Evidence], list[Counts]]:
    """Tokenise both splits. Dev has order pairs only if it has no propositions."""
    prior = prior_for(train[0], settings)
    found, counts = [], []
    for split, (rows, pairs) in (("train", train), ("dev", dev)):
        examples, of_rows = examples_of(rows, estimator, settings, prior=prior, folder=folder, split=split)
        use_pairs = settings.pair_rate if split == "train" else not len(examples.prompts)
        ordered, of_pairs = pairs_of(pairs if use_pairs else None, estimator, settings, folder=folder, split=split)
        evidence = Evidence(examples, ordered, opening(examples.prompts, ordered.higher, ordered.lower))
        if not len(evidence):
            raise InputError(f"the {split} split has no propositions or order pairs; publish a dataset with more")
        if lower := lower_layers(estimator.network.model, settings):
            states = keep(estimator, lower, evidence.stores, evidence.opening, folder=folder, split=split)
            evidence = replace(evidence, states=states)
        found.append(evidence)
        counts += [of_rows, of_pairs]
    return (found[0], found[1]), counts


def _fitted(run: Run, work: Path, out_dir: Path, started: float, counts: list[Counts]) -> Fitted:
    """Train, write the record of the fit, and move the best estimator into its place."""
    progress = _train(run, work, started)
    constant = constant_loss(run.train, run.dev, run.settings)
    if constant is not None and progress.best >= constant:
        run.watch.note(
            f"the dev loss never fell below that of a constant answer ({progress.best:.4f}, constant {constant:.4f}): "
            "the estimator learned nothing that helps; add data or train longer"
        )
    fitted = Fitted(
        path=out_dir,
        dev_loss=progress.best,
        constant_loss=constant,
        steps=progress.step,
        duration_s=time.monotonic() - started,
        history=tuple(FitProgress(**each) for each in progress.history),
        truncated=sum(each.truncated for each in counts),
        drops=tuple(drop for each in counts for drop in each.drops),
    )
    if run.accelerator.is_main_process:
        told = {"n_train": counts[0].rows, "n_dev": counts[2].rows, "n_pairs": len(run.train.pairs.weights)}
        told["n_simulated"] = sum(each.simulated for each in counts)
        best = work / "best"
        (best / SUMMARY).write_text(summary_of(asdict(fitted), run.settings, told), encoding="utf-8")
        best.rename(out_dir)
        for path in work.glob("step-*"):
            path.unlink(missing_ok=True)
    run.accelerator.wait_for_everyone()
    return fitted


def _train(run: Run, work: Path, started: float) -> Progress:
    """Train, keeping the estimator of the epoch with the lowest dev loss in `work/best`."""
    settings, accelerator, watch = run.settings, run.accelerator, run.watch
    network = run.estimator.network
    if settings.gradient_checkpointing:
        network.model.gradient_checkpointing_enable()
    optimizer = optimizer_of(network, settings)
    checkpoints = Checkpoints(work, network, optimizer, watch.note)
    progress = checkpoints.load()
    if progress.step:
        watch.note(f"going on after step {progress.step:,}")
    sizes = (len(run.train.propositions.prompts), len(run.train.pairs.weights), settings.pair_rate)
    per_epoch = steps_of(*sizes, settings.batch_size)
    total = per_epoch * settings.epochs
    objective = Objective(run.estimator, accelerator.prepare(network), settings)
    stepper = Stepper(objective, run.train, optimizer, accelerator, watch.note)
    pace = _pace(run, per_epoch, progress.step, started)
    watch.doing("making the first step")
    order: Indices = np.empty(0, np.int64)
    saved_at = time.monotonic()
    for step in range(progress.step, total):
        epoch, place = divmod(step, per_epoch)
        if place == 0 or not len(order):
            order = epoch_order(*sizes, settings.seed, epoch)
        indices = order[place * settings.batch_size : (place + 1) * settings.batch_size]
        began = time.monotonic()
        progress.recent.append(stepper.step(indices, _rate(pace.share_done(), settings.warmup), step))
        pace.stepped(time.monotonic() - began)
        progress.step = step + 1
        if pace.is_first:
            _say_cost(pace, total, settings, watch)
        late = _agreed(accelerator, pace.is_over())
        on_dev = None
        if late or place + 1 == per_epoch:
            on_dev = _evaluate(run, objective, stepper.tokens_at_once, pace)
            _keep_best(run, work, progress, on_dev)
        _report(
            run,
            progress,
            FitProgress(
                progress.step, total, epoch + 1, float(np.mean(progress.recent)), on_dev, pace.elapsed_s, pace.left_s()
            ),
        )
        over = late or (settings.patience is not None and progress.worse >= settings.patience)
        due = time.monotonic() - saved_at > 60 * settings.checkpoint_minutes
        if accelerator.is_main_process and (on_dev is not None or due):
            checkpoints.save(progress)
            saved_at = time.monotonic()
        if over:
            break
    return progress


def _evaluate(run: Run, objective: Objective, tokens_at_once: int, pace: Pace) -> float:
    """Return the mean dev loss, of which each process computes a share."""
    began, accelerator = time.monotonic(), run.accelerator
    mine = np.argsort(run.dev.costs, kind="stable")[::-1][accelerator.process_index :: accelerator.num_processes]
    sums = torch.tensor(dev_loss(objective, run.dev, mine, tokens_at_once, run.watch.dev), dtype=torch.float64)
    if accelerator.num_processes > 1:
        sums = accelerator.reduce(sums.to(torch.float32).to(run.estimator.device), "sum").cpu()
    pace.looked(time.monotonic() - began)
    total, weight = map(float, sums.tolist())
    return total / weight if weight else total


def _keep_best(run: Run, work: Path, progress: Progress, on_dev: float) -> None:
    """Save the estimator if it is better on dev than before."""
    if not on_dev < progress.best:
        progress.worse += 1
        return
    progress.best, progress.worse = on_dev, 0
    if run.accelerator.is_main_process:
        with atomic_folder(work / "best", replace=True) as scratch:
            run.estimator.save(scratch)


def _report(run: Run, progress: Progress, now: FitProgress) -> None:
    """Show a step, and record it if dev was evaluated or some steps have passed."""
    run.watch.step(now)
    if now.dev_loss is None and now.step % _RECORD_EVERY:
        return
    progress.recent.clear()
    progress.history.append(asdict(now))
    figures = {"loss": now.loss} | ({} if now.dev_loss is None else {"dev_loss": now.dev_loss})
    run.accelerator.log(figures, step=now.step)


def _agreed(accelerator: Any, late: bool) -> bool:
    """Return whether time is over for the first process: all have to stop after the same step."""
    if accelerator.num_processes == 1:
        return late
    word = torch.tensor([float(late and accelerator.is_main_process)], device=accelerator.device)
    return bool(accelerator.reduce(word, "sum").item())


def _pace(run: Run, per_epoch: int, done: int, started: float) -> Pace:
    """Return the clock of the fit, which knows how many tokens each step and each evaluation reads."""
    settings, sizes = run.settings, (len(run.train.propositions.prompts), len(run.train.pairs.weights))
    costs = [
        step_costs(run.train.costs, epoch_order(*sizes, settings.pair_rate, settings.seed, epoch), settings.batch_size)
        for epoch in range(settings.epochs)
    ]
    return Pace(
        np.concatenate(costs),
        int(run.dev.costs.sum()),
        settings.epochs - done // per_epoch,
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
