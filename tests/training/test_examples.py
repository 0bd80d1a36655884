"""The propositions and order pairs of a fit: their prompts and targets in files, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.fixtures.estimator import Base, pair_table, shard_table, with_column
from tests.training.test_estimator import LEVELS, estimator
from training.fit.examples import Choosing, examples_of, judged, pairs_of, prior_for
from training.model.prompt import encode
from training.model.texts import pair_sides, texts
from training.settings import FitSettings
from training.targets import Judged, mixture, prior_of
from warehouse.errors import InputError, OddsError

NAMES = ("proposition_id", "premise", "hypothesis")
WEIGHTS = [1.0, 0.5, 2.0, 0.25]


def settings(base: Base, **changes: object) -> FitSettings:
    return FitSettings.model_validate({"base": str(base.path), "levels": LEVELS, "max_length": 256} | changes)


def test_the_files_hold_the_prompts_targets_means_and_weights(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.fit.examples._ROWS_AT_ONCE", 7)
    table = with_column(shard_table(20), "weight", WEIGHTS * 5)
    subject, chosen = estimator(tiny_base), settings(tiny_base)
    prior = prior_for(table, chosen)
    examples, counts = examples_of(table, subject, chosen, prior=prior, folder=tmp_path, split="train")
    expected = encode(subject.tokenizer, list(texts(table)), 256).prompts()
    for found, prompt in zip(examples.prompts.of(np.arange(20)), expected, strict=True):
        np.testing.assert_array_equal(found, prompt)
    rows = np.array([19, 0, 7, 7])
    values = examples.values.of(rows)
    np.testing.assert_allclose(values[:, :-2], mixture(judged(table), chosen.spread, LEVELS)[rows], atol=1e-6)
    np.testing.assert_allclose(values[:, -2], table["mean"].to_numpy()[rows], atol=1e-6)
    np.testing.assert_allclose(values[:, -1], np.array(WEIGHTS * 5)[rows])
    assert (counts.rows, counts.simulated, counts.truncated, counts.drops) == (20, 60, 0, [])


def test_a_table_in_parts_encodes_as_a_whole(tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, table = estimator(tiny_base), shard_table(20)
    lengths = encode(subject.tokenizer, list(texts(table)), 500).lengths()
    chosen = settings(tiny_base, max_length=int(np.median(lengths)))
    subject = replace(subject, info=subject.info.model_copy(update={"max_length": chosen.max_length}))
    found = []
    for name, size in (("whole", 4096), ("parts", 7)):
        (tmp_path / name).mkdir()
        monkeypatch.setattr("training.fit.examples._ROWS_AT_ONCE", size)
        prior = prior_for(table, chosen)
        found.append(examples_of(table, subject, chosen, prior=prior, folder=tmp_path / name, split="train"))
    (whole, counts), (parts, others) = found
    for one, other in zip(whole.prompts.of(np.arange(20)), parts.prompts.of(np.arange(20)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(whole.values.of(np.arange(20)), parts.values.of(np.arange(20)), atol=1e-9)
    assert counts == others
    assert 0 < counts.truncated < 20


def test_a_shard_without_rows_changes_nothing(tiny_base: Base, tmp_path: Path) -> None:
    subject, chosen, table = estimator(tiny_base), settings(tiny_base), shard_table(6)
    empty = table.slice(0, 0).to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    with_empty = _Batches([*empty, *table.to_batches(), *empty])
    found = []
    for name, rows in (("all", table), ("with-empty", with_empty)):
        (tmp_path / name).mkdir()
        prior = prior_for(rows, chosen)
        found.append(examples_of(rows, subject, chosen, prior=prior, folder=tmp_path / name, split="train")[0])
    whole, other = found
    np.testing.assert_array_equal(other.prompts.lengths(), whole.prompts.lengths())
    np.testing.assert_array_equal(other.values.of(np.arange(6)), whole.values.of(np.arange(6)))
    np.testing.assert_array_equal(other.judgments.values, whole.judgments.values)
    assert [other.id_of(5), len(other.rows)] == [table["proposition_id"][5].as_py(), 6]


class _Batches:
    """Rows as these batches."""

    def __init__(self, batches: list[pa.RecordBatch]) -> None:
        self._batches = batches

    def to_batches(self) -> list[pa.RecordBatch]:
        return self._batches


def test_a_proposition_that_does_not_fit_becomes_a_drop(tiny_base: Base, tmp_path: Path) -> None:
    table, chosen = shard_table(3), settings(tiny_base, max_length=200)
    table = with_column(table, "hypothesis", ["ok", "word " * 300, "ok"])
    examples, counts = examples_of(
        table, estimator(tiny_base), chosen, prior=prior_for(table, chosen), folder=tmp_path, split="train"
    )
    assert examples.rows.tolist() == [0, 2]
    assert len(examples.prompts) == 2
    np.testing.assert_allclose(examples.values.of(np.array([0, 1]))[:, -2], [0.2, 0.2], atol=1e-6)
    assert [(drop.subject_id, drop.reason) for drop in counts.drops] == [
        (table["proposition_id"][1].as_py(), "question too long")
    ]


@pytest.mark.parametrize("name", ["mean", "weight"])
def test_a_row_whose_loss_would_be_no_number_is_named(tiny_base: Base, tmp_path: Path, name: str) -> None:
    table = with_column(shard_table(5), name, [0.5, 0.5, 0.5, float("nan"), 0.5])
    chosen = settings(tiny_base)
    with pytest.raises(OddsError, match=f"proposition {table['proposition_id'][3].as_py()}: its loss is not a number"):
        examples_of(table, estimator(tiny_base), chosen, prior=prior_for(table, chosen), folder=tmp_path, split="train")


@pytest.mark.parametrize(
    ("name", "value"), [("weights", [0.5, float("nan")]), ("values", [0.1, float("inf")]), ("weight", -1.0)]
)
def test_so_is_one_whose_judgments_are_none(tiny_base: Base, tmp_path: Path, name: str, value: object) -> None:
    table = with_column(with_column(shard_table(5), "values", [[0.5, 0.6]] * 5), "weights", [[0.5, 0.5]] * 5)
    column = table[name].to_pylist()
    column[2] = value
    table, chosen = with_column(table, name, column), settings(tiny_base)
    with pytest.raises(OddsError, match=f"proposition {table['proposition_id'][2].as_py()}: its loss is not a number"):
        examples_of(table, estimator(tiny_base), chosen, prior=prior_for(table, chosen), folder=tmp_path, split="train")


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1.0])
def test_so_is_an_order_pair(tiny_base: Base, tmp_path: Path, weight: float) -> None:
    pairs, chosen = with_column(pair_table(3, 0), "weight", [1.0, weight, 1.0]), settings(tiny_base)
    with pytest.raises(OddsError, match=f"order pair of proposition {pairs['higher_proposition_id'][1].as_py()}: its"):
        pairs_of(pairs, estimator(tiny_base), chosen, folder=tmp_path, split="train")


def test_a_split_without_weight_is_refused(tiny_base: Base, tmp_path: Path) -> None:
    table, chosen = with_column(shard_table(3), "weight", [0.0] * 3), settings(tiny_base)
    with pytest.raises(InputError, match="all propositions of the dev split have the weight 0"):
        examples_of(table, estimator(tiny_base), chosen, prior=prior_for(table, chosen), folder=tmp_path, split="dev")


def test_judgments_of_a_table_slice() -> None:
    table = pa.table({"values": [[0.1], [0.2, None, 0.4], [], [0.5]], "weights": [[1.0], [0.5, 0.3, 0.2], [], [1.0]]})
    found = judged(table.slice(1))
    np.testing.assert_array_equal(found.values, [0.2, np.nan, 0.4, 0.5])
    np.testing.assert_array_equal(found.weights, [0.5, 0.3, 0.2, 1.0])
    assert found.offsets.tolist() == [0, 3, 3, 4]


def test_weights_that_do_not_match_are_refused() -> None:
    with pytest.raises(OddsError, match="another number of weights"):
        judged(pa.table({"values": [[0.1, 0.2]], "weights": [[1.0]]}))


def test_the_prior_of_many_parts_is_that_of_all_judgments(tiny_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.fit.examples._ROWS_AT_ONCE", 3)
    table = with_column(shard_table(8), "weight", WEIGHTS * 2)
    found = prior_for(table, settings(tiny_base, target="beta"))
    values = np.array(table["values"].to_pylist())
    whole = Judged(values.ravel(), np.full(24, 1 / 3), np.arange(9) * 3)
    expected = prior_of([(whole, np.array(WEIGHTS * 2))], LEVELS)
    np.testing.assert_allclose(found.histogram, expected.histogram)
    assert found.variance == pytest.approx(expected.variance)


def test_what_people_judged_selects_the_epoch_and_all_rows_where_they_judged_none() -> None:
    human, synthetic = shard_table(3), with_column(shard_table(4, start=50), "origin", ["synthetic"] * 4)
    mixed = Choosing(pa.concat_tables([synthetic, human]))
    for _ in range(2):
        assert [row["origin"] for batch in mixed.to_batches() for row in batch.to_pylist()] == ["human"] * 3
    assert sum(batch.num_rows for batch in Choosing(synthetic).to_batches()) == 4


def test_the_sides_of_pairs_have_their_texts() -> None:
    sides = {
        f"{side}_{name}": [f"{side} {name} {n}" for n in range(2)] for side in ("higher", "lower") for name in NAMES
    }
    (batch,) = pa.table(sides).to_batches()
    for side, found in zip(("higher", "lower"), pair_sides(batch), strict=True):
        assert found.to_pylist() == [{name: f"{side} {name} {n}" for name in NAMES} for n in range(2)]


def test_pairs_of_which_a_side_does_not_fit_are_left_out_with_their_weights(tiny_base: Base, tmp_path: Path) -> None:
    pairs = with_column(pair_table(4, 20), "weight", [0.1, 0.2, 0.3, 0.4])
    long = "word " * 300
    for name, row in (("lower_hypothesis", 0), ("higher_hypothesis", 2)):
        values = pairs[name].to_pylist()
        pairs = with_column(pairs, name, [*values[:row], long, *values[row + 1 :]])
    subject = estimator(tiny_base)
    found, counts = pairs_of(pairs, subject, settings(tiny_base), folder=tmp_path, split="train")
    assert found.weights.tolist() == [0.2, 0.4]
    for side, store in (("higher", found.higher), ("lower", found.lower)):
        table = pairs.select([f"{side}_{name}" for name in NAMES]).rename_columns(NAMES).take([1, 3])
        expected = encode(subject.tokenizer, list(texts(table)), 256).prompts()
        for one, other in zip(store.of(np.arange(2)), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert {drop.subject_id for drop in counts.drops} == {
        pairs["lower_proposition_id"][0].as_py(), pairs["higher_proposition_id"][2].as_py(),
    }  # fmt: skip


def test_no_pairs_are_no_pairs(tiny_base: Base, tmp_path: Path) -> None:
    found, counts = pairs_of(None, estimator(tiny_base), settings(tiny_base), folder=tmp_path, split="dev")
    assert (len(found.higher), len(found.lower), len(found.weights), counts.rows) == (0, 0, 0, 0)


def test_dev_rows_are_the_first_that_people_judged() -> None:
    origins = ["synthetic", "human"] * 10
    table = with_column(shard_table(20), "origin", origins)
    ids = table["proposition_id"].to_pylist()

    def chosen(dev: pa.Table, most: int | None) -> list[str]:
        return [key for batch in Choosing(dev, most).to_batches() for key in batch["proposition_id"].to_pylist()]

    parts = pa.concat_tables([table.slice(0, 7), table.slice(7)])
    assert chosen(parts, None) == ids[1::2]
    assert chosen(parts, 4) == ids[1:9:2]
    synthetic = with_column(table, "origin", ["synthetic"] * 20)
    assert chosen(synthetic, 3) == ids[:3]
