"""Agreement and consensus over a plain frame: what other calculations and the catalog give."""

from __future__ import annotations

import doctest
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import krippendorff
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import warehouse.agreement.frames
import warehouse.consensus.frames
from tests.fixtures.store import made_rows, on_sqlite
from warehouse import Warehouse
from warehouse.agreement import agreement_of, interval_alpha
from warehouse.agreement.measure import measure_agreement
from warehouse.agreement.selection import Selection
from warehouse.catalog.store import merge, merge_all, read
from warehouse.consensus import consensus_of
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.files.imports import read_judgments
from warehouse.records import AnnotatorPrecision, Consensus, ConsensusFit, ConsensusMethod, proposition_id

RNG = np.random.default_rng(7)
JUDGED = [
    (f"p{number}", f"a{judge}", float(np.clip(number / 12 + RNG.normal(0, 0.05 * (judge + 1)), 0, 1).round(3)))
    for number in range(12)
    for judge in range(4)
    if (number + judge) % 5
]


def frame_of(rows: list[tuple[str, str, float]]) -> dict[str, list[Any]]:
    return dict(zip(("proposition", "annotator", "probability"), map(list, zip(*rows, strict=True)), strict=True))


FRAME = frame_of(JUDGED)


@pytest.mark.parametrize("module", [warehouse.agreement.frames, warehouse.consensus.frames])
def test_the_examples_run(module: ModuleType) -> None:
    failed, attempted = doctest.testmod(module)
    assert attempted
    assert not failed


def test_alpha_is_that_of_the_package() -> None:
    units = defaultdict(list)
    for unit, _, value in JUDGED:
        units[unit].append(value)
    matrix = np.full((4, len(units)), np.nan)
    for column, values in enumerate(units.values()):
        matrix[: len(values), column] = values
    expected = krippendorff.alpha(matrix, level_of_measurement="interval")
    assert interval_alpha(FRAME).value == pytest.approx(expected, abs=1e-9)
    levels = np.minimum(np.floor(matrix * 10), 9)
    figures = agreement_of(FRAME)
    for level in ("ordinal", "nominal"):
        alpha = krippendorff.alpha(levels, level_of_measurement=level)
        assert figures[f"{level}_alpha"].value == pytest.approx(alpha, abs=1e-9)


@pytest.mark.parametrize(
    "make", [pa.table, pd.DataFrame, pl.DataFrame, lambda f: pd.DataFrame(f).astype({"proposition": "category"})]
)
def test_any_frame_will_do_in_any_order(make: Any) -> None:
    shuffled = [JUDGED[place] for place in np.random.default_rng(1).permutation(len(JUDGED))]
    got, alone = interval_alpha(make(frame_of(shuffled))), interval_alpha(FRAME)
    assert (got.value, got.low, got.high) == pytest.approx((alone.value, alone.low, alone.high), abs=1e-9)
    found, expected = consensus_of(make(frame_of(shuffled))).propositions, consensus_of(FRAME).propositions
    assert dict(zip(*found.select(["proposition", "mean"]).to_pydict().values(), strict=True)) == pytest.approx(
        dict(zip(*expected.select(["proposition", "mean"]).to_pydict().values(), strict=True)), abs=1e-9
    )


def test_near_ties_do_not_change_places_with_the_order_of_the_judgments() -> None:
    """Slider values on a grid: many propositions have the same sums but for their last bit."""
    rng = np.random.default_rng(0)
    values = (rng.normal(0.5, 0.25, (60, 3)).clip(0, 1) * 20).round() / 20
    judged = [(f"p{unit}", f"a{number}", value) for unit, row in enumerate(values) for number, value in enumerate(row)]
    frames = [frame_of([judged[place] for place in np.random.default_rng(n).permutation(180)]) for n in range(4)]
    for compute in (interval_alpha, lambda frame: agreement_of(frame)["interval_alpha"]):
        found = [(figure.low, figure.high) for figure in map(compute, frames)]
        assert found == [pytest.approx(found[0], abs=1e-8)] * 4


@pytest.mark.slow
@on_sqlite
def test_the_catalog_gives_the_same(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows(JUDGED))
    for row in measure_agreement(warehouse):
        if row.slice == "all":
            figure = agreement_of(FRAME)[row.metric]
            for got, wanted in ((figure.value, row.value), (figure.low, row.low), (figure.high, row.high)):
                assert got == pytest.approx(wanted, abs=1e-8)
    alone = interval_alpha(FRAME)
    assert agreement_of(FRAME)["interval_alpha"].low == pytest.approx(alone.low, abs=1e-8)
    methods: tuple[ConsensusMethod, ...] = ("em", "mean", "median", "trimmed")
    for method in methods:
        renew_consensus(warehouse, method)
        stored = {row.proposition_id: (row.mean, row.sd) for row in read(warehouse, Consensus, "method = ?", [method])}
        found = consensus_of(FRAME, method)
        for row in found.propositions.to_pylist():
            name = row["proposition"]
            expected = stored[proposition_id(f"premise {name}", f"hypothesis {name}")]
            assert (row["mean"], row["sd"]) == pytest.approx(expected, abs=1e-6)
    fitted = consensus_of(FRAME)
    (fit,) = read(warehouse, ConsensusFit)
    assert (fitted.mu, fitted.tau) == pytest.approx((fit.mu, fit.tau), abs=1e-6)
    sds = sorted(row.sd for row in read(warehouse, AnnotatorPrecision))
    assert sorted(fitted.annotators["sd"].to_pylist()) == pytest.approx(sds, abs=1e-6)


def test_annotators_are_told_apart_and_without_overlap_it_is_the_mean() -> None:
    annotators = {row["annotator"]: row for row in consensus_of(FRAME).annotators.to_pylist()}
    assert annotators["a0"]["sd"] < annotators["a3"]["sd"]
    assert annotators["a0"]["precision"] == pytest.approx(annotators["a0"]["sd"] ** -2)
    single = consensus_of(frame_of([("p", "a", 0.2), ("q", "b", 0.6)]))
    assert (single.method, single.propositions["mean"].to_pylist()) == ("mean", [0.2, 0.6])
    assert (single.annotators.num_rows, single.mu) == (0, None)


def test_repeats_and_missing_probabilities() -> None:
    rows = [("p", "a", 0.2), ("p", "a", 0.9), ("p", "b", 0.4), ("p", "c", float("nan"))]
    first = consensus_of(frame_of(rows), "mean").propositions.to_pylist()[0]
    assert (first["mean"], first["n_judgments"]) == (pytest.approx(0.3), 2)
    both = consensus_of(frame_of(rows), "mean", repeats="all").propositions.to_pylist()[0]
    assert (both["mean"], both["n_judgments"]) == (pytest.approx(0.5), 3)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"proposition": ["p"], "annotator": ["a"]}, "no column 'probability'"),
        (frame_of([("p", "a", 0.2), ("p", "b", 1.5)]), "row 1 .* is 1.5"),
        ({**frame_of([("p", "a", 0.2)]), "annotator": pa.array([None], pa.string())}, "'annotator' has nulls"),
        ({**frame_of([("p", "a", 0.2)]), "probability": ["likely"]}, "must hold numbers"),
        (frame_of([("p", "a", float("nan"))]), "no judgment with a probability"),
    ],
)
def test_a_frame_that_cannot_be_used_is_one_line(frame: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        consensus_of(frame)
    assert "\n" not in str(raised.value)


def test_real_judgments_give_the_reference_alpha(nli_variation: Path) -> None:
    table = pq.read_table(nli_variation).to_pandas()
    table["proposition"] = table["premise"] + " " + table["hypothesis"]
    table["probability"] = table["rating"] / 100
    judged = table[~table["cannot_judge"]]
    accepted = judged[judged["status"] != "Rejected"]
    for frame, expected in ((table, 0.491669), (judged, 0.506339), (accepted, 0.518588)):
        assert interval_alpha(frame, repeats="all", draws=2).value == pytest.approx(expected, abs=1e-6)
    assert interval_alpha(judged, draws=2).value == pytest.approx(0.515588, abs=1e-6)


@on_sqlite
def test_real_judgments_give_the_consensus_of_the_catalog(warehouse: Warehouse, nli_variation: Path) -> None:
    batch = read_judgments(nli_variation)
    for rows in (batch.premises, batch.propositions, batch.annotators, batch.judgments):
        merge(warehouse, rows)
    renew_consensus(warehouse, "em")
    frame = warehouse.sql(
        "SELECT proposition_id AS proposition, annotator_id AS annotator, probability FROM valid_judgments"
    )
    found = {row["proposition"]: row["mean"] for row in consensus_of(frame).propositions.to_pylist()}
    stored = {row.proposition_id: row.mean for row in read(warehouse, Consensus)}
    assert found == pytest.approx(stored, abs=1e-5)
    alpha = next(row for row in measure_agreement(warehouse, Selection()) if row.metric == "interval_alpha")
    assert interval_alpha(frame).value == pytest.approx(alpha.value, abs=1e-8)
