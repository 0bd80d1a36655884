"""Learned cut points: where, on the scale of the scores, a source of ordinal labels goes from one label to the next.

Sources use their labels differently, so that a label r of R need not mean [(r - 1)/R, r/R]. An estimator that gives a
proposition the level distribution p gives its label the probability of an ordered probit model, mixed over the levels:

P(r) = sum_i p_i [Phi((t_r - c_i)/s) - Phi((t_{r-1} - c_i)/s)], with t_0 = -inf, t_R = +inf,

where c_i are the centres of the levels, s is fixed, and t_1 < ... < t_{R-1} are learned for each source and R.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from training.levels import centres

Scale = tuple[str, int]
"""A source of ordinal labels, and how many different labels it has."""
_LEAST = 1e-16


class CutPoints(nn.Module):
    """The cut points of some scales. They start at r/R, where labels mean equal intervals.

    Attributes:
        scales: The scales.
        steps: [scales, longest R - 1]: the first cut point of each scale, and what softplus makes the steps between the
            others.
    """

    centres: torch.Tensor
    ends: torch.Tensor

    def __init__(self, scales: Sequence[Scale], levels: int, spread: float) -> None:
        super().__init__()
        self.scales, self.spread = tuple(scales), spread
        sizes = torch.tensor([size for _, size in scales])
        width = max(int(sizes.max()) - 1, 1)
        equal = 1.0 / sizes[:, None].double().expand(-1, width)
        steps = torch.cat([equal[:, :1], equal[:, 1:].expm1().log()], dim=1)  # the inverse of softplus
        self.steps = nn.Parameter(steps.float())
        self.register_buffer("centres", torch.from_numpy(centres(levels)), persistent=False)
        self.register_buffer("ends", torch.arange(1, width + 1) >= sizes[:, None], persistent=False)

    def forward(self) -> torch.Tensor:
        """Return t_0 ... t_R of each scale, [scales, longest R + 1] in float64; shorter ones go on with +inf."""
        steps = self.steps.double()
        inner = torch.cat([steps[:, :1], functional.softplus(steps[:, 1:])], dim=1).cumsum(dim=1)
        end = torch.full_like(inner[:, :1], torch.inf)
        return torch.cat([-end, inner.masked_fill(self.ends, torch.inf), end], dim=1)

    def loss(self, levels: torch.Tensor, scales: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return -log P(r) of each label [m], in nats.

        Args:
            levels: [m, K] the level distribution of the proposition of each.
            scales: [m] the index of its scale.
            labels: [m] r, from 1.
        """
        below = torch.special.ndtr((self()[:, :, None] - self.centres) / self.spread)
        mass = below[scales, labels] - below[scales, labels - 1]
        probability: torch.Tensor = (levels.double() * mass).sum(dim=1)
        return -probability.clamp_min(_LEAST).log()

    @torch.no_grad()
    def found(self) -> dict[str, dict[int, tuple[float, ...]]]:
        """Return the inner cut points by source and R."""
        told: dict[str, dict[int, tuple[float, ...]]] = {}
        for (source, size), cuts in zip(self.scales, self().tolist(), strict=True):
            told.setdefault(source, {})[size] = tuple(round(cut, 4) for cut in cuts[1:size])
        return told
