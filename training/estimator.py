"""The estimator: a causal LM with one token a level, read at the answer position only."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from training.batches import Batch
from training.device import Place, place_of
from training.folders import new_folder
from training.gguf import read_once
from training.levels import level_token
from training.settings import Device, Precision
from warehouse.errors import InputError

_CARD = "estimator.json"
_NOISE = 0.02


class Card(BaseModel):
    """What a saved estimator needs beside its weights: the file `estimator.json` in its folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    cache: str
    levels: int
    max_length: int
    weights: Literal["adapter", "whole"]


@dataclass(frozen=True)
class Estimator:
    """A model with its tokenizer. `level_ids` [K] are the level tokens in their order, on the model's device."""

    model: Any
    tokenizer: Any
    level_ids: torch.Tensor
    card: Card
    place: Place

    @property
    def device(self) -> torch.device:
        """Where the model and its inputs lie."""
        return self.place.device


def load_base(base: str | Path, cache: Path) -> tuple[Any, Any]:
    """The model, with float32 weights, and its tokenizer.

    `base` is a GGUF file, which is converted once into a folder under `cache`, or a folder or a name in Hugging Face
    format. Raises InputError where it cannot be loaded.
    """
    place = _converted(Path(base), cache) if str(base).endswith(".gguf") else base
    return _pretrained(place)


def add_levels(model: Any, tokenizer: Any, levels: int, seed: int) -> list[int]:
    """Give a model and its tokenizer the level tokens that they lack, and return the ids of all K.

    A new row of the embedding (and of an untied output matrix) is the mean row with a little noise that depends on
    `seed` alone. Raises InputError where the model has more levels already.
    """
    if (found := count_levels(tokenizer)) > levels:
        raise InputError(f"the base model answers in {found} levels already; set levels to {found}, not to {levels}")
    missing = [level_token(level) for level in range(found, levels)]
    if missing:
        tokenizer.add_tokens(missing)
        if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        new = tokenizer.convert_tokens_to_ids(missing)
        for matrix in _embeddings(model).values():
            _initialise(matrix.weight.data, new, seed)
    return [int(tokenizer.convert_tokens_to_ids(level_token(level))) for level in range(levels)]


def with_lora(model: Any, level_ids: list[int], rank: int, alpha: int, dropout: float) -> Any:
    """The model with LoRA on all linear layers; beside it only the level rows of the embedding are trained.

    Tied output rows are the same parameters as the input rows; untied ones are trained on their own.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        trainable_token_indices=dict.fromkeys(_embeddings(model), level_ids),
    )
    with _without_future_warnings():
        return get_peft_model(model, config)


def answer_logits(model: Any, batch: Batch) -> torch.Tensor:
    """The logits [batch, vocab] at the answer position, in float32; no other position meets the output matrix."""
    output = model(**batch._asdict(), logits_to_keep=1, use_cache=False)
    logits: torch.Tensor = output.logits[:, -1].float()
    return logits


def autocast(estimator: Estimator) -> torch.autocast:
    """The context in which the estimator's model runs at its precision."""
    return torch.autocast(estimator.device.type, dtype=torch.bfloat16, enabled=estimator.place.precision == "bf16")


def save_estimator(estimator: Estimator, folder: Path) -> None:
    """Write the estimator into an existing folder: its adapter (or whole weights), its tokenizer and its card."""
    # of an adapter's embedding only the level rows are new, and peft keeps those with the adapter
    options = {"save_embedding_layers": False} if estimator.card.weights == "adapter" else {}
    estimator.model.save_pretrained(folder, **options)
    estimator.tokenizer.save_pretrained(folder)
    (folder / _CARD).write_text(estimator.card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_estimator(folder: Path, device: Device = "auto", precision: Precision = "auto") -> Estimator:
    """The estimator saved in a folder, ready to score.

    A folder without a card is taken as a published checkpoint in Hugging Face format that has the level tokens.
    Raises InputError where the folder or its base is missing or unusable.
    """
    card = _read_card(folder)
    if card is not None and card.weights == "adapter":
        model, tokenizer = _with_adapter(folder, card)
    else:
        model, tokenizer = _pretrained(folder)
    levels = count_levels(tokenizer)
    if levels < 2 or (card is not None and card.levels != levels):
        raise InputError(f"{folder}: its tokenizer has {levels} level tokens; this is no estimator")
    card = card or Card(base=str(folder), cache="", levels=levels, max_length=256, weights="whole")
    return assemble(model.eval(), tokenizer, card, device, precision)


def assemble(model: Any, tokenizer: Any, card: Card, device: Device, precision: Precision) -> Estimator:
    """The estimator of these parts, on the device."""
    place = place_of(device, precision)
    ids = torch.tensor(
        [tokenizer.convert_tokens_to_ids(level_token(i)) for i in range(card.levels)], device=place.device
    )
    return Estimator(model.to(place.device), tokenizer, ids, card, place)


def merge_estimator(folder: Path, out_dir: Path) -> None:
    """Write the estimator in `folder` as whole weights into `out_dir`, a model like any other in Hugging Face format.

    `AutoModelForCausalLM.from_pretrained(out_dir)` loads it, a server serves it, and its answer is a level token.
    """
    estimator = load_estimator(folder, device="cpu", precision="fp32")
    model = estimator.model.merge_and_unload() if estimator.card.weights == "adapter" else estimator.model
    card = estimator.card.model_copy(update={"weights": "whole"})
    with new_folder(out_dir) as scratch:
        save_estimator(replace(estimator, model=model, card=card), scratch)


def _with_adapter(folder: Path, card: Card) -> tuple[Any, Any]:
    from peft import PeftModel
    from safetensors import SafetensorError

    model, tokenizer = load_base(card.base, Path(card.cache))
    add_levels(model, tokenizer, card.levels, seed=0)
    try:
        with _without_future_warnings():
            return PeftModel.from_pretrained(model, folder), tokenizer
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: its adapter does not fit the base {card.base}: {_line(error)}") from error


def _read_card(folder: Path) -> Card | None:
    path = folder / _CARD
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; train an estimator first")
    if not path.exists():
        return None
    try:
        return Card.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise InputError(f"{path}: not an estimator's card: {_line(error)}") from error


def _pretrained(place: str | Path) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # whoever calls shows progress of their own
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(place))
        model = AutoModelForCausalLM.from_pretrained(str(place), dtype=torch.float32)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{place}: no language model could be loaded from there: {_line(error)}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def _converted(gguf: Path, cache: Path) -> Path:
    """The folder in Hugging Face format of a GGUF file; its name holds the file's hash, so it is never stale."""
    try:
        with gguf.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{gguf}: the base model cannot be read: {_line(error)}") from error
    folder = cache / f"{gguf.stem}-{digest[:12]}"
    if not folder.exists():
        try:
            with new_folder(folder) as scratch:
                _convert(gguf, scratch)
        except InputError:
            if not folder.exists():  # else another process has just made it
                raise
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with read_once():
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
            model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{gguf}: not a GGUF file of a known language model: {_line(error)}") from error
    model.hf_quantizer = None  # the weights are plain floats now; transformers would refuse to save them
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _embeddings(model: Any) -> dict[str, Any]:
    """The matrices with a row a token, by module name: the input embedding and, where it is not tied, the output."""
    found = {"input": model.get_input_embeddings()}
    if model.get_output_embeddings().weight is not found["input"].weight:
        found["output"] = model.get_output_embeddings()
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(module)]: module for module in found.values()}


def level_matrices(model: Any) -> list[torch.Tensor]:
    """The weights that have a row a token: the input embedding and, where it is not tied, the output matrix."""
    return [matrix.weight.data for matrix in _embeddings(model).values()]


def _initialise(weight: torch.Tensor, rows: list[int], seed: int) -> None:
    old = torch.ones(len(weight), dtype=torch.bool)
    old[rows] = False
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((len(rows), weight.shape[1])))
    weight[rows] = (weight[old].mean(dim=0) + _NOISE * weight[old].std() * noise).to(weight.dtype)


def count_levels(tokenizer: Any) -> int:
    """How many level tokens, from level 0 on, a tokenizer has."""
    present = tokenizer.get_vocab()
    levels = 0
    while level_token(levels) in present:
        levels += 1
    return levels


@contextmanager
def _without_future_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads a property that transformers is renaming
        yield


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
