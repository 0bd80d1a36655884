"""Models from elsewhere that answer with a probability alone: classifiers, and language models asked Yes or No."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from training.model.classifier import KIND, load_classifier
from training.model.estimator import Estimator
from training.model.level_tokens import count_levels
from training.model.saved import is_estimator
from training.model.yes_no import load_yes_no
from training.settings import Device, Precision

_CAUSAL = ("ForCausalLM", "LMHeadModel")


def outside_model(
    folder: Path, device: Device = "auto", precision: Precision = "auto"
) -> Callable[[], Estimator] | None:
    """Return what loads the model without levels that a folder has in Hugging Face format; None for all else.

    Loading raises `InputError` if the model cannot be used.
    """
    kinds = () if is_estimator(folder) else _architectures(folder)
    if any(kind.endswith(KIND) for kind in kinds):
        return partial(load_classifier, folder, device, precision)
    if any(kind.endswith(_CAUSAL) for kind in kinds) and not _has_levels(folder):
        return partial(load_yes_no, folder, device, precision)
    return None


def _architectures(folder: Path) -> tuple[str, ...]:
    """Return the classes that the configuration of a model names; none if it cannot be read."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return tuple(map(str, json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures")))
    return ()


def _has_levels(folder: Path) -> bool:
    from transformers import AutoTokenizer

    with suppress(Exception):  # what is wrong with it is said where it is read
        return count_levels(AutoTokenizer.from_pretrained(str(folder))) > 1
    return False
