"""An adapter on top of another one as a single adapter, which needs neither the other's folder nor its version."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from training.model.saved import EstimatorInfo, read_info, write_info

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
Tensors = dict[str, torch.Tensor]


def stand_alone(folder: Path, base: str, place: Path) -> None:
    """Rewrite a saved estimator that was fitted on another one's adapter, so that it needs only the base of that one.

    Others stay as they are, and so does one whose adapters are of different modules.

    Args:
        folder: The folder of the estimator.
        base: What it was fitted from.
        place: Where the folder will be, or a place beside it.
    """
    below, info = Path(base), read_info(folder)
    under = read_info(below) if below.is_dir() else None
    if under is None or info is None or {info.weights, under.weights} != {"encoder-adapter"}:
        return
    older, newer = load_file(below / _WEIGHTS), load_file(folder / _WEIGHTS)
    if older.keys() != newer.keys():
        return
    weights, config = stacked(older, _json(below / _CONFIG), newer, _json(folder / _CONFIG))
    save_file(weights, folder / _WEIGHTS)
    (folder / _CONFIG).write_text(
        json.dumps(config | {"base_model_name_or_path": under.base}, indent=2) + "\n", encoding="utf-8"
    )
    write_info(_on(info, under, below, place), folder)


def stacked(
    older: Tensors, config_before: dict[str, Any], newer: Tensors, config: dict[str, Any]
) -> tuple[Tensors, dict[str, Any]]:
    """Return one adapter, and its configuration, for two of the same modules, of which the newer sits on the older.

    Each adds alpha / r B A to a weight, so the sum of both is that of their rows of A and columns of B together.
    """
    rank = config_before["r"] + config["r"]
    scale_before, scale = config_before["lora_alpha"] / config_before["r"], config["lora_alpha"] / config["r"]
    found = {}
    for name, weight in newer.items():
        before = older[name].float()
        if ".lora_A." in name:
            found[name] = torch.cat([before, weight.float()])
        else:
            found[name] = torch.cat([before * (scale_before / scale), weight.float()], dim=1)
    return found, config | {"r": rank, "lora_alpha": scale * rank}


def _on(info: EstimatorInfo, under: EstimatorInfo, below: Path, place: Path) -> EstimatorInfo:
    """The description of an estimator on the base of the one that it was fitted from."""
    here = under.base_from_here and os.path.relpath((below / under.base_from_here).resolve(), place.resolve())
    changes = {"base": under.base, "base_sha256": under.base_sha256, "base_from_here": here}
    return info.model_copy(update=changes)


def _json(file: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told
