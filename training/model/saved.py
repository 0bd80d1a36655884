"""The folder of a saved estimator: its weights, its tokenizer, and `estimator.json`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from training.embedded import installed_bases
from training.identity import base_hash
from training.model.base import WEIGHTS, cached_base, line_of, load_base, pretrained, reads_trees
from training.model.encoder import PairEncoder, load_encoder
from training.model.level_tokens import add_levels, count_levels, level_ids
from training.model.network import Network
from warehouse.errors import InputError

_INFO = "estimator.json"
_ROWS = "levels.safetensors"
Weights = Literal["adapter", "whole", "encoder", "encoder-adapter"]
_MERGED: dict[Weights, Weights] = {"adapter": "whole", "encoder-adapter": "encoder"}
_ELSE = "odds evaluate --against measures classifiers and language models, --scores the scores of any model"


class EstimatorInfo(BaseModel):
    """What a saved estimator needs besides its weights: the file `estimator.json`.

    Attributes:
        base: The name of the base: on the Hub, or of its file or folder. Older files have an absolute path.
        base_sha256: `training.identity.base_hash` of a base on disk; for one on the Hub, of its `model.safetensors`.
        base_from_here: Its path relative to the folder, so that both can be moved together.
        cache: Where a converted base is kept, as an absolute path; only in older files.
        cache_from_here: The same, relative to the folder.
        levels: K.
        max_length: Longer prompts are cut.
        weights: What the folder has: an adapter or all weights, of a language model or of an encoder.
        temperature: The T that it was fitted with.
        cut_points: What it learned about ordinal labels: t_1 ... t_{R-1} by source and R. Scoring does not need them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    base_sha256: str | None = None
    base_from_here: str | None = None
    cache: str | None = None
    cache_from_here: str | None = None
    levels: int
    max_length: int
    weights: Weights
    temperature: float = 1.0
    cut_points: dict[str, dict[int, tuple[float, ...]]] | None = None


def as_whole(info: EstimatorInfo) -> EstimatorInfo:
    """Return the description of the same estimator with its adapter merged, wherever its folder may be."""
    here = {"base_from_here": None, "cache": None, "cache_from_here": None}
    return info.model_copy(update=here | {"weights": _MERGED.get(info.weights, info.weights)})


def write_saved(network: Network | PairEncoder, tokenizer: Any, info: EstimatorInfo, folder: Path) -> None:
    """Write an estimator into an existing folder. The network can be trained on afterwards."""
    if info.weights in _MERGED:
        network.model.save_pretrained(folder, save_embedding_layers=False)
    else:
        with network.plain() as model:
            model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's card has nothing but a path of this machine
    if info.weights != "whole":
        save_file({"rows": network.head.rows.detach().cpu().contiguous()}, folder / _ROWS)
    tokenizer.save_pretrained(folder)
    write_info(info, folder)


def write_info(info: EstimatorInfo, folder: Path) -> None:
    """Write the description of an estimator into its folder."""
    (folder / _INFO).write_text(info.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")


def read_saved(folder: Path, bases: Sequence[str | Path]) -> tuple[Network | PairEncoder, Any, EstimatorInfo]:
    """Return the network of a saved estimator with any adapter merged, its tokenizer and its info.

    A folder without `estimator.json` is read as a published checkpoint in Hugging Face format with level tokens.

    Args:
        folder: The folder.
        bases: Where else to look for the base if it has moved.

    Raises:
        InputError: the folder or its base is missing or cannot be used.
    """
    info = read_info(folder)
    if info and info.weights.startswith("encoder"):
        return (*_read_encoder(folder, info, bases), info)
    model, tokenizer = _merged(folder, info, bases) if info and info.weights == "adapter" else _whole(folder)
    levels = count_levels(tokenizer)
    if levels < 2 or (info is not None and info.levels != levels):
        raise InputError(f"{folder}: not an estimator: its tokenizer has {levels} level tokens; {_ELSE}")
    network = Network(model, level_ids(tokenizer, levels), trees=reads_trees(model, tokenizer))
    return network, tokenizer, info or EstimatorInfo(base=folder.name, levels=levels, max_length=256, weights="whole")


def _whole(folder: Path) -> tuple[Any, Any]:
    """Return the model and the tokenizer of a folder, with advice that fits if it is no causal language model."""
    try:
        return pretrained(folder)
    except InputError as error:
        raise InputError(f"{str(error).partition(';')[0]}; {_ELSE}") from error


@contextmanager
def without_future_warnings() -> Iterator[None]:
    """Hide the warning of peft, which reads a property that transformers is renaming."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def encoder_of(base: str | Path, levels: int) -> tuple[PairEncoder, Any]:
    """Return an encoder to fit, with its tokenizer: a model in Hugging Face format, or an estimator with its head.

    Raises:
        InputError: it cannot be used, or the estimator has another number of levels or is no encoder.
    """
    if not is_estimator(base):
        model, tokenizer = load_encoder(base)
        return PairEncoder(model, levels), tokenizer
    network, tokenizer, info = read_saved(Path(base), ())
    if not isinstance(network, PairEncoder):
        raise InputError(f'{base} is an estimator from a language model; only those of training.kind = "encoder" go on')
    if info.levels != levels:
        raise InputError(f"{base} has {info.levels} levels; set training.levels to {info.levels}")
    return network, tokenizer


def _read_encoder(folder: Path, info: EstimatorInfo, bases: Sequence[str | Path]) -> tuple[PairEncoder, Any]:
    if info.weights in _MERGED:
        network, tokenizer = encoder_of(base_of(folder, info, bases), info.levels)
        network.model = _with_adapter(network.model, folder, info)
    else:
        model, tokenizer = load_encoder(folder)
        network = PairEncoder(model, info.levels)
    try:
        network.head.load_state_dict(load_file(folder / _ROWS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder / _ROWS}: not the level head of this encoder: {line_of(error)}") from error
    return network, tokenizer


def _merged(folder: Path, info: EstimatorInfo, bases: Sequence[str | Path]) -> tuple[Any, Any]:
    """Return the base with the adapter of a folder merged into its weights, and with its level rows."""
    model, tokenizer = load_base(base_of(folder, info, bases), cache_of(folder, info))
    add_levels(model, tokenizer, info.levels, seed=0)
    merged = _with_adapter(model, folder, info)
    try:
        if (folder / _ROWS).exists():
            ids = level_ids(tokenizer, info.levels)
            with torch.no_grad():
                merged.get_output_embeddings().weight[ids] = load_file(folder / _ROWS)["rows"]
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        raise _does_not_fit(folder, info, error) from error
    return merged, tokenizer


def _with_adapter(model: Any, folder: Path, info: EstimatorInfo) -> Any:
    """Return a base with the adapter of a folder merged into its weights."""
    from peft import PeftModel

    try:
        with without_future_warnings():
            return PeftModel.from_pretrained(model, folder).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise _does_not_fit(folder, info, error) from error


def _does_not_fit(folder: Path, info: EstimatorInfo, error: Exception) -> InputError:
    return InputError(f"{folder}: its adapter does not fit the base {info.base}: {line_of(error)}")


def base_of(folder: Path, info: EstimatorInfo, bases: Sequence[str | Path]) -> str:
    """Return where the base of a saved adapter is now. Raises `InputError` if it is gone, or is another model now."""
    if _is_on_hub(info):
        cached = cached_base(info.base)
        places = [*map(Path, bases), *(cached.parent.iterdir() if cached else ())]  # all versions in the cache
        if found := next((place for place in places if _has_weights(place, info.base_sha256)), None):
            return str(found)
        if cached and info.base_sha256 and (cached / WEIGHTS).is_file():
            raise InputError(
                f"{info.base}: the cache of the Hub has another version than the one that the estimator {folder.name} "
                "was fitted on; set training.base to a folder with that one"
            )
        return info.base
    named = [*([folder / info.base_from_here] if info.base_from_here else []), Path(info.base)]
    for place in (*named, *map(Path, bases)):
        if place.exists() and info.base_sha256 in (None, base_hash(place)):
            return os.path.normpath(place.absolute())
    for place in installed_bases():
        if place.exists() and info.base_sha256 == base_hash(place):
            return str(place)
    if other := next((place for place in named if place.exists()), None):
        raise InputError(f"{other} is not the base that the estimator {folder.name} was fitted on; put that back")
    raise InputError(
        f"{named[-1].name}: the base of the estimator {folder.name} is gone; put it back, set training.base to where "
        "it is, or run odds train"
    )


def _is_on_hub(info: EstimatorInfo) -> bool:
    """Return whether the base is a name on the Hub: one with an owner, or one that was never seen on a disk."""
    unseen = info.base_from_here is None and info.base_sha256 is None
    return not Path(info.base).is_absolute() and ("/" in info.base or unseen)


def _has_weights(place: Path, hash_: str | None) -> bool:
    weights = place / WEIGHTS
    return hash_ is not None and weights.is_file() and base_hash(weights) == hash_


def cache_of(folder: Path, info: EstimatorInfo) -> Path:
    """Return where a converted base is kept: where the fit kept it, or in the user's cache."""
    found = [folder / info.cache_from_here] if info.cache_from_here else []
    places = [*found, *([Path(info.cache)] if info.cache else [])]
    return next((place.resolve() for place in places if place.is_dir()), Path.home() / ".cache" / "odds")


def is_estimator(base: str | Path) -> bool:
    """Return whether a base is the folder of an estimator, which answers before it is fitted."""
    return (Path(base) / _INFO).is_file()


def read_info(folder: Path) -> EstimatorInfo | None:
    """Return the description of the estimator in a folder; None if it has none, as published checkpoints."""
    path = folder / _INFO
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; train an estimator first")
    if not path.exists():
        return None
    try:
        return EstimatorInfo.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise InputError(f"{path}: not the description of an estimator: {line_of(error)}") from error
