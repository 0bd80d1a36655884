"""The folder of a saved estimator: its adapter or whole weights, its tokenizer, and `estimator.json`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from training.model.base import line_of, load_base, pretrained
from training.model.level_tokens import add_levels, count_levels
from warehouse.errors import InputError

_INFO = "estimator.json"


class EstimatorInfo(BaseModel):
    """What a saved estimator needs besides its weights: the file `estimator.json`.

    `base` and `cache` are absolute paths (`base` may be a name on the Hub); `base_from_here` and `cache_from_here` are
    relative to the folder, so that all of them can be moved together. `temperature` is the T that it was fitted with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    cache: str
    base_from_here: str | None = None
    cache_from_here: str | None = None
    levels: int
    max_length: int
    weights: Literal["adapter", "whole"]
    temperature: float = 1.0


def write_saved(model: Any, tokenizer: Any, info: EstimatorInfo, folder: Path) -> None:
    """Write an estimator into an existing folder."""
    # Only the level rows of an adapter's embedding are new, and peft keeps them with the adapter.
    options = {"save_embedding_layers": False} if info.weights == "adapter" else {}
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    (folder / _INFO).write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_saved(folder: Path) -> tuple[Any, Any, EstimatorInfo]:
    """Return the model, the tokenizer and the info of a saved estimator.

    A folder without `estimator.json` is read as a published checkpoint in Hugging Face format with level tokens.

    Raises:
        InputError: the folder or its base is missing or cannot be used.
    """
    info = _read_info(folder)
    model, tokenizer = _with_adapter(folder, info) if info and info.weights == "adapter" else pretrained(folder)
    levels = count_levels(tokenizer)
    if levels < 2 or (info is not None and info.levels != levels):
        raise InputError(f"{folder}: not an estimator: its tokenizer has {levels} level tokens")
    whole = EstimatorInfo(base=str(folder), cache="", levels=levels, max_length=256, weights="whole")
    return model, tokenizer, info or whole


@contextmanager
def without_future_warnings() -> Iterator[None]:
    """Hide the warning of peft, which reads a property that transformers is renaming."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _with_adapter(folder: Path, info: EstimatorInfo) -> tuple[Any, Any]:
    from peft import PeftModel
    from safetensors import SafetensorError

    cache = folder / info.cache_from_here if info.cache_from_here else Path(info.cache)
    model, tokenizer = load_base(_base_of(folder, info), cache)
    add_levels(model, tokenizer, info.levels, seed=0)
    try:
        with without_future_warnings():
            return PeftModel.from_pretrained(model, folder), tokenizer
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: its adapter does not fit the base {info.base}: {line_of(error)}") from error


def _base_of(folder: Path, info: EstimatorInfo) -> str:
    """Return where the base of a saved adapter is now. Raises `InputError` if its files are gone."""
    if not Path(info.base).is_absolute() or Path(info.base).exists():
        return info.base
    if info.base_from_here and (moved := folder / info.base_from_here).exists():
        return str(moved.resolve())
    raise InputError(f"{info.base}: the base of the estimator {folder.name} is gone; put it back, or run odds train")


def _read_info(folder: Path) -> EstimatorInfo | None:
    path = folder / _INFO
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; train an estimator first")
    if not path.exists():
        return None
    try:
        return EstimatorInfo.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise InputError(f"{path}: not the description of an estimator: {line_of(error)}") from error
