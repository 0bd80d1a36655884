"""The start of a fit: the base with level tokens, which answers with a level even before the first step."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from training.model.base import check_length, embeddings, load_base
from training.model.batches import Batch, collate, encode_table, sorted_batches
from training.model.estimator import Estimator, answer_logits
from training.model.level_tokens import add_levels, count_levels
from training.model.saved import EstimatorInfo, without_future_warnings
from training.settings import FitSettings

_PROMPTS = 32
"""How many prompts to average the state over; before a fit, states at the answer position are much alike."""
_AHEAD = 2.0
"""Nats by which all levels together exceed all other tokens."""


def start(settings: FitSettings, cache: Path, train: pa.Table, out_dir: Path) -> Estimator:
    """Return the estimator before the first step.

    Args:
        settings: How to fit.
        cache: Where a converted base is kept.
        train: The training split, whose first rows set where answers start.
        out_dir: Where the estimator will be saved, so that it can be moved together with its base and cache.

    Raises:
        InputError: the base cannot be used.
    """
    local, here = Path(settings.base), out_dir.resolve()
    base = str(local.resolve()) if local.exists() else settings.base
    model, tokenizer = load_base(base, cache)
    check_length(model, settings.max_length, base)
    known = count_levels(tokenizer)
    level_ids = add_levels(model, tokenizer, settings.levels, settings.seed)
    if new := level_ids[known:]:
        lift_levels(model, new, _sample(tokenizer, train.slice(0, _PROMPTS), settings))
    if settings.tuning == "lora":
        model = with_lora(model, level_ids, settings.lora_rank, settings.lora_alpha, settings.lora_dropout)
    info = EstimatorInfo(
        base=base,
        cache=str(cache.resolve()),
        base_from_here=os.path.relpath(base, here) if local.exists() else None,
        cache_from_here=os.path.relpath(cache.resolve(), here),
        levels=settings.levels,
        max_length=settings.max_length,
        temperature=settings.temperature,
        weights="adapter" if settings.tuning == "lora" else "whole",
    )
    return Estimator.of(model, tokenizer, info, settings.device, settings.precision)


def with_lora(model: Any, level_ids: list[int], rank: int, alpha: int, dropout: float) -> Any:
    """Return the model with LoRA on all linear layers; of the embedding only the level rows are trained.

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
    with without_future_warnings():
        return get_peft_model(model, config)


@torch.no_grad()
def lift_levels(model: Any, level_ids: list[int], batches: Sequence[Batch]) -> None:
    """Move new level rows of the output matrix so that the model answers with a level.

    A row near the mean row has a logit far below that of likely words: 18 nats in SmolLM2. The first steps of a fit
    would only lift all levels together; in full tuning that makes the states at the answer position alike, and nothing
    is learned. So each row w becomes w + (z - w.h) h / h.h, where h is the mean state at the answer position, and z is
    such that all new levels together have e^2 times the mass of all other tokens. Across h, the rows don't change.
    """
    if not batches:
        return
    output = model.get_output_embeddings()
    states: list[torch.Tensor] = []
    handle = output.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0][:, -1].float()))
    try:
        model.eval()
        others = torch.cat([answer_logits(model, batch) for batch in batches]).logsumexp(dim=-1).mean()
    finally:
        handle.remove()
    mean = torch.cat(states).mean(dim=0)
    rows = output.weight.data[level_ids].float()
    missing = others + _AHEAD - math.log(len(level_ids)) - rows @ mean
    lifted = rows + torch.outer(missing, mean) / (mean @ mean)
    output.weight.data[level_ids] = lifted.to(output.weight.dtype)


def _sample(tokenizer: Any, rows: pa.Table, settings: FitSettings) -> list[Batch]:
    """Return the prompts of some rows, in batches on the CPU, where the base still is."""
    prompts, _ = encode_table(tokenizer, rows, settings.max_length)
    batches = sorted_batches(prompts.lengths(), settings.batch_size)
    return [collate(prompts, indices, tokenizer.pad_token_id, torch.device("cpu")) for indices in batches]
