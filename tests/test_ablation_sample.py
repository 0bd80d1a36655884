"""The sample of a benchmark: fewer premises to train on, and what is measured on stays whole."""

from __future__ import annotations

import pyarrow as pa
import pytest

from benchmarks.ablation import fewer
from warehouse.records import premise_id, split_of


def test_a_share_takes_whole_premises_and_leaves_dev_and_test_as_they_are() -> None:
    premises = [f"premise {number}" for number in range(1000) for _ in range(2)]
    table = pa.table({"premise": premises, "row": range(len(premises))})
    kept = fewer(table, 0.3)["row"].to_pylist()
    splits = [split_of(premise_id(each)) for each in premises]
    of_train = {row for row in kept if splits[row] == "train"}
    assert set(kept) - of_train == {row for row, split in enumerate(splits) if split != "train"}
    assert {row ^ 1 for row in of_train} == of_train  # both rows of a premise, or neither
    assert len(of_train) / splits.count("train") == pytest.approx(0.3, abs=0.05)


def test_the_whole_share_takes_everything() -> None:
    table = pa.table({"premise": [f"premise {number}" for number in range(50)]})
    assert fewer(table, 1.0) == table
