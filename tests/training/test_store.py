"""Stores on disk: what goes in comes out, in any order, and is not held in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from training.fit.store import Ragged, Table, opening, tokens_in

PROMPTS = st.lists(st.lists(st.integers(0, 60_000), max_size=9), max_size=12)
ANY = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY
@given(PROMPTS, st.integers(1, 5), st.randoms())
def test_arrays_come_back_as_they_were(tmp_path: Path, prompts: list[list[int]], at_once: int, chance: object) -> None:
    arrays = [np.array(each, dtype=np.int32) for each in prompts]
    store = tokens_in(tmp_path / "a")
    for start in range(0, len(arrays), at_once):
        store.add(arrays[start : start + at_once])
    store.done()
    assert len(store) == len(arrays)
    assert store.lengths().tolist() == [len(each) for each in arrays]
    order = np.random.default_rng(0).integers(0, len(arrays), 20) if arrays else np.empty(0, np.int64)
    for index, found in zip(order, store.of(order), strict=True):
        assert found.tolist() == prompts[index]


def test_states_are_put_in_any_order(tmp_path: Path) -> None:
    rng, lengths = np.random.default_rng(0), np.array([3, 0, 5, 1])
    states = [rng.standard_normal((n, 4)).astype(np.float16) for n in lengths]
    store = Ragged(tmp_path / "s", np.float16, (4,))
    store.reserve(lengths)
    for index in (2, 0, 3, 1):
        store.put(index, states[index])
    for found, state in zip(store.of(np.arange(4)), states, strict=True):
        np.testing.assert_array_equal(found, state)


def test_a_table_gives_its_rows(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    table = Table(tmp_path / "t", 3)
    for part in np.split(rows, [7, 7, 30]):
        table.add(part)
    table.done()
    np.testing.assert_array_equal(table.of(np.array([49, 0, 7, 7])), rows[[49, 0, 7, 7]])
    np.testing.assert_array_equal(np.concatenate(list(table.batches(8))), rows)
    assert table.of(np.empty(0, np.int64)).shape == (0, 3)


@ANY
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=8))
def test_the_opening_is_what_all_prompts_share_but_for_their_last_token(
    tmp_path: Path, prompts: list[list[int]]
) -> None:
    stores = [tokens_in(tmp_path / name) for name in "ab"]
    for number, prompt in enumerate(prompts):
        stores[number % 2].add([np.array(prompt, dtype=np.int32)])
    for store in stores:
        store.done()
    longest = 0
    while prompts and all(len(p) > longest + 1 and p[: longest + 1] == prompts[0][: longest + 1] for p in prompts):
        longest += 1
    assert opening(*stores).tolist() == (prompts[0][:longest] if prompts else [])


def test_the_opening_spans_the_parts_of_large_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.fit.store._AT_ONCE", 2)
    store = tokens_in(tmp_path / "a")
    store.add([np.array([1, 2, 3, n, 9], dtype=np.int32) for n in range(4)] + [np.array([1, 2, 8, 8], dtype=np.int32)])
    store.done()
    assert opening(store).tolist() == [1, 2]


def test_rows_stay_on_disk(tmp_path: Path) -> None:
    many = [np.arange(256, dtype=np.int32)] * 4096
    tracemalloc.start()
    store, table = tokens_in(tmp_path / "a"), Table(tmp_path / "t", 64)
    for _ in range(4):
        store.add(many)
        table.add(np.ones((4096, 64)))
    store.done()
    table.done()
    del many
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert written == 4 * 4096 * (1024 + 256)
    assert held < written / 50
