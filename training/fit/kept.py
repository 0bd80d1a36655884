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
    """The kept states of the prompts of a split, and those of their common start, [shared, hidden].

    `bytes` is how much room all of them take on the disk.
    """

    lower: int
    opening: torch.Tensor
    stores: tuple[KeptStates, ...]
    bytes: int

    def of(self, indices: Sequence[Indices]) -> list[torch.Tensor]:
        """Return the states of the prompts at some indices of each store."""
        return [states for store, some in zip(self.stores, indices, strict=True) for states in store.of(some)]

    def spread(self, packed: Packed, states: list[torch.Tensor]) -> torch.Tensor:
        """Return the states [rows, width, hidden] of a batch from those of its prompts, of the type they were before.

        The LayerNorm of a CPU does not take states of another type than its weights have, which may be bf16.
        """
        n, device, kind = len(self.opening), self.opening.device, self.opening.dtype
        found = torch.zeros(packed.batch.input_ids.numel(), self.opening.shape[1], device=device, dtype=kind)
        starts, rest = (on_device(np.concatenate(each), device) for each in _parted(packed.paths, n))
        found[starts] = self.opening.repeat(len(packed.paths), 1)
        found[rest] = torch.cat(states).to(device, kind)
        return found.view(*packed.batch.input_ids.shape, -1)


@torch.no_grad()
def keep(
    estimator: Estimator,
    lower: int,
    stores: Sequence[Ragged[np.int32]],
    shared: Tokens,
    *,
    folder: Path,
    split: str,
    promised: int = 0,
) -> States:
    """Return the states, none of which is known yet, after the lowest layers of the prompts in some stores.

    Args:
        estimator: Its lower layers must not change.
        lower: How many layers are the lower ones.
        stores: The prompts.
        shared: What all of them share at their start.
        folder: Where the states are kept.
        split: The name of the prompts.
        promised: How many bytes the states of other splits will take there; most of them are not written yet.

    Raises:
        InputError: the disk has too little room.
    """
    hidden = estimator.network.head.rows.shape[1]
    needed = 2 * hidden * sum(int((store.lengths() - len(shared)).sum()) for store in stores)
    if needed + promised > 0.9 * (free := shutil.disk_usage(folder).free):
        raise InputError(
            f'{folder} has {free / 1e9:.1f} GB of free space, and tuning = "upper" keeps states of '
            f'{(needed + promised) / 1e9:.1f} GB there; make room, or use tuning = "lora"'
        )
    states = _below(estimator, estimator.batch([shared]), lower) if len(shared) else None
    kind = next(estimator.network.model.parameters()).dtype
    none = torch.zeros(0, hidden, device=estimator.device, dtype=kind)
    opening = none if states is None else states[0, : len(shared)]  # without the padding of its row
    kept = tuple(
        KeptStates(estimator, lower, store, shared, folder / f"{split}-{number}.states")
        for number, store in enumerate(stores)
    )
    return States(lower, opening, kept, needed)


def _below(estimator: Estimator, packed: Packed, lower: int) -> torch.Tensor:
    assert isinstance(estimator.network, Network)  # an encoder is fitted whole
    with estimator.autocast():
        return estimator.network.below(packed.batch, lower)


def _parted(paths: list[Indices], n: int) -> tuple[list[Indices], list[Indices]]:
    return [path[:n] for path in paths], [path[n:] for path in paths]
