"""Cut points of ordinal labels: their likelihood, what they recover from simulated labels, a fit that learns them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import norm

from tests.fixtures.estimator import Base, shard_table, with_column
from tests.training import test_objective
from tests.training.test_estimator import logits_of
from tests.training.test_fit import settings, weights_in
from tests.training.test_objective import TRAIN, WEIGHTS, made
from training import Estimator
from training.fit.examples import judged
from training.fit.labels import Labels, parted, sources_in
from training.fit.loop import fit
from training.fit.loss import forward_kl
from training.fit.objective import Part, constant_loss
from training.fit.watch import FitProgress, Watch
from training.levels import Floats, centres
from training.model.cut_points import CutPoints
from training.settings import FitSettings
from training.targets import gaussian, interval, mixture

SPREAD = 0.1


def probabilities(levels: Floats, cuts: list[float]) -> Floats:
    """P(r) [n, R] by the definition."""
    edges = np.array([-np.inf, *cuts, np.inf])
    steps = norm.cdf((edges[:, None] - centres(levels.shape[-1])) / SPREAD)
    found: Floats = levels @ np.diff(steps, axis=0).T
    return found


def moved(*scales: tuple[str, int], levels: int = 6) -> CutPoints:
    cuts = CutPoints(scales, levels, SPREAD)
    cuts.steps.data += 0.3 * torch.randn(cuts.steps.shape, generator=torch.Generator().manual_seed(2))
    return cuts


def test_they_start_at_equal_intervals_and_rise_whatever_is_learned() -> None:
    start = CutPoints([("a", 5), ("b", 2), ("a", 3)], 6, SPREAD)
    assert start.found() == {"a": {5: (0.2, 0.4, 0.6, 0.8), 3: (0.3333, 0.6667)}, "b": {2: (0.5,)}}
    start.steps.data = 5 * torch.randn(start.steps.shape, generator=torch.Generator().manual_seed(0))
    for cuts in (cuts for scales in start.found().values() for cuts in scales.values()):
        assert sorted(cuts) == list(cuts)


def test_the_loss_by_hand_and_labels_share_all_mass() -> None:
    cuts = moved(("a", 5), ("b", 3))
    levels = np.random.default_rng(0).dirichlet(np.ones(6), size=8)
    inner = cuts().detach().numpy()
    expected = np.column_stack([probabilities(levels, inner[0, 1:5]), probabilities(levels, inner[1, 1:3])])
    scales, labels = (np.repeat([0, 1], [5, 3]), np.array([1, 2, 3, 4, 5, 1, 2, 3]))
    rows = torch.from_numpy(np.repeat(levels, 8, axis=0))
    found = cuts.loss(rows, torch.from_numpy(np.tile(scales, 8)), torch.from_numpy(np.tile(labels, 8)))
    masses = np.exp(-found.detach().numpy()).reshape(8, 8)
    assert masses == pytest.approx(expected)
    assert masses[:, :5].sum(axis=1) == pytest.approx(1)
    assert masses[:, 5:].sum(axis=1) == pytest.approx(1)


def test_gradients_are_finite_differences() -> None:
    cuts = moved(("a", 5), ("b", 2)).double()
    levels = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(6), size=7)).requires_grad_()
    scales, labels = torch.tensor([0, 0, 0, 0, 0, 1, 1]), torch.tensor([1, 2, 3, 4, 5, 1, 2])

    def total() -> torch.Tensor:
        return cuts.loss(levels, scales, labels).sum()

    torch.autograd.backward(total())
    for tensor in (cuts.steps, levels):
        assert tensor.grad is not None
        flat, slopes = tensor.data.view(-1), []
        for place in range(len(flat)):
            ends = []
            for step in (1e-6, -2e-6):
                flat[place] += step
                ends.append(float(total().detach()))
            flat[place] += 1e-6
            slopes.append((ends[0] - ends[1]) / 2e-6)
        assert tensor.grad.view(-1).tolist() == pytest.approx(slopes, abs=1e-6)


TRUE = {("skewed", 5): [0.08, 0.2, 0.4, 0.85], ("high", 3): [0.6, 0.9]}


def test_they_recover_the_scales_of_two_sources_where_intervals_do_not() -> None:
    """Simulated: 60 propositions, of which 30 have slider judgments; two sources label all of them."""
    random, truth, ids = np.random.default_rng(0), np.linspace(0.02, 0.98, 60), torch.arange(20)
    answers = [truth + SPREAD * random.standard_normal((40, 60)) for _ in range(3)]
    sliders = torch.from_numpy(gaussian(np.clip(answers[0][:, ::2], 0, 1), SPREAD, 20).mean(axis=0))
    labels = [1 + np.searchsorted(cuts, each) for cuts, each in zip(TRUE.values(), answers[1:], strict=True)]
    known = [(number, label) for number, (_, size) in enumerate(TRUE) for label in range(1, size + 1)]
    scales, names = torch.tensor(known).repeat(60, 1).T
    shares = torch.from_numpy(np.array([(labels[number] == label).mean(axis=0) for number, label in known])).T
    spread = [
        torch.from_numpy(interval((rows - 0.5) / size, np.full(rows.shape, 1 / size), 20).mean(axis=0))
        for rows, (_, size) in zip(labels, TRUE, strict=True)
    ]
    errors = {}
    for ordinal in ("interval", "cut-points"):
        logits, cuts = torch.zeros(60, 20, requires_grad=True), CutPoints(list(TRUE), 20, SPREAD)
        optimizer = torch.optim.Adam([{"params": [logits], "lr": 0.1}, {"params": [cuts.steps], "lr": 0.05}])
        for _ in range(200):
            loss = forward_kl(logits[::2], ids, sliders).sum()
            if ordinal == "interval":
                loss = loss + torch.stack([forward_kl(logits, ids, each).sum() for each in spread]).sum()
            else:
                rows = torch.softmax(logits, dim=1).repeat_interleave(len(known), dim=0)
                loss = loss + (shares.flatten() * cuts.loss(rows, scales, names)).sum()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        scores = torch.softmax(logits.detach(), dim=1).double().numpy() @ centres(20)
        errors[ordinal] = np.abs(scores - truth)[1::2].mean()  # of those that have labels alone
    for (source, size), true in TRUE.items():
        assert cuts.found()[source][size] == pytest.approx(true, abs=0.05)
    assert errors["cut-points"] < errors["interval"] / 2
    assert errors["cut-points"] < 0.05


def table(n: int, *, start: int = 0, weight: list[float] | None = None) -> pa.Table:
    """Rows of a shard with labels of two sources beside points: one to five of `five`, one or two of `two`."""
    five, two = (0.2, "five"), (0.5, "two")
    rows: list[list[tuple[float, float, float, str]]] = []  # value, weight, width and source
    for i in range(start, start + n):
        high = i % 2
        rows.append(
            [
                [(0.9 if high else 0.3, 0.75, *five), (0.7 if high else 0.1, 0.25, *five)],
                [(0.8 if high else 0.2, 0.5, 0.0, ""), (0.75 if high else 0.25, 0.25, *two)],
                [(0.7 if high else 0.2, 1.0, 0.0, "")],
                [(0.75 if high else 0.25, 1.0, *two)],
            ][(i // 2) % 4]
        )
    made = shard_table(n, start=start)
    for place, name in enumerate(("values", "weights", "widths", "sources")):
        lists = [[each[place] for each in row] for row in rows]
        made = (
            with_column(made, name, lists) if name in made.column_names else made.append_column(name, pa.array(lists))
        )
    return made if weight is None else with_column(made, "weight", weight)


def test_judgments_part_into_points_and_labels() -> None:
    part = table(8).to_batches()[0]
    known = {("two", 2): 0}
    points, labels = parted(judged(part), sources_in(part, judged(part)), known)
    assert known == {("two", 2): 0, ("five", 5): 1}
    assert [each.tolist() for each in labels[:8:2]] == [[[1, 2, 0.75], [1, 1, 0.25]], [[0, 1, 0.25]], [], [[0, 1, 1.0]]]
    assert mixture(points, SPREAD, 6)[2] == pytest.approx((gaussian(0.2, SPREAD, 6) * 2 + 1 / 6) / 3)
    assert mixture(points, SPREAD, 6)[4] == pytest.approx(gaussian(0.2, SPREAD, 6))
    assert Labels.of([each.astype(np.float32) for each in labels]).points(8)[::2] == pytest.approx([0, 0.75, 1, 0])
    older = part.drop_columns(["sources"])
    assert sources_in(older, judged(older))[:3] == ["synthetic"] * 3
    plain = shard_table(2).to_batches()[0]
    points = judged(plain)
    assert parted(points, sources_in(plain, points), known)[0] is points


def test_the_loss_of_labels_and_points_by_hand(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, dev = table(4, start=1, weight=WEIGHTS), table(6, start=20)
    monkeypatch.setattr(test_objective, "TRAIN", rows)
    monkeypatch.setattr(test_objective, "DEV", dev)
    subject, train, of_dev, objective = made(tiny_base, tmp_path, ordinal="cut-points")
    cuts = subject.network.cuts
    assert cuts is not None
    cuts.steps.data += 0.1
    inner = cuts().detach().numpy()
    full = torch.softmax(logits_of(subject, rows).double(), dim=1)[:, subject.level_ids].numpy()
    of = {scale: probabilities(full, inner[number, 1 : scale[1]]) for number, scale in enumerate(cuts.scales)}
    five, two = -np.log(of["five", 5]), -np.log(of["two", 2])
    uniform = np.full(6, 1 / 6)
    q = [(2 * gaussian(0.2, SPREAD, 6) + uniform) / 3, (2 * gaussian(0.8, SPREAD, 6) + uniform) / 3]
    kl = [np.sum(each * np.log(each / p)) for each, p in zip([*q, gaussian(0.2, SPREAD, 6)], full[1:], strict=True)]
    expected = [
        0.75 * five[0, 4] + 0.25 * five[0, 3],
        0.75 * kl[0] + 0.25 * two[1, 0],
        0.75 * kl[1] + 0.25 * two[2, 1],
        kl[2],
    ]
    part = Part(np.arange(4), np.arange(0))
    assert objective.loss(train, part).item() == pytest.approx(np.dot(expected, WEIGHTS), rel=1e-4)
    assert constant_loss(train, of_dev, objective.settings) is not None
    alike = replace(objective, settings=objective.settings.model_copy(update={"mean_weight": 2.0}))
    means, scores = rows["mean"].to_numpy(), full @ centres(6) / full.sum(axis=1)
    more = np.array([0, 0.75, 0.75, 1]) * 2 * (scores - means) ** 2
    assert alike.loss(train, part).item() == pytest.approx(np.dot(expected + more, WEIGHTS), rel=1e-4)


def test_the_constant_answer_gives_labels_their_shares(tiny_base: Base, tmp_path: Path, monkeypatch: Any) -> None:
    rows = table(16).filter(pa.array([(i // 2) % 4 == 3 for i in range(16)]))  # labels of `two` alone
    monkeypatch.setattr(test_objective, "TRAIN", with_column(rows, "weight", [1.0, 3.0, 1.0, 3.0]))
    monkeypatch.setattr(test_objective, "DEV", rows.slice(0, 2))
    _, train, dev, objective = made(tiny_base, tmp_path, ordinal="cut-points")
    found = constant_loss(train, dev, objective.settings)
    assert found == pytest.approx(-(np.log(3 / 10) + np.log(7 / 10)) / 2)  # 2 and 6, and one more of each


def test_intervals_are_the_default_and_know_no_sources(tiny_base: Base, tmp_path: Path, monkeypatch: Any) -> None:
    losses = []
    for number, rows in enumerate((table(4, weight=WEIGHTS), table(4, weight=WEIGHTS).drop_columns(["sources"]))):
        monkeypatch.setattr(test_objective, "TRAIN", rows)
        (tmp_path / str(number)).mkdir()
        subject, train, _, objective = made(tiny_base, tmp_path / str(number))
        assert subject.network.cuts is None
        assert train.propositions.ordinal is None
        target = train.propositions.values.of(np.arange(4))[:, :6]
        assert target == pytest.approx(mixture(judged(rows), SPREAD, 6), abs=1e-6)
        losses.append(objective.loss(train, Part(np.arange(4), np.arange(0))).item())
    assert losses[0] == losses[1]
    assert TRAIN.num_rows == 4


def learned(base: Base, out: Path, watch: Watch, how: FitSettings) -> Path:
    fit(table(32), table(16, start=60), how, base.cache, out, watch=watch)
    return out


def test_a_fit_learns_them_says_them_and_goes_on_to_the_same_ones(tiny_base: Base, tmp_path: Path) -> None:
    how = settings(tiny_base, epochs=2, ordinal="cut-points", cut_learning_rate=0.05, checkpoint_minutes=1e-9)
    notes: list[str] = []

    def interrupt(now: FitProgress) -> None:
        if now.step == 5:
            raise KeyboardInterrupt

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = learned(tiny_base, tmp_path / "whole", Watch(note=notes.append), how)
    with pytest.raises(KeyboardInterrupt):
        learned(tiny_base, tmp_path / "killed", Watch(step=interrupt), how)
    killed = learned(tiny_base, tmp_path / "killed", Watch(), how)
    torch.set_num_threads(threads)
    told = json.loads((whole / "estimator.json").read_text())["cut_points"]
    assert {source: {size: len(cuts) for size, cuts in scales.items()} for source, scales in told.items()} == {
        "five": {"5": 4},
        "two": {"2": 1},
    }
    assert told["five"]["5"] != [0.2, 0.4, 0.6, 0.8]
    shown = ", ".join(f"{cut:.3f}" for cut in told["five"]["5"])
    assert f"cut points of five, 1 to 5: {shown}" in notes
    assert json.loads((killed / "estimator.json").read_text())["cut_points"] == told
    expected = weights_in(whole)
    found = weights_in(killed)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert np.isfinite(Estimator.load(killed, "cpu", "fp32").score([("Lamp 1 is on.", "There is light.")]).scores).all()
