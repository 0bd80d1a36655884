"""Losses on the answer position. Logits are [batch, vocab], targets [batch, K].

Every loss is the mean over rows or pairs of each term times its weight; weights are 1 by default.
"""

from __future__ import annotations

import torch
from torch.nn import functional

_FLOOR = 1e-8


def forward_kl(
    logits: torch.Tensor,
    level_ids: torch.Tensor,
    target: torch.Tensor,
    temperature: float = 1.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return KL(q || softmax(z/T)) in nats, with the softmax over the whole vocabulary.

    Mass on other tokens costs too, so free generation answers with a level.

    Args:
        logits: [batch, vocab] at the answer position.
        level_ids: [K] tokens of the levels, in order.
        target: [batch, K].
        temperature: T.
        weights: [batch] factors of the divergences.
    """
    log_p = functional.log_softmax(logits.float() / temperature, dim=-1)[:, level_ids]
    divergence: torch.Tensor = (torch.special.xlogy(target, target) - target * log_p).sum(dim=-1)
    return _mean(divergence, weights)


def reverse_kl(
    logits: torch.Tensor,
    level_ids: torch.Tensor,
    target: torch.Tensor,
    temperature: float = 1.0,
    weights: torch.Tensor | None = None,
    *,
    floor: float = _FLOOR,
) -> torch.Tensor:
    """Return KL(softmax(z/T) || q) in nats, with q at least `floor` on every token of the vocabulary."""
    log_p = functional.log_softmax(logits.float() / temperature, dim=-1)
    q = torch.full_like(log_p, floor).index_copy(1, level_ids, target.to(log_p.dtype).clamp_min(floor))
    q = q / q.sum(dim=-1, keepdim=True)
    divergence: torch.Tensor = (log_p.exp() * (log_p - q.log())).sum(dim=-1)
    return _mean(divergence, weights)


def expected_score(
    logits: torch.Tensor, level_ids: torch.Tensor, centres: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """Return the score [batch] in [0, 1]: sum_i c_i softmax(z/T)_i over only the K level logits."""
    return functional.softmax(logits.float()[:, level_ids] / temperature, dim=-1) @ centres


def margin(
    score_a: torch.Tensor,
    score_b: torch.Tensor,
    order: torch.Tensor,
    gap: float,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean over pairs of max(0, gap - order (score_a - score_b)) times the weights [pairs].

    `order` is +1 if a should score above b, -1 if below; pairs with 0 are left out. Without any pair the loss is 0.
    """
    told = order != 0
    if not told.any():
        return score_a.sum() * 0.0
    short = functional.relu(gap - order * (score_a - score_b))
    return _mean(short[told], None if weights is None else weights[told])


def batch_margin(
    scores: torch.Tensor, means: torch.Tensor, gap: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the margin loss over all pairs in a batch, ordered by the consensus means [batch].

    A pair has the smaller weight of its two rows.
    """
    a, b = torch.triu_indices(len(scores), len(scores), offset=1, device=scores.device)
    lighter = None if weights is None else torch.minimum(weights[a], weights[b])
    return margin(scores[a], scores[b], torch.sign(means[a] - means[b]), gap, lighter)


def _mean(terms: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return terms.mean() if weights is None else (weights * terms).mean()
