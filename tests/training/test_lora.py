"""LoRA as it is fitted here gives what peft's own layers and a dense matrix give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from training.model.lora import FusedLinear, register

RANK, ALPHA = 3, 12


def adapted(*, fused: bool, bias: bool = True, dropout: float = 0.0) -> Any:
    """Two maps with an adapter each that says something, the same ones for each call."""
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(7, 5, bias=bias), torch.nn.Tanh(), torch.nn.Linear(5, 4, bias=bias))
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["0", "2"], lora_dropout=dropout)
    if fused:
        register(config)
    model = get_peft_model(base, config)
    for name, each in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(each, std=0.3)
    return model


def outcome(model: Any) -> list[torch.Tensor]:
    """The answers to some states, and the gradients by them and by the adapters."""
    states = torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(1), requires_grad=True)
    answers = model(states)
    answers.square().sum().backward()
    assert states.grad is not None
    return [answers, states.grad, *(each.grad for each in model.parameters() if each.grad is not None)]


@pytest.mark.parametrize("bias", [True, False])
def test_answers_and_gradients_are_those_of_peft(bias: bool) -> None:
    ours, theirs = adapted(fused=True, bias=bias), adapted(fused=False, bias=bias)
    assert sum(isinstance(each, FusedLinear) for each in ours.modules()) == 2
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    found, expected = outcome(ours), outcome(theirs)
    assert len(found) == len(expected) == 2 + 4
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_in_bf16_they_are_as_close_to_float32_as_those_of_peft(bias: bool) -> None:
    """One rounding to bf16 is off by up to 1/256 of a value; both ways round bases, states and products."""
    exact = outcome(adapted(fused=False, bias=bias))
    found: list[torch.Tensor] = []
    theirs: list[torch.Tensor] = []
    for fused, into in ((True, found), (False, theirs)):
        model = adapted(fused=fused, bias=bias)
        for name, each in model.named_parameters():
            if "lora_" not in name:
                each.data = each.data.bfloat16()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            into.extend(outcome(model))
    assert "Product" in type(found[0].grad_fn).__name__
    assert [each.dtype for each in found] == [each.dtype for each in theirs]
    for ours, peft, true in zip(found, theirs, exact, strict=True):
        size = true.abs().max()
        assert (ours - true).abs().max() <= max(2 * (peft - true).abs().max(), 0.02 * size)


def test_an_adapter_adds_its_product_to_the_matrix() -> None:
    model = adapted(fused=True)
    layer = model.base_model.model[0]
    states = torch.randn(3, 7)
    added = ALPHA / RANK * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = states @ (layer.base_layer.weight + added).T + layer.base_layer.bias
    torch.testing.assert_close(layer(states), expected)


def test_what_is_not_plain_goes_the_way_of_peft() -> None:
    states, ours, theirs = torch.randn(3, 7), adapted(fused=True), adapted(fused=False)
    with ours.disable_adapter(), theirs.disable_adapter():
        torch.testing.assert_close(ours(states), theirs(states), rtol=0, atol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(states).dtype == torch.bfloat16
        torch.testing.assert_close(ours(states), theirs(states), rtol=0, atol=0)
    torch.testing.assert_close(ours.merge_and_unload()(states), theirs(states))
    dropping, same = adapted(fused=True, dropout=0.5), adapted(fused=False, dropout=0.5)
    for model in (dropping, same):
        torch.manual_seed(2)
        model.answered = model(states)
    torch.testing.assert_close(dropping.answered, same.answered, rtol=0, atol=0)
    assert (dropping(states) != dropping(states)).any()


@pytest.mark.parametrize("shape", [(0, 7), (2, 0, 7), (7,), (1, 7)])
def test_no_rows_and_one_row_are_mapped(shape: tuple[int, ...]) -> None:
    states = torch.randn(shape)
    ours, theirs = adapted(fused=True)(states), adapted(fused=False)(states)
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs)
    ours.sum().backward()


def test_a_model_may_change_the_result_in_place() -> None:
    config = AutoConfig.for_model(
        "olmo",
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        vocab_size=32,
        pad_token_id=0,
        eos_token_id=1,
        clip_qkv=0.01,  # OLMo clamps queries, keys and values, which its linear maps have just given
    )
    gradients = []
    for fused in (True, False):
        torch.manual_seed(0)
        lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        if fused:
            register(lora)
        base = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        model = get_peft_model(base, lora)
        model(input_ids=torch.arange(2, 10)[None]).logits.square().sum().backward()
        gradients.append([each.grad for each in model.parameters() if each.grad is not None])
    assert len(gradients[0]) == 4
    torch.testing.assert_close(*gradients)
