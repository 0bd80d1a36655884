from __future__ import annotations

import numpy as np
import pyarrow as pa

from tests.fixtures.estimator import shard_table, with_column
from training.judgments import judgments_of


def test_judgments_are_the_first_values_of_a_row() -> None:
    table = shard_table(4, simulated=False)
    table = with_column(table, "values", [[0.1, 0.2, 0.9], [0.3, None, 0.9], [0.4], None])
    table = with_column(table, "n_judgments", [2, 3, 0, 0])
    found = judgments_of(table)
    assert found.rows.tolist() == [0, 1]
    assert found.values.tolist() == [0.1, 0.2, 0.3, 0.9]
    assert found.owners.tolist() == [0, 0, 1, 1]
    assert found.shares.tolist() == [0.5] * 4
    assert found.means.tolist() == [0.2, 0.8]


def test_only_some_rows_of_several_batches() -> None:
    table = pa.concat_tables([shard_table(3), shard_table(3, start=3)])
    found = judgments_of(table, np.array([1, 4, 5]))
    assert found.rows.tolist() == [0, 1, 2]
    assert found.means.tolist() == [0.8, 0.2, 0.8]
    assert found.simulated.tolist() == [3, 3, 3]
    assert len(set(found.premises.tolist())) == 3


def test_nothing_has_no_judgments() -> None:
    table = shard_table(3)
    assert len(judgments_of(table, np.empty(0, dtype=np.int64))) == len(judgments_of(table.slice(0, 0))) == 0
