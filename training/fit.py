"""Fitting an estimator: train on one split, keep the epoch that is best on dev, leave a whole folder at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from training import loss as losses
from training.batches import (
    Indices,
    collate,
    judged,
    pair_batches,
    shuffled_batches,
    sorted_batches,
)
from training.device import place_of
from training.estimator import (
    Card,
    Estimator,
    add_levels,
    answer_logits,
    assemble,
    autocast,
    load_base,
    save_estimator,
    with_lora,
)
from training.examples import Examples, OrderPairs, choosing, examples_of, pairs_of
from training.folders import empty_folder, new_folder
from training.levels import centres
from training.prompt import Encoded
from training.settings import FitSettings
from training.targets import prior_of
from warehouse.errors import InputError, OddsError
from warehouse.records import Drop

_GRADIENT_NORM = 1.0
_REPORT_EVERY = 5  # steps


@dataclass(frozen=True)
class Progress:
    """Where a fit stands. `loss` is the mean since the last report, `dev_loss` stands at the end of an epoch."""

    step: int
    steps: int
    epoch: int
    loss: float
    dev_loss: float | None
    elapsed_s: float


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator: its folder, the dev loss of the epoch kept, and what was cut or left out on the way."""

    path: Path
    dev_loss: float
    steps: int
    duration_s: float
    history: tuple[Progress, ...]
    truncated: int
    drops: tuple[Drop, ...]


@dataclass(frozen=True)
class _Run:
    estimator: Estimator
    settings: FitSettings
    train: Examples
    dev: Examples
    pairs: OrderPairs | None = None


def fit(
    train: pa.Table,
    dev: pa.Table,
    settings: FitSettings,
    cache: Path,
    out_dir: Path,
    *,
    pairs: pa.Table | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> Fitted:
    """Fit an estimator on `train`, choose its epoch by the loss on `dev`, and leave it in `out_dir`.

    Both tables have a shard's columns, and `weight` multiplies the loss of a row. Where dev has rows that people
    judged, these alone choose the epoch. `pairs` has the columns of a shard of order pairs: each adds the margin loss
    between its two scores, times its weight, and no other term; at most half a batch of them goes with each step.

    `cache` keeps a converted base. `out_dir` appears at the end and whole, its
    `training.json` written last; an interruption leaves none. `max_minutes` bounds the training steps; the last look
    at dev comes on top. On a CPU the same tables, settings and seed give the same weights, unless time ran out.
    Raises InputError for an empty table, an unusable base, or an `out_dir` that exists.
    """
    started = time.monotonic()
    for name, table in (("train", train), ("dev", dev)):
        if table.num_rows == 0:
            raise InputError(f"the {name} split has no proposition; publish a dataset with more of them")
    if warning := place_of(settings.device, settings.precision).warning:
        on_note(warning)
    with new_folder(out_dir) as scratch, torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        estimator = _start(settings, cache)
        prior = prior_of(judged(train), settings.levels, train.column("weight").to_numpy())
        examples, drops = examples_of(train, estimator, settings, prior, "train")
        held_out, more = examples_of(choosing(dev), estimator, settings, prior, "dev")
        ordered, unordered = pairs_of(pairs, estimator, settings)
        run = _Run(estimator, settings, examples, held_out, ordered)
        history = tuple(_train(run, scratch, started, on_progress))
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


def _start(settings: FitSettings, cache: Path) -> Estimator:
    """The estimator before the first step."""
    local = Path(settings.base)
    base = str(local.resolve()) if local.exists() else settings.base
    model, tokenizer = load_base(base, cache)
    level_ids = add_levels(model, tokenizer, settings.levels, settings.seed)
    if settings.tuning == "lora":
        model = with_lora(model, level_ids, settings.lora_rank, settings.lora_alpha, settings.lora_dropout)
    card = Card(
        base=base,
        cache=str(cache.resolve()),
        levels=settings.levels,
        max_length=settings.max_length,
        weights="adapter" if settings.tuning == "lora" else "whole",
    )
    return assemble(model, tokenizer, card, settings.device, settings.precision)


def _train(run: _Run, folder: Path, started: float, on_progress: Callable[[Progress], None]) -> Iterator[Progress]:
    """Train, and keep in `folder` the estimator of the epoch with the lowest dev loss."""
    settings, lengths = run.settings, run.train.prompts.lengths()
    optimizer = torch.optim.AdamW(_parameter_groups(run.estimator, settings), weight_decay=0.0)
    epochs = [shuffled_batches(lengths, settings.batch_size, settings.seed, i) for i in range(settings.epochs)]
    steps, step, best, clock = sum(map(len, epochs)), 0, float("inf"), time.monotonic()
    recent: list[float] = []
    for epoch, batches in enumerate(epochs, start=1):
        ordered = _ordered(run, len(batches), epoch)
        for place, indices in enumerate(batches, start=1):
            done = max(step / steps, _share_of_time(clock, settings))
            recent.append(_step(run, indices, ordered[place - 1], optimizer, _rate(done, settings.warmup)))
            step += 1
            late = _share_of_time(clock, settings) >= 1
            dev_loss = _dev_loss(run) if late or place == len(batches) else None
            if dev_loss is not None and dev_loss < best:
                best = dev_loss
                empty_folder(folder)
                save_estimator(run.estimator, folder)
            if dev_loss is not None or step % _REPORT_EVERY == 0:
                elapsed = time.monotonic() - started
                progress = Progress(step, steps, epoch, float(np.mean(recent)), dev_loss, elapsed)
                recent.clear()
                on_progress(progress)
                yield progress
            if late:
                return


def _ordered(run: _Run, steps: int, epoch: int) -> list[Indices]:
    """The order pairs of each step of an epoch."""
    n = 0 if run.pairs is None else len(run.pairs.higher)
    return pair_batches(n, steps, max(run.settings.batch_size // 2, 1), run.settings.seed, epoch)


def _step(run: _Run, indices: Indices, pairs: Indices, optimizer: torch.optim.Optimizer, rate: float) -> float:
    """One step on some examples and order pairs, at a share `rate` of the peak learning rates; the loss before it."""
    run.estimator.model.train()
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * rate
    value = _loss(run, run.train, indices)
    if len(pairs):
        value = value + _pair_loss(run, pairs)
    if not torch.isfinite(value):
        raise OddsError("the training loss is no longer a number; lower learning_rate and level_learning_rate")
    optimizer.zero_grad()
    torch.autograd.backward(value)
    torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], _GRADIENT_NORM)
    optimizer.step()
    return value.item()


def _loss(run: _Run, examples: Examples, indices: Indices) -> torch.Tensor:
    """The mean KL of the examples at `indices`, plus the margin loss over their pairs while training."""
    estimator, settings = run.estimator, run.settings
    logits = _logits(estimator, examples.prompts, indices)
    rows = torch.from_numpy(indices).to(estimator.device)
    kl = losses.forward_kl if settings.loss == "forward" else losses.reverse_kl
    weights = examples.weights[rows]
    value = kl(logits, estimator.level_ids, examples.targets[rows], settings.temperature, weights)
    if settings.margin_weight and estimator.model.training:
        between = losses.batch_margin(_scores(run, logits), examples.means[rows], settings.margin, weights)
        value = value + settings.margin_weight * between
    return value


def _pair_loss(run: _Run, indices: Indices) -> torch.Tensor:
    """The mean of weight times margin loss over the order pairs at `indices`."""
    assert run.pairs is not None
    both = np.concatenate([run.pairs.higher[indices], run.pairs.lower[indices]])
    scores = _scores(run, _logits(run.estimator, run.pairs.prompts, both))
    higher, lower = scores[: len(indices)], scores[len(indices) :]
    weights = run.pairs.weights[torch.from_numpy(indices).to(run.estimator.device)]
    return losses.margin(higher, lower, torch.ones_like(higher), run.settings.margin, weights)


def _logits(estimator: Estimator, prompts: Encoded, indices: Indices) -> torch.Tensor:
    batch = collate(prompts, indices, estimator.tokenizer.pad_token_id, estimator.device)
    with autocast(estimator):
        return answer_logits(estimator.model, batch)


def _scores(run: _Run, logits: torch.Tensor) -> torch.Tensor:
    middle = torch.from_numpy(centres(run.settings.levels).astype(np.float32)).to(run.estimator.device)
    return losses.expected_score(logits, run.estimator.level_ids, middle)


@torch.no_grad()
def _dev_loss(run: _Run) -> float:
    """The weighted mean KL over the dev propositions, without the margin loss, which depends on the batches."""
    run.estimator.model.eval()
    batches = sorted_batches(run.dev.prompts.lengths(), run.settings.batch_size)
    total = sum(_loss(run, run.dev, indices).item() * len(indices) for indices in batches)
    return total / run.dev.weights.double().sum().item()


def _parameter_groups(estimator: Estimator, settings: FitSettings) -> list[dict[str, Any]]:
    """The trained parameters with their peak learning rates: fresh level rows need bigger steps than the rest."""
    named = [(name, p) for name, p in estimator.model.named_parameters() if p.requires_grad]
    rows = [p for name, p in named if "trainable_tokens" in name]
    rest = [p for name, p in named if "trainable_tokens" not in name]
    groups = [(rest, settings.learning_rate), (rows, settings.level_learning_rate)]
    return [{"params": params, "lr": rate, "peak": rate} for params, rate in groups if params]


def _rate(done: float, warmup: float) -> float:
    """The share of the peak learning rate once a share `done` of the steps is over: linear up, then linear down."""
    return (done + 1e-3) / (warmup + 1e-3) if done < warmup else (1 - done) / (1 - warmup)


def _share_of_time(clock: float, settings: FitSettings) -> float:
    return 0.0 if settings.max_minutes is None else (time.monotonic() - clock) / (60 * settings.max_minutes)


def _write_summary(folder: Path, fitted: Fitted, run: _Run, train: pa.Table, dev: pa.Table) -> None:
    """Write `training.json`, whose existence means that the folder is done."""
    summary = {
        **{key: value for key, value in asdict(fitted).items() if key not in ("path", "drops")},
        "dropped": len(fitted.drops),
        "settings": run.settings.model_dump(),
        "n_train": train.num_rows,
        "n_dev": dev.num_rows,
        "n_pairs": 0 if run.pairs is None else len(run.pairs.higher),
        "n_simulated": sum(int(np.sum(table.column("n_simulated").to_numpy())) for table in (train, dev)),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    (folder / "training.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
