"""Checkpoints of a running fit: what it needs to go on as if nothing had happened. Only safetensors and JSON.

A checkpoint is a pair of files: the trained weights with the state of the optimizer, and, written last, a JSON file
with the progress and the hash of the weights. The random state needs no place: each step is seeded by its number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from training.fit.splitting import share_as, whole
from training.fit.workplace import is_full
from warehouse.shards import sha256

_KEPT = 2
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass
class Progress:
    """How far a fit is.

    Attributes:
        step: Steps made.
        best: The lowest dev loss so far; infinity before the first evaluation.
        worse: How many epochs in sequence were no better.
        recent: The losses since the last record.
        history: The records.
        base: The dev loss before the first step, if the base is an estimator.
    """

    step: int = 0
    best: float = float("inf")
    worse: int = 0
    recent: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    base: float | None = None


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints in a folder, of one network and its optimizer."""

    folder: Path
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    note: Callable[[str], None]

    def save(self, progress: Progress, *, write: bool = True) -> None:
        """Write a checkpoint and remove older ones. If the disk is full, say so and keep those.

        All processes of a split model have to call this, though only one is to write.
        """
        tensors = self._tensors(keep=write)
        if not write:
            return
        weights = self.folder / f"step-{progress.step:08d}.safetensors"
        try:
            _replace(weights, lambda path: save_file(tensors, path))
            record = {"sha256": sha256(weights), "progress": vars(progress)}
            _replace(weights.with_suffix(".json"), lambda path: path.write_text(json.dumps(record), encoding="utf-8"))
        except (OSError, SafetensorError) as error:
            weights.unlink(missing_ok=True)
            if not is_full(error):
                raise
            self.note("the disk is full, so this checkpoint was not written; the fit goes on")
            return
        for old in self._all()[_KEPT:]:
            old.unlink(missing_ok=True)
            old.with_suffix(".safetensors").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed fit left half-written."""
        for path in (*self.folder.glob(".step-*"), *self.folder.glob("step-*.safetensors")):
            if path.name.startswith(".") or not path.with_suffix(".json").exists():
                path.unlink(missing_ok=True)

    def load(self) -> Progress:
        """Load the newest checkpoint that is whole, and return its progress: that of a start if there is none."""
        for path in self._all():
            weights = path.with_suffix(".safetensors")
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                if record["sha256"] != sha256(weights):
                    raise ValueError("its weights have another hash")
                progress = Progress(**record["progress"])
                self._restore(load_file(weights))
            except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
                self.note(f"{path.name} cannot be used ({str(error).splitlines()[0]}); taking the one before it")
                continue
            return progress
        return Progress()

    def _all(self) -> list[Path]:
        """The JSON files, newest first."""
        return sorted(self.folder.glob("step-*.json"), reverse=True)

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def _tensors(self, *, keep: bool) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for name, parameter in self._trained().items():
            state = self.optimizer.state.get(parameter, {})
            of_state = {f"{moment}:{name}": state[moment] for moment in _MOMENTS if moment in state}
            for key, tensor in ({name: parameter.detach()} | of_state).items():
                together = whole(tensor)
                if keep:
                    found[key] = together.cpu().contiguous().clone()
        return found

    @torch.no_grad()
    def _restore(self, tensors: dict[str, torch.Tensor]) -> None:
        trained = self._trained()
        if missing := trained.keys() - tensors.keys():
            raise ValueError(f"it lacks {min(missing)}")
        for name, parameter in trained.items():
            parameter.copy_(share_as(parameter, tensors[name]))
            moments = {moment: tensors[f"{moment}:{name}"] for moment in _MOMENTS if f"{moment}:{name}" in tensors}
            if moments:
                place = parameter.device if _on_device(self.optimizer) else torch.device("cpu")
                self.optimizer.state[parameter] = {
                    moment: tensor.to(place) if moment == "step" else share_as(parameter, tensor)
                    for moment, tensor in moments.items()
                }


def _on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer keeps its count of steps on the device, as fused ones do."""
    return bool(optimizer.defaults.get("fused"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, to the disk, and rename it."""
    scratch = path.with_name(f".{path.name}")
    try:
        write(scratch)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
