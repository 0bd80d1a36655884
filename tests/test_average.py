"""The average of two adapters is the average of what they add to each map."""

from __future__ import annotations

import torch

from benchmarks.average import averaged

DOWN, UP = "layer.lora_A.weight", "layer.lora_B.weight"
RANK = 4


def adapter(seed: int, rank: int = RANK) -> dict[str, torch.Tensor]:
    """An adapter of a map from 12 to 9 features whose product has at most this rank."""
    draw = torch.Generator().manual_seed(seed)
    inner, outer = torch.randn(RANK, 12, generator=draw), torch.randn(9, RANK, generator=draw)
    outer[:, rank:] = 0
    return {DOWN: inner, UP: outer}


def product(adapter: dict[str, torch.Tensor]) -> torch.Tensor:
    return adapter[UP].float() @ adapter[DOWN].float()


def test_what_fits_into_the_rank_is_the_dense_average() -> None:
    one, two = adapter(0, 2), adapter(1, 2)
    found = averaged(one, two)
    assert {name: each.shape for name, each in found.items()} == {DOWN: (RANK, 12), UP: (9, RANK)}
    torch.testing.assert_close(product(found), (product(one) + product(two)) / 2, rtol=2e-3, atol=5e-3)


def test_what_does_not_fit_is_the_nearest_matrix_of_the_rank() -> None:
    one, two = adapter(2), adapter(3)
    dense = (product(one) + product(two)) / 2
    left_out = torch.linalg.svdvals(dense)[RANK:].square().sum().sqrt()  # Eckart and Young 1936
    torch.testing.assert_close((product(averaged(one, two)) - dense).norm(), left_out, rtol=1e-3, atol=5e-3)
