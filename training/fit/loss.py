"""Losses on the answer position. Logits are [batch, vocab], targets [batch, K].

Every loss is a mean over its rows or pairs, each term multiplied by its weight first; without weights all count 1.
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
    """KL(q || softmax(z/T)) in nats, the softmax taken over the whole vocabulary.

    So mass on any other token costs too, and free generation answers with a level. `level_ids` [K] are the tokens of
    the levels, in their order; `weights` [batch] multiply the divergences.
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
    """KL(softmax(z/T) || q) in nats, with q raised to at least `floor` on every token of the vocabulary."""
    log_p = functional.log_softmax(logits.float() / temperature, dim=-1)
    q = torch.full_like(log_p, floor).index_copy(1, level_ids, target.to(log_p.dtype).clamp_min(floor))
    q = q / q.sum(dim=-1, keepdim=True)
    divergence: torch.Tensor = (log_p.exp() * (log_p - q.log())).sum(dim=-1)
    return _mean(divergence, weights)


def expected_score(logits: torch.Tensor, level_ids: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The score [batch] in [0, 1]: sum_i c_i softmax(z)_i over the K level logits only."""
    return functional.softmax(logits.float()[:, level_ids], dim=-1) @ centres


def margin(
    score_a: torch.Tensor,
    score_b: torch.Tensor,
    order: torch.Tensor,
    gap: float,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """max(0, gap - order (score_a - score_b)), the mean over pairs; `order` is +1 where a is to be above b, else -1.

    Pairs with order 0 say nothing and are left out; without any pair the loss is 0. `weights` [pairs] multiply.
    """
    told = order != 0
    if not told.any():
        return score_a.sum() * 0.0
    short = functional.relu(gap - order * (score_a - score_b))
    return _mean(short[told], None if weights is None else weights[told])


def batch_margin(
    scores: torch.Tensor, means: torch.Tensor, gap: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """The margin loss over all pairs within a batch: scores [batch] in the order of the consensus means [batch].

    A pair weighs as much as the lighter of its two rows.
    """
    a, b = torch.triu_indices(len(scores), len(scores), offset=1, device=scores.device)
    lighter = None if weights is None else torch.minimum(weights[a], weights[b])
    return margin(scores[a], scores[b], torch.sign(means[a] - means[b]), gap, lighter)


def _mean(terms: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return terms.mean() if weights is None else (weights * terms).mean()
