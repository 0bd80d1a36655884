from __future__ import annotations

from tests.fixtures.store import made_proposition, made_rows
from warehouse import Warehouse
from warehouse.catalog.store import merge_all
from warehouse.consensus.calibration import calibration_pairs
from warehouse.consensus.renew import renew_consensus
from warehouse.records import Estimate, PremiseGroup, Recalibration, Split

IDENTITY = Recalibration(
    recalibration_id="r",
    labeler="panel",
    labeler_version="1",
    estimates=[0.0, 1.0],
    probabilities=[0.0, 1.0],
    n_propositions=30,
    n_judgments=30,
    n_simulated=0,
    fingerprint="f",
    snapshot_id=1,
)


def estimates(names: list[str]) -> list[Estimate]:
    return [
        Estimate(
            estimate_id=name,
            proposition_id=made_proposition(name).proposition_id,
            labeler="panel",
            labeler_version="1",
            method="token",
            probability=0.5,
        )
        for name in names
    ]


def test_no_row_of_the_test_split_is_ever_seen(warehouse: Warehouse) -> None:
    names = [f"p{i}" for i in range(60)]
    of: dict[Split, list[str]] = {"train": [], "dev": [], "test": []}
    for name in names:
        of[made_proposition(name).split].append(name)
    assert len(of["test"]) > 5
    merge_all(warehouse, made_rows([(name, annotator, 0.25) for name in names for annotator in "ab"]))
    # The split of the group counts, whichever way it is: what is published in train may be seen, and nothing of test.
    held_out, freed = of["train"][0], of["test"][0]
    splits: dict[str, Split] = {held_out: "test", freed: "train"}
    groups = [
        PremiseGroup(premise_id=made_proposition(name).premise_id, group_id=name, reason="near-duplicate", split=split)
        for name, split in splits.items()
    ]
    merge_all(warehouse, [estimates(names), groups])
    pairs = calibration_pairs(warehouse)
    seen = set(pairs["proposition_id"].to_pylist())
    test = set(warehouse.sql("SELECT proposition_id FROM splits WHERE split = 'test'")["proposition_id"].to_pylist())
    assert test == {made_proposition(name).proposition_id for name in [*of["test"][1:], held_out]}
    assert seen == {made_proposition(name).proposition_id for name in names} - test
    assert set(pairs["judged"].to_pylist()) == {0.25}
    assert set(pairs["n_judgments"].to_pylist()) == {2}


def test_only_what_is_judged_and_estimated_counts(warehouse: Warehouse) -> None:
    name = next(f"p{i}" for i in range(60) if made_proposition(f"p{i}").split == "train")
    merge_all(warehouse, made_rows([(name, "a", 0.25)], {"a": "simulated"}))
    assert calibration_pairs(warehouse).num_rows == 0
    merge_all(warehouse, [estimates([name, "unjudged"])])
    (row,) = calibration_pairs(warehouse).to_pylist()
    assert (row["labeler"], row["estimate"], row["judged"], row["n_simulated"]) == ("panel", 0.5, 0.25, 1)


def test_a_consensus_that_holds_the_estimates_themselves_is_not_what_is_fitted_to(warehouse: Warehouse) -> None:
    names = [f"p{i}" for i in range(60) if made_proposition(f"p{i}").split == "train"]
    merge_all(warehouse, made_rows([(name, annotator, 0.2) for name in names for annotator in "ab"]))
    merge_all(warehouse, [estimates(names), [IDENTITY]])
    renew_consensus(warehouse, "mean", labeler_weights={"panel": 2.0})
    assert set(warehouse.sql("SELECT round(mean, 6) AS mean FROM consensus")["mean"].to_pylist()) == {0.35}
    assert set(calibration_pairs(warehouse)["judged"].to_pylist()) == {0.2}
