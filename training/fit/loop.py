"""Fit an estimator: train on one split, keep the epoch that is best on dev, and write a complete folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from training.fit.examples import choosing, examples_of, judged, pairs_of
from training.fit.objective import FitRun, batch_loss, dev_loss, not_finite, pair_loss
from training.fit.pace import Pace
from training.fit.record import SUMMARY
from training.fit.watch import FitProgress, Watch
from training.model.base import level_matrices
from training.model.batches import (
    Indices,
    padded_tokens,
    pair_batches,
    shuffled_batches,
    sorted_batches,
)
from training.model.device import place_of
from training.model.estimator import Estimator
from training.model.start import start
from training.settings import FitSettings
from training.targets import prior_of
from warehouse.atomic import atomic_folder
from warehouse.errors import InputError
from warehouse.records import Drop

_GRADIENT_NORM = 1.0
_RECORD_EVERY = 5  # steps
NOBODY = Watch()


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator: its folder, the dev loss of the epoch that was kept, and what was cut or dropped."""

    path: Path
    dev_loss: float
    steps: int
    duration_s: float
    history: tuple[FitProgress, ...]
    truncated: int
    drops: tuple[Drop, ...]


def fit(
    train: pa.Table,
    dev: pa.Table,
    settings: FitSettings,
    cache: Path,
    out_dir: Path,
    *,
    pairs: pa.Table | None = None,
    watch: Watch = NOBODY,
) -> Fitted:
    """Fit an estimator on `train`, select its epoch by the loss on `dev`, and write it to `out_dir`.

    `max_minutes` limits everything from loading the base to the last evaluation, but at least one step is made; the
    learning rate falls to 0 by then. On a CPU the same tables, settings and seed give the same weights, unless time ran
    out.

    Args:
        train: Propositions with a shard's columns; `weight` multiplies the loss of a row.
        dev: The same. If people judged some of its rows, only these select the epoch.
        settings: How to fit.
        cache: Where a converted base is kept.
        out_dir: The folder of the estimator. It appears complete at the end, or not at all.
        pairs: Order pairs with the columns of their shards. Each adds the margin loss between its two scores, times its
            weight; each step takes at most half a batch of them.
        watch: Told how the fit goes.

    Raises:
        InputError: a table is empty, the base cannot be used, or `out_dir` exists.
        OddsError: the loss is no longer a number.
    """
    started = time.monotonic()
    for name, table in (("train", train), ("dev", dev)):
        if table.num_rows == 0:
            raise InputError(f"the {name} split has no propositions; publish a dataset with more")
    if warning := place_of(settings.device, settings.precision).warning:
        watch.note(warning)
    with atomic_folder(out_dir) as scratch, torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        watch.doing("loading the base model")
        estimator = start(settings, cache, train, out_dir)
        watch.doing(f"tokenising {train.num_rows:,} propositions for training and {dev.num_rows:,} for dev")
        prior = prior_of(judged(train), settings.levels, train.column("weight").to_numpy())
        examples, drops = examples_of(train, estimator, settings, prior, "train")
        held_out, more = examples_of(choosing(dev), estimator, settings, prior, "dev")
        ordered, unordered = pairs_of(pairs, estimator, settings)
        run = FitRun(estimator, settings, examples, held_out, ordered)
        history = tuple(_train(run, scratch, started, watch))
        fitted = Fitted(
            path=out_dir,
            dev_loss=min(each.dev_loss for each in history if each.dev_loss is not None),
            steps=history[-1].step,
            duration_s=time.monotonic() - started,
            history=history,
            truncated=int(examples.prompts.truncated.sum() + held_out.prompts.truncated.sum()),
            drops=(*drops, *more, *unordered),
        )
        _write_summary(scratch, fitted, run, train, dev)
    return fitted


def _train(run: FitRun, folder: Path, started: float, watch: Watch) -> Iterator[FitProgress]:
    """Train, keep the estimator of the epoch with the lowest dev loss in `folder`, and yield the progress."""
    settings, lengths = run.settings, run.train.prompts.lengths()
    optimizer = torch.optim.AdamW(_parameter_groups(run.estimator, settings), weight_decay=0.0)
    epochs = [shuffled_batches(lengths, settings.batch_size, settings.seed, i) for i in range(settings.epochs)]
    pace = _pace(run, epochs, started)
    steps, step, best = sum(map(len, epochs)), 0, float("inf")
    recent: list[float] = []
    watch.doing("making the first step")
    for epoch, batches in enumerate(epochs, start=1):
        ordered = _ordered(run, len(batches), epoch)
        for place, indices in enumerate(batches, start=1):
            rate, began = _rate(pace.share_done(), settings.warmup), time.monotonic()
            recent.append(_step(run, indices, ordered[place - 1], optimizer, rate))
            step += 1
            pace.stepped(time.monotonic() - began)
            if step == 1:
                _say_cost(pace, steps, settings, watch)
            late, loss_on_dev = pace.is_over(), None
            if late or place == len(batches):
                began = time.monotonic()
                loss_on_dev = dev_loss(run, watch.dev)
                pace.looked(time.monotonic() - began)
            if loss_on_dev is not None and loss_on_dev < best:
                best = loss_on_dev
                run.estimator.save(folder)
            times = (pace.elapsed_s, pace.left_s())
            progress = FitProgress(step, steps, epoch, float(np.mean(recent)), loss_on_dev, *times)
            watch.step(progress)
            if loss_on_dev is not None or step % _RECORD_EVERY == 0:
                recent.clear()
                yield progress
            if late:
                return


def _pace(run: FitRun, epochs: list[list[Indices]], started: float) -> Pace:
    """Return the clock of the fit, which knows how many tokens each step and each evaluation reads."""
    settings, dev = run.settings, run.dev.prompts.lengths()
    return Pace(
        [padded_tokens(run.train.prompts.lengths(), indices) for batches in epochs for indices in batches],
        sum(padded_tokens(dev, indices) for indices in sorted_batches(dev, settings.batch_size)),
        len(epochs),
        limit_s=None if settings.max_minutes is None else 60 * settings.max_minutes,
        began=started,
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


def _ordered(run: FitRun, steps: int, epoch: int) -> list[Indices]:
    """Return the order pairs of each step of an epoch."""
    n = 0 if run.pairs is None else len(run.pairs.higher)
    return pair_batches(n, steps, max(run.settings.batch_size // 2, 1), run.settings.seed, epoch)


def _step(run: FitRun, indices: Indices, pairs: Indices, optimizer: torch.optim.Optimizer, rate: float) -> float:
    """Make one step at a share `rate` of the peak learning rates. Returns the loss before it."""
    run.estimator.model.train()
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * rate
    value = batch_loss(run, run.train, indices)
    if len(pairs):
        value = value + pair_loss(run, pairs)
    if not torch.isfinite(value):
        raise not_finite(run, run.train, indices)
    optimizer.zero_grad()
    torch.autograd.backward(value)
    torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], _GRADIENT_NORM)
    with _level_rows_at_their_rate(run):
        optimizer.step()
    return value.item()


@contextmanager
def _level_rows_at_their_rate(run: FitRun) -> Iterator[None]:
    """In full tuning, where level rows are part of a matrix, let the optimizer step them at their own rate.

    A step of Adam without weight decay is proportional to the rate, so its change of a row is multiplied by the ratio
    of the two rates.
    """
    if run.settings.tuning != "full":
        yield
        return
    ids, times = run.estimator.level_ids, run.settings.level_learning_rate / run.settings.peak
    before = [(matrix, matrix[ids].clone()) for matrix in level_matrices(run.estimator.model)]
    yield
    for matrix, rows in before:
        matrix[ids] = rows + times * (matrix[ids] - rows)


def _parameter_groups(estimator: Estimator, settings: FitSettings) -> list[dict[str, Any]]:
    """Return the trained parameters with their peak learning rates; new level rows need larger steps."""
    named = [(name, p) for name, p in estimator.model.named_parameters() if p.requires_grad]
    rows = [p for name, p in named if "trainable_tokens" in name]
    rest = [p for name, p in named if "trainable_tokens" not in name]
    groups = [(rest, settings.peak), (rows, settings.level_learning_rate)]
    return [{"params": params, "lr": rate, "peak": rate} for params, rate in groups if params]


def _rate(done: float, warmup: float) -> float:
    """Return the share of the peak learning rate after a share `done` of the steps: linear up, then linear down."""
    return (done + 1e-3) / (warmup + 1e-3) if done < warmup else (1 - done) / (1 - warmup)


def _write_summary(folder: Path, fitted: Fitted, run: FitRun, train: pa.Table, dev: pa.Table) -> None:
    """Write `training.json`, whose existence means that the folder is complete."""
    summary = {
        **{key: value for key, value in asdict(fitted).items() if key not in ("path", "drops")},
        "drops": [drop.model_dump(mode="json") for drop in fitted.drops],
        "settings": run.settings.model_dump(),
        "n_train": train.num_rows,
        "n_dev": dev.num_rows,
        "n_pairs": 0 if run.pairs is None else len(run.pairs.higher),
        "n_simulated": sum(int(np.sum(table.column("n_simulated").to_numpy())) for table in (train, dev)),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
