from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.fixtures.estimator import Base, shard_table
from training.levels import level_token
from training.model.base import load_base
from training.model.batches import collate, encode_table, texts
from training.model.estimator import Estimator, answer_logits, merge_estimator
from training.model.level_tokens import add_levels
from training.model.prompt import render
from training.model.saved import EstimatorInfo
from training.model.start import with_lora
from warehouse.errors import InputError

LEVELS = 6


def estimator(base: Base, *, disturb: bool = False) -> Estimator:
    """An untrained estimator with LoRA; `disturb` moves its adapter and its level rows away from their start."""
    model, tokenizer = load_base(base.path, base.cache)
    model = with_lora(model, add_levels(model, tokenizer, LEVELS, 0), 4, 8, 0.0)
    if disturb:
        generator = torch.Generator().manual_seed(5)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    info = EstimatorInfo(base=str(base.path), cache=str(base.cache), levels=LEVELS, max_length=256, weights="adapter")
    return Estimator.of(model.eval(), tokenizer, info, "cpu", "fp32")


def scores_of(subject: Estimator, n: int = 9, batch_size: int = 4) -> dict[str, Any]:
    found = subject.score_stream(texts(shard_table(n)), batch_size)
    return {
        key: row for batch in found for key, row in zip(batch.proposition_ids, batch.level_probabilities, strict=True)
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for key, distribution in one.items():
        np.testing.assert_allclose(distribution, other[key], atol=2e-5)


@pytest.fixture(params=["tiny_base", "untied_base"])
def base(request: pytest.FixtureRequest) -> Base:
    found: Base = request.getfixturevalue(request.param)
    return found


def test_new_rows_lie_near_the_mean_and_the_old_ones_stay(base: Base) -> None:
    before, _ = load_base(base.path, base.cache)
    model, tokenizer = load_base(base.path, base.cache)
    ids = add_levels(model, tokenizer, LEVELS, 0)
    assert [tokenizer.decode([each]) for each in ids] == [level_token(level) for level in range(LEVELS)]
    for old, new in (
        (before.get_input_embeddings().weight, model.get_input_embeddings().weight),
        (before.get_output_embeddings().weight, model.get_output_embeddings().weight),
    ):
        torch.testing.assert_close(new[: len(old)], old)
        distance = (new[ids] - old.mean(dim=0)).std() / old.std()
        assert 0.01 < distance.item() < 0.03


def test_scores_use_the_temperature_of_the_fit(tiny_base: Base, tmp_path: Path) -> None:
    plain = estimator(tiny_base, disturb=True)
    warm = replace(plain, info=plain.info.model_copy(update={"temperature": 2.5}))
    warm.save(tmp_path)
    at_one, at_t = scores_of(plain), scores_of(Estimator.load(tmp_path, "cpu", "fp32"))
    for key, distribution in at_one.items():
        powers = np.asarray(distribution) ** (1 / 2.5)
        np.testing.assert_allclose(at_t[key], powers / powers.sum(), atol=2e-5)


def test_adding_levels_twice_changes_nothing(tiny_base: Base) -> None:
    model, tokenizer = load_base(tiny_base.path, tiny_base.cache)
    ids = add_levels(model, tokenizer, LEVELS, 0)
    rows = model.get_input_embeddings().weight[ids].detach().clone()
    assert add_levels(model, tokenizer, LEVELS, 1) == ids
    torch.testing.assert_close(model.get_input_embeddings().weight[ids], rows)


def test_a_base_with_more_levels_is_refused(tiny_base: Base) -> None:
    model, tokenizer = load_base(tiny_base.path, tiny_base.cache)
    add_levels(model, tokenizer, LEVELS, 0)
    with pytest.raises(InputError, match="already answers in 6 levels"):
        add_levels(model, tokenizer, LEVELS - 1, 0)


def test_a_level_token_is_one_token_after_the_answer(tiny_base: Base) -> None:
    model, tokenizer = load_base(tiny_base.path, tiny_base.cache)
    ids = add_levels(model, tokenizer, LEVELS, 0)
    prompt = render(tokenizer, "A", "B")
    alone = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answered = tokenizer(prompt + level_token(2), add_special_tokens=False)["input_ids"]
    assert answered == [*alone, ids[2]]


def test_only_lora_and_the_level_rows_are_trained(base: Base) -> None:
    subject = estimator(base)
    trained = {name: p for name, p in subject.model.named_parameters() if p.requires_grad}
    rows = [p for name, p in trained.items() if "trainable_tokens" in name]
    assert all("lora_" in name or "trainable_tokens" in name for name in trained)
    tied = base.path.parent.name.startswith("tiny")
    assert [tuple(p.shape) for p in rows] == [(LEVELS, 64)] * (1 if tied else 2)


def test_training_the_level_rows_moves_their_output_logits(base: Base) -> None:
    subject = estimator(base)
    encoded, _ = encode_table(subject.tokenizer, shard_table(3), 256)
    batch = collate(encoded, encoded.rows, subject.tokenizer.pad_token_id, subject.device)
    before = answer_logits(subject.model, batch).detach()
    for name, parameter in subject.model.named_parameters():
        if "trainable_tokens" in name:
            parameter.data += 1.0
    after = answer_logits(subject.model, batch).detach()
    others = [i for i in range(before.shape[1]) if i not in subject.level_ids.tolist()]
    torch.testing.assert_close(after[:, others], before[:, others])
    assert (after - before)[:, subject.level_ids].abs().min() > 1e-3


def test_answer_logits_are_those_of_the_full_forward(base: Base) -> None:
    subject = estimator(base, disturb=True)
    encoded, _ = encode_table(subject.tokenizer, shard_table(5), 256)
    assert len(set(encoded.lengths().tolist())) > 2
    batch = collate(encoded, encoded.rows, subject.tokenizer.pad_token_id, subject.device)
    found = answer_logits(subject.model, batch)
    for row, proposition in enumerate(texts(shard_table(5))):
        prompt = render(subject.tokenizer, proposition.premise, proposition.hypothesis)
        ids = torch.tensor([subject.tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        torch.testing.assert_close(found[row], subject.model(input_ids=ids).logits[0, -1], atol=1e-4, rtol=1e-4)


def test_only_the_answer_position_meets_the_output_matrix(tiny_base: Base) -> None:
    subject = estimator(tiny_base)
    seen: list[torch.Size] = []
    subject.model.get_output_embeddings().register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    encoded, _ = encode_table(subject.tokenizer, shard_table(5), 256)
    answer_logits(subject.model, collate(encoded, encoded.rows, 0, subject.device))
    assert seen == [torch.Size([5, 1, 64])]


def test_a_saved_adapter_loads_on_its_own_and_scores_the_same(base: Base, tmp_path: Path) -> None:
    subject = estimator(base, disturb=True)
    subject.save(tmp_path)
    loaded = Estimator.load(tmp_path, device="cpu", precision="fp32")
    assert_same(scores_of(subject), scores_of(loaded))
    assert sum(file.stat().st_size for file in tmp_path.glob("*.safetensors")) < 200_000


def test_merged_weights_are_a_plain_model_that_scores_the_same(base: Base, tmp_path: Path) -> None:
    subject = estimator(base, disturb=True)
    subject.save(tmp_path)
    merge_estimator(tmp_path, tmp_path / "merged")
    assert_same(scores_of(subject), scores_of(Estimator.load(tmp_path / "merged", "cpu", "fp32")))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    inputs = tokenizer(render(tokenizer, "A dog.", "A boat."), return_tensors="pt", add_special_tokens=False)
    torch.testing.assert_close(plain(**inputs).logits, subject.model(**inputs).logits, atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="already exists"):
        merge_estimator(tmp_path, tmp_path / "merged")


def test_a_published_checkpoint_without_a_card_loads(tiny_base: Base, tmp_path: Path) -> None:
    model, tokenizer = load_base(tiny_base.path, tiny_base.cache)
    add_levels(model, tokenizer, LEVELS, 0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert Estimator.load(tmp_path, "cpu").info.levels == LEVELS


def test_bad_folders_are_named(tiny_base: Base, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Estimator.load(tmp_path / "missing")
    with pytest.raises(InputError, match="not an estimator"):
        Estimator.load(tiny_base.path)
    with pytest.raises(InputError, match="no language model"):
        load_base(tmp_path, tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load_base(tmp_path / "missing.gguf", tmp_path)
    (tmp_path / "estimator.json").write_text(json.dumps({"base": "x"}))
    with pytest.raises(InputError, match="not the description of an estimator"):
        Estimator.load(tmp_path)


def test_a_damaged_adapter_is_named(tiny_base: Base, tmp_path: Path) -> None:
    estimator(tiny_base).save(tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="its adapter does not fit the base"):
        Estimator.load(tmp_path)


def test_a_broken_gguf_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no such format")
    with pytest.raises(InputError, match="not a GGUF file"):
        load_base(broken, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
