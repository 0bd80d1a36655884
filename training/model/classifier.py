"""A classifier of pairs from elsewhere, such as one of natural language inference: how likely it finds hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from training.model.base import line_of, most_tokens, read_folder
from training.model.device import place_of
from training.model.encoder import PairEncoder, pair_inputs
from training.model.estimator import Estimator
from training.model.packing import Batch, one_per_row
from training.model.saved import EstimatorInfo
from training.settings import Device, Precision
from warehouse.errors import InputError
from warehouse.records import PropositionText

KIND = "ForSequenceClassification"
"""The end of the names of such classes in transformers."""
_SAMPLES = [
    PropositionText(proposition_id=name, premise="Two children build a boat. " * times, hypothesis="It is red.")
    for name, times in (("short", 1), ("long", 3))
]
_CLOSE = 1e-3


class _ClassifierNetwork(PairEncoder):
    """A classifier that is read as an estimator of two levels: false and true."""

    weights: torch.Tensor

    def __init__(self, model: Any, weights: Sequence[float], *, segments: bool) -> None:
        super().__init__(model, levels=2)
        self.segments = segments
        self.register_buffer("weights", torch.tensor(weights), persistent=False)

    def forward(self, batch: Batch, *_: object, **__: object) -> torch.Tensor:
        """Return the logs [n, 2] of 1 - p and p, in float32."""
        logits = self.logits(batch)
        if logits.shape[1] > 1:
            true = (torch.softmax(logits, dim=1) * self.weights).sum(dim=1)  # a product would be in bf16 there
        elif self.model.config.problem_type == "regression":
            true = logits[:, 0].clamp(0, 1)
        else:
            true = torch.sigmoid(logits[:, 0])
        return torch.stack([torch.log1p(-true), torch.log(true)], dim=1)

    def logits(self, batch: Batch) -> torch.Tensor:
        """Return the outputs [n, labels] of the classifier, in float32."""
        inputs, _inside = pair_inputs(self.model, batch)
        if not self.segments:
            inputs.pop("token_type_ids", None)
        logits: torch.Tensor = self.model(**inputs).logits.float()
        return logits


def load_classifier(folder: Path, device: Device = "auto", precision: Precision = "auto") -> Estimator:
    """Load a model of transformers for sequence classification, to be read as P(hypothesis | premise) by `answers`.

    With labels of natural language inference, its answer is the probability of entailment and half that of neutral.
    With one output it is that, cut to 0 and 1, if the model was fitted for regression, and its sigmoid otherwise.

    Raises:
        InputError: it cannot be loaded or read in batches, or its labels are none of these.
    """
    from transformers import AutoModelForSequenceClassification

    model, tokenizer, lacking = read_folder(folder, AutoModelForSequenceClassification, "classifier")
    if lacking:
        raise InputError(f"{folder}: {len(lacking)} weights of the classifier are missing, such as {lacking[0]}")
    if not tokenizer.is_fast:
        raise InputError(f"{folder}: its tokenizer has no tokenizer.json; save it as a fast tokenizer")
    segments = "token_type_ids" in tokenizer.model_input_names
    network = _ClassifierNetwork(model, _weights(folder, model.config), segments=segments)
    _check_reading(network.eval(), tokenizer, folder)
    most = min(tokenizer.model_max_length, most_tokens(model))
    info = EstimatorInfo(base=folder.name, levels=2, max_length=most, weights="whole")
    return Estimator.to_score(network, tokenizer, info, place_of(device, precision))


def _weights(folder: Path, config: Any) -> list[float]:
    """Return what each label of a classifier adds to the probability of a hypothesis."""
    names = [str(config.id2label.get(place, "without a name")).casefold() for place in range(config.num_labels)]
    entails = [name.startswith("entail") for name in names]
    if config.problem_type == "multi_label_classification":
        raise InputError(f"{folder}: a classifier with several labels at once; give its scores with --scores")
    if len(names) > 1 and (sum(entails) != 1 or "without a name" in names):
        raise InputError(
            f"{folder}: a classifier with the labels {', '.join(names[:4])}; id2label in its config.json has to name "
            "them from 0 on, and one of them entailment"
        )
    return [1.0 if entail else 0.5 if name == "neutral" else 0.0 for name, entail in zip(names, entails, strict=True)]


@torch.no_grad()
def _check_reading(network: _ClassifierNetwork, tokenizer: Any, folder: Path) -> None:
    """Raise `InputError` unless a pair has the same answer alone and beside a longer one."""
    prompts = network.encode(tokenizer, _SAMPLES, most_tokens(network.model)).prompts()
    device = next(network.parameters()).device
    try:
        (alone,), (beside, _) = (network.logits(one_per_row(some, device).batch) for some in (prompts[:1], prompts))
    except Exception as error:  # a foreign model may raise anything
        raise InputError(f"{folder}: this kind of classifier cannot be read: {line_of(error)}") from error
    if not (torch.isfinite(alone).all() and torch.isfinite(beside).all()):
        raise InputError(f"{folder}: the model computes NaN; its weights are corrupt")
    if (alone - beside).abs().max() > _CLOSE * (1 + alone.abs().max()):
        raise InputError(
            f"{folder}: this kind of classifier answers differently beside longer texts; give its scores with --scores"
        )
