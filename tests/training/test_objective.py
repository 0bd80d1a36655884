"""What a fit minimises, and its steps: in parts, with too little memory, from kept states."""

from __future__ import annotations

import math
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from tests.fixtures.estimator import Base, pair_table, shard_table, with_column
from tests.training.test_base import gpt2, saved
from tests.training.test_estimator import logits_of
from tests.training.test_examples import NAMES
from training.fit.examples import judged
from training.fit.loop import fit, read_splits
from training.fit.objective import Answers, Evidence, Objective, Part, constant_loss, dev_loss, split_batch
from training.fit.step import Stepper, optimizer_of
from training.fit.watch import Watch
from training.levels import centres
from training.model.device import computes_in_bf16
from training.model.estimator import TOKENS_AT_ONCE, Estimator
from training.model.packing import Batch
from training.model.start import start
from training.settings import FitSettings
from training.targets import mixture
from warehouse.errors import InputError, OddsError

WEIGHTS = [1.0, 0.5, 0.25, 2.0]
TRAIN = with_column(shard_table(4), "weight", WEIGHTS)
DEV = with_column(shard_table(6, start=50), "weight", [1.0, 0.5, 2.0, 1.0, 0.1, 1.0])
PAIRS = pair_table(3, 20, weight=0.5)
REAL_LOSS = Objective.loss
ALONE = SimpleNamespace(
    num_processes=1, process_index=0, backward=torch.autograd.backward, no_sync=lambda _: nullcontext()
)


def settings(base: Base, **changes: object) -> FitSettings:
    common = {"base": str(base.path), "device": "cpu", "precision": "fp32", "levels": 6, "lora_dropout": 0}
    return FitSettings.model_validate(common | changes)


def made(base: Base, folder: Path, **changes: object) -> tuple[Estimator, Evidence, Evidence, Objective]:
    """An estimator before its first step, moved a little, with both splits and their objective."""
    chosen = settings(base, **changes)
    torch.manual_seed(0)
    subject = start(chosen, base.cache, TRAIN, base.cache)
    generator = torch.Generator().manual_seed(1)
    for parameter in subject.network.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    (train, dev), _ = read_splits(subject, chosen, folder, (TRAIN, PAIRS), (DEV, None))
    return subject, train, dev, Objective(subject, subject.network.eval(), chosen)


def scores(subject: Estimator, table: pa.Table) -> Any:
    p = torch.softmax(logits_of(subject, table)[:, subject.level_ids].double(), dim=1).numpy()
    return p @ centres(6)


def divergences(subject: Estimator, table: pa.Table) -> Any:
    p = torch.softmax(logits_of(subject, table).double(), dim=1)[:, subject.level_ids].numpy()
    q = mixture(judged(table), 0.1, 6)
    return np.sum(np.where(q > 0, q * np.log(np.where(q > 0, q, 1) / p), 0), axis=1)


def side(name: str) -> pa.Table:
    return PAIRS.select([f"{name}_{each}" for each in NAMES]).rename_columns(NAMES)


@pytest.mark.parametrize("changes", [{}, {"mean_weight": 3.0}, {"margin_weight": 0.25, "margin": 0.9}])
def test_the_loss_of_a_part_by_its_definition(tiny_base: Base, tmp_path: Path, changes: dict[str, float]) -> None:
    subject, train, _, objective = made(tiny_base, tmp_path, **changes)
    chosen = objective.settings
    found = objective.loss(train, Part(np.array([3, 0, 1]), np.array([0, 2]))).item()
    rows, given = divergences(subject, TRAIN), scores(subject, TRAIN)
    rows = rows + chosen.mean_weight * (given - TRAIN["mean"].to_numpy()) ** 2
    gaps = np.maximum(0, chosen.margin - (scores(subject, side("higher")) - scores(subject, side("lower"))))
    expected = np.sum((np.array(WEIGHTS) * rows)[[3, 0, 1]]) + chosen.margin_weight * 0.5 * np.sum(gaps[[0, 2]])
    assert gaps[[0, 2]].max() > 0
    assert found == pytest.approx(expected, rel=1e-4)


def test_pairs_alone_are_a_part(tiny_base: Base, tmp_path: Path) -> None:
    subject, train, _, objective = made(tiny_base, tmp_path)
    gaps = np.maximum(0, 0.1 - (scores(subject, side("higher")) - scores(subject, side("lower"))))
    found = objective.loss(train, Part(np.empty(0, np.int64), np.arange(3))).item()
    assert found == pytest.approx(0.5 * gaps.sum(), rel=1e-4)


@pytest.mark.parametrize("tokens_at_once", [1, 60, 10_000])
def test_dev_is_the_weighted_sum_however_it_is_read(tiny_base: Base, tmp_path: Path, tokens_at_once: int) -> None:
    subject, _, dev, objective = made(tiny_base, tmp_path)
    seen: list[tuple[int, int]] = []
    total, weight = dev_loss(objective, dev, np.arange(6), tokens_at_once, lambda *each: seen.append(each))
    weights = DEV["weight"].to_numpy()
    assert total == pytest.approx(np.sum(weights * divergences(subject, DEV)), rel=1e-4)
    assert weight == pytest.approx(weights.sum())
    assert seen[-1] == (6, 6)


def test_the_dev_proposition_whose_loss_is_not_a_number_is_named(tiny_base: Base, tmp_path: Path) -> None:
    _, _, dev, objective = made(tiny_base, tmp_path)
    values = dev.propositions.values.of(np.arange(6)).copy()
    values[4, 0] = float("nan")
    broken: Any = SimpleNamespace(of=lambda indices: values[indices])
    dev = replace(dev, propositions=replace(dev.propositions, values=broken))
    name = DEV["proposition_id"][4].as_py()
    with pytest.raises(OddsError, match=f"proposition {name}: its loss on dev is not a number"):
        dev_loss(objective, dev, np.arange(6), 10_000, print)


def test_the_parts_of_a_batch_hold_every_example_once(tiny_base: Base, tmp_path: Path) -> None:
    _, train, _, _ = made(tiny_base, tmp_path)
    indices = np.array([6, 0, 3, 4, 1])
    parts = list(split_batch(train, indices, int(train.costs.max())))
    assert len(parts) > 1
    found = [each for part in parts for each in [*part.propositions, *(part.pairs + 4)]]
    assert sorted(found) == sorted(indices.tolist())
    assert all(train.costs[[*part.propositions, *(part.pairs + 4)]].sum() <= train.costs.max() for part in parts)


def test_costs_count_tokens_without_the_shared_opening(tiny_base: Base, tmp_path: Path) -> None:
    _, train, _, _ = made(tiny_base, tmp_path)
    n = len(train.opening)
    assert n > 10
    lengths = [store.lengths() for store in train.stores]
    assert train.costs.tolist() == [*(lengths[0] - n), *(lengths[1] + lengths[2] - 2 * n)]


@pytest.mark.parametrize("tuning", ["lora", "upper"])
def test_a_step_in_parts_is_the_step(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuning: str
) -> None:
    outcomes = []
    for tokens_at_once in (1, 10_000):
        monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", tokens_at_once)
        subject, train, _, objective = made(tiny_base, tmp_path, tuning=tuning, upper_layers=1)
        optimizer = optimizer_of(subject.network, objective.settings)
        loss = Stepper(objective, train, optimizer, ALONE, print).step(np.array([0, 5, 2, 3, 4]), 1.0, 0).item()
        outcomes.append((loss, gradients(subject)))
    (loss, found), (whole, expected) = outcomes
    assert loss == pytest.approx(whole, rel=1e-5)
    assert_close(found, expected, 1e-4)


def gradients(subject: Estimator) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in subject.network.named_parameters() if p.grad is not None}


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], share: float) -> None:
    assert found.keys() == expected.keys()
    assert found
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= share * gradient.norm() + 1e-7, name


def test_the_loss_of_a_step_is_the_mean_over_its_examples(tiny_base: Base, tmp_path: Path) -> None:
    subject, train, _, objective = made(tiny_base, tmp_path)
    expected = objective.loss(train, Part(np.array([0, 2]), np.array([1]))).item() / 3
    optimizer = optimizer_of(subject.network, objective.settings)
    found = Stepper(objective, train, optimizer, ALONE, print).step(np.array([0, 5, 2]), 1.0, 0)
    assert found.item() == pytest.approx(expected)


def test_too_little_memory_halves_what_is_read_at_once(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[dict[str, torch.Tensor]] = []
    notes: list[str] = []
    for failures in (0, 1):
        subject, train, _, objective = made(tiny_base, tmp_path)
        fail(monkeypatch, failures)
        stepper = Stepper(objective, train, optimizer_of(subject.network, objective.settings), ALONE, notes.append)
        stepper.step(np.arange(7), 1.0, 0)
        outcomes.append(gradients(subject))
    assert_close(outcomes[1], outcomes[0], 1e-4)
    half = int(train.costs[np.arange(7)].sum()) // 2  # of what the step reads, which fits into one part at first
    assert stepper.room.tokens == half < 512
    assert notes == [f"memory did not suffice: reading {half:,} tokens at once from now on"]


def test_too_little_memory_for_half_as_much_is_one_line(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, train, _, objective = made(tiny_base, tmp_path)
    stepper = Stepper(objective, train, optimizer_of(subject.network, objective.settings), ALONE, print)
    fail(monkeypatch, 2)
    with pytest.raises(OddsError, match="too little memory; use a smaller base, or gradient_checkpointing = true"):
        stepper.step(np.arange(7), 1.0, 0)
    fail(monkeypatch, 1)  # nor is it halved again, later
    with pytest.raises(OddsError, match="too little memory"):
        stepper.step(np.arange(7), 1.0, 1)


def test_too_little_memory_for_dev_halves_what_is_read_of_it_at_once(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes, notes = list[float](), list[str]()
    for name, most in (("enough", 10_000), ("little", 3), ("too little", 0)):
        memory_for(monkeypatch, most)
        watch, chosen = Watch(note=notes.append), settings(tiny_base, epochs=2, batch_size=2)
        refused: AbstractContextManager[object] = pytest.raises(OddsError, match="too little memory")
        with nullcontext() if most else refused:
            found = fit(TRAIN, DEV, chosen, tiny_base.cache, tmp_path / name, watch=watch)
            outcomes.append(found.dev_loss)
    assert outcomes[1] == pytest.approx(outcomes[0], rel=1e-4)
    said = [note for note in notes if "memory" in note]
    assert len(said) == 2  # once in each fit that had too little
    assert all(re.fullmatch(r"memory did not suffice: reading \d+ tokens of dev at once from now on", s) for s in said)


def memory_for(monkeypatch: pytest.MonkeyPatch, examples: int) -> None:
    """Let the loss need too much memory for more examples at once than this, without gradients."""
    real = REAL_LOSS

    def loss(self: Objective, evidence: Evidence, part: Part, answers: Answers | None = None) -> torch.Tensor:
        if len(part) > examples and not torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, evidence, part, answers)

    monkeypatch.setattr(Objective, "loss", loss)


def fail(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let the loss need too much memory for its first calls."""
    real, left = REAL_LOSS, [times]

    def loss(self: Objective, evidence: Evidence, part: Part) -> torch.Tensor:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, evidence, part)

    monkeypatch.setattr(Objective, "loss", loss)


def test_the_upper_layers_learn_from_kept_states_what_they_would_from_the_whole_model(
    tiny_base: Base, tmp_path: Path
) -> None:
    subject, train, dev, objective = made(tiny_base, tmp_path, tuning="upper", upper_layers=1)
    assert train.states is not None
    part, outcomes = Part(np.arange(4), np.arange(3)), []
    for evidence in (train, train, replace(train, states=None)):  # the second time, the states are known
        subject.network.zero_grad()
        loss = objective.loss(evidence, part)
        torch.autograd.backward(loss)
        outcomes.append((loss.item(), gradients(subject)))
    (first, _), (kept, found), (whole, expected) = outcomes
    assert first == kept == pytest.approx(whole, rel=1e-3)
    assert any("lora_" in name for name in expected)
    assert_close(found, expected, 1e-2)
    (kept_dev, _), (whole_dev, _) = (
        dev_loss(objective, evidence, np.arange(6), 10_000, print) for evidence in (dev, replace(dev, states=None))
    )
    assert kept_dev == pytest.approx(whole_dev, rel=1e-3)


def neox(vocabulary: int) -> GPTNeoXForCausalLM:
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            initializer_range=0.2,
        )
    )


@pytest.mark.skipif(not computes_in_bf16(torch.device("cpu")), reason="this CPU does not compute in bf16")
def test_the_upper_layers_of_a_base_with_layer_norms_learn_in_bf16(tmp_path: Path) -> None:
    base = saved(tmp_path / "neox", neox)
    changes = {"tuning": "upper", "upper_layers": 1, "precision": "bf16"}
    subject, train, _, objective = made(base, tmp_path, **changes)
    part, outcomes = Part(np.arange(4), np.arange(3)), []
    for evidence in (train, replace(train, states=None)):
        subject.network.zero_grad()
        loss = objective.loss(evidence, part)
        torch.autograd.backward(loss)
        outcomes.append((loss.item(), gradients(subject)))
    (kept, found), (whole, expected) = outcomes
    assert kept == pytest.approx(whole, rel=1e-2)
    assert_close(found, expected, 0.1)


def test_kept_states_are_computed_once(tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, train, _, objective = made(tiny_base, tmp_path, tuning="upper", upper_layers=1)
    objective.loss(train, Part(np.array([0, 1]), np.array([2])))
    computed: list[int] = []
    network: Any = subject.network
    real = network.below

    def below(batch: Batch, layers: int) -> torch.Tensor:
        computed.append(len(batch.answers))
        found: torch.Tensor = real(batch, layers)
        return found

    monkeypatch.setattr(network, "below", below)
    objective.loss(train, Part(np.array([1, 0]), np.array([2])))
    assert computed == []
    objective.loss(train, Part(np.array([1, 3]), np.array([2])))
    assert computed == [1]


def test_states_that_do_not_fit_on_the_disk_are_one_line(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.fit.kept.shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match='use tuning = "lora"') as caught:
        made(tiny_base, tmp_path, tuning="upper", upper_layers=1)
    assert "\n" not in str(caught.value)


def test_the_states_of_both_splits_have_to_fit_on_the_disk(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"tuning": "upper", "upper_layers": 1}
    _, train, dev, _ = made(tiny_base, tmp_path, **chosen)
    assert train.states is not None
    assert dev.states is not None
    kept = train.states.bytes, dev.states.bytes
    assert kept == tuple(sum(path.stat().st_size for path in tmp_path.glob(f"{s}-*.states")) for s in ("train", "dev"))
    free = 0
    monkeypatch.setattr("training.fit.kept.shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    free = int(1.2 * sum(kept))
    made(tiny_base, tmp_path, **chosen)
    free = int(1.2 * max(kept))
    with pytest.raises(InputError, match="make room"):
        made(tiny_base, tmp_path, **chosen)


def test_a_base_whose_upper_layers_cannot_run_alone_is_refused(tmp_path: Path) -> None:
    base = saved(tmp_path / "gpt2", gpt2)
    with pytest.raises(InputError, match='cannot run alone; use tuning = "lora"') as caught:
        start(settings(base, tuning="upper", upper_layers=1, max_length=128), base.cache, TRAIN, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{}, {"temperature": 2.0}, {"mean_weight": 2.0}, {"loss": "wasserstein"}])
def test_the_constant_answer_by_hand(tiny_base: Base, tmp_path: Path, changes: dict[str, object]) -> None:
    _, train, dev, objective = made(tiny_base, tmp_path, **changes)
    q, target = mixture(judged(TRAIN), 0.1, 6), mixture(judged(DEV), 0.1, 6)
    constant = np.average(q, axis=0, weights=WEIGHTS)
    if changes.get("loss") == "wasserstein":
        rows = np.abs(np.cumsum(constant) - np.cumsum(target, axis=1))[:, :-1].sum(axis=1) / 6
    else:
        rows = np.sum(target * np.log(target / constant), axis=1)
    rows += float(changes.get("mean_weight", 0)) * (constant @ centres(6) - DEV["mean"].to_numpy()) ** 2  # type: ignore[arg-type]
    expected = np.average(rows, weights=DEV["weight"].to_numpy())
    found = constant_loss(train, dev, objective.settings)
    assert found == pytest.approx(expected, rel=1e-5)
    assert not math.isnan(expected)


def test_the_constant_answer_without_propositions(tiny_base: Base, tmp_path: Path) -> None:
    """With pairs alone to learn from it is not known; if they alone are measured, two equal scores miss the margin."""
    chosen = settings(tiny_base, margin=0.2, margin_weight=3.0)
    subject = start(chosen, tiny_base.cache, TRAIN, tiny_base.cache)
    splits, _ = read_splits(subject, chosen, tmp_path, (TRAIN.slice(0, 0), PAIRS), (DEV, None))
    assert constant_loss(*splits, chosen) is None
    splits, _ = read_splits(subject, chosen, tmp_path, (TRAIN, PAIRS), (DEV.slice(0, 0), PAIRS))
    assert constant_loss(*splits, chosen) == pytest.approx(3.0 * 0.2)
