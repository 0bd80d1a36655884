"""One step of a fit: forward and backward through the parts of a batch, then the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from training.fit.objective import Evidence, Objective, Part, most_parts, split_batch
from training.fit.room import Room
from training.fit.splitting import whole
from training.model.encoder import PairEncoder
from training.model.estimator import TOKENS_AT_ONCE
from training.model.network import Network
from training.model.packing import Indices
from training.settings import FitSettings
from warehouse.errors import OddsError

_GRADIENT_NORM = 1.0


class Stepper:
    """Makes the steps of a fit. If memory does not suffice, it reads half as many tokens at once from then on.

    `split` tells whether the model is split over the processes, which then have to make all passes together.
    """

    def __init__(
        self,
        objective: Objective,
        train: Evidence,
        optimizer: torch.optim.Optimizer,
        accelerator: Any,
        note: Callable[[str], None],
        *,
        split: bool = False,
    ) -> None:
        self._split = split
        self._objective, self._train, self._optimizer = objective, train, optimizer
        self._accelerator = accelerator
        # Of several processes, the others wait for the gradients of the one whose memory does not suffice.
        halvings = 1 if accelerator.num_processes == 1 else 0
        self.room = Room(TOKENS_AT_ONCE[objective.estimator.device.type], halvings, note)
        self._finite = torch.ones((), dtype=torch.bool, device=objective.estimator.device)
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def step(self, indices: Indices, rate: float, step: int) -> torch.Tensor:
        """Make a step at a share `rate` of the peak learning rates.

        Returns the mean loss before it, on the device: only `check` waits for the device.

        Raises:
            OddsError: half of the tokens at once still need too much memory.
        """
        self._objective.network.train()
        reads = int(self._train.costs[indices].sum())
        loss = self.room.fit(lambda at_once: self._gradients(indices, step, at_once), reads)
        norm = whole(torch.nn.utils.clip_grad_norm_(self._parameters, _GRADIENT_NORM))
        self._finite = self._finite & torch.isfinite(norm + loss)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        self._optimizer.step()
        return loss

    def check(self) -> None:
        """Raise `OddsError` if a loss or gradient since the start was not a number."""
        if not self._finite:
            raise OddsError("the loss is no longer a number; lower learning_rate and level_learning_rate")

    def _gradients(self, indices: Indices, step: int, tokens_at_once: int) -> torch.Tensor:
        """Compute the gradients of the mean loss of a batch, of which each process reads a share."""
        processes, rank = self._accelerator.num_processes, self._accelerator.process_index
        # Seeded by its number, a step is the same after a restart; each process drops out other units.
        torch.manual_seed((self._objective.settings.seed * 1_000_003 + step) * processes + rank)
        self._optimizer.zero_grad()
        parts = list(split_batch(self._train, indices[rank::processes], tokens_at_once))
        share = processes / len(indices)  # the gradients of the processes are averaged
        total = torch.zeros((), device=self._objective.estimator.device)
        passes = most_parts(self._train, indices, processes, tokens_at_once) if self._split else max(len(parts), 1)
        filled = parts + [self._nothing(indices)] * (passes - len(parts))
        for number, part in enumerate(filled, start=1):
            with nullcontext() if number == passes else self._accelerator.no_sync(self._objective.network):
                value = self._objective.loss(self._train, part) * (share if number <= len(parts) else 0.0)
                self._accelerator.backward(value)
            total = total + value.detach()
        if processes > 1:
            total = self._accelerator.reduce(total, "mean")
        return total

    def _nothing(self, indices: Indices) -> Part:
        """Return an example for a process that has none, or fewer parts than another: its loss counts zero times."""
        return next(split_batch(self._train, indices[:1], self.room.tokens))


def optimizer_of(network: Network | PairEncoder, settings: FitSettings) -> torch.optim.AdamW:
    """Return the optimizer of the trained parameters; on a GPU it is one kernel."""
    fused = network.head.rows.device.type == "cuda"
    return torch.optim.AdamW(parameter_groups(network, settings), weight_decay=0.0, fused=fused)


def parameter_groups(network: Network | PairEncoder, settings: FitSettings) -> list[dict[str, Any]]:
    """Return the trained parameters with their peak learning rates; new level rows need larger steps."""
    rows, cuts = network.head.rows, [] if network.cuts is None else [network.cuts.steps]
    rest = [p for p in network.parameters() if p.requires_grad and all(p is not each for each in (rows, *cuts))]
    groups = [(rest, settings.peak), ([rows], settings.level_learning_rate), (cuts, settings.cut_learning_rate)]
    return [{"params": params, "lr": rate, "peak": rate} for params, rate in groups if params]
