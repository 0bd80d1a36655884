from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.store import made_judgment, made_proposition, made_rows
from warehouse import Warehouse
from warehouse.catalog.store import merge, merge_all, read
from warehouse.consensus.random_effects import fit_em
from warehouse.consensus.renew import Renewal, renew_consensus
from warehouse.errors import InputError
from warehouse.files.imports import read_judgments
from warehouse.queries.stages import valid_judgments
from warehouse.records import AnnotatorPrecision, Consensus, ConsensusFit, ConsensusMethod, Estimate, Recalibration

METHODS: tuple[ConsensusMethod, ...] = ("mean", "median", "trimmed", "em")


def fill(warehouse: Warehouse, propositions: int = 40, annotators: int = 6, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(propositions)
    ratings = [
        (f"p{i}", f"a{j}", float(np.clip(truth[i] + rng.normal(0, 0.1 + 0.05 * j), 0, 1)))
        for i in range(propositions)
        for j in range(annotators)
    ]
    merge_all(warehouse, made_rows(ratings))


def means(warehouse: Warehouse) -> dict[str, float]:
    return {each.proposition_id: each.mean for each in read(warehouse, Consensus)}


def one(warehouse: Warehouse, name: str) -> Consensus:
    (found,) = read(warehouse, Consensus, "proposition_id = ?", [made_proposition(name).proposition_id])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_renewing_again_writes_nothing_and_a_lost_proposition_goes(
    warehouse: Warehouse, method: ConsensusMethod
) -> None:
    fill(warehouse, 5, 3)
    assert renew_consensus(warehouse, method).inserted == 5
    before = warehouse.snapshot_id()
    assert renew_consensus(warehouse, method) == Renewal()
    assert warehouse.snapshot_id() == before
    merge(warehouse, [made_judgment("p0", f"a{j}", 0.5, status="rejected") for j in range(3)])
    renewal = renew_consensus(warehouse, method)
    assert (renewal.withdrawn, len(means(warehouse))) == (1, 4)
    assert renew_consensus(warehouse, method) == Renewal()


@pytest.mark.parametrize("method", ["mean", "median", "trimmed"])
def test_a_simple_method_computes_what_changed_and_nothing_else(warehouse: Warehouse, method: ConsensusMethod) -> None:
    fill(warehouse)
    renew_consensus(warehouse, method)
    before = {each.proposition_id: each for each in read(warehouse, Consensus)}
    merge(warehouse, [made_judgment("p3", "a0", 0.123)])
    renewal = renew_consensus(warehouse, method)
    assert (renewal.computed, renewal.updated) == (1, 1)
    after = {each.proposition_id: each for each in read(warehouse, Consensus)}
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {made_proposition("p3").proposition_id}
    assert 0.123 in one(warehouse, "p3").values


def test_em_is_the_fit_of_all_valid_judgments(warehouse: Warehouse) -> None:
    fill(warehouse)
    assert renew_consensus(warehouse, "em").full
    rows = valid_judgments(warehouse)
    units, annotators = (rows[name].combine_chunks().dictionary_encode() for name in ("proposition_id", "annotator_id"))
    fitted = fit_em(
        units.indices.to_numpy().astype(np.int64),
        annotators.indices.to_numpy().astype(np.int64),
        rows["probability"].to_numpy(),
    )
    by_id = dict(zip(units.dictionary.to_pylist(), np.clip(fitted.theta, 0, 1), strict=True))
    assert means(warehouse) == pytest.approx(by_id, abs=1e-8)
    precisions = {each.annotator_id: each.sd for each in read(warehouse, AnnotatorPrecision)}
    expected = dict(zip(annotators.dictionary.to_pylist(), fitted.annotator_sd, strict=True))
    assert precisions == pytest.approx(expected, abs=1e-6)
    (record,) = read(warehouse, ConsensusFit)
    assert (record.mode, record.n_judgments, record.n_annotators, record.n_propositions) == ("full", 240, 6, 40)
    assert record.tau == pytest.approx(fitted.tau2**0.5)


def test_em_computes_what_changed_with_the_precisions_that_it_has(warehouse: Warehouse) -> None:
    fill(warehouse)
    renew_consensus(warehouse, "em")
    before = {each.proposition_id: each for each in read(warehouse, Consensus)}
    (record,) = read(warehouse, ConsensusFit)
    sd = {each.annotator_id: each.sd_of_full_fit for each in read(warehouse, AnnotatorPrecision)}
    merge_all(warehouse, [[made_judgment("p3", "a0", 0.5)], *made_rows([("new", "a1", 0.2), ("new", "a2", 0.4)])])
    renewal = renew_consensus(warehouse, "em")
    assert (renewal.computed, renewal.full, renewal.inserted, renewal.updated) == (2, False, 1, 1)
    after = {each.proposition_id: each for each in read(warehouse, Consensus)}
    assert {key for key in before if after[key] != before[key]} == {made_proposition("p3").proposition_id}
    # The posterior of the new one by hand, METHOD: precision-weighted mean of the prior and both judgments.
    prior, one_, two = (
        1 / s**2 for s in (record.tau, *(sd[made_judgment("p", a, 0.0).annotator_id] for a in ("a1", "a2")))
    )
    expected = (prior * record.mu + one_ * 0.2 + two * 0.4) / (prior + one_ + two)
    assert one(warehouse, "new").mean == pytest.approx(expected, abs=1e-6)
    assert one(warehouse, "new").sd == pytest.approx((prior + one_ + two) ** -0.5, abs=1e-6)
    modes = [each.mode for each in sorted(read(warehouse, ConsensusFit), key=lambda each: each.created_at)]
    assert modes == ["full", "incremental"]


def test_em_fits_all_again_when_an_annotator_turns_out_otherwise(warehouse: Warehouse) -> None:
    fill(warehouse, 60)
    renew_consensus(warehouse, "em")
    merge(warehouse, [made_judgment(f"p{i}", "a0", float(i % 2)) for i in range(10)])
    renewal = renew_consensus(warehouse, "em", tolerance=0.05)
    assert renewal.full
    assert renewal.largest_move is not None
    assert renewal.largest_move > 0.05
    assert renewal.computed == 60


@pytest.mark.slow
def test_step_by_step_stays_near_a_full_fit(warehouse: Warehouse) -> None:
    fill(warehouse, 150)
    renew_consensus(warehouse, "em")
    rng = np.random.default_rng(1)
    steps = []
    for step in range(6):
        merge_all(
            warehouse, made_rows([(f"s{step}-{k}", f"a{j}", float(rng.random())) for k in range(2) for j in range(3)])
        )
        steps.append(renew_consensus(warehouse, "em", tolerance=0.1).full)
    assert not all(steps)
    stepwise = means(warehouse)
    assert renew_consensus(warehouse, "em", full=True).full
    assert stepwise == pytest.approx(means(warehouse), abs=0.03)


def test_a_forced_full_fit_of_the_same_judgments_changes_nothing(warehouse: Warehouse) -> None:
    fill(warehouse)
    renew_consensus(warehouse, "em")
    renewal = renew_consensus(warehouse, "em", full=True)
    assert (renewal.computed, renewal.inserted, renewal.updated) == (40, 0, 0)


@pytest.mark.parametrize("annotators", [1, 5])
def test_of_singly_judged_propositions_the_consensus_is_the_judgment(warehouse: Warehouse, annotators: int) -> None:
    rng = np.random.default_rng(3)
    ratings = {f"p{i}": round(float(rng.random()), 6) for i in range(60)}
    merge_all(warehouse, made_rows([(name, f"a{i % annotators}", x) for i, (name, x) in enumerate(ratings.items())]))
    renewal = renew_consensus(warehouse, "em")
    assert renewal.by_mean.startswith("the consensus is the mean: 0 of 60 judgments share a proposition")
    assert means(warehouse) == pytest.approx({made_proposition(n).proposition_id: x for n, x in ratings.items()})
    assert {(each.sd, each.n_judgments) for each in read(warehouse, Consensus)} == {(0.25, 1)}
    assert read(warehouse, AnnotatorPrecision) == []
    assert [each.mode for each in read(warehouse, ConsensusFit)] == ["mean"]
    assert renew_consensus(warehouse, "em") == Renewal(by_mean=renewal.by_mean)


@pytest.mark.slow
def test_the_mean_and_the_fit_take_turns_with_the_overlap(warehouse: Warehouse) -> None:
    fill(warehouse, 20, 3)  # 60 judgments that overlap
    assert renew_consensus(warehouse, "em").by_mean == ""
    rng = np.random.default_rng(5)
    alone = [(f"alone {i}", "a0", float(rng.random())) for i in range(181)]  # 60 of 241: less than a quarter
    merge_all(warehouse, made_rows(alone))
    assert renew_consensus(warehouse, "em", full=False).by_mean
    rows = read(warehouse, Consensus)
    assert all(each.mean == pytest.approx(np.mean(each.values), abs=1e-8) for each in rows)
    merge(warehouse, [made_judgment("alone 0", "a1", 0.5)])  # 62 of 242
    renewal = renew_consensus(warehouse, "em")
    assert (renewal.by_mean, renewal.full, renewal.computed) == ("", True, 201)
    assert not all(each.mean == pytest.approx(np.mean(each.values), abs=1e-3) for each in read(warehouse, Consensus))
    assert len(read(warehouse, AnnotatorPrecision)) == 3


def made_estimates(names: list[str], probability: float, labeler: str = "panel") -> list[Estimate]:
    return [
        Estimate(
            estimate_id=f"{labeler}-{name}",
            proposition_id=made_proposition(name).proposition_id,
            labeler=labeler,
            labeler_version="1",
            method="token",
            probability=probability,
        )
        for name in names
    ]


RECALIBRATION = Recalibration(
    recalibration_id="r",
    labeler="panel",
    labeler_version="1",
    estimates=[0.2, 0.6],
    probabilities=[0.1, 0.9],
    n_propositions=2,
    n_judgments=4,
    n_simulated=0,
    fingerprint="f",
    snapshot_id=1,
)


def test_recalibrated_estimates_are_pooled_with_their_weight(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.0), ("p", "b", 1.0), ("q", "a", 0.5)]))
    merge_all(warehouse, [made_estimates(["p", "r"], 0.5), made_estimates(["q"], 0.5, "never recalibrated")])
    merge(warehouse, [RECALIBRATION])
    weights = {"panel": 2.0, "never recalibrated": 3.0}
    renew_consensus(warehouse, "mean", labeler_weights=weights)
    # .5 lies three quarters of the way from .2 to .6, so it becomes .1 + .75 * .8 = .7.
    pooled, alone = one(warehouse, "p"), one(warehouse, "q")
    assert pooled.values == pytest.approx([0.0, 1.0, 0.7]) or pooled.values == pytest.approx([1.0, 0.0, 0.7])
    assert pooled.weights == pytest.approx([0.25, 0.25, 0.5])
    assert pooled.mean == pytest.approx((0 + 1 + 2 * 0.7) / 4)
    assert (pooled.n_judgments, pooled.n_estimates, alone.n_estimates) == (2, 1, 0)
    assert len(means(warehouse)) == 2
    before = warehouse.snapshot_id()
    assert renew_consensus(warehouse, "mean", labeler_weights=weights) == Renewal()
    assert warehouse.snapshot_id() == before
    assert renew_consensus(warehouse, "mean").updated == 2
    assert one(warehouse, "p").mean == pytest.approx(0.5)
    with pytest.raises(InputError, match="judgments only"):
        renew_consensus(warehouse, "median", labeler_weights=weights)


def test_pooling_under_em_rests_on_people_for_their_precision(warehouse: Warehouse) -> None:
    fill(warehouse)
    renew_consensus(warehouse, "em")
    alone = one(warehouse, "p0")
    merge_all(warehouse, [made_estimates(["p0"], 0.6), [RECALIBRATION]])
    renew_consensus(warehouse, "em", labeler_weights={"panel": 5.0})
    pooled = one(warehouse, "p0")
    assert (pooled.n_judgments, pooled.n_estimates, pooled.values[-1]) == (6, 1, 0.9)
    assert abs(pooled.mean - 0.9) < abs(alone.mean - 0.9)
    assert len(read(warehouse, AnnotatorPrecision)) == 6


@pytest.mark.parametrize(("estimate", "expected"), [(0.0, 0.1), (0.2, 0.1), (0.3, 0.3), (0.6, 0.9), (1.0, 0.9)])
def test_the_recalibration_is_a_line_between_its_corners(
    warehouse: Warehouse, estimate: float, expected: float
) -> None:
    merge_all(warehouse, [made_estimates(["p"], estimate), [RECALIBRATION]])
    (row,) = warehouse.sql("SELECT recalibrated, is_simulated FROM recalibrated_estimates").to_pylist()
    assert row["recalibrated"] == pytest.approx(expected)
    assert row["recalibrated"] == pytest.approx(np.interp(estimate, [0.2, 0.6], [0.1, 0.9]))


def test_without_judgments_there_is_no_consensus(warehouse: Warehouse) -> None:
    for method in METHODS:
        assert renew_consensus(warehouse, method) == Renewal()
        assert renew_consensus(warehouse, method, full=True).computed == 0


def test_real_judgments_one_batch_after_the_other(warehouse: Warehouse, nli_variation: Path) -> None:
    batch = read_judgments(nli_variation)
    rest = [batch.premises, batch.propositions, batch.annotators]
    half = batch.judgments.num_rows // 2
    merge_all(warehouse, [*rest, batch.judgments.slice(0, half)])
    first = renew_consensus(warehouse, "em")
    merge(warehouse, batch.judgments)
    second = renew_consensus(warehouse, "em")
    assert (first.full, second.full) == (True, True)
    assert 340 <= len(means(warehouse)) <= 351
    assert renew_consensus(warehouse, "em") == Renewal()
