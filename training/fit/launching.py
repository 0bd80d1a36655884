"""Configurations of `accelerate launch` that a fit can run under: whole models in several processes, or a split one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.settings import FitSettings
from warehouse.errors import InputError

_SPLITTING = ("DEEPSPEED", "MEGATRON_LM", "TP")
_SECTIONS = ("fsdp_config", "deepspeed_config", "megatron_lm_config", "parallelism_config")
_AS_IT_IS_SPLIT = {
    "version": ("1", "2"),
    "offload_params": ("false", "false"),
    "activation_checkpointing": ("false", "false"),
    "activation_checkpointing_offload": ("false", "false"),
    "reshard_after_forward": ("true", "true"),
    "auto_wrap_policy": ("transformer_based_wrap", "transformer_based_wrap"),
}
"""Of the options of FSDP: what accelerate means without them, and what is done here. The others save no memory."""


@dataclass(frozen=True)
class Launch:
    """What to launch.

    Attributes:
        text: The configuration for accelerate; for a split model, without what would make accelerate split it too.
        split: Whether the model is split over the processes.
    """

    text: str
    split: bool


def launch_at(path: Path) -> Launch:
    """Return what a configuration of accelerate says. Raises `InputError` if a fit cannot run under it."""
    text, chosen = _read(path)
    kind = str(chosen.get("distributed_type", "NO")).upper()
    sections = [name for name in _SECTIONS if chosen.get(name)]
    if kind == "FSDP":
        options, sections = chosen.get("fsdp_config") or {}, [name for name in sections if name != "fsdp_config"]
        _check_options(path, options if isinstance(options, dict) else {})
    if sections or kind in _SPLITTING:
        said = sections[0] if sections else f"distributed_type: {kind}"
        raise InputError(
            f"{path}: {said} splits the model in a way that a fit does not support; use distributed_type: FSDP with "
            "fsdp_config: {fsdp_version: 2}, as in examples/accelerate/split.yaml, or MULTI_GPU"
        )
    if kind != "FSDP":
        return Launch(text, split=False)
    plain = {name: value for name, value in chosen.items() if name != "fsdp_config"}
    return Launch(yaml.safe_dump(plain | {"distributed_type": "MULTI_GPU"}), split=True)


def refuse_unsplittable(settings: FitSettings) -> None:
    """Raise `InputError` unless a fit with these settings can split its model over processes."""
    refused = {
        'kind = "encoder"': settings.kind == "encoder",
        'tuning = "upper"': settings.tuned == "upper",
        'ordinal = "cut-points"': settings.ordinal == "cut-points",
    }
    for name, chosen in refused.items():
        if chosen:
            raise InputError(
                f"training.{name} does not work with a model that is split over processes; use another setting (a base "
                f"that is a language model is causal), or distributed_type: MULTI_GPU in {settings.launch}"
            )


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; training.launch is a configuration of accelerate")
    try:
        text = path.read_text(encoding="utf-8")
        chosen = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file; training.launch is a configuration of accelerate") from error
    if not isinstance(chosen, dict):
        raise InputError(f"{path}: not a configuration of accelerate; see examples/accelerate")
    return text, chosen


def _check_options(path: Path, options: dict[str, Any]) -> None:
    """Raise `InputError` if FSDP is to split the model in another way than a fit does."""
    given = {str(name).removeprefix("fsdp_"): str(value).lower() for name, value in options.items()}
    for name, (default, here) in _AS_IT_IS_SPLIT.items():
        if (found := given.get(name, default)) != here:
            raise InputError(
                f"{path}: fsdp_{name}: {found} is not supported; a fit splits the model with fsdp_{name}: {here}"
                + ("; set training.gradient_checkpointing = true instead" if "checkpointing" in name else "")
            )
