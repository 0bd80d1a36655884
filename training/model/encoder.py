"""The encoder baseline: a bidirectional model that reads premise and hypothesis as a pair, with a level head.

Its prompts are pairs as its tokenizer joins them, such as `[CLS] premise [SEP] hypothesis [SEP]`. It needs no level
tokens: the head gives K logits, so the levels have all the mass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from training.model.base import line_of, read_folder
from training.model.cut_points import CutPoints
from training.model.packing import Batch, one_per_row
from training.model.prompt import Encoded
from warehouse.errors import InputError
from warehouse.records import PropositionText

_SEGMENT = 24
"""A stored token has its id in the lower bits, and its segment above them: 1 in the hypothesis."""
_SAMPLE = PropositionText(proposition_id="-", premise="Two children build a boat.", hypothesis="It is red.")
_CLOSE = 1e-6  # of the spread of the states; in a causal model they are equal


class LevelMap(nn.Module):
    """A linear map `rows` [K, hidden] to the level logits. It starts at the uniform distribution."""

    level_ids: torch.Tensor

    def __init__(self, hidden: int, levels: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(levels, hidden))
        self.register_buffer("level_ids", torch.arange(levels), persistent=False)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Return the logits [n, K] of states [n, hidden]."""
        return state @ self.rows.float().T


class PairEncoder(nn.Module):
    """An encoder with a level head on the mean of its states; fitted and read like `training.model.network.Network`."""

    trees = False

    def __init__(self, model: Any, levels: int) -> None:
        super().__init__()
        self.model = model
        self.head = LevelMap(model.config.hidden_size, levels)
        self.cuts: CutPoints | None = None

    def forward(self, batch: Batch, *_: object, **__: object) -> torch.Tensor:
        """Return the logits [n, K] of a batch with one pair per row, in float32."""
        states, inside = read_pairs(self.model, batch)
        with torch.autocast(states.device.type, enabled=False):
            weights = inside[..., None].float()
            logits: torch.Tensor = self.head((states.float() * weights).sum(dim=1) / weights.sum(dim=1))
        return logits

    @staticmethod
    def encode(tokenizer: Any, propositions: Sequence[PropositionText], max_length: int) -> Encoded:
        """Return the pairs as at most `max_length` tokens each. The start of a long premise is cut.

        Special tokens in a text are text.
        """
        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True
        texts = [(each.premise, each.hypothesis) for each in propositions]
        return Encoded.of(_shortened(each, max_length) for each in backend.encode_batch(texts))

    def cast_weights(self, dtype: torch.dtype) -> None:
        """Cast the weights of the encoder, but neither its head nor buffers."""
        for parameter in self.model.parameters():
            parameter.data = parameter.data.to(dtype)

    @contextmanager
    def plain(self) -> Iterator[Any]:
        """Give the model without its head."""
        yield self.model


def load_encoder(base: str | Path) -> tuple[Any, Any]:
    """Return an encoder in Hugging Face format, with float32 weights and without a pooler, and its tokenizer.

    Raises:
        InputError: it cannot be loaded, lacks weights, or is not an encoder.
    """
    from transformers import AutoModel

    model, tokenizer, lacking = read_folder(base, AutoModel, "encoder")
    if lacking := [name for name in lacking if not name.startswith("pooler.")]:
        raise InputError(f"{base}: {len(lacking)} weights of the encoder are missing, such as {lacking[0]}")
    if not tokenizer.is_fast:
        raise InputError(f"{base}: its tokenizer has no tokenizer.json; save it as a fast tokenizer")
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    _check_reading(model, tokenizer, str(base))
    return model, tokenizer


def read_pairs(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the last states [n, width, hidden] of a batch, and which tokens [n, width] are not padding."""
    inputs, inside = pair_inputs(model, batch)
    states: torch.Tensor = model(**inputs).last_hidden_state
    return states, inside


def pair_inputs(model: Any, batch: Batch) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return what a model of pairs is called with for a batch, and which tokens [n, width] are not padding."""
    inside = batch.position_ids <= (batch.answers % batch.input_ids.shape[1])[:, None]
    segments = {"token_type_ids": batch.input_ids >> _SEGMENT} if _has_segments(model) else {}
    ids = batch.input_ids & ((1 << _SEGMENT) - 1)
    return {"input_ids": ids, "attention_mask": inside.long(), **segments}, inside


def _has_segments(model: Any) -> bool:
    return getattr(model.config, "type_vocab_size", 0) > 1


def _shortened(pair: Any, max_length: int) -> tuple[list[int], bool] | None:
    """Return the tokens of a pair without the start of a long premise, and whether it was cut; None if all of it is."""
    tokens = [token | segment << _SEGMENT for token, segment in zip(pair.ids, pair.type_ids, strict=True)]
    excess = len(tokens) - max_length
    if excess <= 0:
        return tokens, False
    premise = [place for place, text in enumerate(pair.sequence_ids) if text == 0]
    if excess > len(premise):
        return None
    return tokens[: premise[0]] + tokens[premise[0] + excess :], True


@torch.no_grad()
def _check_reading(model: Any, tokenizer: Any, base: str) -> None:
    """Raise `InputError` unless the model sees later tokens, and computes numbers."""
    model.eval()
    (tokens,) = PairEncoder.encode(tokenizer, [_SAMPLE], 10**6).prompts()
    other = np.array([*tokens[:-2], tokens[1], tokens[-1]], dtype=np.int32)
    device = next(model.parameters()).device
    try:
        states, changed = (read_pairs(model, one_per_row([each], device).batch)[0][0] for each in (tokens, other))
    except Exception as error:  # a foreign model may raise anything
        raise InputError(f"{base}: this kind of model cannot be read as an encoder: {line_of(error)}") from error
    if not torch.isfinite(states).all():
        raise InputError(f"{base}: the model computes NaN; its weights are corrupt")
    earlier = slice(len(tokens) - 2)  # one of them may hardly look at the token that changed: fits can do that
    if (states[earlier] - changed[earlier]).abs().max() <= _CLOSE * states.std():
        raise InputError(
            f'{base} reads from left to right, as causal language models do; set training.kind to "causal", or '
            "training.base to an encoder such as BERT"
        )
