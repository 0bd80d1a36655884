"""Packing: every prompt of a batch is answered as if it were alone."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.test_base import gpt2, llama
from training.model.network import Network, read
from training.model.packing import (
    PART_COST,
    WIDTH_STEP,
    Packed,
    Tokens,
    one_per_row,
    pack,
    padded_parts,
    parts,
    shared,
    walk,
)

CPU = torch.device("cpu")
TREES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=9)


def tokens(prompts: list[list[int]]) -> list[Tokens]:
    return [np.array(each, dtype=np.int32) for each in prompts]


def nodes(prompts: list[list[int]]) -> int:
    """How many tokens there are, with those of a common start once."""
    return len({tuple(prompt[: n + 1]) for prompt in prompts for n in range(len(prompt))})


def padded(size: int) -> int:
    """The width of rows of which the fullest has `size` tokens."""
    return next(width for width in range(WIDTH_STEP, size + WIDTH_STEP, WIDTH_STEP) if width >= size)


@given(TREES, st.integers(1, 40))
def test_a_token_sees_those_of_its_own_prompt_that_are_not_later(prompts: list[list[int]], row_tokens: int) -> None:
    batch, paths = pack(tokens(prompts), CPU, row_tokens=row_tokens)
    rows, width = batch.input_ids.shape
    mask = batch.visible()
    assert mask is not None
    seen = torch.zeros(rows * width, rows * width, dtype=torch.bool)
    for row in range(rows):
        seen[row * width : (row + 1) * width, row * width : (row + 1) * width] = mask[row, 0]
    for prompt, path, answer in zip(prompts, paths, batch.answers.tolist(), strict=True):
        assert batch.input_ids.flatten()[path].tolist() == prompt
        assert batch.position_ids.flatten()[path].tolist() == list(range(len(prompt)))
        assert path[-1] == answer
        for place, token in enumerate(path):
            assert seen[token].nonzero().flatten().tolist() == sorted(path[: place + 1].tolist())
    used = {int(token) for path in paths for token in path}
    assert all(seen[token].nonzero().flatten().tolist() == [token] for token in set(range(rows * width)) - used)


@given(TREES)
def test_what_prompts_share_at_their_start_is_there_once(prompts: list[list[int]]) -> None:
    batch, paths = pack(tokens(prompts), CPU)
    assert batch.input_ids.shape == (1, padded(nodes(prompts)))
    assert len({int(token) for path in paths for token in path}) == nodes(prompts)


@given(TREES, st.integers(1, 20))
def test_rows_are_filled_up_to_their_limit(prompts: list[list[int]], row_tokens: int) -> None:
    batch, _ = pack(tokens(prompts), CPU, row_tokens=row_tokens)
    rows, width = batch.input_ids.shape
    assert width <= padded(max(row_tokens, *map(len, prompts)))
    assert rows <= len(prompts)


@given(TREES)
def test_neighbours_in_a_walk_share_the_most(prompts: list[list[int]]) -> None:
    arrays = tokens(prompts)
    order = walk(arrays)
    assert [prompts[index] for index in order] == sorted(prompts)


@given(TREES)
def test_one_prompt_per_row_is_padded_at_its_end(prompts: list[list[int]]) -> None:
    batch, paths = one_per_row(tokens(prompts), CPU)
    width = max(map(len, prompts))
    assert batch.visible() is None
    assert batch.input_ids.shape == (len(prompts), width)
    for row, (prompt, path) in enumerate(zip(prompts, paths, strict=True)):
        assert batch.input_ids[row, : len(prompt)].tolist() == prompt
        assert path.tolist() == [row * width + place for place in range(len(prompt))]
        assert batch.answers[row] == path[-1]


@given(st.lists(st.integers(1, 30), max_size=8), st.integers(1, 50))
def test_parts_are_as_few_as_possible_and_as_even_as_possible(sizes: list[int], most: int) -> None:
    found = [sizes[part] for part in parts(sizes, most)]
    assert [size for part in found for size in part] == sizes
    assert all(len(part) == 1 or sum(part) <= most for part in found)
    cuts = (each for n in range(len(sizes)) for each in combinations(range(1, len(sizes)), n))
    all_ways = [[sizes[start:end] for start, end in pairwise((0, *cut, len(sizes)))] for cut in cuts]
    allowed = [way for way in all_ways if all(len(part) == 1 or sum(part) <= most for part in way)]
    fewest = min(map(len, allowed), default=0)
    assert len(found) == fewest
    assert max(map(sum, found), default=0) == min(
        (max(map(sum, way)) for way in allowed if len(way) == fewest), default=0
    )


@given(TREES, st.integers(1, 20))
def test_rows_are_as_even_as_possible(prompts: list[list[int]], row_tokens: int) -> None:
    batch, paths = pack(tokens(prompts), CPU, row_tokens=row_tokens)
    rows, width = batch.input_ids.shape
    filled = max(int(path.max()) % width for path in paths) + 1
    assert width == padded(filled)
    narrower, _ = pack(tokens(prompts), CPU, row_tokens=filled - 1)
    assert len(narrower.input_ids) > rows or filled == max(map(len, prompts))


@given(st.lists(st.integers(0, 1), max_size=6), st.lists(st.integers(0, 1), max_size=6))
def test_shared_is_the_length_of_the_common_start(one: list[int], other: list[int]) -> None:
    found = shared(*tokens([one, other]))
    assert one[:found] == other[:found]
    assert found in (len(one), len(other)) or one[found] != other[found]


OPENING = [7, 8, 9, 10, 11, 12]
PREMISE = [*OPENING, 20, 21, 22, 23]
PROMPTS = [
    [*PREMISE, 30, 31, 32],  # two hypotheses on a premise
    [*PREMISE, 33, 34],
    [*OPENING, 24, 25, 30, 31, 32],  # another premise
    [*PREMISE, 30, 31, 32],  # a duplicate
    [*PREMISE, 30, 31],  # the start of another prompt
    [*OPENING, 26],
    [40, 41, 42, 43, 44, 45, 46, 47, 48],  # another opening
    [50],
]


@pytest.fixture(params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    torch.manual_seed(3)
    made: Any = {"llama": llama, "gpt2": gpt2}[request.param](60)
    return made.eval()


def alone(model: Any, prompts: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([model(input_ids=torch.tensor([prompt])).logits[0, -1] for prompt in prompts])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("row_tokens", "rows"), [(1, 4), (16, 3), (1024, 1)])
def test_every_prompt_is_answered_as_if_it_were_alone(model: Any, attention: str, row_tokens: int, rows: int) -> None:
    expected = alone(model, PROMPTS)
    model.set_attn_implementation(attention)
    packed = pack(tokens(PROMPTS), CPU, row_tokens=row_tokens)
    assert len(packed.batch.input_ids) == rows
    check(model, packed, expected)


def test_prompts_one_per_row_are_answered_as_if_they_were_alone(model: Any) -> None:
    check(model, one_per_row(tokens(PROMPTS), CPU), alone(model, PROMPTS))


def check(model: Any, packed: Packed, expected: torch.Tensor) -> None:
    with torch.no_grad():
        found = read(model, packed.batch).flatten(0, 1)[packed.batch.answers]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_model_that_ignores_the_mask_is_not_given_trees(tiny_base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.model.base import load_base, reads_trees

    model, tokenizer = load_base(*tiny_base)
    assert reads_trees(model, tokenizer)
    real = model.forward
    monkeypatch.setattr(model, "forward", lambda attention_mask=None, **rest: real(**rest))
    assert not reads_trees(model, tokenizer)


def test_gradients_are_those_of_the_prompts_alone(model: Any) -> None:
    network, sums = Network(model, [3, 5, 6]), []
    packed = pack(tokens(PROMPTS), CPU, row_tokens=16).batch
    batches = [[packed], [pack([each], CPU).batch for each in tokens(PROMPTS)]]
    for some in batches:
        network.zero_grad()
        for batch in some:
            network(batch).square().sum().backward()
        sums.append({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})
    assert sums[0].keys() == sums[1].keys()
    for name, gradient in sums[0].items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(gradient, sums[1][name], atol=1e-5 * scale + 1e-7, rtol=1e-3)


def cost_of(members: list[tuple[int, int]], cuts: tuple[int, ...], most: int) -> float:
    """What the parts between some cuts cost, from the definition; infinite if one is too large."""
    total = 0.0
    for start, end in pairwise([0, *cuts, len(members)]):
        part = members[start:end]
        padded = max(width for width, _ in part) * sum(rows for _, rows in part)
        total += padded + PART_COST * most if padded <= most or len(part) == 1 else float("inf")
    return total


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 2)), min_size=1, max_size=8), st.integers(50, 400))
def test_padded_parts_cost_the_least_of_all_ways_to_cut(members: list[tuple[int, int]], most: int) -> None:
    members.sort()
    widths, rows = (list(each) for each in zip(*members, strict=True))
    found = padded_parts(widths, rows, most)
    assert [place for part in found for place in range(part.start, part.stop)] == list(range(len(members)))
    inner = range(1, len(members))
    ways = [cuts for count in range(len(members)) for cuts in combinations(inner, count)]
    cost = cost_of(members, tuple(part.start for part in found[1:]), most)
    assert cost == pytest.approx(min(cost_of(members, cuts, most) for cuts in ways))


def test_short_prompts_are_not_padded_to_the_length_of_pairs() -> None:
    widths, rows = [25] * 24 + [45] * 8, [1] * 24 + [2] * 8  # propositions, then pairs
    assert padded_parts(widths, rows, 1024) == [slice(0, 24), slice(24, 32)]


def test_a_device_that_reads_much_at_once_gets_a_step_in_one_part() -> None:
    widths = list(range(30, 94))
    assert padded_parts(widths, [1] * 64, 65_536) == [slice(0, 64)]
    assert len(padded_parts(widths, [1] * 64, 1024)) > 4
    assert padded_parts([], [], 1024) == []


def test_many_members_are_cut_into_parts_that_hold_all_of_them() -> None:
    widths = sorted(20 + number % 180 for number in range(20_000))
    found = padded_parts(widths, [1] * len(widths), 1024)
    assert sum(part.stop - part.start for part in found) == len(widths)
    assert all((part.stop - part.start) * widths[part.stop - 1] <= 1024 for part in found)
