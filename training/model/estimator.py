"""The estimator: a causal LM with one token a level, read at the answer position only."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from training.levels import level_token
from training.model.base import add_rows, embeddings, line_of, load_base, pretrained
from training.model.batches import Batch
from training.model.device import Place, place_of
from training.settings import Device, Precision
from warehouse.atomic import whole_folder
from warehouse.errors import InputError

_CARD = "estimator.json"


class Card(BaseModel):
    """What a saved estimator needs beside its weights: the file `estimator.json` in its folder.

    `base` and `cache` are whole paths (or a name in Hugging Face format); `base_from_here` and `cache_from_here` are
    the same relative to the folder, for when it was moved together with them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    cache: str
    base_from_here: str | None = None
    cache_from_here: str | None = None
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


def add_levels(model: Any, tokenizer: Any, levels: int, seed: int) -> list[int]:
    """Give a model and its tokenizer the level tokens that they lack, and return the ids of all K.

    A new row of the embedding (and of an untied output matrix) is the mean row with a little noise that depends on
    `seed` alone. Raises InputError where the model has more levels already, or its tokenizer takes no new tokens.
    """
    if (found := count_levels(tokenizer)) > levels:
        raise InputError(f"the base model answers in {found} levels already; set levels to {found}, not to {levels}")
    missing = [level_token(level) for level in range(found, levels)]
    if missing:
        tokenizer.add_tokens(missing)
        if count_levels(tokenizer) != levels:
            raise InputError("the base model's tokenizer takes no new tokens, which the levels need; take another base")
        add_rows(model, tokenizer, missing, seed)
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
        trainable_token_indices=dict.fromkeys(embeddings(model), level_ids),
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
        model, tokenizer = pretrained(folder)
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
    with whole_folder(out_dir) as scratch:
        save_estimator(replace(estimator, model=model, card=card), scratch)


def _with_adapter(folder: Path, card: Card) -> tuple[Any, Any]:
    from peft import PeftModel
    from safetensors import SafetensorError

    cache = folder / card.cache_from_here if card.cache_from_here else Path(card.cache)
    model, tokenizer = load_base(_place_of_base(folder, card), cache)
    add_levels(model, tokenizer, card.levels, seed=0)
    try:
        with _without_future_warnings():
            return PeftModel.from_pretrained(model, folder), tokenizer
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: its adapter does not fit the base {card.base}: {line_of(error)}") from error


def _place_of_base(folder: Path, card: Card) -> str:
    """Where the base of a saved adapter is now. Raises InputError where its files are gone."""
    if not Path(card.base).is_absolute() or Path(card.base).exists():
        return card.base
    if card.base_from_here and (moved := folder / card.base_from_here).exists():
        return str(moved.resolve())
    raise InputError(f"{card.base}: the base of the estimator {folder.name} is gone; put it back, or run odds train")


def _read_card(folder: Path) -> Card | None:
    path = folder / _CARD
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; train an estimator first")
    if not path.exists():
        return None
    try:
        return Card.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise InputError(f"{path}: not an estimator's card: {line_of(error)}") from error


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
