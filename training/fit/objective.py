"""What a fit minimises: the loss of a step's propositions and order pairs, and that of dev."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from training.fit import loss as losses
from training.fit.examples import Examples, OrderPairs
from training.fit.kept import States
from training.fit.labels import Labels
from training.fit.store import Ragged
from training.fit.teaching import Taught
from training.levels import Floats, centres, expectation, sd
from training.model.cut_points import CutPoints
from training.model.estimator import Estimator
from training.model.packing import Indices, Tokens, on_device, padded_parts, parts
from training.settings import FitSettings
from warehouse.errors import OddsError

_DIVERGED = "the loss on dev is no longer a number; lower learning_rate and level_learning_rate"


@dataclass(frozen=True)
class Evidence:
    """The examples of a split. An index below the number of propositions is one of those, others are order pairs.

    Attributes:
        propositions: The propositions.
        pairs: The order pairs.
        opening: The tokens that all prompts share at their start.
        states: The kept states of the lower layers, if only the upper ones are fitted.
        padded: Whether parts are cut for prompts that are padded to the longest of a part.
        taught: What a teacher answered to the propositions and to both sides of the pairs, if there is one.
    """

    propositions: Examples
    pairs: OrderPairs
    opening: Tokens
    states: States | None = None
    padded: bool = False
    taught: Taught | None = None

    def __len__(self) -> int:
        return len(self.propositions.prompts) + len(self.pairs.weights)

    @property
    def stores(self) -> tuple[Ragged[np.int32], ...]:
        """The prompts of propositions, of the higher and of the lower sides of pairs."""
        return self.propositions.prompts, self.pairs.higher, self.pairs.lower

    @cached_property
    def costs(self) -> Indices:
        """How many tokens each example adds to a batch."""
        own, higher, lower = (store.lengths() - len(self.opening) for store in self.stores)
        return np.concatenate([own, higher + lower])

    @cached_property
    def widths(self) -> Indices:
        """The length of the longest prompt of each example."""
        own, higher, lower = (store.lengths() for store in self.stores)
        return np.concatenate([own, np.maximum(higher, lower)])


@dataclass(frozen=True)
class Part:
    """Examples that go through the model at once: indices of propositions, and of order pairs."""

    propositions: Indices
    pairs: Indices

    def __len__(self) -> int:
        return len(self.propositions) + len(self.pairs)


def split_batch(evidence: Evidence, indices: Indices, tokens_at_once: int) -> Iterator[Part]:
    """Yield the examples at `indices` in parts, those of similar length together, so that little is padded."""
    n, sizes = len(evidence.propositions.prompts), evidence.widths if evidence.padded else evidence.costs
    ordered = indices[np.argsort(sizes[indices], kind="stable")]
    if evidence.padded:
        found = padded_parts(sizes[ordered].tolist(), np.where(ordered < n, 1, 2).tolist(), tokens_at_once)
    else:
        found = parts(sizes[ordered].tolist(), tokens_at_once)
    for part in found:
        some = ordered[part]
        yield Part(some[some < n], some[some >= n] - n)


def most_parts(evidence: Evidence, indices: Indices, processes: int, tokens_at_once: int) -> int:
    """Return the number of parts of the process that has most, where each takes every n-th of the examples."""
    shares = (indices[rank::processes] for rank in range(processes))
    return max(sum(1 for _ in split_batch(evidence, share, tokens_at_once)) for share in shares)


@dataclass(frozen=True)
class Answers:
    """The scores and the SDs of the level distributions of propositions, in two rows; 0 before they are known."""

    values: Floats

    @classmethod
    def of(cls, evidence: Evidence) -> Answers:
        """Return room for the answers of all propositions of a split."""
        return cls(np.zeros((2, len(evidence.propositions.prompts))))

    def take(self, indices: Indices, distributions: Floats) -> None:
        """Keep the answers at some indices, from their level distributions [n, K]."""
        self.values[:, indices] = expectation(distributions), sd(distributions)


@dataclass(frozen=True)
class Objective:
    """The loss of examples under an estimator. `network` is the estimator's, possibly wrapped for several processes."""

    estimator: Estimator
    network: Any
    settings: FitSettings

    def loss(self, evidence: Evidence, part: Part, answers: Answers | None = None) -> torch.Tensor:
        """Return the sum over the examples of a part of weight times loss.

        That of a proposition is the divergence of its target, plus `mean_weight` times (score - mean)^2, or, for the
        share of its weight that is on ordinal labels with cut points, -log of their probability; that of an order pair
        is `margin_weight` times its margin loss. A teacher's distribution has the share `teacher_weight` of the target
        of a proposition, and that weight as the target of each side of a pair. `answers` takes what propositions were
        answered with.
        """
        logits = self._logits(evidence, (part.propositions, part.pairs, part.pairs))
        n, settings = len(part.propositions), self.settings
        if answers is not None:
            levels = logits[:n, self.estimator.level_ids].double() / settings.temperature
            answers.take(part.propositions, torch.softmax(levels, dim=-1).cpu().numpy())
        scores = self._scores(logits)
        terms = []
        if (cuts := self.estimator.network.cuts) is not None:
            terms.append(0.0 * cuts.steps.sum())  # a gradient in every step, which several processes wait for
        if n:
            terms.append(self._of_propositions(evidence, part.propositions, logits[:n], scores[:n]))
        if len(part.pairs):
            weights = self._tensor(evidence.pairs.weights[part.pairs])
            above, below = scores[n : n + len(part.pairs)], scores[n + len(part.pairs) :]
            terms.append(settings.margin_weight * (weights * losses.margin(above, below, settings.margin)).sum())
            if evidence.taught is not None:
                terms.append(self._of_teacher(evidence.taught, part.pairs, weights, logits[n:]))
        return torch.stack(terms).sum()

    def _of_propositions(
        self, evidence: Evidence, indices: Indices, logits: torch.Tensor, scores: torch.Tensor
    ) -> torch.Tensor:
        settings, examples = self.settings, evidence.propositions
        values = self._tensor(examples.values.of(indices))
        target, means, weights = values[:, :-2], values[:, -2], values[:, -1]
        if evidence.taught is not None:
            taught = self._tensor(evidence.taught.of_propositions(indices))
            mixed = torch.lerp(target, taught, settings.teacher_weight)
            target = torch.where(mixed.isfinite(), mixed, target)
        terms = losses.LOSSES[settings.loss](logits, self.estimator.level_ids, target, settings.temperature)
        if settings.mean_weight:
            terms = terms + settings.mean_weight * (scores - means) ** 2
        cuts, labels = self.estimator.network.cuts, examples.labels(indices)
        if cuts is not None and labels is not None:
            points = self._tensor(labels.points(len(indices)))
            terms, weights, whole = points * terms, points * weights, weights
            total = (whole * (terms + self._of_labels(cuts, labels, logits))).sum()
        else:
            total = (weights * terms).sum()
        if settings.batch_margin_weight and self.network.training:
            between = losses.batch_margin(scores, means, settings.margin, weights)
            total = total + settings.batch_margin_weight * len(indices) * between
        return total

    def _of_teacher(self, taught: Taught, pairs: Indices, weights: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss of what a teacher answered to the sides of pairs, whose logits [2n, vocab] are given."""
        target = self._tensor(taught.of_pairs(pairs))
        known = target.isfinite().all(dim=-1)
        terms = losses.LOSSES[self.settings.loss](
            logits[known], self.estimator.level_ids, target[known], self.settings.temperature
        )
        return self.settings.teacher_weight * (weights.repeat(2)[known] * terms).sum()

    def _of_labels(self, cuts: CutPoints, labels: Labels, logits: torch.Tensor) -> torch.Tensor:
        """Return -log P(r) of the propositions [n], averaged over their labels by weight, in nats.

        P is over the levels; the negative log of the levels' mass is added, so that free generation answers with one.
        """
        owners, scales, names = (on_device(each, self.estimator.device) for each in labels[:3])
        distribution = torch.softmax(logits[:, self.estimator.level_ids] / self.settings.temperature, dim=-1)
        rest = losses.other_mass(logits, self.estimator.level_ids, self.settings.temperature)
        terms = cuts.loss(distribution[owners], scales, names).float() + rest[owners]
        weighted = self._tensor(labels.weights) * terms
        return torch.zeros_like(rest).index_add(0, owners, weighted)

    def weight(self, evidence: Evidence, part: Part) -> float:
        """Return the sum of the weights of the examples of a part."""
        own = evidence.propositions.values.of(part.propositions)[:, -1].sum()
        return float(own + evidence.pairs.weights[part.pairs].sum())

    def _logits(self, evidence: Evidence, indices: tuple[Indices, ...]) -> torch.Tensor:
        """Return the logits [n, vocab] of the prompts at some indices of each store."""
        prompts = [prompt for store, some in zip(evidence.stores, indices, strict=True) for prompt in store.of(some)]
        packed, kept = self.estimator.batch(prompts), evidence.states
        states = None if kept is None else kept.spread(packed, kept.of(indices))
        with self.estimator.autocast():
            logits: torch.Tensor = self.network(packed.batch, states, lower=kept.lower if kept else 0)
        return logits

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        return losses.expected_score(logits, self.estimator.level_ids, self._centres, self.settings.temperature)

    @cached_property
    def _centres(self) -> torch.Tensor:
        return self._tensor(centres(self.settings.levels))

    def _tensor(self, array: Any) -> torch.Tensor:
        return on_device(np.array(array, dtype=np.float32), self.estimator.device)


@torch.no_grad()
def dev_loss(
    objective: Objective,
    dev: Evidence,
    mine: Indices,
    tokens_at_once: int,
    seen: Callable[[int, int], None],
    *,
    answers: Answers | None = None,
    passes: int = 0,
) -> tuple[float, float]:
    """Return the weighted sum of the losses of the dev examples at `mine`, and the sum of their weights.

    `answers` takes those of the propositions. `passes`, if not 0, is how many forward passes to make in any case, as
    the processes of a split model make them together.

    Raises:
        OddsError: a loss is not finite; the message names the proposition, unless passes are made together.
    """
    objective.network.eval()
    total, weight, done, made = 0.0, 0.0, 0, 0
    for part in split_batch(dev, mine, tokens_at_once):
        value = objective.loss(dev, part, answers).item()
        if not np.isfinite(value):
            raise OddsError(_DIVERGED) if passes else _not_finite(objective, dev, part)
        total, weight, done = total + value, weight + objective.weight(dev, part), done + len(part)
        made += 1
        seen(done, len(mine))
    for _ in range(made, passes):
        objective.loss(dev, next(split_batch(dev, np.arange(1), tokens_at_once)))
    return total, weight


def constant_loss(train: Evidence, dev: Evidence, settings: FitSettings) -> float | None:
    """Return the dev loss of an answer that is always the mean target of the training split; None without one.

    If dev has only order pairs, it is that of two equal scores, whatever they are.
    The answer is given as logits over the levels alone, so this is what an estimator that learned nothing else reaches.
    Of a scale with cut points, each label has the share that it has in the training split.
    """
    if not len(dev.propositions.prompts):
        same = torch.zeros(1)
        return settings.margin_weight * losses.margin(same, same, settings.margin).item()
    if not len(train.propositions.prompts):
        return None
    mean, told = _constant_answer(train.propositions, settings.levels)
    logits = torch.from_numpy(np.log(np.maximum(mean, 1e-12)) * settings.temperature)
    ids, middle = torch.arange(settings.levels), torch.from_numpy(centres(settings.levels))
    score = losses.expected_score(logits[None].float(), ids, middle.float(), settings.temperature)
    total, weight = 0.0, 0.0
    for values, labels in dev.propositions.batches():
        rows = torch.from_numpy(np.array(values))
        terms = losses.LOSSES[settings.loss](logits.expand(len(rows), -1), ids, rows[:, :-2], settings.temperature)
        terms = terms + settings.mean_weight * (score - rows[:, -2]) ** 2
        if labels is not None:
            each = labels.weights * told[labels.scales, labels.labels - 1]
            points, own = labels.points(len(values)), np.bincount(labels.owners, each, len(values))
            terms = torch.from_numpy(points) * terms + torch.from_numpy(own)
        total, weight = total + float((rows[:, -1] * terms).sum()), weight + float(rows[:, -1].sum())
    return total / weight if weight else None


def _constant_answer(train: Examples, levels: int) -> tuple[Floats, Floats]:
    """Return the mean target [K], and -log of the share of each label of each scale, after one more of each."""
    sizes = np.array([size for _, size in train.scales] or [1])
    mean, counts = np.zeros(levels), (np.arange(sizes.max()) < sizes[:, None]).astype(np.float64)
    for values, labels in train.batches():
        weights = values[:, -1].astype(np.float64)
        if labels is not None:
            np.add.at(counts, (labels.scales, labels.labels - 1), labels.weights * weights[labels.owners])
            weights = weights * labels.points(len(values))
        mean += weights @ values[:, :-2]
    shares = counts / counts.sum(axis=1, keepdims=True)
    return (mean / mean.sum() if mean.any() else mean + 1 / levels), -np.log(np.where(shares > 0, shares, 1.0))


def _not_finite(objective: Objective, dev: Evidence, part: Part) -> OddsError:
    """Return an error that names the first proposition of a part whose loss is not finite."""
    for index in part.propositions:
        one = Part(np.array([index]), part.pairs[:0])
        if not torch.isfinite(objective.loss(dev, one)):
            name = dev.propositions.id_of(index)
            said = f"proposition {name}: its loss on dev is not a number; use precision fp32, or leave it out"
            return OddsError(said)
    return OddsError(_DIVERGED)
