"""The network: level rows of their own, and upper layers that run alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_base import gpt2, llama
from tests.training.test_packing import PROMPTS, tokens
from training.model.network import LevelHead, Network, layers_of
from training.model.packing import one_per_row, pack

IDS = [3, 5, 6]
CPU = torch.device("cpu")


@pytest.fixture(params=["llama", "gpt2"])
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(3)
    made: Any = {"llama": llama, "gpt2": gpt2}[request.param](60)
    return Network(made.eval(), IDS)


@pytest.mark.parametrize("bias", [True, False])
def test_the_head_is_the_output_matrix_with_other_rows(bias: bool) -> None:
    torch.manual_seed(0)
    output, states = torch.nn.Linear(8, 20, bias=bias), torch.randn(2, 5, 8)
    head = LevelHead(output, IDS)
    torch.testing.assert_close(head(states), output(states).flatten(0, 1))
    head.rows.data += torch.randn(3, 8)
    expected = torch.nn.Linear(8, 20, bias=bias)
    expected.load_state_dict(output.state_dict())
    expected.weight.data[IDS] = head.rows.data
    torch.testing.assert_close(head(states), expected(states).flatten(0, 1))
    head.answers = torch.tensor([4, 7])
    torch.testing.assert_close(head(states), expected(states).flatten(0, 1)[[4, 7]])
    head.levels_only = True
    torch.testing.assert_close(head(states), expected(states).flatten(0, 1)[[4, 7]][:, IDS])


def test_level_rows_are_float32_even_in_bf16() -> None:
    torch.manual_seed(0)
    output = torch.nn.Linear(8, 20, bias=False).to(torch.bfloat16)
    head, states = LevelHead(output, IDS), torch.randn(4, 8, dtype=torch.bfloat16)
    assert head.rows.dtype == torch.float32
    head.rows.data += 1e-4  # less than bf16 can tell apart at these sizes
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head(states)
    torch.testing.assert_close(found[:, IDS], states.float() @ head.rows.T)
    assert found.dtype == torch.float32


def test_the_matrix_gets_no_gradient_from_level_logits(network: Network) -> None:
    batch = pack(tokens(PROMPTS), CPU).batch
    network.requires_grad_(False)
    network.head.rows.requires_grad_(True)
    network(batch)[:, IDS].sum().backward()
    assert network.head.rows.grad is not None
    assert network.head.rows.grad.abs().min() > 0
    assert network.head.weight.grad is None


def test_plain_gives_the_model_with_its_level_rows_for_a_while(network: Network) -> None:
    batch = one_per_row(tokens(PROMPTS), CPU).batch
    network.head.rows.data += 0.1
    expected = network(batch)
    with network.plain() as model:
        logits = model(input_ids=batch.input_ids).logits.flatten(0, 1)[batch.answers]
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(network(batch), expected)
    assert network.model.get_output_embeddings() is network.head


@pytest.mark.parametrize("lower", [0, 1])
@pytest.mark.parametrize("arrange", [pack, one_per_row])
def test_the_upper_layers_go_on_from_the_states_of_the_lower_ones(network: Network, arrange: Any, lower: int) -> None:
    batch = arrange(tokens(PROMPTS), CPU).batch
    expected, before = network(batch), len(layers_of(network.model)[2])
    states = network.below(batch, lower)
    if network.model.config.model_type == "gpt2":
        return  # it adds positions to embeddings that it is given, so `check_parting` refuses it
    torch.testing.assert_close(network(batch, states, lower=lower), expected)
    assert len(layers_of(network.model)[2]) == before


def test_states_of_a_prompt_do_not_depend_on_its_batch(network: Network) -> None:
    packed = pack(tokens(PROMPTS), CPU)
    states = network.below(packed.batch, 1).flatten(0, 1)
    for prompt, path in zip(tokens(PROMPTS), packed.paths, strict=True):
        alone = network.below(pack([prompt], CPU).batch, 1)[0, : len(prompt)]
        torch.testing.assert_close(states[np.asarray(path)], alone, atol=1e-5, rtol=1e-4)


def test_a_layer_that_does_not_run_is_an_error(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.model, "forward", lambda **_: type("Output", (), {"logits": None}))
    with pytest.raises(ValueError, match="does not run its layer 1"):
        network.below(pack(tokens(PROMPTS), CPU).batch, 1)
