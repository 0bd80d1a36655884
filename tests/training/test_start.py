from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fixtures.estimator import Base, shard_table
from training.fit.examples import examples_of
from training.fit.loop import _parameter_groups, _step
from training.fit.objective import FitRun
from training.model.base import level_matrices, load_base
from training.model.batches import collate, encode_table
from training.model.estimator import Estimator, answer_logits
from training.model.level_tokens import add_levels
from training.model.start import start
from training.settings import FitSettings
from training.targets import Prior


@pytest.fixture(params=["tiny_base", "untied_base"])
def base(request: pytest.FixtureRequest) -> Base:
    found: Base = request.getfixturevalue(request.param)
    return found


def settings(path: Path, **changes: object) -> FitSettings:
    common = {"base": str(path), "device": "cpu", "precision": "fp32", "levels": 6, "batch_size": 8}
    return FitSettings.model_validate(common | changes)


def level_mass(subject: Estimator) -> float:
    """The mean probability, over the whole vocabulary, that the answer to propositions of another table is a level."""
    encoded, _ = encode_table(subject.tokenizer, shard_table(12, start=300), 256)
    with torch.inference_mode():
        batch = collate(encoded, encoded.rows, subject.tokenizer.pad_token_id, subject.device)
        logits = answer_logits(subject.model.eval(), batch)
    return float(torch.softmax(logits, dim=-1)[:, subject.level_ids].sum(dim=-1).mean())


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_the_model_answers_with_a_level_before_the_first_step(base: Base, tuning: str) -> None:
    subject = start(settings(base.path, tuning=tuning), base.cache, shard_table(40), base.cache)
    # e^2 times the mass of the rest, where the state is the mean one.
    assert level_mass(subject) == pytest.approx(torch.e**2 / (1 + torch.e**2), abs=0.1)


def test_levels_that_a_base_has_learned_stay_as_they_are(base: Base, tmp_path: Path) -> None:
    model, tokenizer = load_base(base.path, base.cache)
    ids = add_levels(model, tokenizer, 6, seed=3)
    model.save_pretrained(tmp_path / "known")
    tokenizer.save_pretrained(tmp_path / "known")
    subject = start(settings(tmp_path / "known", tuning="full"), base.cache, shard_table(8), tmp_path)
    for found, kept in zip(level_matrices(subject.model), level_matrices(model), strict=True):
        torch.testing.assert_close(found[ids], kept[ids])


def test_full_tuning_moves_the_level_rows_at_their_own_rate(base: Base) -> None:
    table, moved = shard_table(8), []
    for rate in (1e-3, 1e-2):
        chosen = settings(base.path, tuning="full", learning_rate=1e-3, level_learning_rate=rate)
        subject = start(chosen, base.cache, table, base.cache)
        examples, _ = examples_of(table, subject, chosen, Prior(torch.ones(6).numpy() / 6, 0.1), "train")
        before = [matrix.clone() for matrix in level_matrices(subject.model)]
        optimizer = torch.optim.AdamW(_parameter_groups(subject, chosen), weight_decay=0.0)
        rows = examples.prompts.rows
        _step(FitRun(subject, chosen, examples, examples), rows, rows[:0], optimizer, 1.0)
        moved.append([after - old for after, old in zip(level_matrices(subject.model), before, strict=True)])
    ids = subject.level_ids
    others = [i for i in range(len(before[0])) if i not in ids.tolist()]
    for slow, fast in zip(*moved, strict=True):
        torch.testing.assert_close(fast[ids], 10 * slow[ids], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(fast[others], slow[others])


def test_each_tuning_has_a_rate_of_its_own(base: Base) -> None:
    assert settings(base.path).peak == 5e-4
    assert settings(base.path, tuning="full").peak == 1e-4
    assert settings(base.path, tuning="full", learning_rate=2e-5).peak == 2e-5
