from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from training.fit.loss import LOSSES, batch_margin, crps, expected_score, forward_kl, margin, reverse_kl, wasserstein
from training.levels import Floats, centres, exact_crps
from training.levels import crps as evaluated_crps

IDS = torch.tensor([5, 2, 7])
TARGET = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]], dtype=torch.float64)


def logits() -> torch.Tensor:
    return torch.randn(2, 9, generator=torch.Generator().manual_seed(3)).requires_grad_()


def whole(target: torch.Tensor, floor: float = 0.0) -> torch.Tensor:
    q = torch.full((2, 9), floor, dtype=target.dtype)
    q[:, IDS] = target.clamp_min(floor)
    return q / q.sum(dim=1, keepdim=True)


def test_forward_kl_by_hand() -> None:
    z = torch.tensor([[0.0, math.log(3.0), 0.0, 0.0]])  # softmax 1/6 1/2 1/6 1/6
    value = forward_kl(z, torch.tensor([1, 3]), torch.tensor([[0.75, 0.25]]))
    assert value.item() == pytest.approx(0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 * 6))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_forward_kl_is_torchs(temperature: float) -> None:
    z = logits()
    reference = functional.kl_div(
        functional.log_softmax(z / temperature, dim=1).double(), whole(TARGET), reduction="none"
    ).sum(dim=1)
    torch.testing.assert_close(forward_kl(z, IDS, TARGET, temperature), reference, rtol=1e-6, atol=1e-6)


def test_the_gradient_of_forward_kl_is_softmax_minus_target() -> None:
    z = logits()
    torch.autograd.backward(forward_kl(z, IDS, TARGET).mean())
    assert z.grad is not None
    torch.testing.assert_close(z.grad, (functional.softmax(z, dim=1) - whole(TARGET).float()).detach() / 2)


def test_reverse_kl_is_torchs_with_the_sides_exchanged() -> None:
    z = logits()
    q = whole(TARGET.float(), floor=1e-4)
    reference = functional.kl_div(q.log(), functional.softmax(z, dim=1), reduction="none").sum(dim=1)
    torch.testing.assert_close(reverse_kl(z, IDS, TARGET, floor=1e-4), reference, rtol=1e-5, atol=1e-6)


def test_reverse_kl_stays_finite_where_the_target_is_zero() -> None:
    z = logits()
    torch.autograd.backward(reverse_kl(z, IDS, TARGET).sum())
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_the_score_reads_the_level_logits_only() -> None:
    z = torch.full((1, 9), 50.0)
    z[0, IDS] = torch.tensor([0.0, math.log(2.0), math.log(5.0)])
    score = expected_score(z, IDS, torch.tensor([1 / 6, 0.5, 5 / 6]))
    assert score.item() == pytest.approx((1 / 6 + 2 * 0.5 + 5 * 5 / 6) / 8)


def test_margin_by_hand() -> None:
    higher, lower = torch.tensor([0.7, 0.5, 0.3]), torch.tensor([0.4, 0.45, 0.6])
    # far enough, too close, wrong way round
    torch.testing.assert_close(margin(higher, lower, 0.1), torch.tensor([0.0, 0.05, 0.4]))


def test_batch_margin_takes_each_pair_once_with_the_lighter_weight() -> None:
    scores, means = torch.tensor([0.2, 0.6, 0.5]), torch.tensor([0.1, 0.5, 0.9])
    # (0, 1): .6 - .2 is enough; (0, 2): .3 is enough; (1, 2): wrong way round by .1
    assert batch_margin(scores, means, 0.1, torch.ones(3)).item() == pytest.approx(0.2 / 3)
    assert batch_margin(scores, means, 0.1, torch.tensor([1.0, 3.0, 0.25])).item() == pytest.approx(0.25 * 0.2 / 3)


def test_batch_margin_of_ties_is_nothing_and_can_be_differentiated() -> None:
    scores = torch.tensor([0.2, 0.6], requires_grad=True)
    value = batch_margin(scores, torch.tensor([0.5, 0.5]), 0.1, torch.ones(2))
    torch.autograd.backward(value)
    assert value.item() == 0
    assert scores.grad is not None
    assert scores.grad.tolist() == [0, 0]


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_several_rows_is_that_of_each_alone(name: str) -> None:
    z, loss = logits(), LOSSES[name]
    together = loss(z, IDS, TARGET, 1.5)
    assert together.shape == (2,)
    alone = [loss(z[row : row + 1], IDS, TARGET[row : row + 1], 1.5) for row in (0, 1)]
    torch.testing.assert_close(together, torch.cat(alone))


def other_mass(z: torch.Tensor, temperature: float) -> Floats:
    """A tenth of the negative log of the probability of a level, from the whole softmax."""
    found: Floats = -0.1 * torch.softmax(z.double() / temperature, dim=1)[:, IDS].sum(dim=1).log().detach().numpy()
    return found


def levels_of(z: torch.Tensor, temperature: float) -> Floats:
    found: Floats = torch.softmax(z[:, IDS].double() / temperature, dim=1).detach().numpy()
    return found


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_crps_is_the_mean_of_the_evaluations_crps_over_values_drawn_from_the_target(temperature: float) -> None:
    z, rng = logits(), np.random.default_rng(0)
    found = crps(z, IDS, TARGET, temperature).detach().numpy() - other_mass(z, temperature)
    for row, q in enumerate(TARGET.numpy()):
        p = levels_of(z, temperature)[row]
        exactly = sum(mass * evaluated_crps(p, value) for mass, value in zip(q, centres(3), strict=True))
        assert found[row] == pytest.approx(exactly, abs=1e-6)
        drawn = (rng.choice(3, 20_000, p=q) + rng.random(20_000)) / 3
        assert found[row] == pytest.approx(evaluated_crps(np.tile(p, (20_000, 1)), drawn).mean(), abs=5e-3)


def test_the_crps_nears_the_exact_one_as_levels_get_finer() -> None:
    rng = np.random.default_rng(1)
    gaps = []
    for k in (5, 100):
        middle = centres(k)
        p, q = (np.exp(-((middle - at) ** 2) / 0.05) for at in (0.3, 0.6))
        p, q = p / p.sum(), q / q.sum()
        drawn = (rng.choice(k, 20_000, p=q) + rng.random(20_000)) / k
        target = torch.from_numpy(q)[None]
        found = crps(torch.from_numpy(np.log(p))[None], torch.arange(k), target).item()
        gaps.append(abs(found - exact_crps(np.tile(p, (20_000, 1)), drawn).mean()))
    assert gaps[1] < 0.003
    assert gaps[1] < gaps[0]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_wasserstein_is_scipys_distance_between_the_level_centres(temperature: float) -> None:
    z = logits()
    found = wasserstein(z, IDS, TARGET, temperature).detach().numpy() - other_mass(z, temperature)
    for row, q in enumerate(TARGET.numpy()):
        expected = stats.wasserstein_distance(centres(3), centres(3), levels_of(z, temperature)[row], q)
        assert found[row] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_no_answer_has_a_lower_loss_than_the_target(name: str) -> None:
    loss, generator = LOSSES[name], torch.Generator().manual_seed(2)
    target = torch.softmax(torch.randn(3, generator=generator), dim=0)[None]
    best = torch.full((1, 9), -40.0)
    best[0, IDS] = target[0].log()
    least = loss(best, IDS, target).item()
    for _ in range(200):
        other = best + 0.5 * torch.randn(1, 9, generator=generator)
        assert loss(other, IDS, target).item() > least
    assert least == pytest.approx(crps(best, IDS, target).item() if name == "crps" else 0, abs=1e-4)
