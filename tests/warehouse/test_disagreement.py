"""The kinds of disagreement, beside a search through every grouping and a Gaussian mixture fitted by EM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from tests.fixtures.store import made_proposition, made_rows, on_sqlite
from warehouse import Warehouse
from warehouse.catalog.store import merge_all
from warehouse.queries.disagreement import disputed, judgments_of, kinds_of

pytestmark = on_sqlite
LEAST_VARIANCE = 0.05**2
KINDS = {
    "camps": [0.1, 0.12, 0.15, 0.1, 0.9, 0.85, 0.95, 0.9],
    "outlier": [0.9, 0.92, 0.88, 0.9, 0.9, 0.91, 0.1],
    "spread": [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9],
    "little": [0.5, 0.52, 0.55, 0.5, 0.48],
    "the same": [0.5] * 6,
    "four": [0.1, 0.1, 0.9, 0.9],
}


def found(warehouse: Warehouse, judged: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    rows = [(name, f"a{n}", float(value)) for name, values in judged.items() for n, value in enumerate(values)]
    merge_all(warehouse, made_rows(rows))
    by_id = {row["proposition_id"]: row for row in warehouse.sql("SELECT * FROM disagreement").to_pylist()}
    return {name: by_id[made_proposition(name).proposition_id] for name in judged}


def deviance(values: np.ndarray[Any, Any], group: np.ndarray[Any, Any]) -> float:
    """-2 log classification likelihood of two normal groups with a common variance, without constants."""
    n = len(values)
    squares = sum(((values[part] - values[part].mean()) ** 2).sum() for part in (group, ~group))
    sizes = sum(-2 * part.sum() * np.log(part.sum() / n) for part in (group, ~group))
    return float(n * np.log(max(squares / n, LEAST_VARIANCE)) + sizes)


def test_clear_cases_have_their_kind_and_fewer_than_five_judgments_none(warehouse: Warehouse) -> None:
    rows = found(warehouse, KINDS)
    kinds = {name: row["kind"] for name, row in rows.items()}
    assert kinds == {name: name for name in ("camps", "outlier", "spread", "little")} | {
        "the same": "little",
        "four": None,
    }
    assert rows["camps"]["lower_mean"] == pytest.approx(np.mean(KINDS["camps"][:4]))
    assert rows["camps"]["upper_mean"] == pytest.approx(np.mean(KINDS["camps"][4:]))
    assert (rows["camps"]["share_upper"], rows["outlier"]["share_upper"]) == (0.5, pytest.approx(6 / 7))
    assert rows["four"]["evidence"] is None
    ids = {name: rows[name]["proposition_id"] for name in ("camps", "little", "four")}
    assert kinds_of(warehouse, list(ids.values())) == {ids["camps"]: "camps", ids["little"]: "little"}


def test_the_cut_is_the_best_of_all_groupings(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(0)
    judged = {f"p{i}": rng.beta(0.4, 0.4, rng.integers(5, 10)).round(2) for i in range(12)}
    for name, row in found(warehouse, {name: list(values) for name, values in judged.items()}).items():
        values = judged[name]
        n = len(values)
        groups = (np.array(each) for each in product([True, False], repeat=n))
        best = min(deviance(values, group) for group in groups if 0 < group.sum() < n)
        one = n * np.log(max(values.var(), LEAST_VARIANCE))
        assert row["evidence"] == pytest.approx(one - best - 2 * np.log(n)), name


def test_a_gaussian_mixture_finds_the_same_camps(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(1)
    judged = {f"one {i}": rng.normal(0.5, 0.12, 30).clip(0, 1) for i in range(8)}
    judged |= {
        f"two {i}": np.concatenate([rng.normal(0.15, 0.07, 18), rng.normal(0.8, 0.07, 12)]).clip(0, 1) for i in range(8)
    }
    rows = found(warehouse, {name: list(values) for name, values in judged.items()})
    for name, values in judged.items():
        column = values[:, None]
        one, two = (GaussianMixture(k, covariance_type="tied", random_state=0, n_init=3).fit(column) for k in (1, 2))
        mixed = one.bic(column) > two.bic(column)
        assert (rows[name]["kind"] == "camps") == name.startswith("two"), name
        if name.startswith("two"):
            assert mixed, name
            means = sorted(two.means_.ravel())
            assert [rows[name]["lower_mean"], rows[name]["upper_mean"]] == pytest.approx(means, abs=0.01)


def test_disputed_propositions_come_with_their_judgments(warehouse: Warehouse) -> None:
    found(warehouse, KINDS)
    rows = disputed(warehouse, None, 2)
    assert rows["sd"].to_pylist() == sorted((np.std(v, ddof=1) for v in KINDS.values()), reverse=True)[:2]
    (camps,) = disputed(warehouse, "camps", 10)["proposition_id"].to_pylist()
    assert judgments_of(warehouse, [camps]) == {camps: (sorted(KINDS["camps"]), [False] * 8)}
