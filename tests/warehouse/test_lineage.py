from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.fixtures.store import made_annotator, made_judgment, made_proposition
from tests.fixtures.traced import (
    NAMES,
    Traced,
    change,
    fill,
    ident,
    made_comparison,
    made_estimate,
    made_model,
    publish,
)
from warehouse import Warehouse, open_warehouse
from warehouse.catalog.store import mark_deleted, merge, merge_all
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.lineage.edges import EDGES
from warehouse.lineage.kinds import KINDS
from warehouse.lineage.trace import Node, trace
from warehouse.records import (
    TABLES,
    Ablation,
    AnnotatorStatus,
    Difference,
    Payment,
    Proposition,
    PropositionKind,
    Selection,
    StudioProject,
    StudioTask,
    Suite,
    SuiteItem,
    judgment_id,
    proposition_id,
)
from warehouse.shards import Recipe

pytestmark = pytest.mark.slow


@pytest.fixture
def traced(warehouse: Warehouse, tmp_path: Path) -> Traced:
    return fill(warehouse, tmp_path)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Warehouse, Traced]]:
    """One for all tests that only read, which so take a second less each."""
    home = tmp_path_factory.mktemp("standing")
    with open_warehouse(home / "catalog.sqlite", read_only=False) as warehouse:
        yield warehouse, fill(warehouse, home)


def below(nodes: tuple[Node, ...]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from below(node.children)


def one(nodes: tuple[Node, ...], kind: str) -> Node:
    found = [node for node in below(nodes) if node.kind == kind]
    assert len(found) == 1, [node.kind for node in below(nodes)]
    return found[0]


def every(nodes: tuple[Node, ...], kind: str) -> list[Node]:
    return [node for node in below(nodes) if node.kind == kind]


def path_to(nodes: tuple[Node, ...], kind: str) -> list[str]:
    """The kinds on the way to the first node of a kind."""
    for node in nodes:
        if node.kind == kind:
            return [kind]
        if rest := path_to(node.children, kind):
            return [node.kind, *rest]
    return []


def test_every_table_with_an_id_of_its_own_has_a_kind(standing: tuple[Warehouse, Traced]) -> None:
    warehouse, _ = standing
    # What was chosen for more judgments, and what a pull remembers of Label Studio, are bookkeeping: nothing rests on
    # it. Nor on an evaluation set, which the figures on it name, on a fit of an ablation, or on what was decided about
    # or paid to an annotator.
    aside = (Ablation, AnnotatorStatus, Payment, Selection, StudioProject, StudioTask, Suite, SuiteItem, Difference)
    keys = {record.key for record in TABLES if record not in aside}
    tables = {name: kind for name, kind in KINDS.items() if kind.table}
    assert {kind.key for kind in tables.values()} == keys
    assert {link.to for edge in EDGES for link in edge} <= set(KINDS)
    for name, kind in tables.items():
        ids = warehouse.sql(f"SELECT {kind.key} AS id FROM {kind.table} ORDER BY id LIMIT 1")["id"].to_pylist()
        assert ids, f"the warehouse of this test has no {name}"
        found = trace(warehouse, ids[0])
        assert (found.subject.kind, found.subject.id) == (name, ids[0])
        assert found.subject.summary


def test_a_score_goes_back_to_judgments_and_requests(standing: tuple[Warehouse, Traced]) -> None:
    warehouse, traced = standing
    found = trace(warehouse, traced.score, "back")
    chain = ["model", "dataset", "shard", "consensus"]
    assert path_to(found.rests_on, "judgment") == [*chain, "judgment"]
    assert path_to(found.rests_on, "request") == [*chain, "estimate", "request"]
    assert path_to(found.rests_on, "premise") == ["proposition", "premise"]
    assert found.used_by == ()
    judged = {node.details["annotator"]: node.details["probability"] for node in every(found.rests_on, "judgment")}
    assert judged == {"anna": 0.2, "ben": 0.4, "sim": 0.9}
    estimates = every(found.rests_on, "estimate")
    assert {node.details["probability"]: len(node.children) for node in estimates} == {0.25: 1, 0.35: 2}
    assert {node.relation for node in estimates} == {"estimates, not pooled"}
    (request,) = next(node for node in estimates if node.id == traced.estimate).children
    assert request.id == traced.request
    wanted = {"labeler": "verbal", "model": "SmolLM2-135M", "prompt_version": "3", "tokens_in": 1200, "cost": 0.0021}
    assert {name: request.details[name] for name in wanted} == wanted


def test_the_row_number_is_that_in_the_file(standing: tuple[Warehouse, Traced]) -> None:
    warehouse, traced = standing
    shard = one(trace(warehouse, traced.score, "back").rests_on, "shard")
    table = pq.read_table(Path(traced.dataset.path) / shard.details["path"])
    assert table["proposition_id"][shard.details["row"]].as_py() == traced.proposition
    assert table["mean"][shard.details["row"]].as_py() == shard.details["mean"]


def test_an_old_dataset_shows_what_it_was_made_from(warehouse: Warehouse, traced: Traced, tmp_path: Path) -> None:
    before = one(trace(warehouse, traced.score, "back").rests_on, "consensus")
    assert before.notes == (f"as of snapshot {traced.dataset.snapshot_id}",)
    change(warehouse)
    found = trace(warehouse, traced.score, "back")
    consensus = one(found.rests_on, "consensus")
    now = trace(warehouse, before.id, "back")
    assert consensus.details == before.details
    assert now.subject.details["mean"] != before.details["mean"]
    assert f"now {now.subject.details['mean']:.3f}" in consensus.notes

    def annas(nodes: tuple[Node, ...]) -> list[float]:
        return [n.details["probability"] for n in every(nodes, "judgment") if n.details["annotator"] == "anna"]

    assert (annas(found.rests_on), annas(now.rests_on)) == ([0.2], [0.8])
    # The second version of the dataset holds the present values.
    second = publish(warehouse, tmp_path, 2)
    merge(warehouse, [made_model(second.dataset_id)])
    versions = {n.details["dataset"]: n.details["mean"] for n in every(trace(warehouse, before.id).used_by, "shard")}
    assert versions == {"made v1": before.details["mean"], "made v2": now.subject.details["mean"]}


def test_a_judgment_deleted_since_is_still_what_the_dataset_rests_on(warehouse: Warehouse, traced: Traced) -> None:
    mark_deleted(warehouse, "made-up", [f"{NAMES[0]}/{name}" for name in ("anna", "ben", "sim")])
    renew_consensus(warehouse, "em", full=True)
    found = trace(warehouse, traced.score, "back")
    assert len(every(found.rests_on, "judgment")) == 3
    assert "withdrawn since" in one(found.rests_on, "consensus").notes
    forward = every(trace(warehouse, traced.proposition, "forward").used_by, "judgment")
    assert [node.details["unused"] for node in forward] == ["deleted"] * 3


def test_an_expired_snapshot_is_said(warehouse: Warehouse, traced: Traced) -> None:
    change(warehouse)
    before = trace(warehouse, traced.score, "back")
    computed = one(before.rests_on, "consensus").details["snapshot_id"]
    expired = [computed, traced.dataset.snapshot_id]
    warehouse.sql(f"CALL ducklake_expire_snapshots('odds', versions => {[expired[0]]})")
    next_best = one(trace(warehouse, traced.score, "back").rests_on, "consensus")
    # The judgments as they were when the dataset was published are the next best.
    note = f"snapshot {expired[0]} has expired: judgments shown as of snapshot {expired[1]}"
    assert note in next_best.notes
    assert 0.2 in [node.details["probability"] for node in next_best.children if node.kind == "judgment"]
    warehouse.sql(f"CALL ducklake_expire_snapshots('odds', versions => {[expired[1]]})")
    found = trace(warehouse, traced.score, "back")
    shard, consensus = one(found.rests_on, "shard"), one(found.rests_on, "consensus")
    note = f"snapshot {expired[1]} has expired: consensus shown as it is now"
    assert shard.notes == (note,)
    assert consensus.details["mean"] != shard.details["mean"]
    assert 0.8 in [node.details["probability"] for node in consensus.children if node.kind == "judgment"]


def test_a_premise_goes_forward_to_scores(standing: tuple[Warehouse, Traced]) -> None:
    warehouse, traced = standing
    found = trace(warehouse, traced.premise, "forward")
    assert found.rests_on == ()
    chain = ["proposition", "consensus", "shard", "dataset", "model"]
    assert path_to(found.used_by, "evaluation") == [*chain, "evaluation"]
    kinds = {node.kind for node in below(found.used_by)}
    assert kinds >= {"estimate", "judgment", "task", "check", "drop", "score", "request"}
    (failed,) = every(found.used_by, "request")
    assert (failed.relation, failed.details["status"]) == ("asked in vain", "failed")
    child = [node for node in below(found.used_by) if node.id == traced.child]
    assert {node.relation for node in child} == {"propositions", "derived"}


def test_a_proposition_says_where_it_comes_from(standing: tuple[Warehouse, Traced]) -> None:
    warehouse, traced = standing
    found = trace(warehouse, traced.child, "back").rests_on
    assert [(node.relation, node.kind, node.id) for node in found] == [
        ("premise", "premise", traced.premise),
        ("derived from", "proposition", traced.proposition),
        ("proposed in", "request", traced.asked),
    ]
    used = trace(warehouse, traced.asked, "forward").used_by
    assert [node.id for node in used] == [traced.child]


def test_what_rests_on_simulated_judgments_is_marked(warehouse: Warehouse, traced: Traced) -> None:
    found = trace(warehouse, traced.score)
    assert found.subject.simulated
    marked = {node.kind: node.simulated for node in below(found.rests_on) if node.kind != "judgment"}
    assert {kind for kind, simulated in marked.items() if simulated} == {
        "model", "dataset", "shard", "consensus", "consensus fit",
    }  # fmt: skip
    judged = {node.details["annotator"]: node.simulated for node in every(found.rests_on, "judgment")}
    assert judged == {"anna": False, "ben": False, "sim": True}
    # Without the simulated annotator nothing of it is marked.
    mark_deleted(warehouse, "made-up", [f"{name}/sim" for name in NAMES])
    renew_consensus(warehouse, "em", full=True)
    consensus = one(trace(warehouse, traced.proposition, "forward").used_by, "consensus")
    assert not consensus.simulated


def test_a_consensus_pooled_with_estimates_shows_them_and_their_recalibration(
    warehouse: Warehouse, traced: Traced
) -> None:
    mark_deleted(warehouse, "made-up", [f"{name}/sim" for name in NAMES])
    renew_consensus(warehouse, "mean", labeler_weights={"verbal": 1.0}, full=True)
    (consensus,) = [
        node
        for node in every(trace(warehouse, traced.proposition, "forward").used_by, "consensus")
        if node.details["method"] == "mean"
    ]
    assert consensus.details["n_estimates"] == 1
    found = trace(warehouse, consensus.id, "back")
    recalibration = one(found.rests_on, "recalibration")
    assert recalibration.id == ident("recalibration")
    assert traced.estimate in {node.id for node in found.rests_on if node.relation == "estimates, pooled"}
    # None of its judgments is simulated, but the recalibration rests on some that were.
    assert consensus.details["n_simulated"] == 0
    assert consensus.simulated
    forward = trace(warehouse, recalibration.id, "forward").used_by
    assert consensus.id in {node.id for node in forward}


def test_a_missing_or_broken_shard_is_said_in_the_tree(warehouse: Warehouse, traced: Traced) -> None:
    shard = one(trace(warehouse, traced.score, "back").rests_on, "shard")
    file = Path(traced.dataset.path) / shard.details["path"]
    file.write_bytes(b"no parquet")
    found = trace(warehouse, traced.score, "back")
    (broken,) = every(found.rests_on, "shard")
    assert broken.notes == ("file cannot be read, may hold it",)
    file.unlink()
    for nodes in (trace(warehouse, traced.score, "back").rests_on, trace(warehouse, traced.proposition).used_by):
        (missing,) = every(nodes, "shard")
        assert missing.notes == ("file missing, may hold it",)
    # The catalog still knows the consensus that was published.
    assert len(every(trace(warehouse, traced.score, "back").rests_on, "judgment")) == 3
    alone = trace(warehouse, shard.id)
    assert alone.rests_on == ()
    assert alone.subject.notes == ("file missing",)


def test_a_shard_shows_its_rows(standing: tuple[Warehouse, Traced]) -> None:
    warehouse, traced = standing
    shard = one(trace(warehouse, traced.score, "back").rests_on, "shard")
    table = pq.read_table(Path(traced.dataset.path) / shard.details["path"])
    rows = trace(warehouse, shard.id, "back").rests_on
    assert [node.id for node in rows] == table["proposition_id"].to_pylist()
    assert [node.details["row"] for node in rows] == list(range(table.num_rows))
    for node, mean in zip(rows, table["mean"].to_pylist(), strict=True):
        assert [child.details["mean"] for child in node.children] == [mean]
    (first,) = trace(warehouse, shard.id, "back", limit=1).rests_on
    assert first == rows[0]
    assert trace(warehouse, shard.id, "back", limit=1).subject.more == {"rows": 1}


def test_synthetic_rows_and_pairs_are_found(warehouse: Warehouse, traced: Traced, tmp_path: Path) -> None:
    first = made_proposition(NAMES[0])

    def derived(hypothesis: str, kind: PropositionKind) -> Proposition:
        changes = {
            "proposition_id": proposition_id(f"premise {NAMES[0]}", hypothesis),
            "hypothesis": hypothesis,
            "kind": kind,
            "parent_id": first.proposition_id,
        }
        return first.model_copy(update=changes)

    stronger = derived("stronger", "strengthened")
    own = made_estimate(stronger.proposition_id, "verbal", 0.75, None)
    merge_all(warehouse, [[stronger], [own]])
    publish(warehouse, tmp_path, 2, Recipe(consensus="em", synthetic_weight=0.5, pairs_weight=1.0))
    used = trace(warehouse, stronger.proposition_id, "forward").used_by
    shards = {node.details["origin"]: node for node in used if node.kind == "shard"}
    assert set(shards) == {"synthetic", "pairs"}
    assert shards["synthetic"].details["mean"] == 0.2  # to which the recalibration takes every estimate
    assert shards["pairs"].details["higher_proposition_id"] == stronger.proposition_id
    assert shards["pairs"].details["lower_proposition_id"] == first.proposition_id
    assert {node.id for node in trace(warehouse, own.estimate_id, "forward").used_by} == {shards["synthetic"].id}
    rows = trace(warehouse, shards["synthetic"].id, "back").rests_on
    (row,) = [node for node in rows if node.id == stronger.proposition_id]
    assert [child.id for child in row.children] == [own.estimate_id, ident("recalibration")]
    (pair,) = trace(warehouse, shards["pairs"].id, "back").rests_on
    assert (pair.id, pair.details["origin"]) == (stronger.proposition_id, "pairs")


def test_verdicts_go_back_to_requests_and_forward_to_rows(warehouse: Warehouse, traced: Traced, tmp_path: Path) -> None:
    consensus = one(trace(warehouse, traced.proposition, "forward").used_by, "consensus")
    (verdict,) = [node for node in trace(warehouse, consensus.id, "back").rests_on if node.kind == "verdict"]
    assert (verdict.relation, verdict.details["confidence"]) == ("verdicts, not pooled", 0.8)
    (request,) = verdict.children
    assert request.details["purpose"] == "judge"
    used = trace(warehouse, request.id, "forward").used_by
    assert [(node.relation, node.id) for node in used] == [("verdicts", verdict.id)]
    assert [node.id for node in every(trace(warehouse, traced.estimate, "forward").used_by, "verdict")] == [verdict.id]
    # Where nobody judged, the row rests on the verdict.
    mark_deleted(warehouse, "made-up", [f"{NAMES[0]}/{name}" for name in ("anna", "ben", "sim")])
    renew_consensus(warehouse, "em", full=True)
    publish(warehouse, tmp_path, 2, Recipe(consensus="em", synthetic_weight=1.0))
    (shard,) = [node for node in trace(warehouse, verdict.id, "forward").used_by if node.kind == "shard"]
    (row,) = [n for n in trace(warehouse, shard.id, "back").rests_on if n.id == traced.proposition]
    assert verdict.id in {node.id for node in row.children}


def test_a_compared_pair_goes_back_to_both_requests(warehouse: Warehouse, traced: Traced, tmp_path: Path) -> None:
    compared, asked = made_comparison(traced.proposition, traced.child, traced.child)
    merge_all(warehouse, [[compared], asked])
    publish(warehouse, tmp_path, 2, Recipe(consensus="em", pairs_weight=1.0))
    (shard,) = [node for node in trace(warehouse, compared.comparison_id, "forward").used_by if node.kind == "shard"]
    assert shard.details["higher_proposition_id"] == traced.child
    (pair,) = trace(warehouse, shard.id, "back").rests_on
    assert [node.id for node in pair.children] == [compared.comparison_id]
    back = trace(warehouse, compared.comparison_id, "back").rests_on
    assert [node.id for node in back if node.kind == "request"] == [each.request_id for each in asked]
    assert {node.id for node in back if node.kind == "proposition"} == {traced.proposition, traced.child}
    for each in asked:
        assert compared.comparison_id in {node.id for node in trace(warehouse, each.request_id, "forward").used_by}
    assert compared.comparison_id in {n.id for n in trace(warehouse, traced.child, "forward").used_by}


def test_many_are_counted_and_the_first_shown(warehouse: Warehouse, traced: Traced) -> None:
    many = [made_judgment(NAMES[1], f"judge {number}", 0.5) for number in range(1240)]
    merge_all(warehouse, [[made_annotator(f"judge {number}") for number in range(1240)], many])
    found = trace(warehouse, made_proposition(NAMES[1]).proposition_id, "forward", limit=3)
    assert len(every(found.used_by, "judgment")) == 3
    assert found.subject.more == {"judgments": 1240}  # 1,240 and the three that were there, less the three shown


def test_a_node_is_unfolded_once(standing: tuple[Warehouse, Traced]) -> None:
    warehouse, _ = standing
    found = trace(warehouse, made_annotator("anna").annotator_id, "forward")
    datasets = every(found.used_by, "dataset")
    assert len(datasets) == len(every(found.used_by, "shard")) > 1
    assert [node.repeated for node in datasets] == [False] + [True] * (len(datasets) - 1)
    assert [len(node.children) for node in datasets] == [1] + [0] * (len(datasets) - 1)


def test_a_figure_rests_on_the_judgments_of_its_time(warehouse: Warehouse, traced: Traced) -> None:
    merge_all(warehouse, [[made_annotator("carl")], [made_judgment(name, "carl", 0.5) for name in NAMES]])
    (group,) = trace(warehouse, ident("agreement"), "back").rests_on
    assert (group.details["n"], group.details["n_annotators"], group.simulated) == (6, 1, True)
    (fit,) = warehouse.sql("SELECT fit_id AS id FROM consensus_fits")["id"].to_pylist()
    counts = {node.details["annotator_kind"]: node.details["n"] for node in trace(warehouse, fit, "back").rests_on}
    assert counts == {"human": 12, "simulated": 6}


def test_judgments_that_do_not_count_say_why_and_lead_nowhere(warehouse: Warehouse, traced: Traced) -> None:
    rows = [
        made_judgment(NAMES[0], "anna", 0.9, source_id="again", submitted_at="2026-02-01T00:00:00Z"),
        made_judgment(NAMES[0], "ben", 0.9, source_id="rejected", status="rejected"),
        made_judgment(NAMES[0], "sim", None, source_id="unable"),
    ]
    merge(warehouse, rows)
    found = every(trace(warehouse, traced.proposition, "forward").used_by, "judgment")
    unused = {node.details["source_id"]: node.details["unused"] for node in found}
    assert {name: why for name, why in unused.items() if why} == {
        "again": "a repeat",
        "rejected": "rejected",
        "unable": "cannot judge",
    }
    # What counts here is what counts for agreement and consensus.
    valid = warehouse.sql("SELECT judgment_id FROM valid_judgments WHERE proposition_id = ?", [traced.proposition])
    assert {node.id for node in found if not node.details["unused"]} == set(valid["judgment_id"].to_pylist())
    assert trace(warehouse, judgment_id("made-up", "again"), "forward").used_by == ()
    assert path_to(trace(warehouse, judgment_id("made-up", f"{NAMES[0]}/anna"), "forward").used_by, "dataset")


def test_the_beginning_of_an_id_is_enough(warehouse: Warehouse, traced: Traced) -> None:
    assert trace(warehouse, f" {traced.score[:6]}\n").subject.id == traced.score
    twins = [
        made_model("none", name).model_copy(update={"model_id": f"{traced.score[:7]}{name}"}) for name in ("x1", "x2")
    ]
    merge(warehouse, twins)
    with pytest.raises(
        InputError, match=rf"Several ids .*model {twins[0].model_id}.*score {traced.score}"
    ) as ambiguous:
        trace(warehouse, traced.score[:6])
    assert "\n" not in str(ambiguous.value)
    assert trace(warehouse, traced.score).subject.kind == "score"
    merge(warehouse, [twins[0].model_copy(update={"model_id": traced.score[:7]})])
    # A whole id is that id, also where others begin with it.
    assert trace(warehouse, traced.score[:7]).subject.kind == "model"


@pytest.mark.parametrize(("text", "said"), [("nothing-here", "odds sql"), ("ab1", "at least 6"), ("", "at least 6")])
def test_an_unknown_id_says_what_to_do(standing: tuple[Warehouse, Traced], text: str, said: str) -> None:
    warehouse, _ = standing
    with pytest.raises(InputError, match=said):
        trace(warehouse, text)


def test_an_empty_warehouse_and_an_orphan_are_no_error(warehouse: Warehouse) -> None:
    merge(warehouse, [made_model("gone")])
    found = trace(warehouse, made_model("gone").model_id)
    assert (found.rests_on, found.used_by, found.subject.simulated) == ((), (), False)
