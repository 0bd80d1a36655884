from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from tests.fixtures.store import SOURCE, made_judgment, made_proposition, made_rows
from warehouse import Warehouse
from warehouse.agreement.measure import measure_agreement
from warehouse.catalog.store import mark_deleted, merge, merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.queries.models import all_models, dataset_labels, model_in_use, models_in_use, unscored
from warehouse.queries.stages import (
    consensus_splits,
    counts,
    current_agreement,
    current_estimates,
    labeler_answers,
    newest_dataset,
    next_version,
    orphaned_judgments,
    proposition_texts,
    simulation_truths,
    studio_project,
)
from warehouse.records import (
    Dataset,
    Estimate,
    Model,
    Premise,
    Request,
    RequestStatus,
    Score,
    StudioProject,
    StudioTask,
)

RATINGS = [("p", "a", 0.25), ("p", "s", 0.5), ("q", "a", 1.0)]


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    """Two propositions, three judgments, one of them simulated, and their consensus."""
    merge_all(warehouse, made_rows(RATINGS, {"s": "simulated"}))
    renew_consensus(warehouse, "em")
    return warehouse


def made_request(subject: str, status: RequestStatus, labeler: str = "proposer", version: str = "1") -> Request:
    return Request(
        request_id=f"{subject} {status} {labeler} {version}",
        purpose="propose",
        subject_id=subject,
        labeler=labeler,
        endpoint="http://127.0.0.1",
        model="m",
        prompt="propose",
        prompt_version=version,
        parameters="{}",
        status=status,
        reason=None if status == "answered" else "made up",
        tokens_in=10,
        tokens_out=5,
        cost=0.5,
        latency_s=1.0,
    )


def test_texts_come_with_their_premises(filled: Warehouse) -> None:
    found = {(one.premise, one.hypothesis) for one in proposition_texts(filled)}
    assert found == {("premise p", "hypothesis p"), ("premise q", "hypothesis q")}
    (one,) = proposition_texts(filled, "p.hypothesis = ?", ["hypothesis q"])
    assert one.proposition_id == made_proposition("q").proposition_id


def test_judgments_that_no_task_names_are_orphans(warehouse: Warehouse) -> None:
    judgments = [made_judgment("p", name, 0.5, batch="7") for name in "asb"]
    merge(warehouse, [*judgments, made_judgment("q", "a", 0.5, batch="8")])
    assert sorted(orphaned_judgments(warehouse, SOURCE, "7")) == ["p/a", "p/b", "p/s"]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for project, number, named in (("7", 1, ["p/a", "p/s"]), ("8", 1, ["p/b"]), ("7", 2, [])):
        name = f"{project}/{number}"
        merge(
            warehouse,
            [
                StudioTask(
                    studio_task_id=name,
                    project=project,
                    number=number,
                    changed_at=moment,
                    n_annotations=2,
                    judgments=named,
                )
            ],
        )
    assert orphaned_judgments(warehouse, SOURCE, "7") == ["p/b"]
    mark_deleted(warehouse, SOURCE, ["p/b"])
    assert orphaned_judgments(warehouse, SOURCE, "7") == []
    assert orphaned_judgments(warehouse, "x", "7") == []


def test_the_project_in_use_is_the_one_that_is_not_retired(warehouse: Warehouse) -> None:
    assert studio_project(warehouse, "Odds") is None
    old = StudioProject(
        project="1@a", number=1, url="http://x", title="Odds", retired_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    new = StudioProject(project="2@b", number=2, url="http://x", title="Odds")
    merge(warehouse, [old, new, StudioProject(project="3@c", number=3, url="http://x", title="Other")])
    found = studio_project(warehouse, "Odds")
    assert found is not None
    assert found.project == "2@b"


def test_progress_counts_what_is_simulated(filled: Warehouse) -> None:
    stages = {row["stage"]: (row["n"], row["n_simulated"]) for row in counts(filled).to_pylist()}
    assert stages["premises"] == (2, 0)
    assert stages["annotators"] == (2, 1)
    assert stages["judgments"] == stages["valid judgments"] == (3, 1)
    assert stages["propositions with a consensus"] == (2, 1)
    assert sum(consensus_splits(filled, "em").values()) == 2
    assert consensus_splits(filled, "mean") == {}


def test_disagreement_and_quality_by_hand(filled: Warehouse) -> None:
    (row,) = filled.sql("SELECT * FROM disagreement").to_pylist()
    assert row["proposition_id"] == made_proposition("p").proposition_id
    assert (row["mean"], row["lowest"], row["highest"], row["n_simulated"]) == (0.375, 0.25, 0.5, 1)
    assert row["sd"] == pytest.approx(0.125 * 2**0.5)
    quality = {one["kind"]: one for one in filled.sql("SELECT * FROM annotator_quality").to_pylist()}
    assert (quality["human"]["n_judgments"], quality["human"]["n_simulated"]) == (2, 0)
    assert (quality["simulated"]["n_judgments"], quality["simulated"]["n_simulated"]) == (1, 1)
    assert quality["human"]["mean_difference"] == pytest.approx(-0.25)
    assert (quality["human"]["n_compared"], quality["human"]["pearson_with_rest"]) == (1, None)
    assert (quality["human"]["share_at_ends"], quality["simulated"]["share_at_half"]) == (0.5, 1.0)


def test_labeler_cost_by_hand(filled: Warehouse) -> None:
    cached = made_request("y", "answered").model_copy(update={"cached": True})
    merge(filled, [made_request("x", "answered"), made_request("x", "refused"), made_request("x", "failed"), cached])
    (row,) = filled.sql("SELECT * FROM labeler_cost").to_pylist()
    names = ("n_requests", "n_answered", "n_refused", "n_failed", "n_cached", "tokens_in", "tokens_out", "cost")
    assert [row[name] for name in names] == [4, 2, 1, 1, 1, 40, 20, 1.5]


def test_simulated_annotators_judge_around_the_target(filled: Warehouse) -> None:
    targeted = made_proposition("r").model_copy(update={"target_probability": 0.9})
    merge(filled, [targeted])
    truths = simulation_truths(filled)
    assert (truths[targeted.proposition_id], truths[made_proposition("p").proposition_id]) == (0.9, 0.5)


def test_current_estimates_are_those_of_the_propositions_named(filled: Warehouse) -> None:
    ids = [made_proposition(name).proposition_id for name in "pq"]
    merge(filled, [made_estimate(name, "1", 0.5) for name in "pq"])
    for wanted in ([], ids[:1], ids[1:], [*ids, "another"]):
        assert {one.proposition_id for one in current_estimates(filled, wanted)} == set(wanted) & set(ids)


def test_versions_count_from_one(warehouse: Warehouse) -> None:
    assert (newest_dataset(warehouse, "demo"), next_version(warehouse, "demo")) == (None, 1)
    sets = [
        Dataset(
            dataset_id=str(version),
            name="demo",
            version=version,
            snapshot_id=1,
            path="x",
            n_train=1,
            n_dev=0,
            n_test=0,
            n_judgments=1,
            n_simulated=0,
            code_version="0",
        )
        for version in (1, 2, 10)
    ]
    merge(warehouse, sets)
    assert newest_dataset(warehouse, "demo") == sets[-1]
    assert next_version(warehouse, "demo") == 11


def made_estimate(proposition: str, version: str, probability: float | None) -> Estimate:
    return Estimate(
        estimate_id=f"{proposition} {version}",
        proposition_id=made_proposition(proposition).proposition_id,
        labeler="l",
        labeler_version=version,
        method="token",
        probability=probability,
        reason="unparsed" if probability is None else None,
        created_at=datetime(2026, 1, int(version), tzinfo=UTC),
    )


def test_of_a_labelers_estimates_the_newest_counts(filled: Warehouse) -> None:
    merge(filled, [made_estimate("p", "2", 0.75), made_estimate("p", "1", 0.25), made_estimate("q", "1", None)])
    assert labeler_answers(filled).to_pylist() == [
        {"name": "l", "probabilities": [0.75], "without": 1, "is_estimator": False}
    ]
    found = current_estimates(filled, [made_proposition(name).proposition_id for name in "pq"])
    assert sorted(one.estimate_id for one in found) == ["p 2", "q 1"]


@pytest.mark.slow
def test_of_figures_and_models_the_newest_is_current(filled: Warehouse) -> None:
    first = measure_agreement(filled, draws=100)
    merge(filled, first)
    merge(filled, [made_judgment("q", "s", 0.5)])
    second = measure_agreement(filled, draws=100)
    merge(filled, second)
    current = {one.agreement_id for one in current_agreement(filled) if one.slice == "all"}
    assert current >= {one.agreement_id for one in second if one.slice == "all"}
    assert current.isdisjoint({one.agreement_id for one in first})
    assert model_in_use(filled, "demo") is None
    models = [
        Model(
            model_id=str(day),
            name="demo",
            dataset_id="d",
            base_model="b",
            settings="{}",
            code_version="0",
            path="x",
            dev_loss=None,
            steps=1,
            duration_s=1.0,
            created_at=datetime(2026, 1, day, tzinfo=UTC),
        )
        for day in (9, 10)
    ]
    merge(filled, models)
    assert model_in_use(filled, "demo") == models[1]
    promoted = models[0].model_copy(update={"promoted_at": datetime(2026, 2, 1, tzinfo=UTC)})
    merge(filled, [promoted, models[0].model_copy(update={"model_id": "other", "name": "other"})])
    assert model_in_use(filled, "demo") == promoted
    assert {each.name: each.model_id for each in models_in_use(filled)} == {"demo": "9", "other": "other"}
    merge(filled, [promoted.model_copy(update={"deleted_at": datetime(2026, 2, 2, tzinfo=UTC)})])
    assert model_in_use(filled, "demo") == models[1]
    assert [each.model_id for each in all_models(filled)] == ["10", "9", "other"]
    assert dataset_labels(filled) == {}


def test_other_queries_run_while_a_stream_is_read(filled: Warehouse) -> None:
    batches = filled.batches("SELECT * FROM judgments", rows=1)
    first = batches.read_next_batch()
    assert len(read(filled, Premise)) == 2
    assert first.num_rows + sum(batch.num_rows for batch in batches) == 3


def test_what_an_estimator_has_not_scored_keeps_its_order(warehouse: Warehouse) -> None:
    scores = [
        Score(score_id=f"{model} {key}", model_id=model, proposition_id=key, score=0.5, level_probabilities=[1.0])
        for model, key in (("m", "b"), ("m", "d"), ("other", "a"))
    ]
    rows = pa.RecordBatch.from_pydict({"proposition_id": list("edcba"), "n": range(5)})
    assert unscored(warehouse, "m", rows).equals(rows)
    merge(warehouse, scores)
    assert unscored(warehouse, "m", rows).to_pydict() == {"proposition_id": ["e", "c", "a"], "n": [0, 2, 4]}
    assert unscored(warehouse, "m", rows.slice(0, 0)).num_rows == 0
