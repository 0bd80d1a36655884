"""Labels of nobody known, intervals, choices and stated splits, from the tables to what is published."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.shards import HEAD
from tests.fixtures.store import SOURCE, made_judgment, made_proposition, made_rows
from warehouse import Warehouse
from warehouse.agreement.measure import measure_agreement
from warehouse.catalog.store import merge, merge_all, read
from warehouse.consensus.random_effects import PRIOR_SD, fit_em
from warehouse.consensus.renew import renew_consensus
from warehouse.datasets.groups import renew_groups
from warehouse.datasets.publish import publish_rows, queries
from warehouse.datasets.write import write_dataset
from warehouse.records import (
    AnnotatorKind,
    AnnotatorPrecision,
    Choice,
    Consensus,
    Judgment,
    Premise,
    PremiseGroup,
    Proposition,
    Split,
    StatedSplit,
    content_id,
    premise_id,
    proposition_id,
)
from warehouse.shards import Recipe, read_pairs, read_split

NOBODY: dict[str, AnnotatorKind] = {"label": "aggregate", "first": "anonymous", "second": "anonymous"}


def people(warehouse: Warehouse, n: int = 30) -> None:
    """Four people on n propositions, who err by .05 to .2."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.2, 0.8, n)
    ratings = [
        (f"p{i:02d}", f"a{j}", float(np.clip(truth[i] + rng.normal(0, 0.05 * (j + 1)), 0, 1)))
        for i in range(n)
        for j in range(4)
    ]
    merge_all(warehouse, made_rows(ratings))


def consensus(warehouse: Warehouse) -> dict[str, Consensus]:
    return {each.proposition_id: each for each in read(warehouse, Consensus)}


def of(warehouse: Warehouse, name: str) -> Consensus:
    return consensus(warehouse)[made_proposition(name).proposition_id]


def test_labels_of_nobody_known_leave_the_fit_as_it_was(warehouse: Warehouse) -> None:
    people(warehouse)
    renew_consensus(warehouse, "em")
    before, sd = consensus(warehouse), {each.annotator_id: each.sd for each in read(warehouse, AnnotatorPrecision)}
    merge_all(warehouse, made_rows([("x", "label", 0.9), ("y", "first", 0.1), ("y", "second", 0.4)], NOBODY))
    renewal = renew_consensus(warehouse, "em")
    assert (renewal.computed, renewal.full, renewal.by_mean) == (2, False, "")
    renew_consensus(warehouse, "em", full=True)
    after = consensus(warehouse)
    assert {key: after[key].mean for key in before} == pytest.approx({k: one.mean for k, one in before.items()})
    assert {each.annotator_id: each.sd for each in read(warehouse, AnnotatorPrecision)} == pytest.approx(sd)
    assert (of(warehouse, "x").mean, of(warehouse, "y").mean) == pytest.approx((0.9, 0.25))
    assert of(warehouse, "y").sd == pytest.approx(PRIOR_SD / 2**0.5)


def test_beside_people_an_anonymous_response_counts_as_that_of_an_average_annotator(warehouse: Warehouse) -> None:
    people(warehouse)
    merge_all(warehouse, made_rows([("p00", "first", 1.0)], NOBODY))
    renew_consensus(warehouse, "em")
    rows = read(warehouse, Judgment)
    units = {name: place for place, name in enumerate(sorted({row.proposition_id for row in rows}))}
    names = sorted({row.annotator_id for row in rows})
    (anonymous,) = {row.annotator_id for row in rows} - {e.annotator_id for e in read(warehouse, AnnotatorPrecision)}
    fixed = np.array([PRIOR_SD if name == anonymous else np.nan for name in names])
    rows.sort(key=lambda row: (row.proposition_id, row.annotator_id))
    fitted = fit_em(
        np.array([units[row.proposition_id] for row in rows]),
        np.array([names.index(row.annotator_id) for row in rows]),
        np.array([row.probability for row in rows], np.float64),
        fixed_sd=fixed,
    )
    assert of(warehouse, "p00").mean == pytest.approx(fitted.theta[units[made_proposition("p00").proposition_id]])


def test_without_any_known_annotator_the_consensus_is_the_mean_and_says_so(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("y", "first", 0.1), ("y", "second", 0.4)], NOBODY))
    assert "no judgment has a known annotator" in renew_consensus(warehouse, "em").by_mean
    assert of(warehouse, "y").mean == pytest.approx(0.25)
    assert read(warehouse, AnnotatorPrecision) == []


def test_agreement_takes_anonymous_responses_and_no_aggregates(warehouse: Warehouse) -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 1, 20)
    ratings = [
        (f"p{i:02d}", who, float(np.clip(truth[i] + rng.normal(0, 0.1), 0, 1)))
        for i in range(20)
        for who in ("ann", "first", "second")
    ]
    merge_all(warehouse, made_rows(ratings, NOBODY))
    before = {(row.metric, row.slice): row for row in measure_agreement(warehouse)}
    merge_all(warehouse, made_rows([(f"p{i:02d}", "label", 1.0) for i in range(20)], NOBODY))
    after = {(row.metric, row.slice): row for row in measure_agreement(warehouse)}
    assert {key: row.value for key, row in after.items()} == {key: row.value for key, row in before.items()}
    alpha = after["interval_alpha", "all"]
    assert (alpha.n_judgments, alpha.n_annotators) == (60, 1)
    # All pairs of responses to one proposition against all pairs of responses: alpha by its definition.
    values = [[value for name, _, value in ratings if name == f"p{i:02d}"] for i in range(20)]
    observed = np.mean([(a - b) ** 2 for each in values for a, b in combinations(each, 2)])
    expected = np.mean([(a - b) ** 2 for a, b in combinations([value for each in values for value in each], 2)])
    assert alpha.value == pytest.approx(1 - observed / expected)
    quality = warehouse.sql("SELECT kind, n_compared FROM annotator_quality").to_pylist()
    assert quality == [{"kind": "human", "n_compared": 20}]
    counted = warehouse.sql("SELECT n FROM progress WHERE stage = 'annotators'")["n"].to_pylist()
    assert counted == [1]


def test_widths_reach_the_shards_and_points_have_none(warehouse: Warehouse, tmp_path: Path) -> None:
    merge_all(warehouse, made_rows([("x", "label", 0.9), ("x", "first", 0.3), ("y", "first", 0.1)], NOBODY))
    merge(warehouse, [made_judgment("x", "label", 0.9, width=0.2)])
    renew_consensus(warehouse, "em")
    found = of(warehouse, "x")
    assert dict(zip(found.values, found.widths or (), strict=True)) == {0.9: 0.2, 0.3: 0.0}
    assert dict(zip(found.values, found.sources or (), strict=True)) == {0.9: SOURCE, 0.3: ""}
    merge(warehouse, [made_judgment("x", "label", 0.9, width=0.5)])
    assert renew_consensus(warehouse, "em").updated == 1  # the width alone is a change
    merge(warehouse, [of(warehouse, "y").model_copy(update={"widths": None, "sources": None})])  # as before the columns
    write_dataset(publish_rows(warehouse, Recipe(consensus="em")), tmp_path / "v1", HEAD)
    rows = [row for split in ("train", "dev", "test") for row in read_split(tmp_path / "v1", split).to_pylist()]
    assert sorted((row["values"], row["widths"], row["sources"]) for row in rows) == [
        ([0.1], [0.0], [""]),
        *[(list(one.values), list(one.widths or ()), list(one.sources or ())) for one in [of(warehouse, "x")]],
    ]


def proposed(premise: str, hypothesis: str = "h", split: Split = "train") -> tuple[Premise, Proposition]:
    return (
        Premise(premise_id=premise_id(premise), text=premise, source=SOURCE),
        Proposition(
            proposition_id=proposition_id(premise, hypothesis),
            premise_id=premise_id(premise),
            hypothesis=hypothesis,
            kind="imported",
            source=SOURCE,
            split=split,
        ),
    )


def stated(premise: str, split: Split, source: str = SOURCE) -> StatedSplit:
    key = content_id(premise, split, source)
    return StatedSplit(stated_split_id=key, premise_id=premise_id(premise), split=split, source=source, file="f")


def chosen(higher: Proposition, lower: Proposition, source: str = SOURCE) -> Choice:
    key = content_id(higher.proposition_id, lower.proposition_id, source)
    return Choice(
        choice_id=key, higher_id=higher.proposition_id, lower_id=lower.proposition_id, source=source, source_id="1"
    )


def splits(warehouse: Warehouse) -> dict[str, tuple[str, str | None]]:
    rows = warehouse.sql("SELECT m.text, s.split, s.stated_split FROM splits s JOIN premises m USING (premise_id)")
    return {row["text"]: (row["split"], row["stated_split"]) for row in rows.to_pylist()}


SENTENCE = "the old man walks his two dogs along the river every single morning"


def test_the_most_held_out_stated_split_wins_in_a_premise_and_in_its_group(warehouse: Warehouse) -> None:
    texts = ["alone", "twice", SENTENCE, f"{SENTENCE}!", "unstated"]
    premises, propositions = zip(*(proposed(text) for text in texts), strict=True)
    said = [
        stated("alone", "dev"),
        stated("twice", "train"),
        stated("twice", "test", "other"),
        stated(SENTENCE, "train"),
        stated(f"{SENTENCE}!", "dev"),
    ]
    merge_all(warehouse, [premises, propositions, said])
    renew_groups(warehouse, 0.8)
    assert splits(warehouse) == {
        "alone": ("dev", "dev"),
        "twice": ("test", "test"),
        SENTENCE: ("dev", "train"),
        f"{SENTENCE}!": ("dev", "dev"),
        "unstated": ("train", None),
    }
    reasons = {row.premise_id: row.reason for row in read(warehouse, PremiseGroup)}
    assert reasons[premise_id("alone")] == "stated"
    assert reasons[premise_id(SENTENCE)] == "near-duplicate"
    assert premise_id("unstated") not in reasons


def test_alternatives_of_a_choice_share_a_split_and_become_pairs(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [proposed("a", split="train"), proposed("b", split="test"), proposed("c", split="dev")]
    (_, a), (_, b), (_, c) = rows
    premises, propositions = zip(*rows, strict=True)
    choices = [chosen(a, b), chosen(a, b, "again"), chosen(a, c), chosen(b, c), chosen(c, b, "contradicts")]
    merge_all(warehouse, [premises, propositions, choices])
    renew_groups(warehouse, 0.8)
    assert len({split for split, _ in splits(warehouse).values()}) == 1
    assert {row.reason for row in read(warehouse, PremiseGroup)} == {"choice"}
    recipe = Recipe(consensus="em", pairs_weight=0.5)
    head = HEAD.model_copy(update={"recipe": recipe, "queries": queries(recipe)})
    write_dataset([], tmp_path / "v1", head, pairs=publish_rows(warehouse, recipe, "pairs"))
    found = [row for split in ("train", "dev", "test") for row in read_pairs(tmp_path / "v1", split).to_pylist()]
    assert sorted((row["kind"], row["source"], row["higher_premise"], row["lower_premise"]) for row in found) == [
        ("chosen", f"again, {SOURCE}", "a", "b"),
        ("chosen", SOURCE, "a", "c"),
    ]
