"""The states of the lower layers, which a fit of the upper ones computes only once: they are kept on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.fit.store import Ragged
from training.model.estimator import Estimator
from training.model.network import Network
from training.model.packing import Indices, Packed, Tokens, on_device
from warehouse.errors import InputError


class KeptStates:
    """The states after the lowest layers of the prompts in a store, as float16, without those of their common start.

    They are computed when they are first needed, so a fit that ends early computed no more than it read.
    """

    def __init__(self, estimator: Estimator, lower: int, prompts: Ragged[np.int32], shared: Tokens, path: Path) -> None:
        self._estimator, self._lower, self._prompts, self._shared = estimator, lower, prompts, len(shared)
        hidden = estimator.network.head.rows.shape[1]
        self._states = Ragged(path, np.float16, (hidden,))
        self._states.reserve(prompts.lengths() - self._shared)
        self._known = np.zeros(len(prompts), dtype=np.bool_)

    def of(self, indices: Indices) -> list[torch.Tensor]:
        """Return the states [length - shared, hidden] of the prompts at some indices."""
        new = np.unique(indices[~self._known[indices]])
        if len(new):
            packed = self._estimator.batch(self._prompts.of(new))
            states = _below(self._estimator, packed, self._lower).flatten(0, 1)
            if states.abs().max() > np.finfo(np.float16).max:
                raise InputError('the states of this base are too large to keep; use tuning = "lora"')
            for index, path in zip(new.tolist(), packed.paths, strict=True):
                self._states.put(index, states[path[self._shared :]].float().cpu().numpy())
            self._known[new] = True
        return [torch.from_numpy(each.copy()) for each in self._states.of(indices)]


@dataclass(frozen=True)
class States:
    """The kept states of the prompts of a split, and those of their common start, [shared, hidden]."""

    lower: int
    opening: torch.Tensor
    stores: tuple[KeptStates, ...]

    def of(self, indices: Sequence[Indices]) -> list[torch.Tensor]:
        """Return the states of the prompts at some indices of each store."""
        return [states for store, some in zip(self.stores, indices, strict=True) for states in store.of(some)]

    def spread(self, packed: Packed, states: list[torch.Tensor]) -> torch.Tensor:
        """Return the states [rows, width, hidden] of a batch from those of its prompts."""
        n, device = len(self.opening), self.opening.device
        found = torch.zeros(packed.batch.input_ids.numel(), self.opening.shape[1], device=device)
        starts, rest = (on_device(np.concatenate(each), device) for each in _parted(packed.paths, n))
        found[starts] = self.opening.repeat(len(packed.paths), 1)
        found[rest] = torch.cat(states).to(device).float()
        return found.view(*packed.batch.input_ids.shape, -1)


@torch.no_grad()
def keep(
    estimator: Estimator, lower: int, stores: Sequence[Ragged[np.int32]], shared: Tokens, *, folder: Path, split: str
) -> States:
    """Return the states, none of which is known yet, after the lowest layers of the prompts in some stores.

    Args:
        estimator: Its lower layers must not change.
        lower: How many layers are the lower ones.
        stores: The prompts.
        shared: What all of them share at their start.
        folder: Where the states are kept.
        split: The name of the prompts.

    Raises:
        InputError: the disk has too little room.
    """
    hidden = estimator.network.head.rows.shape[1]
    needed = 2 * hidden * sum(int((store.lengths() - len(shared)).sum()) for store in stores)
    if needed > 0.9 * (free := shutil.disk_usage(folder).free):
        raise InputError(
            f'{folder} has {free / 1e9:.1f} GB of free space, and tuning = "upper" keeps states of {needed / 1e9:.1f} '
            'GB there; use tuning = "lora"'
        )
    states = _below(estimator, estimator.batch([shared]), lower) if len(shared) else None
    opening = torch.zeros(0, hidden, device=estimator.device) if states is None else states[0].float()
    kept = tuple(
        KeptStates(estimator, lower, store, shared, folder / f"{split}-{number}.states")
        for number, store in enumerate(stores)
    )
    return States(lower, opening, kept)


def _below(estimator: Estimator, packed: Packed, lower: int) -> torch.Tensor:
    assert isinstance(estimator.network, Network)  # an encoder is fitted whole
    with estimator.autocast():
        return estimator.network.below(packed.batch, lower)


def _parted(paths: list[Indices], n: int) -> tuple[list[Indices], list[Indices]]:
    return [path[:n] for path in paths], [path[n:] for path in paths]
