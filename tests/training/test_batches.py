from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.fixtures.estimator import Base, shard_table
from training.fit.examples import judged
from training.model.batches import (
    collate,
    encode_table,
    pair_batches,
    pair_texts,
    shuffled_batches,
    sorted_batches,
)
from training.model.prompt import Encoded

NAMES = ("proposition_id", "premise", "hypothesis")
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=200).map(lambda each: np.array(each, dtype=np.int64))


@given(LENGTHS, st.integers(1, 20), st.integers(0, 5))
def test_every_row_comes_once(lengths: np.ndarray[tuple[int], np.dtype[np.int64]], size: int, epoch: int) -> None:
    for batches in (shuffled_batches(lengths, size, 1, epoch), sorted_batches(lengths, size)):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert max(map(len, batches)) <= size


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    lengths = np.arange(100) % 17
    first = np.concatenate(shuffled_batches(lengths, 4, 1, 0)).tolist()
    assert first == np.concatenate(shuffled_batches(lengths, 4, 1, 0)).tolist()
    assert first != np.concatenate(shuffled_batches(lengths, 4, 1, 1)).tolist()
    assert first != np.concatenate(shuffled_batches(lengths, 4, 2, 0)).tolist()


def test_batches_hold_similar_lengths_and_the_longest_come_first() -> None:
    lengths = np.random.default_rng(0).permutation(np.arange(64))
    spans = [int(np.ptp(lengths[batch])) for batch in shuffled_batches(lengths, 8, 0, 0)]
    assert max(spans) == 7
    tops = [int(lengths[batch].max()) for batch in sorted_batches(lengths, 8)]
    assert tops == sorted(tops, reverse=True)


def test_prompts_are_padded_on_the_left() -> None:
    encoded = Encoded(
        np.array([1, 2, 3, 4, 5], dtype=np.int32), np.array([0, 2, 5]), np.array([0, 1]), np.array([False, False])
    )
    batch = collate(encoded, np.array([1, 0]), 99, torch.device("cpu"))
    assert batch.input_ids.tolist() == [[3, 4, 5], [99, 1, 2]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [0, 1, 1]]
    assert batch.position_ids.tolist() == [[0, 1, 2], [0, 0, 1]]


def test_a_table_in_parts_encodes_as_a_whole(tiny_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base.path)
    table = shard_table(20)
    lengths = encode_table(tokenizer, table, 500)[0].lengths()
    limit = int(np.median(lengths))
    whole, _ = encode_table(tokenizer, table, limit)
    monkeypatch.setattr("training.model.batches._ROWS_AT_ONCE", 7)
    parts, _ = encode_table(tokenizer, table, limit)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert 0 < whole.truncated.sum() < 20


def test_a_proposition_that_does_not_fit_becomes_a_drop(tiny_base: Base) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base.path)
    table = shard_table(3)
    long = pa.array(["ok", "word " * 300, "ok"])
    encoded, drops = encode_table(tokenizer, table.set_column(3, "hypothesis", long), 200)
    assert encoded.rows.tolist() == [0, 2]
    assert [(drop.subject_id, drop.reason) for drop in drops] == [
        (table["proposition_id"][1].as_py(), "question too long")
    ]


def test_judgments_of_a_table_slice() -> None:
    table = pa.table({"values": [[0.1], [0.2, None, 0.4], [], [0.5]], "weights": [[1.0], [0.5, 0.3, 0.2], [], [1.0]]})
    found = judged(table.slice(1))
    np.testing.assert_array_equal(found.values, [0.2, np.nan, 0.4, 0.5])
    np.testing.assert_array_equal(found.weights, [0.5, 0.3, 0.2, 1.0])
    assert found.offsets.tolist() == [0, 3, 3, 4]


def test_weights_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="another number of weights"):
        judged(pa.table({"values": [[0.1, 0.2]], "weights": [[1.0]]}))


def test_every_order_pair_comes_once_an_epoch_where_they_fit() -> None:
    for pairs, steps in ((0, 3), (2, 5), (12, 5), (20, 5)):
        batches = pair_batches(pairs, steps, 4, 1, 0)
        assert len(batches) == steps
        assert sorted(np.concatenate(batches).tolist()) == list(range(pairs))
        assert max(map(len, batches)) == -(-pairs // steps)
    many = [np.concatenate(pair_batches(1000, 5, 4, 1, epoch)).tolist() for epoch in range(200)]
    assert {len(set(each)) for each in many} == {20}
    assert len({pair for each in many for pair in each}) > 950  # of 4,000 draws; each is left out with p = .98^200


def test_the_texts_of_pairs_are_the_higher_ones_then_the_lower_ones() -> None:
    sides = {
        f"{side}_{name}": [f"{side} {name} {n}" for n in range(2)] for side in ("higher", "lower") for name in NAMES
    }
    assert pair_texts(pa.table(sides)).to_pylist() == [
        {name: f"{side} {name} {n}" for name in NAMES} for side in ("higher", "lower") for n in range(2)
    ]
