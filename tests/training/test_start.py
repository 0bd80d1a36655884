from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.fixtures.estimator import Base, pair_table, shard_table
from tests.training.test_estimator import logits_of
from training.fit.loop import read_splits
from training.fit.objective import Objective
from training.fit.step import Stepper, optimizer_of
from training.model.base import embeddings, load_base
from training.model.estimator import Estimator
from training.model.level_tokens import add_levels
from training.model.start import start, without_dropout
from training.settings import FitSettings


@pytest.fixture(params=["tiny_base", "untied_base"])
def base(request: pytest.FixtureRequest) -> Base:
    found: Base = request.getfixturevalue(request.param)
    return found


def settings(path: Path, **changes: object) -> FitSettings:
    common = {"base": str(path), "device": "cpu", "precision": "fp32", "levels": 6, "batch_size": 8}
    return FitSettings.model_validate(common | changes)


def level_mass(subject: Estimator) -> float:
    """The mean probability, over the whole vocabulary, that the answer to propositions of another table is a level."""
    probabilities = torch.softmax(logits_of(subject, shard_table(12, start=300)), dim=-1)
    return float(probabilities[:, subject.level_ids].sum(dim=-1).mean())


@pytest.mark.parametrize("tuning", ["lora", "upper", "full"])
def test_the_model_answers_with_a_level_before_the_first_step(base: Base, tuning: str) -> None:
    subject = start(settings(base.path, tuning=tuning, upper_layers=1), base.cache, shard_table(40), base.cache)
    # e^2 times the mass of the rest, where the state is the mean one.
    assert level_mass(subject) == pytest.approx(torch.e**2 / (1 + torch.e**2), abs=0.1)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_at_another_temperature_too(base: Base, temperature: float) -> None:
    subject = start(settings(base.path, temperature=temperature), base.cache, shard_table(40), base.cache)
    logits = logits_of(subject, shard_table(12, start=300)) / temperature
    mass = torch.softmax(logits, dim=-1)[:, subject.level_ids].sum(dim=-1).mean()
    assert float(mass) == pytest.approx(torch.e**2 / (1 + torch.e**2), abs=0.1)


def test_with_order_pairs_alone_too(base: Base) -> None:
    none = shard_table(1).slice(0, 0)
    subject = start(settings(base.path, tuning="full"), base.cache, none, base.cache, pairs=pair_table(20, 0))
    assert level_mass(subject) == pytest.approx(torch.e**2 / (1 + torch.e**2), abs=0.1)


def test_levels_that_a_base_has_learned_stay_as_they_are(base: Base, tmp_path: Path) -> None:
    model, tokenizer = load_base(base.path, base.cache)
    ids = add_levels(model, tokenizer, 6, seed=3)
    model.save_pretrained(tmp_path / "known")
    tokenizer.save_pretrained(tmp_path / "known")
    subject = start(settings(tmp_path / "known", tuning="full"), base.cache, shard_table(8), tmp_path)
    with subject.network.plain() as found:
        for one, other in zip(embeddings(found).values(), embeddings(model).values(), strict=True):
            torch.testing.assert_close(one.weight[ids], other.weight[ids])


def test_full_tuning_moves_the_level_rows_at_their_own_rate(base: Base, tmp_path: Path) -> None:
    table, moved = shard_table(8), []
    for rate in (1e-3, 1e-2):
        chosen = settings(base.path, tuning="full", learning_rate=1e-3, level_learning_rate=rate)
        subject = start(chosen, base.cache, table, base.cache)
        (train, _), _ = read_splits(subject, chosen, tmp_path, (table, None), (table, None))
        head: Any = subject.network.head
        before = [head.rows.detach().clone(), head.weight.detach().clone()]
        alone = SimpleNamespace(num_processes=1, process_index=0, backward=torch.autograd.backward)
        optimizer = optimizer_of(subject.network, chosen)
        Stepper(Objective(subject, subject.network, chosen), train, optimizer, alone, print).step(
            torch.arange(8).numpy(), 1.0, 0
        )
        moved.append([head.rows.detach() - before[0], head.weight.detach() - before[1]])
    (rows, rest), (fast_rows, fast_rest) = moved
    assert rows.abs().min() > 0
    assert rest.abs().max() > 0
    torch.testing.assert_close(fast_rows, 10 * rows, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(fast_rest, rest)


def test_each_tuning_trains_what_it_says(base: Base) -> None:
    trained = {}
    for tuning in ("lora", "upper", "full"):
        chosen = settings(base.path, tuning=tuning, upper_layers=1)
        network = start(chosen, base.cache, shard_table(4), base.cache).network
        trained[tuning] = {name for name, p in network.named_parameters() if p.requires_grad}
        assert trained[tuning] > {"head.rows"}
    assert all("lora_" in name for name in trained["lora"] - {"head.rows"})
    assert {name.split("layers.")[1][0] for name in trained["lora"] - {"head.rows"}} == {"0", "1"}
    assert trained["upper"] == {name for name in trained["lora"] if "layers.0." not in name}
    assert len(trained["full"]) == len(list(network.parameters()))


def test_each_tuning_has_a_rate_of_its_own(base: Base) -> None:
    assert settings(base.path).peak == 5e-4
    assert settings(base.path, tuning="upper").peak == 5e-4
    assert settings(base.path, tuning="full").peak == 1e-4
    assert settings(base.path, tuning="full", learning_rate=2e-5).peak == 2e-5


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {"resid_pdrop": 0.5, "attn_pdrop": 0.5, "embd_pdrop": 0.5}),
        ("opt", {"dropout": 0.5, "attention_dropout": 0.5, "word_embed_proj_dim": 16, "ffn_dim": 16}),
        ("bloom", {"hidden_dropout": 0.5, "attention_dropout": 0.5}),
        ("gpt_neox", {"hidden_dropout": 0.5, "attention_dropout": 0.5, "intermediate_size": 16}),
    ],
)
def test_a_base_without_its_dropout_answers_twice_alike(kind: str, changes: dict[str, Any]) -> None:
    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    config = AutoConfig.for_model(kind, **sizes, **special, **changes)
    model = AutoModelForCausalLM.from_config(config).train()  # type: ignore[no-untyped-call]
    tokens = torch.arange(2, 12)[None]
    assert not model(input_ids=tokens).logits.equal(model(input_ids=tokens).logits)
    without_dropout(model)
    assert model(input_ids=tokens).logits.equal(model(input_ids=tokens).logits)


def test_only_a_frozen_base_loses_its_dropout(tiny_encoder: Base) -> None:
    found = {}
    for tuning in ("lora", "full"):
        chosen = settings(tiny_encoder.path, kind="encoder", tuning=tuning, lora_dropout=0.25, max_length=64)
        network = start(chosen, tiny_encoder.cache, shard_table(4), tiny_encoder.cache).network
        found[tuning] = {each.p for each in network.modules() if isinstance(each, torch.nn.Dropout)}
    assert found == {"lora": {0.0, 0.25}, "full": {0.1}}
