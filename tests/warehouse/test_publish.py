from __future__ import annotations

from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pytest

from tests.fixtures.shards import HEAD
from tests.fixtures.store import SOURCE, made_judgment, made_proposition, made_rows, on_sqlite
from warehouse import Warehouse
from warehouse.catalog.store import merge, merge_all
from warehouse.consensus.renew import renew_consensus
from warehouse.datasets.groups import renew_groups
from warehouse.datasets.publish import dataset_fingerprint, licences, publish_rows, queries, unknown_sources
from warehouse.datasets.verify import verify
from warehouse.datasets.write import write_dataset
from warehouse.errors import InputError
from warehouse.files.texts import read_propositions
from warehouse.queries.stages import consensus_splits
from warehouse.records import Estimate, Premise, Proposition, Recalibration, content_id, premise_id
from warehouse.shards import PAIR_SCHEMA, SHARD_SCHEMA, Manifest, Recipe, read_pairs, read_split

EM = Recipe(consensus="em")
ALL = Recipe(consensus="em", human_weight=1.0, synthetic_weight=0.25, pairs_weight=0.5)


def agree(warehouse: Warehouse) -> None:
    renew_consensus(warehouse, "em")


def published(warehouse: Warehouse, folder: Path, recipe: Recipe = EM) -> Manifest:
    renew_groups(warehouse, recipe.near_duplicates)
    head = HEAD.model_copy(update={"recipe": recipe, "queries": queries(recipe)})
    pairs = publish_rows(warehouse, recipe, "pairs")
    return write_dataset(publish_rows(warehouse, recipe), folder, head, pairs=pairs)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for split in ("train", "dev", "test") for row in read_split(folder, split).to_pylist()]


def estimate(proposition: str, labeler: str, probability: float | None, version: str = "1", day: int = 1) -> Estimate:
    return Estimate.model_validate(
        {
            "estimate_id": content_id(proposition, labeler, version),
            "proposition_id": made_proposition(proposition).proposition_id,
            "labeler": labeler,
            "labeler_version": version,
            "method": "token",
            "probability": probability,
            "reason": "no number" if probability is None else None,
            "created_at": f"2026-01-{day:02d}T00:00:00Z",
        }
    )


def test_what_is_published_is_the_consensus_with_its_texts(warehouse: Warehouse, tmp_path: Path) -> None:
    ratings = [(f"p{n}", name, value) for n in range(40) for name, value in (("a", n / 40), ("b", 1 - n / 40))]
    merge_all(warehouse, made_rows(ratings, {"b": "simulated"}))
    agree(warehouse)
    manifest = published(warehouse, tmp_path / "v1")
    assert sum(manifest.counts.values()) == 40
    assert (manifest.n_judgments, manifest.n_simulated) == (80, 40)
    for split in manifest.counts:
        table = read_split(tmp_path / "v1", split)
        assert set(table["split"].to_pylist()) <= {split}
        keys = list(zip(table["premise_id"].to_pylist(), table["proposition_id"].to_pylist(), strict=True))
        assert keys == sorted(keys)
    row = next(row for row in rows_of(tmp_path / "v1") if row["hypothesis"] == "hypothesis p10")
    assert (row["premise"], row["origin"], row["weight"], row["n_estimates"]) == ("premise p10", "human", 1.0, 0)
    assert sorted(row["values"]) == [0.25, 0.75]
    assert sum(row["weights"]) == pytest.approx(1)
    # The same rows again are the same bytes, so the same hashes.
    assert published(warehouse, tmp_path / "v2").files == manifest.files


@pytest.mark.slow
def test_where_nobody_judged_the_newest_estimates_of_the_labelers_stand(warehouse: Warehouse, tmp_path: Path) -> None:
    merge_all(warehouse, made_rows([("judged", "a", 0.25), ("asked", "a", 0.5), ("silent", "a", 0.5)]))
    merge(warehouse, [made_judgment("asked", "a", None), made_judgment("silent", "a", None)])
    estimates = [
        estimate("judged", "l1", 0.9),
        estimate("asked", "l2", 0.75),
        estimate("asked", "l1", 0.1, "old", day=1),
        estimate("asked", "l1", 0.25, "new", day=2),
        estimate("asked", "l3", None),
        estimate("silent", "l3", None),
    ]
    merge(warehouse, estimates)
    agree(warehouse)
    manifest = published(warehouse, tmp_path / "v1", ALL)
    judged, asked = (
        next(row for row in rows_of(tmp_path / "v1") if row["origin"] == origin) for origin in ("human", "synthetic")
    )
    assert sum(manifest.counts.values()) == 2
    assert (judged["hypothesis"], judged["weight"]) == ("hypothesis judged", 1.0)
    assert (asked["hypothesis"], asked["weight"]) == ("hypothesis asked", 0.25)
    # One of three gave no probability: its third goes to uniform, whose mean is 0.5.
    assert asked["values"] == [0.25, 0.75]
    assert asked["weights"] == pytest.approx([1 / 3, 1 / 3])
    assert (asked["mean"], asked["n_judgments"], asked["n_estimates"], asked["n_simulated"]) == (0.5, 0, 2, 0)
    # The standard error of the mean: two thirds of that of the two values alone.
    assert asked["sd"] == pytest.approx(2 / 3 * np.std([0.25, 0.75], ddof=1) / np.sqrt(2))
    # Weight 0 leaves a part out, and with both out there is nothing.
    assert sum(published(warehouse, tmp_path / "v2").counts.values()) == 1
    synthetic = ALL.model_copy(update={"human_weight": 0.0})
    assert sum(published(warehouse, tmp_path / "v3", synthetic).counts.values()) == 1
    with pytest.raises(InputError, match="nothing to publish"):
        published(warehouse, tmp_path / "v4", EM.model_copy(update={"human_weight": 0.0}))


def recalibrate(warehouse: Warehouse, labeler: str, version: str, simulated: int) -> None:
    """A recalibration that halves what the labeler says."""
    row = Recalibration(
        recalibration_id=labeler + version,
        labeler=labeler,
        labeler_version=version,
        estimates=[0.0, 1.0],
        probabilities=[0.0, 0.5],
        n_propositions=9,
        n_judgments=9,
        n_simulated=simulated,
        fingerprint="f",
        snapshot_id=1,
    )
    merge(warehouse, [row])


def test_a_recalibrated_estimate_counts_as_recalibrated(warehouse: Warehouse, tmp_path: Path) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.5)]))
    merge(warehouse, [made_judgment("p", "a", None)])
    merge(warehouse, [estimate("p", "l1", 0.5), estimate("p", "l2", 0.5, "new"), estimate("p", "l3", 0.5)])
    recalibrate(warehouse, "l1", "1", simulated=9)
    recalibrate(warehouse, "l2", "old", simulated=9)
    manifest = published(warehouse, tmp_path / "v1", ALL)
    (row,) = rows_of(tmp_path / "v1")
    assert (row["values"], row["n_estimates"], row["n_simulated"]) == ([0.25, 0.5, 0.5], 3, 1)
    assert (manifest.n_simulated, manifest.n_simulated_estimates) == (0, 1)
    card = (tmp_path / "v1" / "README.md").read_text()
    assert "1 estimates were recalibrated on simulated judgments" in card
    assert "no human judgments" in card


def test_a_consensus_that_is_behind_does_not_let_estimates_in(warehouse: Warehouse, tmp_path: Path) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.25), ("q", "a", 0.5)]))
    agree(warehouse)
    merge_all(warehouse, made_rows([("new", "a", 0.25)]))
    merge(warehouse, [estimate("new", "l", 0.5), estimate("p", "l", 0.5)])
    published(warehouse, tmp_path / "v1", ALL)
    assert {row["hypothesis"] for row in rows_of(tmp_path / "v1")} == {"hypothesis p", "hypothesis q"}


def updates(folder: Path) -> Path:
    path = folder / "updates.csv"
    path.write_text(
        "premise,hypothesis,update,update_type\n"
        "A man is fishing.,He catches something.,He uses fresh bait.,strengthener\n"
        "A man is fishing.,He catches something.,The lake is frozen and nobody has cut a hole.,weakener\n"
    )
    return path


def test_an_order_pair_has_the_likelier_proposition_first(warehouse: Warehouse, tmp_path: Path) -> None:
    batch = read_propositions(updates(tmp_path))
    merge_all(warehouse, [batch.premises, batch.propositions])
    merge_all(warehouse, made_rows([("p", "a", 0.25)]))
    agree(warehouse)
    manifest = published(warehouse, tmp_path / "v1", ALL)
    assert sum(manifest.pairs.values()) == 2
    (split,) = (split for split, n in manifest.pairs.items() if n)
    pairs = {row["kind"]: row for row in read_pairs(tmp_path / "v1", split).to_pylist()}
    plain, bait = "A man is fishing.", "A man is fishing. He uses fresh bait."
    ice = "A man is fishing. The lake is frozen and nobody has cut a hole."
    assert (pairs["strengthened"]["higher_premise"], pairs["strengthened"]["lower_premise"]) == (bait, plain)
    assert (pairs["weakened"]["higher_premise"], pairs["weakened"]["lower_premise"]) == (plain, ice)
    for row in pairs.values():
        assert row["premise_id"] == premise_id(row["higher_premise"])
        assert row["lower_premise_id"] == premise_id(row["lower_premise"])
        assert row["higher_hypothesis"] == row["lower_hypothesis"] == "He catches something."
        assert (row["weight"], row["source"]) == (0.5, "updates")
    assert verify(tmp_path / "v1") == manifest


def test_real_updates_become_pairs_that_stay_in_one_split(
    warehouse: Warehouse, defeasible_snli: Path, tmp_path: Path
) -> None:
    batch = read_propositions(defeasible_snli)
    merge_all(warehouse, [batch.premises, batch.propositions])
    merge_all(warehouse, made_rows([("p", "a", 0.25)]))
    agree(warehouse)
    # Also before there are groups: an update came with the split of the premise that it was made from.
    parted = warehouse.sql(
        "SELECT count(*) AS n FROM propositions c JOIN splits s USING (proposition_id) "
        "JOIN splits p ON p.proposition_id = c.parent_id WHERE s.split <> p.split"
    )["n"][0].as_py()
    assert parted == 0
    manifest = published(warehouse, tmp_path / "v1", ALL)
    total = sum(manifest.pairs.values())
    assert total == sum(kind != "imported" for kind in batch.propositions["kind"].to_pylist())
    shares = {split: count / total for split, count in manifest.pairs.items()}
    assert shares == pytest.approx({"train": 0.7, "dev": 0.1, "test": 0.2}, abs=0.04)
    told = (
        "SELECT s.split, count(*) AS n FROM splits s JOIN propositions p USING (proposition_id) "
        "WHERE p.kind <> 'imported' GROUP BY 1"
    )
    assert {row["split"]: row["n"] for row in warehouse.sql(told).to_pylist()} == manifest.pairs
    seen: dict[str, set[str]] = {}
    for split in manifest.pairs:
        for row in read_pairs(tmp_path / "v1", split).to_pylist():
            for text in (row["higher_premise"], row["lower_premise"]):
                seen.setdefault(text, set()).add(split)
    assert {len(splits) for splits in seen.values()} == {1}
    verify(tmp_path / "v1")


def twins(warehouse: Warehouse) -> None:
    """Two premises that differ in their punctuation, the first in test and the other in train, with a judgment each."""
    merge_all(warehouse, made_rows([("p", "a", 0.25), ("q", "a", 0.75)]))
    texts = {"p": "The old man walks his dog along the river", "q": "The old man walks his dog along the river!"}
    splits = {"p": "test", "q": "train"}
    for name, text in texts.items():
        row = made_proposition(name)
        warehouse.connection.execute("UPDATE premises SET text = ? WHERE premise_id = ?", [text, row.premise_id])
        warehouse.connection.execute(
            "UPDATE propositions SET split = ? WHERE proposition_id = ?", [splits[name], row.proposition_id]
        )
    agree(warehouse)


@pytest.mark.slow
def test_near_duplicates_are_published_in_one_split(warehouse: Warehouse, tmp_path: Path) -> None:
    twins(warehouse)
    assert published(warehouse, tmp_path / "v1").counts == {"train": 0, "dev": 0, "test": 2}
    # What the flows and researchers see of a split is the split of the group as well.
    assert consensus_splits(warehouse, "em") == {"test": 2}
    for view in ("splits", "proposition_overview"):
        assert warehouse.sql(f"SELECT DISTINCT split FROM {view}")["split"].to_pylist() == ["test"]
    off = EM.model_copy(update={"near_duplicates": 0.0})
    assert published(warehouse, tmp_path / "v2", off).counts == {"train": 1, "dev": 0, "test": 1}


def test_licences_are_counted_by_source_and_unknown_ones_said(warehouse: Warehouse) -> None:
    ratings = [("p", "a", 0.25), ("q", "a", 0.5), ("r", "a", 0.5)]
    merge_all(warehouse, made_rows(ratings))
    ids = [made_proposition(name).premise_id for name in "pq"]
    warehouse.connection.execute("UPDATE premises SET license = 'MIT', source = 'x' WHERE premise_id = ?", [ids[0]])
    warehouse.connection.execute("UPDATE premises SET license = 'CC0-1.0' WHERE premise_id = ?", [ids[1]])
    merge(warehouse, [Premise(premise_id="unused", text="unused", source="x", license="GPL-3.0")])
    assert licences(warehouse, EM) == ()
    agree(warehouse)
    found = [(each.licence, each.source, each.premises) for each in licences(warehouse, ALL)]
    assert found == [("CC0-1.0", SOURCE, 1), ("MIT", "x", 1), ("unknown", SOURCE, 1)]


def test_the_fingerprint_changes_with_the_content_alone(warehouse: Warehouse) -> None:
    empty = dataset_fingerprint(warehouse, EM)
    merge_all(warehouse, made_rows([("p", "a", 0.25), ("p", "b", 0.5), ("q", "a", 0.75)]))
    agree(warehouse)
    first = dataset_fingerprint(warehouse, EM)
    assert first != empty
    agree(warehouse)
    assert dataset_fingerprint(warehouse, EM) == first
    merge(warehouse, [made_judgment("p", "a", 0.3)])
    assert dataset_fingerprint(warehouse, EM) == first
    agree(warehouse)
    assert dataset_fingerprint(warehouse, EM) != first
    assert dataset_fingerprint(warehouse, Recipe(consensus="mean")) == empty


@pytest.mark.slow
def test_the_fingerprint_knows_weights_parts_and_groups(warehouse: Warehouse, tmp_path: Path) -> None:
    twins(warehouse)
    batch = read_propositions(updates(tmp_path))
    merge_all(warehouse, [batch.premises, batch.propositions])
    merge(warehouse, [estimate("r", "l", 0.5)])
    merge_all(
        warehouse,
        [[made_proposition("r")], [Premise(premise_id=premise_id("premise r"), text="premise r", source="x")]],
    )
    fingerprints = {"plain": dataset_fingerprint(warehouse, EM)}
    renew_groups(warehouse, 0.8)
    fingerprints["grouped"] = dataset_fingerprint(warehouse, EM)
    for name in ("human_weight", "synthetic_weight", "pairs_weight"):
        for weight in (0.5, 0.25):
            fingerprints[f"{name} {weight}"] = dataset_fingerprint(warehouse, EM.model_copy(update={name: weight}))
    assert len(set(fingerprints.values())) == 8


def test_the_rows_of_a_source_weigh_what_the_recipe_says(warehouse: Warehouse, tmp_path: Path) -> None:
    twins(warehouse)
    sources = {row["source"] for batch in publish_rows(warehouse, EM) for row in batch.to_pylist()}
    weighed = EM.model_copy(update={"human_weight": 0.5, "source_weights": {next(iter(sources)): 4.0, "it's": 2.0}})
    rows = [row for batch in publish_rows(warehouse, weighed) for row in batch.to_pylist()]
    assert {row["weight"] for row in rows if row["source"] == next(iter(sources))} == {2.0}
    assert {row["weight"] for row in rows if row["source"] != next(iter(sources))} <= {0.5}
    assert unknown_sources(warehouse, weighed) == ["it's"]


def test_a_factor_of_a_source_applies_to_its_pairs(warehouse: Warehouse, tmp_path: Path) -> None:
    twins(warehouse)
    batch = read_propositions(updates(tmp_path))
    merge_all(warehouse, [batch.premises, batch.propositions])
    source = {row["source"] for each in publish_rows(warehouse, ALL, "pairs") for row in each.to_pylist()}
    weighed = ALL.model_copy(update={"source_weights": dict.fromkeys(source, 3.0)})
    pairs = [row for each in publish_rows(warehouse, weighed, "pairs") for row in each.to_pylist()]
    assert pairs
    assert {row["weight"] for row in pairs} == {1.5}


def test_streams_have_their_schemas_and_a_part_left_out_has_no_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    twins(warehouse)
    batch = read_propositions(updates(tmp_path))
    merge_all(warehouse, [batch.premises, batch.propositions])
    assert {rows.schema for rows in publish_rows(warehouse, ALL)} == {SHARD_SCHEMA}
    assert {rows.schema for rows in publish_rows(warehouse, ALL, "pairs")} == {PAIR_SCHEMA}
    assert list(publish_rows(warehouse, EM, "pairs")) == []


@pytest.mark.slow
def test_the_queries_of_the_manifest_run_as_they_stand(warehouse: Warehouse, tmp_path: Path) -> None:
    twins(warehouse)
    manifest = published(warehouse, tmp_path / "v1", ALL)
    assert manifest.queries.keys() == {"propositions", "pairs"}
    found = warehouse.sql(manifest.queries["propositions"]).to_pylist()
    assert sorted(row["proposition_id"] for row in found) == sorted(
        row["proposition_id"] for row in rows_of(tmp_path / "v1")
    )


def test_a_child_that_repeats_its_parents_premise_is_no_group(warehouse: Warehouse) -> None:
    parent = made_proposition("p")
    child = Proposition.model_validate(
        parent.model_dump()
        | {"proposition_id": "c", "hypothesis": "not so", "kind": "negation", "parent_id": parent.proposition_id}
    )
    merge_all(warehouse, [*made_rows([("p", "a", 0.25)])])
    merge(warehouse, [child])
    assert renew_groups(warehouse, 0.8).inserted == 0


@on_sqlite
def test_pairs_between_very_many_propositions_take_no_time_with_the_others(warehouse: Warehouse) -> None:
    # If the planner joins on the split first, it joins all propositions of a split with each other.
    run = warehouse.connection.execute
    run("INSERT INTO premises BY NAME SELECT 'm' || i AS premise_id, 'text ' || i AS text, 's' AS source, "
        "'en' AS language, now() AS created_at FROM range(60000) t(i)")  # fmt: skip
    run("INSERT INTO propositions BY NAME SELECT 'p' || i AS proposition_id, 'm' || i AS premise_id, 'h' AS "
        "hypothesis, 'imported' AS kind, 's' AS source, 'train' AS split, now() AS created_at "
        "FROM range(60000) t(i)")  # fmt: skip
    run("INSERT INTO comparisons BY NAME SELECT 'c' || i AS comparison_id, 'p' || i AS first_id, 'p' || (i + 1) AS "
        "second_id, 'l' AS labeler, '1' AS labeler_version, 'p' || i AS more_likely_id, 'r' AS request_id, 's' AS "
        "swapped_request_id, now() AS created_at FROM range(0, 600, 2) t(i)")  # fmt: skip
    run("INSERT INTO choices BY NAME SELECT 'k' || i AS choice_id, 'p' || i AS higher_id, 'p' || (i + 1) AS lower_id, "
        "'s' AS source, 'q' AS source_id, now() AS created_at FROM range(1000, 1600, 2) t(i)")  # fmt: skip
    late = Timer(30, warehouse.connection.interrupt)
    late.start()
    try:
        pairs = list(publish_rows(warehouse, Recipe(consensus="em", pairs_weight=1.0), "pairs"))
    finally:
        late.cancel()
    assert sum(batch.num_rows for batch in pairs) == 600
