"""The start of a fit: the base with levels, which answers with a level even before the first step."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from training.identity import base_hash, base_name
from training.model.base import WEIGHTS, cached_base, check_length, load_base, reads_trees
from training.model.device import Place, place_of
from training.model.encoder import PairEncoder
from training.model.estimator import Estimator
from training.model.level_tokens import add_levels, count_levels
from training.model.network import Network, layers_of
from training.model.prompt import encode
from training.model.saved import EstimatorInfo, Weights, encoder_of, without_future_warnings
from training.model.texts import Rows, batch_texts, pair_sides, texts
from training.settings import FitSettings
from warehouse.errors import InputError
from warehouse.records import PropositionText

_PROMPTS = 32
"""How many prompts to average the state over; before a fit, states at the answer position are much alike."""
_AHEAD = 2.0
"""Nats by which all levels together exceed all other tokens."""


def start(
    settings: FitSettings, cache: Path, train: Rows, out_dir: Path, *, pairs: Rows | None = None, move: bool = True
) -> Estimator:
    """Return the estimator before the first step.

    Args:
        settings: How to fit.
        cache: Where a converted base is kept.
        train: The propositions of the training split, whose first rows set where answers start.
        out_dir: Where the estimator will be saved, so that it can be moved together with its base and cache.
        pairs: Its order pairs, which do so if it has no propositions.
        move: Whether to move the network to its device. Otherwise it stays on the CPU, to be split first.

    Raises:
        InputError: the base cannot be used.
    """
    begin = _start_encoder if settings.kind == "encoder" else _start_causal
    estimator = begin(settings, cache, _texts(train, pairs), _info(settings, cache, out_dir))
    estimator = replace(estimator, info=_with_version(estimator.info, settings.base))
    place = place_of(settings.device, settings.precision)
    if settings.gradient_checkpointing:
        with without_future_warnings():
            estimator.network.model.gradient_checkpointing_enable()
    network = estimator.network.to(place.device) if move else estimator.network
    return replace(estimator, network=network, place=place)


def _texts(train: Rows, pairs: Rows | None) -> Iterator[PropositionText]:
    """Yield the propositions of the training split, then the higher and the lower ones of its order pairs."""
    yield from texts(train)
    for batch in pairs.to_batches() if pairs is not None else ():
        for side in pair_sides(batch):
            yield from batch_texts(side)


def _start_causal(
    settings: FitSettings, cache: Path, train: Iterator[PropositionText], info: EstimatorInfo
) -> Estimator:
    model, tokenizer = load_base(settings.base, cache)
    check_length(model, settings.max_length, settings.base)
    known = count_levels(tokenizer)
    level_ids = add_levels(model, tokenizer, settings.levels, settings.seed)
    network = Network(model, level_ids, trees=reads_trees(model, tokenizer))
    estimator = Estimator(network, tokenizer, info, Place(torch.device("cpu"), "fp32"))
    if lower := lower_layers(model, settings):
        check_parting(estimator, lower, settings.base)
    if known < settings.levels:
        lift_levels(estimator, slice(known, None), train)
    _choose_trained(network, settings, info)
    return estimator


def _start_encoder(
    settings: FitSettings, _cache: Path, _train: Iterator[PropositionText], info: EstimatorInfo
) -> Estimator:
    network, tokenizer = encoder_of(settings.base, settings.levels)
    check_length(network.model, settings.max_length, settings.base, tokenizer.model_max_length)
    _choose_trained(network, settings, info)
    return Estimator(network, tokenizer, info, Place(torch.device("cpu"), "fp32"))


def _choose_trained(network: Network | PairEncoder, settings: FitSettings, info: EstimatorInfo) -> None:
    """Leave the parameters that are not fitted without gradients, and add LoRA if that is what is fitted."""
    for parameter in network.parameters():
        parameter.requires_grad_(settings.tuned == "full")
    if settings.tuned != "full":
        # Only frozen weights are in bf16: an adapter and the level rows stay in float32.
        if place_of(settings.device, settings.precision).precision == "bf16":
            network.cast_weights(torch.bfloat16)
        without_dropout(network.model)
        network.model = with_lora(network.model, settings)
        network.model.peft_config["default"].base_model_name_or_path = info.base  # not a path of this machine
    network.head.rows.requires_grad_(True)


def _with_version(info: EstimatorInfo, base: str) -> EstimatorInfo:
    """Return what is told of an estimator with the hash of its base, if that has just been loaded from the Hub."""
    if Path(base).exists() or "/" not in base or (cached := cached_base(base)) is None:
        return info
    weights = cached / WEIGHTS
    return info.model_copy(update={"base_sha256": base_hash(weights)}) if weights.is_file() else info


def _info(settings: FitSettings, cache: Path, out_dir: Path) -> EstimatorInfo:
    base, here = Path(settings.base), out_dir.resolve()
    local = base.exists()
    return EstimatorInfo(
        base=base_name(settings.base),
        base_sha256=base_hash(base) if local else None,
        base_from_here=os.path.relpath(base.resolve(), here) if local else None,
        cache_from_here=os.path.relpath(cache.resolve(), here),
        levels=settings.levels,
        max_length=settings.max_length,
        temperature=settings.temperature,
        weights=_weights(settings),
    )


def _weights(settings: FitSettings) -> Weights:
    if settings.kind == "encoder":
        return "encoder" if settings.tuned == "full" else "encoder-adapter"
    return "whole" if settings.tuned == "full" else "adapter"


def with_lora(model: Any, settings: FitSettings) -> Any:
    """Return the model with LoRA on its linear layers: of all layers, or of the upper ones."""
    from peft import LoraConfig, get_peft_model

    from training.model.lora import register

    _, pattern, layers = layers_of(model)
    lower = lower_layers(model, settings)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=linear_names(layers),
        layers_to_transform=list(range(lower, len(layers))),
        layers_pattern=pattern,
        task_type="FEATURE_EXTRACTION" if settings.kind == "encoder" else "CAUSAL_LM",
    )
    register(config)
    with without_future_warnings():
        return get_peft_model(model, config)


def without_dropout(model: Any) -> None:
    """Turn off the dropout that a base brings: as `lora_dropout`, it takes a CPU a sixth of a step."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        # OPT, BLOOM and GPT-NeoX drop out by numbers, such as `attention_dropout`.
        for name, value in list(vars(module).items()):
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def linear_names(layers: Any) -> list[str]:
    """Return the last part of the names of the linear maps in some layers."""
    from transformers.pytorch_utils import Conv1D

    linear = (torch.nn.Linear, Conv1D)
    return sorted({name.rpartition(".")[2] for name, module in layers.named_modules() if isinstance(module, linear)})


def lower_layers(model: Any, settings: FitSettings) -> int:
    """Return how many layers are not fitted: none unless only the upper ones are tuned."""
    return max(model.config.num_hidden_layers - settings.upper_layers, 0) if settings.tuned == "upper" else 0


@torch.no_grad()
def check_parting(estimator: Estimator, lower: int, base: str) -> None:
    """Raise `InputError` unless the upper layers give the same logits from the states of the lower ones."""
    sample = encode(estimator.tokenizer, [PropositionText(proposition_id="-", premise="A.", hypothesis="B.")], 10**6)
    batch, network = estimator.batch(sample.prompts()).batch, estimator.network
    assert isinstance(network, Network)
    network.eval()
    try:
        apart = network(batch, network.below(batch, lower), lower=lower)
        close = torch.allclose(apart, network(batch), atol=1e-3, rtol=1e-3)
    except Exception:  # a foreign model may raise anything
        close = False
    if not close:
        raise InputError(f'{base}: the upper layers of this kind of model cannot run alone; use tuning = "lora"')


@torch.no_grad()
def lift_levels(estimator: Estimator, new: slice, rows: Iterator[PropositionText]) -> None:
    """Move new level rows so that the model answers with a level.

    A row near the mean row has a logit far below that of likely words: 18 nats in SmolLM2. The first steps of a fit
    would only lift all levels together; in full tuning that makes the states at the answer position alike, and nothing
    is learned. So each row w becomes w + (z - w.h) h / h.h, where h is the mean state at the answer position, and z is
    such that all new levels together have e^2 times the mass of all other tokens in softmax(z/T), which is fitted.
    Across h, the rows don't change.
    """
    temperature = estimator.info.temperature
    sample = encode(estimator.tokenizer, list(islice(rows, _PROMPTS)), estimator.info.max_length)
    if not len(sample.rows):
        return
    network, head = estimator.network, estimator.network.head
    states: list[torch.Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
    try:
        network.eval()
        batch = estimator.batch(sample.prompts()).batch
        others = (network(batch) / temperature).logsumexp(dim=-1).mean()
    finally:
        handle.remove()
    mean = states[0].flatten(0, -2)[batch.answers].float().mean(dim=0)
    rows_ = head.rows[new]
    missing = temperature * (others + _AHEAD - math.log(len(rows_))) - rows_ @ mean
    head.rows[new] = rows_ + torch.outer(missing, mean) / (mean @ mean)
