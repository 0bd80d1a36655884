"""The network of an estimator: a causal language model that is read at answer positions, with K level rows of its own.

Of the output matrix only the rows of the level tokens are new, and level tokens never occur in a prompt, so a fit
trains these K rows apart from the matrix. The input embedding stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.model.cut_points import CutPoints
from training.model.packing import Batch
from training.model.prompt import Encoded, encode
from warehouse.records import PropositionText


class LevelHead(nn.Module):
    """The output matrix of a model, read only at answer positions, with the level rows as parameters of their own.

    Attributes:
        weight: [vocab, hidden], the model's own; shared with the input embedding where that is tied.
        rows: [K, hidden] in float32, which replace the rows `level_ids` of `weight`.
        answers: The positions [n] to read in the flattened hidden states; None for all.
        levels_only: Whether to compute only the K level logits.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    level_ids: torch.Tensor

    def __init__(self, output: Any, level_ids: Sequence[int]) -> None:
        super().__init__()
        self.register_parameter("weight", output.weight)
        self.register_parameter("bias", getattr(output, "bias", None))
        self.register_buffer("level_ids", torch.tensor(level_ids), persistent=False)
        self.rows = nn.Parameter(output.weight.detach()[list(level_ids)].float().clone())
        self.answers: torch.Tensor | None = None
        self.levels_only = False

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits [n, vocab] of hidden states [..., hidden], or [n, K], in float32."""
        states = hidden.flatten(0, -2)
        if self.answers is not None:
            states = states[self.answers]
        with torch.autocast(states.device.type, enabled=False):
            levels = states.float() @ self.rows.float().T
            if self.bias is not None:
                levels = levels + self.bias[self.level_ids].float()
        if self.levels_only:
            return levels
        logits = functional.linear(states.to(self.weight.dtype), self.weight, self.bias).float()
        return logits.index_copy(1, self.level_ids, levels)


class Network(nn.Module):
    """A causal language model with level rows. `trees` tells whether it can read several prompts in a row.

    `cuts` are what a fit learns about ordinal labels; scoring does not need them.
    """

    def __init__(self, model: Any, level_ids: Sequence[int], *, trees: bool = True) -> None:
        super().__init__()
        self.trees = trees
        self.head = LevelHead(model.get_output_embeddings(), level_ids)
        self._output = [model.get_output_embeddings()]  # in a list, so that it is not a part of this module
        model.set_output_embeddings(self.head)
        self.model = model
        self.cuts: CutPoints | None = None

    def forward(
        self, batch: Batch, states: torch.Tensor | None = None, *, lower: int = 0, levels_only: bool = False
    ) -> torch.Tensor:
        """Return the logits of the prompts of a batch in float32.

        Args:
            batch: The prompts.
            states: The states [rows, width, hidden] after the `lower` lowest layers, which are then not computed.
            lower: How many layers `states` come from.
            levels_only: Whether to compute only the K level logits.

        Returns:
            [n, vocab], or [n, K].
        """
        self.head.answers, self.head.levels_only = batch.answers, levels_only
        if states is None:
            logits: torch.Tensor = read(self.model, batch)
            return logits
        with _without(self.model, lower):
            return read(self.model, batch, states)

    @staticmethod
    def encode(tokenizer: Any, propositions: Sequence[PropositionText], max_length: int) -> Encoded:
        """Return the prompts of propositions; see `training.model.prompt.encode`."""
        return encode(tokenizer, propositions, max_length)

    @torch.no_grad()
    def below(self, batch: Batch, layers: int) -> torch.Tensor:
        """Return the states [rows, width, hidden] of a batch after the lowest layers."""
        next_layer = layers_of(self.model)[2][layers]
        handle = next_layer.register_forward_pre_hook(_stop, with_kwargs=True)
        try:
            read(self.model, batch)
        except _Reached as reached:
            return reached.states
        finally:
            handle.remove()
        raise ValueError(f"the model does not run its layer {layers}")

    def cast_weights(self, dtype: torch.dtype) -> None:
        """Cast the weights, but neither the level rows nor buffers: rounded rotary frequencies move far positions."""
        for parameter in self.model.parameters():
            if parameter is not self.head.rows:
                parameter.data = parameter.data.to(dtype)

    def hollow(self) -> Network:
        """Return a copy whose parameters have no elements yet, and which alone gives a plain model from now on.

        This network keeps no second hold on its output matrix, which can then be split over processes.
        """
        empty = {id(p): nn.Parameter(p.detach().new_empty(0), p.requires_grad) for p in self.parameters()}
        copied = copy.deepcopy(self, dict[int, Any](empty))
        self._output.clear()
        return copied

    @contextmanager
    def plain(self) -> Iterator[Any]:
        """Give the model without level rows of its own for a while: they are written into its output matrix."""
        (output,) = self._output
        with torch.no_grad():
            output.weight[self.head.level_ids] = self.head.rows.to(output.weight.dtype)
        self.model.set_output_embeddings(output)
        try:
            yield self.model
        finally:
            self.model.set_output_embeddings(self.head)


def read(model: Any, batch: Batch, states: torch.Tensor | None = None) -> torch.Tensor:
    """Return a model's logits for a batch, or for the states of its tokens."""
    mask = batch.visible()
    if mask is not None and model.config._attn_implementation != "sdpa":
        dtype = next(model.parameters()).dtype
        mask = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
    places = {} if mask is None else {"position_ids": batch.position_ids, "attention_mask": mask}
    inputs = {"input_ids": batch.input_ids} if states is None else {"inputs_embeds": states}
    logits: torch.Tensor = model(**inputs, **places, use_cache=False).logits
    return logits


def layers_of(model: Any) -> tuple[nn.Module, str, nn.ModuleList]:
    """Return the layers of a model, with the module that has them and their name in it."""
    wanted = model.config.num_hidden_layers
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == wanted:
                return module, name, child
    raise ValueError("the model has no list of layers")


class _Reached(Exception):  # noqa: N818 - not a fault
    """A forward pass reached the layer whose input is wanted."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def _stop(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
    raise _Reached(inputs[0] if inputs else named["hidden_states"])


@contextmanager
def _without(model: Any, lower: int) -> Iterator[None]:
    """Take the lowest layers out of a model for a while."""
    owner, name, layers = layers_of(model)
    setattr(owner, name, nn.ModuleList(list(layers)[lower:]))
    try:
        yield
    finally:
        setattr(owner, name, layers)
