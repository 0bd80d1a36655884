"""Which labelers are in use, and what is known of those that were asked before that was written down."""

from __future__ import annotations

import pytest

from tests.fixtures.store import made_proposition, made_rows
from tests.fixtures.traced import estimate_of, made_comparison, made_labeler, made_request
from warehouse import Warehouse
from warehouse.catalog.store import merge, merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.lineage.trace import trace
from warehouse.queries.labelers import panel_versions, renew_panel
from warehouse.records import Consensus, LabelerVersion, Recalibration

P = made_proposition("p").proposition_id


def known(warehouse: Warehouse) -> dict[tuple[str, str], LabelerVersion]:
    return {(each.labeler, each.labeler_version): each for each in read(warehouse, LabelerVersion)}


def test_who_is_in_use_is_written_once_and_who_is_not_stays(warehouse: Warehouse) -> None:
    assert renew_panel(warehouse, [made_labeler("a"), made_labeler("b")]).inserted == 2
    before, snapshot = known(warehouse), warehouse.snapshot_id()
    assert renew_panel(warehouse, [made_labeler("a"), made_labeler("b")]).changed == 0
    assert warehouse.snapshot_id() == snapshot
    renew_panel(warehouse, [made_labeler("a", "2"), made_labeler("b")])
    after = known(warehouse)
    assert {each: row.in_use for each, row in after.items()} == {("a", "1"): False, ("a", "2"): True, ("b", "1"): True}
    assert after["b", "1"] == before["b", "1"]
    gone, was = after["a", "1"], before["a", "1"]
    assert gone.created_at == was.created_at
    assert gone.changed_at > was.changed_at
    renew_panel(warehouse, [made_labeler("a"), made_labeler("b")])
    back = known(warehouse)["a", "1"]
    assert (back.in_use, back.created_at) == (True, was.created_at)
    assert back.changed_at > gone.changed_at
    renew_panel(warehouse, [])
    assert not any(each.in_use for each in known(warehouse).values())


def test_who_was_asked_before_there_was_a_table_gets_a_row(warehouse: Warehouse) -> None:
    """A labeler that the settings had before this version of the catalog is no stranger for ever."""
    asked, stays = made_request("elicit", P, "gone"), made_request("elicit", P, "stays")
    older = made_request("elicit", P, "sampler", model="older", created_at="2025-12-01T00:00:00Z")
    sample = made_request("elicit", P, "sampler", "1", model="sampled", created_at="2025-12-31T00:00:00Z")
    compared, both = made_comparison(P, made_proposition("q").proposition_id)
    rows = [
        estimate_of(P, "gone", 0.5, request_id=asked.request_id),
        estimate_of(P, "sampler", 0.5, method="mean_of_samples"),
        estimate_of(P, "stays", 0.5, request_id=stays.request_id),
        estimate_of(P, "brought along", 0.5),  # no request of ours stands behind it
    ]
    merge_all(warehouse, [[asked, older, sample, *both, stays], rows, [compared]])
    renew_panel(warehouse, [made_labeler("stays")])
    found = known(warehouse)
    told = {each: (row.model, row.method, row.parameters, row.in_use) for each, row in found.items()}
    assert told == {
        ("gone", "1"): ("SmolLM2-135M", "verbalised", None, False),
        ("sampler", "1"): ("sampled", "mean_of_samples", None, False),
        ("comparer", "v1"): ("SmolLM2-135M", "pairwise", None, False),
        ("stays", "1"): ("SmolLM2-135M", "verbalised", "{}", True),
    }
    assert {row.created_at.isoformat() for each, row in found.items() if each[0] != "comparer"} == {
        "2026-01-01T00:00:00+00:00"
    }
    assert panel_versions(warehouse) == {("stays", "1"), ("brought along", "1")}
    assert renew_panel(warehouse, [made_labeler("stays")]).changed == 0


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_what_is_given_up_is_not_pooled(warehouse: Warehouse) -> None:
    merge_all(warehouse, made_rows([("p", "x", 0.5)]))
    line = Recalibration(
        recalibration_id="r", labeler="a", labeler_version="1", estimates=[0.0, 1.0], probabilities=[0.0, 1.0],
        n_propositions=9, n_judgments=9, n_simulated=0, fingerprint="f", snapshot_id=1,
    )  # fmt: skip
    merge_all(warehouse, [[estimate_of(P, "a", 0.75)], [line]])

    def pooled() -> list[float]:
        renew_consensus(warehouse, "mean", labeler_weights={"a": 1.0})
        (row,) = read(warehouse, Consensus)
        return row.values

    assert pooled() == [0.5, 0.75]
    merge(warehouse, [made_labeler("a", "2"), made_labeler("a", "1", in_use=False)])
    assert pooled() == [0.5]


def test_a_trace_says_what_a_version_stands_for(warehouse: Warehouse) -> None:
    one = estimate_of(P, "a", 0.5)
    merge_all(warehouse, [[one, estimate_of(P, "b", 0.5)], [made_labeler("a"), made_labeler("a", "2", in_use=False)]])
    (node,) = [node for node in trace(warehouse, one.estimate_id, "back").rests_on if node.kind == "labeler"]
    assert node.summary == "a: SmolLM2-135M at local, prompt verbalised 3, verbalised, in use"
    assert [each.id for each in trace(warehouse, node.id, "forward").used_by] == [one.estimate_id]
    gone = made_labeler("a", "2").labeler_id
    assert "out of use since 2" in trace(warehouse, gone).subject.summary
