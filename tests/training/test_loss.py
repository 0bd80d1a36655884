from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from training.fit.loss import batch_margin, expected_score, forward_kl, margin, reverse_kl

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
        functional.log_softmax(z / temperature, dim=1).double(), whole(TARGET), reduction="batchmean"
    )
    assert forward_kl(z, IDS, TARGET, temperature).item() == pytest.approx(reference.item(), rel=1e-6)


def test_the_gradient_of_forward_kl_is_softmax_minus_target() -> None:
    z = logits()
    torch.autograd.backward(forward_kl(z, IDS, TARGET))
    assert z.grad is not None
    torch.testing.assert_close(z.grad, (functional.softmax(z, dim=1) - whole(TARGET).float()).detach() / 2)


def test_reverse_kl_is_torchs_with_the_sides_exchanged() -> None:
    z = logits()
    q = whole(TARGET.float(), floor=1e-4)
    reference = functional.kl_div(q.log(), functional.softmax(z, dim=1), reduction="batchmean")
    assert reverse_kl(z, IDS, TARGET, floor=1e-4).item() == pytest.approx(reference.item(), rel=1e-5)


def test_reverse_kl_stays_finite_where_the_target_is_zero() -> None:
    z = logits()
    torch.autograd.backward(reverse_kl(z, IDS, TARGET))
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_the_score_reads_the_level_logits_only() -> None:
    z = torch.full((1, 9), 50.0)
    z[0, IDS] = torch.tensor([0.0, math.log(2.0), math.log(5.0)])
    score = expected_score(z, IDS, torch.tensor([1 / 6, 0.5, 5 / 6]))
    assert score.item() == pytest.approx((1 / 6 + 2 * 0.5 + 5 * 5 / 6) / 8)


def test_margin_by_hand() -> None:
    a, b = torch.tensor([0.7, 0.5, 0.3, 0.9]), torch.tensor([0.4, 0.45, 0.6, 0.1])
    order = torch.tensor([1.0, 1.0, 1.0, 0.0])  # far enough, too close, wrong way round, no order
    assert margin(a, b, order, 0.1).item() == pytest.approx((0 + 0.05 + 0.4) / 3)
    assert margin(a, b, -order, 0.1).item() == pytest.approx((0.4 + 0.15 + 0) / 3)
    assert margin(a, b, torch.zeros(4), 0.1).item() == 0


def test_batch_margin_takes_each_pair_once() -> None:
    scores, means = torch.tensor([0.2, 0.6, 0.5]), torch.tensor([0.1, 0.5, 0.9])
    # (0, 1): .6 - .2 is enough; (0, 2): .3 is enough; (1, 2): wrong way round by .1
    assert batch_margin(scores, means, 0.1).item() == pytest.approx(0.2 / 3)


WEIGHTS = torch.tensor([2.0, 0.5])


def test_a_weight_multiplies_the_divergence_of_its_row() -> None:
    z = logits()
    for kl in (forward_kl, reverse_kl):
        first, second = (kl(z[row : row + 1], IDS, TARGET[row : row + 1]).item() for row in (0, 1))
        assert kl(z, IDS, TARGET, 1.0, WEIGHTS).item() == pytest.approx((2 * first + 0.5 * second) / 2, rel=1e-5)


def test_a_weight_multiplies_the_margin_of_its_pair() -> None:
    a, b = torch.tensor([0.7, 0.5, 0.3, 0.9]), torch.tensor([0.4, 0.45, 0.6, 0.1])
    order, weights = torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.tensor([9.0, 2.0, 0.25, 9.0])
    assert margin(a, b, order, 0.1, weights).item() == pytest.approx((2 * 0.05 + 0.25 * 0.4) / 3)
    scores, means = torch.tensor([0.2, 0.6, 0.5]), torch.tensor([0.1, 0.5, 0.9])
    # Only (1, 2) is wrong, by .1, and the lighter of the two weighs .25.
    assert batch_margin(scores, means, 0.1, torch.tensor([1.0, 3.0, 0.25])).item() == pytest.approx(0.25 * 0.2 / 3)
