"""Packing: many prompts in few rows of tokens, with what prompts share at their start only once.

All prompts open with the same words, and many share a premise. Sorted, they form a tree: a prompt only adds the tokens
after those that it shares with the prompt before it. A row of a batch is such a tree, written in the order of a walk
through it. A token sees the tokens before it whose part of the tree has not ended, which are those of its own prompt;
so every prompt is answered as if it were alone. Nothing is padded inside a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Tokens = npt.NDArray[np.int32]
Indices = npt.NDArray[np.signedinteger[Any]]
"""Where there is one for each proposition of a training set, they are int32, to be few bytes."""

ROW_TOKENS = {"cpu": 384, "cuda": 1024}
"""The most tokens of a row of several prompts. Attention costs the square; but each row repeats the common start."""
WIDTH_STEP = 8
"""Trees are padded to a multiple of this. For bf16 on a CPU, oneDNN compiles some 2 MB of kernels for each width that
it meets, and keeps those of hundreds: fewer widths take less memory, and less time to compile.
"""


class Batch(NamedTuple):
    """Rows of tokens. All but `answers` are [rows, width].

    `ends[r, j]` is the place in row r from which on nothing sees token j; None for rows of one prompt each, where every
    token sees all before it. `answers` [n] are the answer positions of the prompts in the flattened rows.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    ends: torch.Tensor | None
    answers: torch.Tensor

    def visible(self) -> torch.Tensor | None:
        """Return which token [rows, 1, width, width] sees which."""
        if self.ends is None:
            return None
        place = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        seen = (place[None, :] <= place[:, None])[None] & (place[None, :, None] < self.ends[:, None, :])
        return seen[:, None]


def on_device(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on a device. A GPU is not waited for."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def walk(prompts: Sequence[Tokens]) -> list[int]:
    """Return the order of the prompts in which neighbours share the most at their start."""
    return sorted(range(len(prompts)), key=lambda place: prompts[place].astype(">u4").tobytes())


class Packed(NamedTuple):
    """A batch, and for each prompt the places of its tokens in the flattened rows."""

    batch: Batch
    paths: list[Indices]


def pack(prompts: Sequence[Tokens], device: torch.device, *, row_tokens: int | None = None) -> Packed:
    """Return all prompts as one batch of trees.

    Args:
        prompts: n prompts, in any order; `answers` and `paths` have theirs.
        device: Where the batch is needed.
        row_tokens: A row has more tokens only if a single prompt has; by default `ROW_TOKENS` of the device. Padding to
            a multiple of `WIDTH_STEP` is not counted.
    """
    order = walk(prompts)
    lengths = [len(prompts[index]) for index in order]
    fresh = [length - known for length, known in zip(lengths, shares(prompts, order), strict=True)]
    most = max(row_tokens or ROW_TOKENS[device.type], *lengths)
    rows: list[_Row] = []
    places: list[tuple[int, Indices]] = [(0, np.empty(0, dtype=np.int64))] * len(prompts)
    for part in parts(fresh, most, lengths):
        rows.append(_Row(most))
        for index in order[part]:
            places[index] = (len(rows) - 1, rows[-1].add(prompts[index]))
    width = -(-max(row.size for row in rows) // WIDTH_STEP) * WIDTH_STEP
    ids, depths = (np.zeros((len(rows), width), dtype=np.int64) for _ in range(2))
    # The padding sees itself alone: a softmax over nothing would be NaN.
    ends = np.tile(np.arange(1, width + 1), (len(rows), 1))
    for number, row in enumerate(rows):
        for target, source in ((ids, row.tokens), (depths, row.depths), (ends, np.minimum(row.ends, row.size))):
            target[number, : row.size] = source[: row.size]
    paths: list[Indices] = [number * width + path for number, path in places]
    return Packed(_batch(ids, depths, ends, paths, device), paths)


def one_per_row(prompts: Sequence[Tokens], device: torch.device) -> Packed:
    """Return a batch with one prompt per row, for bases that cannot read trees.

    Rows are padded at their end, which a causal model does not see from the answer position.
    """
    width = max(map(len, prompts))
    ids = np.zeros((len(prompts), width), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
    depths = np.tile(np.arange(width), (len(prompts), 1))
    paths: list[Indices] = [row * width + np.arange(len(prompt)) for row, prompt in enumerate(prompts)]
    return Packed(_batch(ids, depths, None, paths, device), paths)


def parts(sizes: Sequence[int], most: int, alone: Sequence[int] | None = None) -> list[slice]:
    """Cut a sequence of sizes into as few consecutive parts as possible, and these as evenly as possible.

    Args:
        sizes: What each member adds to its part.
        most: Parts sum to at most this, or have one member.
        alone: The sizes of members that come first in their part; by default `sizes`.
    """
    first = sizes if alone is None else alone
    found = _cut(sizes, first, most)
    low, high = max(first, default=0), most
    while low < high:
        middle = (low + high) // 2
        if len(tried := _cut(sizes, first, middle)) > len(found):
            low = middle + 1
        else:
            found, high = tried, middle
    return found


PART_COST = 1 / 16
"""What a part costs besides its tokens, as a share of the most tokens of one, since each layer runs once more.

That is 64 tokens on a CPU. A GPU, which reads more at once, does not gain by many small parts.
"""


def padded_parts(widths: Sequence[int], rows: Sequence[int], most: int) -> list[slice]:
    """Cut a sequence of members, in order of width, into the consecutive parts that cost the least with padding.

    A part with w the width of its last member costs w times its rows, which is at most `most` unless it has one member,
    and `PART_COST` times `most`. The work grows with the number of members, not with its square.

    Args:
        widths: The length of the longest prompt of each member, ascending.
        rows: How many prompts each member has.
        most: The most tokens of a part.
    """
    before = np.concatenate([[0], np.cumsum(rows)])
    best, starts = np.zeros(len(widths) + 1), np.zeros(len(widths), dtype=np.int64)
    # A part that ends with a member starts at the latest with it, and at the earliest here.
    firsts = np.searchsorted(before, before[1:] - most // np.maximum(widths, 1))
    for last, width in enumerate(widths):
        first = min(int(firsts[last]), last)
        padded = (before[last + 1] - before[first : last + 1]) * width
        costs = best[first : last + 1] + padded + PART_COST * most
        place = int(np.argmin(costs))
        starts[last], best[last + 1] = first + place, costs[place]
    found, end = list[slice](), len(widths)
    while end:
        found.append(slice(int(starts[end - 1]), end))
        end = found[-1].start
    return found[::-1]


def shares(prompts: Sequence[Tokens], order: Sequence[int]) -> list[int]:
    """Return how many tokens each prompt shares with the one before it in the order, at their start."""
    return [0, *(shared(prompts[before], prompts[after]) for before, after in pairwise(order))][: len(order)]


def shared(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two prompts share at their start."""
    short = min(len(one), len(other))
    apart = np.flatnonzero(one[:short] != other[:short])
    return int(apart[0]) if len(apart) else short


class _Row:
    """A row that is being filled with sorted prompts. `path` has the places of the tokens of the last prompt."""

    def __init__(self, most: int) -> None:
        self.size = 0
        self.tokens, self.depths, self.ends = (np.empty(most, dtype=np.int64) for _ in range(3))
        self.last: Tokens = np.empty(0, dtype=np.int32)
        self.path: Indices = np.empty(0, dtype=np.int64)

    def add(self, prompt: Tokens) -> Indices:
        """Add a prompt; return the places of its tokens."""
        known = shared(self.last, prompt)
        fresh = np.arange(self.size, self.size + len(prompt) - known)
        self.ends[self.path[known:]] = self.size
        self.tokens[fresh] = prompt[known:]
        self.depths[fresh] = np.arange(known, len(prompt))
        self.path = np.concatenate([self.path[:known], fresh])
        self.ends[self.path] = len(self.tokens)
        self.size += len(fresh)
        self.last = prompt
        return self.path


def _cut(sizes: Sequence[int], first: Sequence[int], most: int) -> list[slice]:
    """Cut greedily: a part ends before the member that would make it too large."""
    ends, total = [], 0
    for place, size in enumerate(sizes):
        if place and total + size > most:
            ends.append(place)
            total = 0
        total += size if total else first[place]
    return [slice(*each) for each in pairwise([0, *ends, len(sizes)])] if len(sizes) else []


def _batch(ids: Indices, depths: Indices, ends: Indices | None, paths: list[Indices], device: torch.device) -> Batch:
    answers = np.array([path[-1] for path in paths], dtype=np.int64)
    ids_, depths_, answers_ = (on_device(each, device) for each in (ids, depths, answers))
    return Batch(ids_, depths_, None if ends is None else on_device(ends, device), answers_)
