"""What a fit minimises: the loss of a batch, of order pairs and of dev; and why a loss became NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from training.fit import loss as losses
from training.fit.examples import Examples, OrderPairs
from training.levels import centres
from training.model.batches import Indices, collate, sorted_batches
from training.model.estimator import Estimator, answer_logits
from training.model.prompt import Encoded
from training.settings import FitSettings
from warehouse.errors import OddsError


@dataclass(frozen=True)
class FitRun:
    """A running fit: the estimator, its settings, and the examples that it learns from and is selected by."""

    estimator: Estimator
    settings: FitSettings
    train: Examples
    dev: Examples
    pairs: OrderPairs | None = None


def batch_loss(run: FitRun, examples: Examples, indices: Indices) -> torch.Tensor:
    """Return the mean KL of the examples at `indices`, plus the margin loss over their pairs while training."""
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


def pair_loss(run: FitRun, indices: Indices) -> torch.Tensor:
    """Return the mean of weight times margin loss over the order pairs at `indices`."""
    assert run.pairs is not None
    both = np.concatenate([run.pairs.higher[indices], run.pairs.lower[indices]])
    scores = _scores(run, _logits(run.estimator, run.pairs.prompts, both))
    higher, lower = scores[: len(indices)], scores[len(indices) :]
    weights = run.pairs.weights[torch.from_numpy(indices).to(run.estimator.device)]
    return losses.margin(higher, lower, torch.ones_like(higher), run.settings.margin, weights)


@torch.no_grad()
def dev_loss(run: FitRun, seen: Callable[[int, int], None]) -> float:
    """Return the weighted mean KL over the dev propositions, without the margin loss, which depends on batches."""
    run.estimator.model.eval()
    total, done = 0.0, 0
    for indices in sorted_batches(run.dev.prompts.lengths(), run.settings.batch_size):
        value = batch_loss(run, run.dev, indices).item()
        if not np.isfinite(value):
            raise not_finite(run, run.dev, indices)
        total, done = total + value * len(indices), done + len(indices)
        seen(done, len(run.dev.weights))
    return total / run.dev.weights.double().sum().item()


@torch.no_grad()
def not_finite(run: FitRun, examples: Examples, indices: Indices) -> OddsError:
    """Return an error for a batch whose loss is not finite; it names the proposition that causes it, if one does."""
    run.estimator.model.eval()
    alone = False
    while len(indices) > 1:
        halves = np.array_split(indices, 2)
        finite = [bool(torch.isfinite(batch_loss(run, examples, half))) for half in halves]
        alone = alone or any(finite)
        indices = halves[1] if finite[0] else halves[0]
    if not alone:
        return OddsError("the loss is no longer a number; lower learning_rate and level_learning_rate")
    which = examples.ids[int(examples.prompts.rows[indices[0]])]
    return OddsError(f"proposition {which}: its loss is not a number; check its values and weight, or leave it out")


def _logits(estimator: Estimator, prompts: Encoded, indices: Indices) -> torch.Tensor:
    batch = collate(prompts, indices, estimator.tokenizer.pad_token_id, estimator.device)
    with estimator.autocast():
        return answer_logits(estimator.model, batch)


def _scores(run: FitRun, logits: torch.Tensor) -> torch.Tensor:
    middle = torch.from_numpy(centres(run.settings.levels).astype(np.float32)).to(run.estimator.device)
    return losses.expected_score(logits, run.estimator.level_ids, middle, run.settings.temperature)
