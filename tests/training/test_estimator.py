from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.fixtures.estimator import Base, merge_estimator, shard_table
from training.levels import level_token
from training.model.base import load_base, reads_trees
from training.model.device import Place
from training.model.estimator import Estimator
from training.model.level_tokens import add_levels
from training.model.network import Network
from training.model.prompt import encode, render
from training.model.saved import EstimatorInfo, write_saved
from training.model.start import with_lora
from training.model.texts import texts
from training.settings import FitSettings
from warehouse.errors import InputError

LEVELS = 6


def estimator(base: Base, *, disturb: bool = False) -> Estimator:
    """An untrained estimator with LoRA; `disturb` moves its adapter and its level rows away from their start."""
    model, tokenizer = load_base(base.path, base.cache)
    level_ids = add_levels(model, tokenizer, LEVELS, 0)
    network = Network(model, level_ids, trees=reads_trees(model, tokenizer)).requires_grad_(False)
    settings = FitSettings(base=str(base.path), levels=LEVELS, lora_rank=4, lora_alpha=8, lora_dropout=0.0)
    network.model = with_lora(network.model, settings)
    network.head.rows.requires_grad_(True)
    if disturb:
        generator = torch.Generator().manual_seed(5)
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    info = EstimatorInfo(base=str(base.path), cache=str(base.cache), levels=LEVELS, max_length=256, weights="adapter")
    return Estimator(network.eval(), tokenizer, info, Place(torch.device("cpu"), "fp32"))


def logits_of(subject: Estimator, table: pa.Table, max_length: int = 256) -> torch.Tensor:
    """The logits [n, vocab] at the answer positions of a table's propositions, all of them in one batch."""
    encoded = encode(subject.tokenizer, list(texts(table)), max_length)
    with torch.no_grad():
        logits: torch.Tensor = subject.network.eval()(subject.batch(encoded.prompts()).batch)
    return logits


def scores_of(subject: Estimator, n: int = 9, tokens_at_once: int = 100) -> dict[str, Any]:
    found = subject.score_stream(texts(shard_table(n)), tokens_at_once)
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
    trained = {name: p for name, p in subject.network.named_parameters() if p.requires_grad}
    rows = [p for p in trained.values() if p is subject.network.head.rows]
    assert [tuple(p.shape) for p in rows] == [(LEVELS, 64)]
    assert len(trained) > 1
    assert all("lora_" in name for name, p in trained.items() if p is not subject.network.head.rows)


def test_training_the_level_rows_moves_their_output_logits(base: Base) -> None:
    subject = estimator(base)
    before = logits_of(subject, shard_table(3))
    subject.network.head.rows.data += 1.0
    after = logits_of(subject, shard_table(3))
    others = [i for i in range(before.shape[1]) if i not in subject.level_ids.tolist()]
    torch.testing.assert_close(after[:, others], before[:, others])
    assert (after - before)[:, subject.level_ids].abs().min() > 1e-3


def test_answer_logits_are_those_of_the_full_forward(base: Base) -> None:
    subject = estimator(base, disturb=True)
    found = logits_of(subject, shard_table(5))
    with subject.network.plain() as model:
        for row, proposition in enumerate(texts(shard_table(5))):
            prompt = render(subject.tokenizer, proposition.premise, proposition.hypothesis)
            ids = torch.tensor([subject.tokenizer(prompt, add_special_tokens=False)["input_ids"]])
            torch.testing.assert_close(found[row], model(input_ids=ids).logits[0, -1], atol=1e-4, rtol=1e-4)


def test_only_answer_positions_meet_the_output_matrix_and_in_scoring_only_level_rows(base: Base) -> None:
    subject = estimator(base)
    seen: list[torch.Size] = []
    head: Any = subject.network.head
    head.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    vocabulary = head.weight.shape[0]
    logits_of(subject, shard_table(5))
    subject.score([("A.", "B."), ("A.", "C.")])
    assert seen == [torch.Size([5, vocabulary]), torch.Size([2, LEVELS])]


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
    with subject.network.plain() as model:
        torch.testing.assert_close(plain(**inputs).logits, model(**inputs).logits, atol=1e-4, rtol=1e-4)


def test_a_published_checkpoint_without_a_card_loads(tiny_base: Base, tmp_path: Path) -> None:
    model, tokenizer = load_base(tiny_base.path, tiny_base.cache)
    add_levels(model, tokenizer, LEVELS, 0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert Estimator.load(tmp_path, "cpu").info.levels == LEVELS


def test_an_adapter_of_the_older_format_scores_as_the_model_that_it_was(base: Base, tmp_path: Path) -> None:
    """Older adapters train the level tokens' rows of the embedding, with peft; `estimator.json` has absolute paths."""
    from peft import LoraConfig, get_peft_model

    model, tokenizer = load_base(base.path, base.cache)
    ids = add_levels(model, tokenizer, LEVELS, 0)
    tied = model.config.tie_word_embeddings
    where: Any = ids if tied else {"embed_tokens": ids, "lm_head": ids}
    old = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "up_proj"], trainable_token_indices=where))
    generator = torch.Generator().manual_seed(5)
    for parameter in old.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    old.save_pretrained(str(tmp_path), save_embedding_layers=False)
    tokenizer.save_pretrained(tmp_path)
    info = {"base": str(base.path), "cache": str(base.cache), "levels": LEVELS, "max_length": 256}
    (tmp_path / "estimator.json").write_text(json.dumps(info | {"weights": "adapter", "temperature": 1.0}))
    found = scores_of(Estimator.load(tmp_path, "cpu", "fp32"))
    old.eval()
    for proposition in texts(shard_table(9)):
        prompt = render(tokenizer, proposition.premise, proposition.hypothesis)
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            expected = torch.softmax(old(**inputs).logits[0, -1, ids].double(), dim=-1).numpy()
        np.testing.assert_allclose(found[proposition.proposition_id], expected, atol=2e-5)
    assert np.ptp([row @ np.arange(LEVELS) for row in found.values()]) > 1e-3


def test_saving_leaves_the_estimator_as_it_was_and_open_to_training(base: Base, tmp_path: Path) -> None:
    subject = estimator(base, disturb=True)
    before = logits_of(subject, shard_table(3))
    whole = replace(subject, info=subject.info.model_copy(update={"weights": "whole"}))
    write_saved(whole.network, whole.tokenizer, subject.info, tmp_path)
    assert subject.network.model.get_output_embeddings() is subject.network.head
    torch.testing.assert_close(logits_of(subject, shard_table(3)), before)


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
