"""Losses on the answer position. Logits are [batch, vocab], targets [batch, K].

Every loss is [batch]: one term for each row or pair. Nothing is weighted or averaged here.
"""

from __future__ import annotations

import torch
from torch.nn import functional

_FLOOR = 1e-8
_REST = 0.1
"""How much the mass outside the levels counts in a loss between distributions over the levels."""


def forward_kl(
    logits: torch.Tensor, level_ids: torch.Tensor, target: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """Return KL(q || softmax(z/T)) in nats, with the softmax over the whole vocabulary.

    Mass on other tokens costs too, so free generation answers with a level.

    Args:
        logits: [batch, vocab] at the answer position.
        level_ids: [K] tokens of the levels, in order.
        target: [batch, K].
        temperature: T.
    """
    log_p = functional.log_softmax(logits.float() / temperature, dim=-1)[:, level_ids]
    divergence: torch.Tensor = (torch.special.xlogy(target, target) - target * log_p).sum(dim=-1)
    return divergence


def reverse_kl(
    logits: torch.Tensor,
    level_ids: torch.Tensor,
    target: torch.Tensor,
    temperature: float = 1.0,
    *,
    floor: float = _FLOOR,
) -> torch.Tensor:
    """Return KL(softmax(z/T) || q) in nats, with q at least `floor` on every token of the vocabulary."""
    log_p = functional.log_softmax(logits.float() / temperature, dim=-1)
    q = torch.full_like(log_p, floor).index_copy(1, level_ids, target.to(log_p.dtype).clamp_min(floor))
    q = q / q.sum(dim=-1, keepdim=True)
    return (log_p.exp() * (log_p - q.log())).sum(dim=-1)


def crps(logits: torch.Tensor, level_ids: torch.Tensor, target: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return the expected CRPS of the level distribution for a value drawn from the target.

    (1/K) sum_{k<K} [(F_p(k) - F_q(k))^2 + F_q(k) (1 - F_q(k))], which is the mean over values y with the distribution q
    of (1/K) sum_k (F_p(k) - 1[y < b_k])^2. A tenth of the negative log of the
    levels' mass is added, so that free generation answers with a level.
    """
    below, wanted = _cumulative(logits, level_ids, temperature), target.cumsum(dim=-1)[:, :-1]
    terms = (below - wanted) ** 2 + wanted * (1 - wanted)
    return terms.sum(dim=-1) / target.shape[1] + _REST * other_mass(logits, level_ids, temperature)


def wasserstein(
    logits: torch.Tensor, level_ids: torch.Tensor, target: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """Return the Wasserstein-1 distance on the levels, (1/K) sum_k |F_p(k) - F_q(k)|, plus that term."""
    below, wanted = _cumulative(logits, level_ids, temperature), target.cumsum(dim=-1)[:, :-1]
    distance = (below - wanted).abs().sum(dim=-1) / target.shape[1]
    return distance + _REST * other_mass(logits, level_ids, temperature)


def expected_score(
    logits: torch.Tensor, level_ids: torch.Tensor, centres: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """Return the score [batch] in [0, 1]: sum_i c_i softmax(z/T)_i over only the K level logits."""
    return functional.softmax(logits.float()[:, level_ids] / temperature, dim=-1) @ centres


def margin(higher: torch.Tensor, lower: torch.Tensor, gap: float) -> torch.Tensor:
    """Return max(0, gap - (higher - lower)) for the scores [pairs] of order pairs."""
    return functional.relu(gap - (higher - lower))


def batch_margin(scores: torch.Tensor, means: torch.Tensor, gap: float, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean margin loss over all pairs of rows, ordered by the consensus means [batch]; ties are left out.

    A pair has the smaller weight of its two rows.
    """
    above, below = torch.nonzero(means[:, None] > means[None, :], as_tuple=True)
    if not len(above):
        return scores.sum() * 0.0
    lighter = torch.minimum(weights[above], weights[below])
    return (lighter * margin(scores[above], scores[below], gap)).mean()


LOSSES = {"forward": forward_kl, "reverse": reverse_kl, "crps": crps, "wasserstein": wasserstein}


def _cumulative(logits: torch.Tensor, level_ids: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the mass of the level distribution below each inner bound, [batch, K - 1]."""
    return functional.softmax(logits.float()[:, level_ids] / temperature, dim=-1).cumsum(dim=-1)[:, :-1]


def other_mass(logits: torch.Tensor, level_ids: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the negative log of the probability [batch] that the answer is a level, in nats."""
    scaled = logits.float() / temperature
    return scaled.logsumexp(dim=-1) - scaled[:, level_ids].logsumexp(dim=-1)
