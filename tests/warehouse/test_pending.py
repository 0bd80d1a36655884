from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.fixtures.store import SOURCE
from tests.fixtures.traced import estimate_of, ident, made_labeler, made_request
from warehouse import Warehouse
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import InputError
from warehouse.queries import pending
from warehouse.queries.pending import (
    count_comparisons,
    count_disagreements,
    count_estimates,
    count_parents,
    count_premises,
    one_ahead,
    pending_comparisons,
    pending_disagreements,
    pending_estimates,
    pending_parents,
    pending_premises,
)
from warehouse.queries.pending_sql import PAGE_OF_ESTIMATES
from warehouse.records import (
    Comparison,
    Estimate,
    Parent,
    Premise,
    Proposition,
    PropositionText,
    Record,
    Request,
    RequestStatus,
    Verdict,
    premise_id,
    proposition_id,
)

PROPOSER = {"asker": "proposer", "asker_version": "v1", "model": "SmolLM2-135M", "prompt_version": "3"}


def text(premise: str, hypothesis: str) -> PropositionText:
    return PropositionText(proposition_id=proposition_id(premise, hypothesis), premise=premise, hypothesis=hypothesis)


def made(premise: str, hypothesis: str, **more: object) -> Proposition:
    fields: dict[str, object] = {
        "proposition_id": proposition_id(premise, hypothesis),
        "premise_id": premise_id(premise),
        "hypothesis": hypothesis,
        "kind": "proposed",
        "source": SOURCE,
        "split": "train",
    }
    return Proposition.model_validate(fields | more)


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    """A premise with four propositions, one with two, one with one and one with none."""
    sizes = {"four": 4, "two": 2, "one": 1, "none": 0}
    merge_all(
        warehouse,
        [
            [Premise(premise_id=premise_id(name), text=name, source=SOURCE) for name in sizes],
            [made(name, f"h{number}") for name, size in sizes.items() for number in range(size)],
        ],
    )
    return warehouse


def ids(premise: str, size: int) -> list[str]:
    return sorted(proposition_id(premise, f"h{number}") for number in range(size))


def asked(subject: str, status: RequestStatus, **more: object) -> Request:
    reason = None if status == "answered" else "made up"
    return made_request("propose", subject, "proposer", str(more), status=status, reason=reason, **more)


@pytest.mark.slow
def test_a_premise_is_pending_until_it_was_answered_or_refused(filled: Warehouse) -> None:
    def pending(**other: str) -> set[str]:
        found = {one.premise.text for one in pending_premises(filled, **PROPOSER | other)}
        assert count_premises(filled, **PROPOSER | other) == len(found)
        return found

    everything = {"four", "two", "one", "none"}
    merge(filled, [asked(premise_id("four"), "failed")])
    assert pending() == everything
    merge(filled, [asked(premise_id("four"), "answered"), asked(premise_id("two"), "refused")])
    assert pending() == {"one", "none"}
    assert pending(prompt_version="2") == pending(asker="other") == pending(model="other") == everything
    # Of these requests no version is told, so that they count for each; see below for those that have one.
    assert pending(asker_version="v2") == {"one", "none"}
    # One of several requests about a premise that failed leaves it pending.
    merge(filled, [asked(premise_id("two"), "failed", parameters='{"attempt": 1}')])
    assert pending() == {"two", "one", "none"}


def test_another_version_of_a_proposer_is_asked_anew(filled: Warehouse) -> None:
    def pending(version: str) -> set[str]:
        which = PROPOSER | {"asker_version": version}
        found = {one.premise.text for one in pending_premises(filled, **which)}
        assert count_premises(filled, **which) == len(found)
        return found

    four, two = premise_id("four"), premise_id("two")
    merge(filled, [asked(four, "answered", asker_version="v1"), asked(two, "failed", asker_version="v1")])
    assert pending("v1") == {"two", "one", "none"}
    assert pending("v2") == {"four", "two", "one", "none"}
    # What failed under other settings is not asked for any more, and leaves nothing pending for ever.
    merge(filled, [asked(two, "answered", asker_version="v2"), asked(premise_id("one"), "failed")])
    merge(filled, [asked(premise_id("one"), "answered", asker_version="v2")])
    assert pending("v2") == {"four", "none"}

    def parents(version: str) -> int:
        which = PROPOSER | {"asker_version": version, "prompt": "negate"}
        found = len(list(pending_parents(filled, "negation", **which)))
        assert count_parents(filled, "negation", **which) == found
        return found

    merge(filled, [asked(proposition_id("four", "h0"), "answered", prompt="negate", asker_version="v1")])
    assert (parents("v1"), parents("of another kind")) == (6, 7)


def test_a_premise_that_a_proposer_wrote_is_not_proposed_for(filled: Warehouse) -> None:
    parent = {"kind": "strengthened", "parent_id": proposition_id("one", "h0"), "source": "proposer"}
    merge_all(
        filled,
        [
            [Premise(premise_id=premise_id("also given"), text="also given", source=SOURCE)],
            [Premise(premise_id=premise_id(name), text=name, source="proposer") for name in ("longer", "also given")],
            [made("longer", "h0", **parent), made("also given", "h0", **parent)],
            # A rewriting may leave the premise as it was, which is no reason to pass it over.
            [made("one", "h0 in other words", **parent | {"kind": "rewritten"})],
        ],
    )
    found = {one.premise.text for one in pending_premises(filled, **PROPOSER)}
    assert found == {"four", "two", "one", "none", "also given"}
    assert count_premises(filled, **PROPOSER) == len(found)


def test_a_premise_comes_with_the_hypotheses_that_it_has(filled: Warehouse) -> None:
    found = {one.premise.text: one for one in pending_premises(filled, **PROPOSER)}
    assert found["none"].known == {}
    assert found["two"].known == {proposition_id("two", f"h{n}"): f"h{n}" for n in range(2)}
    assert found["two"].written_by == {}
    merge(filled, [made("none", "written", request_id="r"), made("none", "given")])
    (one,) = [one for one in pending_premises(filled, **PROPOSER) if one.premise.text == "none"]
    assert one.written_by == {proposition_id("none", "written"): "r"}
    stored = found["one"].premise
    assert stored == Premise.model_validate(stored.model_dump())
    assert stored.created_at.tzinfo is not None


def test_propositions_to_estimate_stand_by_premise_and_are_whole(filled: Warehouse) -> None:
    everything = list(pending_estimates(filled, "l", "1"))
    keys = [(premise_id(one.premise), one.proposition_id) for one in everything]
    assert keys == sorted(keys)
    assert {one.proposition_id: one for one in everything} == {
        text(name, f"h{n}").proposition_id: text(name, f"h{n}")
        for name, size in (("four", 4), ("two", 2), ("one", 1))
        for n in range(size)
    }
    # What is built without a check is what a check gives.
    assert everything == [PropositionText.model_validate(one.model_dump()) for one in everything]
    # An estimate without a probability is not asked again, another version is.
    merge(filled, [estimate_of(proposition_id("one", "h0"), "l", None)])
    assert {one.premise for one in pending_estimates(filled, "l", "1")} == {"four", "two"}
    assert (count_estimates(filled, "l", "1"), count_estimates(filled, "l", "2")) == (6, 7)
    assert count_estimates(filled, "other", "1") == 7


@pytest.mark.parametrize("rows", [1, 2, 65_536])
def test_a_stream_shows_its_first_moment_while_others_write(
    filled: Warehouse, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("warehouse.queries.pending.ROWS", rows)
    stream = pending_estimates(filled, "l", "1")
    seen = list(islice(stream, 1))
    for one in stream:
        seen.append(one)
        # A flow writes what it came to while it reads on: new propositions are the next run's matter.
        merge_all(filled, [[estimate_of(one.proposition_id, "l", 0.5)], [made("four", f"later {len(seen)}")]])
    assert len(seen) == len({one.proposition_id for one in seen}) == 7
    assert count_estimates(filled, "l", "1") == 1 + 6
    assert {one.hypothesis[:5] for one in pending_estimates(filled, "l", "1")} == {"later", seen[0].hypothesis}


@pytest.mark.slow
def test_many_batches_give_the_same_as_one(filled: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[Callable[[], Iterator[Any]]] = [
        lambda: pending_premises(filled, **PROPOSER),
        lambda: pending_estimates(filled, "l", "1"),
        lambda: pending_parents(filled, "conjunction", **PROPOSER, prompt="p"),
        lambda: pending_comparisons(filled, "l", "1", 2),
    ]
    whole = [list(stream()) for stream in streams]
    monkeypatch.setattr("warehouse.queries.pending.ROWS", 1)
    assert [list(stream()) for stream in streams] == whole


def test_a_conjunction_takes_the_next_one_in_a_circle(filled: Warehouse) -> None:
    found = list(pending_parents(filled, "conjunction", **PROPOSER, prompt="conjoin"))
    beside = {one.proposition_id: one.other.proposition_id for one in found if one.other is not None}
    circle = ids("four", 4)
    expected = dict(pairwise([*circle, circle[0]]))
    expected[ids("two", 2)[0]] = ids("two", 2)[1]
    assert beside == expected
    assert len(found) == count_parents(filled, "conjunction", **PROPOSER, prompt="conjoin") == 5
    for one in found:
        assert one.other is not None
        assert one.other == text(one.premise.text, one.other.hypothesis)


def test_parents_are_what_nobody_derived_and_come_again_where_a_request_failed(filled: Warehouse) -> None:
    parent, refused = proposition_id("four", "h0"), proposition_id("one", "h0")
    merge(filled, [made("four", "not h0", kind="negation", parent_id=parent), made("four", "in", kind="imported")])

    def pending(prompt: str = "negate", **other: str) -> set[str]:
        found = list(pending_parents(filled, "negation", **PROPOSER | other, prompt=prompt))
        assert all(one.other is None for one in found)
        assert count_parents(filled, "negation", **PROPOSER | other, prompt=prompt) == len(found)
        return {one.proposition_id for one in found}

    everything = {*ids("four", 4), *ids("two", 2), *ids("one", 1), proposition_id("four", "in")}
    assert pending() == everything
    merge(filled, [asked(parent, "answered", prompt="negate"), asked(refused, "refused", prompt="negate")])
    assert pending() == everything - {parent, refused}
    assert pending("paraphrase") == pending(asker="other") == pending(prompt_version="4") == everything
    merge(filled, [asked(parent, "failed", prompt="negate", parameters='{"attempt": 1}')])
    assert pending() == everything - {refused}


@pytest.mark.parametrize("rows", [1, 65_536])
def test_parents_know_what_stands_on_their_premise_and_was_made_from_it(
    filled: Warehouse, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("warehouse.queries.pending.ROWS", rows)
    parent = proposition_id("two", "h0")
    negation = made("two", "not h0", kind="negation", parent_id=parent, request_id="r1")
    merge_all(
        filled,
        [
            [Premise(premise_id=premise_id("two and more"), text="two and more", source=SOURCE)],
            [negation, made("two and more", "h0", kind="strengthened", parent_id=parent, request_id="r2")],
        ],
    )
    found = {one.proposition_id: one for one in pending_parents(filled, "negation", **PROPOSER, prompt="negate")}
    # Neither what was derived nor its parent's neighbour is left out, and nothing of another premise is there.
    for one in ids("two", 2):
        assert found[one].known == {
            **{proposition_id("two", f"h{n}"): f"h{n}" for n in range(2)},
            negation.proposition_id: "not h0",
        }
        assert found[one].written_by == {negation.proposition_id: "r1", proposition_id("two and more", "h0"): "r2"}
    for one in ids("four", 4):
        assert found[one].known == {proposition_id("four", f"h{n}"): f"h{n}" for n in range(4)}
        assert found[one].written_by == {}
    assert all(one == Parent.model_validate(one.model_dump()) for one in found.values())


def verdict(estimate: Estimate, version: str = "1", confidence: float | None = 0.5) -> Verdict:
    return Verdict(
        verdict_id=ident("verdict", estimate.estimate_id, version),
        proposition_id=estimate.proposition_id,
        estimate_id=estimate.estimate_id,
        judge="judge",
        judge_version=version,
        mode="confidence",
        confidence=confidence,
        reason="no number" if confidence is None else None,
    )


@pytest.mark.slow
def test_a_panel_that_disagrees_is_judged_until_every_answer_has_a_verdict(filled: Warehouse) -> None:
    apart, close, old = (proposition_id("four", f"h{n}") for n in range(3))
    panel = ["a", "b", "c"]
    low = estimate_of(apart, "a", 0.125, reasoning="It rains.")
    high = estimate_of(apart, "b", 0.75)
    rows = [
        low, high, estimate_of(apart, "c", None), estimate_of(apart, "not asked", 1.0),
        estimate_of(close, "a", 0.25), estimate_of(close, "b", 0.75),  # exactly the threshold
        estimate_of(old, "a", 0.0, labeler_version="0"), estimate_of(old, "b", 0.75),
        estimate_of(old, "a", 0.5, created_at="2026-01-02T00:00:00Z"),
    ]  # fmt: skip
    merge(filled, rows)

    def pending(version: str = "1", threshold: float = 0.5) -> list[str]:
        found = list(pending_disagreements(filled, "judge", version, threshold, panel))
        assert count_disagreements(filled, "judge", version, threshold, panel) == len(found)
        return [one.proposition.proposition_id for one in found]

    assert pending() == [apart]
    (one,) = pending_disagreements(filled, "judge", "1", 0.5, panel)
    assert one.proposition == text("four", "h0")
    assert [(each.labeler, each.probability, each.reasoning) for each in one.answers] == [
        ("a", 0.125, "It rains."),
        ("b", 0.75, None),
    ]
    assert [each.estimate_id for each in one.answers] == [low.estimate_id, high.estimate_id]
    assert pending(threshold=0.2) == sorted([apart, close, old])
    assert list(pending_disagreements(filled, "judge", "1", 0.5, ["a"])) == []
    merge(filled, [verdict(low)])
    assert pending() == [apart]
    merge(filled, [verdict(high, confidence=None)])
    assert pending() == []
    assert pending("2") == [apart]
    # A version that was given up is not judged: it is out of the panel.
    merge(filled, [made_labeler("b", in_use=False), made_labeler("b", "2")])
    assert pending("2") == []
    merge(filled, [made_labeler("b"), made_labeler("b", "2", in_use=False)])
    # Another estimate of a labeler stands without a verdict again.
    merge(filled, [estimate_of(apart, "b", 1.0, created_at="2026-01-03T00:00:00Z")])
    assert pending() == [apart]


def test_each_pair_of_the_circle_comes_once(filled: Warehouse) -> None:
    def pending(compared_with: int) -> list[tuple[str, str]]:
        found = list(pending_comparisons(filled, "l", "1", compared_with))
        assert count_comparisons(filled, "l", "1", compared_with) == len(found)
        for one in found:
            assert one.first == text(one.first.premise, one.first.hypothesis)
            assert one.second == text(one.second.premise, one.second.hypothesis)
        return [(one.first.proposition_id, one.second.proposition_id) for one in found]

    a, b, c, d = ids("four", 4)
    two = tuple(ids("two", 2))
    ring = {(a, b), (b, c), (c, d), (a, d)}
    assert set(pending(1)) == {*ring, two}
    assert set(pending(2)) == set(pending(9)) == {*ring, (a, c), (b, d), two}
    assert len(pending(9)) == 7
    done = Comparison(
        comparison_id="1", first_id=a, second_id=b, labeler="l", labeler_version="1", more_likely_id=None, reason="no"
    )
    merge(filled, [done])
    assert set(pending(1)) == {*ring - {(a, b)}, two}
    assert count_comparisons(filled, "l", "2", 1) == 5


def test_an_update_stands_beside_what_it_was_made_from(filled: Warehouse) -> None:
    parent = proposition_id("one", "h0")
    more = [made("one and rain", "h0", kind="weakened", parent_id=parent), made("one, so", "h0", parent_id="gone")]
    merge_all(filled, [[Premise(premise_id=premise_id("one and rain"), text="one and rain", source=SOURCE)], more])
    found = {
        (one.first.proposition_id, one.second.proposition_id): {one.first.premise, one.second.premise}
        for one in pending_comparisons(filled, "l", "1", 1)
    }
    pair = tuple(sorted([parent, more[0].proposition_id]))
    assert found[pair] == {"one", "one and rain"}  # type: ignore[index]
    assert len(found) == 6


class OnlyBesideStub:
    """A connection that another thread is busy with: whoever asks it a query gets results mixed up."""

    def __init__(self, real: duckdb.DuckDBPyConnection) -> None:
        self._real = real

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self._real.cursor()

    def execute(self, query: str, *_: object) -> None:
        raise AssertionError(f"asked through the connection of the writer: {query}")


@pytest.mark.parametrize(
    ("pending", "rows"),
    [
        (lambda w: pending_premises(w, **PROPOSER), 4),
        (lambda w: pending_estimates(w, "small", "1"), 7),
        (lambda w: pending_parents(w, "negation", prompt="negation", **PROPOSER), 7),
        (lambda w: pending_disagreements(w, "judge", "1", 0.5, ["a", "b"]), 0),
        (lambda w: pending_comparisons(w, "small", "1", 1), 5),
    ],
)
def test_a_stream_leaves_the_connection_of_the_writer_alone(
    filled: Warehouse, pending: Callable[[Warehouse], Iterator[Record]], rows: int
) -> None:
    # The types ask for a real connection.
    busy = replace(filled, connection=OnlyBesideStub(filled.connection))  # type: ignore[arg-type]
    assert len(list(pending(busy))) == rows


def test_the_next_item_is_made_while_one_is_used() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Generator[int, None, None]:
        for number in range(1, 4):
            made.append(number)
            if number == 2:
                second.set()
            yield number

    ahead = one_ahead(items())
    assert next(ahead) == 1
    assert second.wait(30)
    assert list(ahead) == [2, 3]
    assert made == [1, 2, 3]


def test_who_stops_early_ends_what_makes_the_items() -> None:
    ended: list[str] = []

    def items() -> Generator[int, None, None]:
        try:
            yield from range(1, 100)
        finally:
            ended.append("closed")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    ahead.close()
    assert ended == ["closed"]


LEFT_OPEN = """
from warehouse.queries.pending import one_ahead

def items():
    try:
        yield from range(1, 100)
    finally:
        print("closed")

left_open = one_ahead(items())
print(next(left_open))
"""


def test_what_an_error_keeps_open_is_closed_in_silence_when_the_process_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", LEFT_OPEN], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("1\nclosed\n", "")


def test_what_goes_wrong_ahead_is_raised_in_its_turn() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise InputError("the second one is wrong")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(InputError, match="second"):
        next(ahead)


@pytest.mark.parametrize(("page", "among", "pages"), [(2, 100, 4), (100, 2, 4), (100, 100, 1)])
def test_pages_are_small_by_what_is_pending_and_by_what_is_there(
    filled: Warehouse, monkeypatch: pytest.MonkeyPatch, page: int, among: int, pages: int
) -> None:
    monkeypatch.setattr(pending, "PAGE", page)
    monkeypatch.setattr(pending, "RANGE", among)
    asked: list[object] = []
    spied = Warehouse.sql

    def spy(self: Warehouse, query: str, params: Sequence[object] = ()) -> pa.Table:
        asked.extend([params] if query == PAGE_OF_ESTIMATES else [])
        return spied(self, query, params)

    monkeypatch.setattr(Warehouse, "sql", spy)
    found = [one.proposition_id for one in pending_estimates(filled, "l", "1")]
    assert sorted(found) == sorted(ids("four", 4) + ids("two", 2) + ids("one", 1))
    assert len(asked) == pages
