from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from synthesis.call import Call
from synthesis.panel.defaults import DEFAULT_PROPOSER
from synthesis.panel.settings import Proposer
from synthesis.prompts.render import load_prompt
from synthesis.questions.dedup import KnownHypotheses, bare
from synthesis.questions.drops import MAX_HYPOTHESIS_CHARACTERS, DropReason
from synthesis.questions.propose import Written, proposals, select, shown_in
from synthesis.questions.question import MAX_TRIES, Answer
from synthesis.reply import CallResult, Failure
from tests.synthesis.driving import drive, drive_rounds, gives, says
from warehouse.errors import InputError
from warehouse.records import (
    Drop,
    Premise,
    PremiseToPropose,
    Proposition,
    Request,
    Split,
    premise_id,
    proposition_id,
    split_of,
)

TEXTS = (
    "A man in a red jacket is walking his dog along a frozen lake.",
    'The sign said "{closed}", but the door of the bakery stood open.',
    "A waiter drops a tray of glasses in a crowded restaurant.",
)
PROPOSER = Proposer(name="p", endpoint="e", model="m", targets=(0.1, 0.9), per_target=2, near_duplicates=0.7)
SHOWN = shown_in(load_prompt("propose"), "hypotheses")
PROMPT = """
name = "mine"
version = 1
description = "A prompt of a test."
answer = "hypotheses"
system = "Write hypotheses."
user = "{premise} {count} {likelihood} {target}"
json_schema = '{"type": "object", "properties": {"hypotheses": {"type": "array", "minItems": {count}}}}'
"""


def to_propose(text: str, *known: str) -> PremiseToPropose:
    premise = Premise(premise_id=premise_id(text), text=text, source="test")
    return PremiseToPropose(premise=premise, known={proposition_id(text, each): each for each in known})


PREMISES = [to_propose(text) for text in TEXTS]


def parts(answer: Answer) -> tuple[list[Request], list[Proposition], list[Drop]]:
    requests = [row for row in answer.rows if isinstance(row, Request)]
    propositions = [row for row in answer.rows if isinstance(row, Proposition)]
    drops = [row for row in answer.rows if isinstance(row, Drop)]
    assert len(requests) + len(propositions) + len(drops) == len(answer.rows)
    return requests, propositions, drops


def test_the_targets_of_a_premise_are_asked_together_and_only_the_unread_again() -> None:
    def answer(call: Call) -> CallResult:
        if "10%" in call.messages[-1]["content"]:
            return gives(hypotheses=["The dog is old.", "The lake is deep."])
        return says("I cannot.") if call.attempt < 2 else gives(hypotheses=["It is cold.", "The man is outdoors."])

    (question,) = proposals(PREMISES[:1], PROPOSER)
    answered, rounds = drive_rounds(question, answer)
    assert [[call.attempt for call in calls] for calls in rounds] == [[0, 0], [1], [2]]
    requests, propositions, drops = parts(answered)
    assert Counter((request.status, request.reason) for request in requests) == {
        ("answered", None): 2,
        ("refused", "not_json"): 2,
    }
    assert {request.request_id for request in requests} == {call.request_id for calls in rounds for call in calls}
    assert [(each.hypothesis, each.target_probability) for each in propositions] == [
        ("The dog is old.", 0.1),
        ("The lake is deep.", 0.1),
        ("It is cold.", 0.9),
        ("The man is outdoors.", 0.9),
    ]
    assert {each.request_id for each in propositions} == {r.request_id for r in requests if r.status == "answered"}
    assert drops == []
    premise = PREMISES[0].premise
    for each in propositions:
        assert each.proposition_id == proposition_id(premise.text, each.hypothesis)
        assert (each.premise_id, each.split) == (premise.premise_id, split_of(premise.premise_id))
        assert (each.kind, each.source, each.parent_id) == ("proposed", "p", None)
    assert {(r.purpose, r.subject_id, r.labeler) for r in requests} == {("propose", premise.premise_id, "p")}


def test_each_try_has_another_seed_and_is_warmer() -> None:
    (question,) = proposals(PREMISES[:1], PROPOSER)
    answered, rounds = drive_rounds(question, lambda _: says("I cannot do that."))
    requests, propositions, drops = parts(answered)
    calls = [call for each in rounds for call in each]
    assert len(requests) == len({call.seed for call in calls}) == len({call.key for call in calls}) == MAX_TRIES * 2
    assert [call.temperature for call in calls] == [0.8, 0.8, 0.9, 0.9, 1.0, 1.0]
    assert {(request.status, request.reason) for request in requests} == {("refused", "not_json")}
    assert (propositions, drops) == ([], [])


def test_a_failed_request_ends_its_target_and_leaves_the_others() -> None:
    def answer(call: Call) -> CallResult:
        if "10%" in call.messages[-1]["content"]:
            return Failure(reason="rejected", detail="HTTP 400 too long")
        return gives(hypotheses=["It is cold.", "The man is outdoors."])

    (question,) = proposals(PREMISES[:1], PROPOSER)
    answered, rounds = drive_rounds(question, answer)
    requests, propositions, _ = parts(answered)
    assert len(rounds) == 1
    assert [(request.status, request.reason) for request in requests] == [
        ("failed", "rejected: HTTP 400 too long"),
        ("answered", None),
    ]
    assert {each.target_probability for each in propositions} == {0.9}


def test_the_keys_of_calls_are_those_of_earlier_versions(tmp_path: Path) -> None:
    # Computed with the code before questions were generators: a reply that was paid for must be found again.
    path = tmp_path / "mine.toml"
    path.write_text(PROMPT)
    (question,) = proposals(PREMISES[:1], PROPOSER.model_copy(update={"prompt": str(path)}))
    _, rounds = drive_rounds(question, lambda _: says(""))
    assert [[(call.key, call.seed) for call in calls] for calls in rounds] == [
        [("b7de798345668c949393617b", 218050465), ("dec2a943137b363a09834d68", 9680432)],
        [("73592e06c802bd7e7ff365a6", 226931392), ("0dbfb1315b52e31910ae955e", 28319995)],
        [("b1df8a1c2fb03aa03fd1c114", 75655958), ("87caadd4ab1c5285052620ff", 34146879)],
    ]


def chosen(
    *hypotheses: str, per_target: int = 9, split: Split = "train", known: dict[str, str] | None = None
) -> tuple[list[str], list[Drop]]:
    proposer = PROPOSER.model_copy(update={"per_target": per_target})
    written = [Written(0.3, "request", list(hypotheses))]
    standing = KnownHypotheses(known or {}, proposer.near_duplicates)
    propositions, drops = select(PREMISES[0].premise, written, proposer, split=split, shown=SHOWN, known=standing)
    assert len({drop.drop_id for drop in drops}) == len(drops)
    return [each.hypothesis for each in propositions], drops


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", DropReason.EMPTY),
        (" \n", DropReason.EMPTY),
        (TEXTS[0], DropReason.EQUALS_PREMISE),
        (TEXTS[0].upper().rstrip(".") + " !", DropReason.EQUALS_PREMISE),
        ("the dog is  OLD", DropReason.DUPLICATE),
        ("x" * (MAX_HYPOTHESIS_CHARACTERS + 1), DropReason.TOO_LONG),
        ("Is the dog old?", DropReason.NOT_A_STATEMENT),
        ("...", DropReason.NOT_A_STATEMENT),
        ("The girl has a birthday.", DropReason.COPIED_FROM_PROMPT),
        ("The lake in the park by the town hall is quite deep.", DropReason.NEAR_DUPLICATE),
    ],
)
def test_a_hypothesis_that_is_none_is_dropped_with_its_reason(text: str, reason: DropReason) -> None:
    standing = "The lake in the park by the town hall is very deep."
    taken, drops = chosen("The dog is old.", standing, text, "The ice is thin.")
    assert taken == ["The dog is old.", standing, "The ice is thin."]
    assert Counter(drop.reason for drop in drops) == {reason: 1, DropReason.WRONG_COUNT: 1}
    stands = {DropReason.DUPLICATE: "The dog is old.", DropReason.NEAR_DUPLICATE: standing}
    kept = stands.get(reason)
    assert drops[0].kept_id == (proposition_id(TEXTS[0], kept) if kept else None)
    assert drops[0].detail == (" ".join(text.split())[:MAX_HYPOTHESIS_CHARACTERS] or None)


def test_a_wrong_count_is_a_drop_for_each_hypothesis_too_many_and_one_for_too_few() -> None:
    def counted(*texts: str) -> tuple[list[str], Counter[str]]:
        taken, drops = chosen(*texts, per_target=2)
        return taken, Counter(drop.reason for drop in drops)

    assert counted("A b.", "C d.", "E f.", "G h.") == (["A b.", "C d."], {DropReason.WRONG_COUNT: 2})
    assert counted("A b.") == (["A b."], {DropReason.WRONG_COUNT: 1})
    assert counted("A b.", "C d.") == (["A b.", "C d."], {})


def test_the_same_hypothesis_at_two_targets_is_taken_once() -> None:
    (question,) = proposals(PREMISES[:1], PROPOSER.model_copy(update={"per_target": 1}), lambda _: "dev")
    _, propositions, drops = parts(
        drive(question, lambda call: gives(hypotheses=["The dog is old." + "!" * (call.seed == 9680432)]))
    )
    assert [(each.target_probability, each.split) for each in propositions] == [(0.1, "dev")]
    assert [(drop.reason, drop.subject_id, drop.kept_id) for drop in drops] == [
        ("duplicate", PREMISES[0].premise.premise_id, propositions[0].proposition_id)
    ]


def test_what_the_premise_has_is_not_taken_again() -> None:
    known = ("The dog is old.", "The man walks to the other end of the lake every single morning.")
    said = ["the dog is old", "The man walks to the wooded end of the lake every single morning."]
    (question,) = proposals([to_propose(TEXTS[0], *known)], PROPOSER.model_copy(update={"targets": (0.5,)}))
    _, propositions, drops = parts(drive(question, lambda _: gives(hypotheses=said)))
    assert propositions == []
    assert [(drop.reason, drop.detail, drop.kept_id) for drop in drops] == [
        (reason, text, proposition_id(TEXTS[0], kept))
        for reason, text, kept in zip(("duplicate", "near_duplicate"), said, known, strict=True)
    ]


def test_near_duplicates_stay_where_the_settings_say_so_and_repeats_do_not() -> None:
    said = ["The old man walks to the wooded end of the lake.", "The old man walks to the wooded end of the lake!"]
    said.append("The old man walks to the other end of the lake.")
    for threshold, taken in ((0.0, 2), (0.6, 1), (1.0, 2)):
        settings = {"targets": (0.5,), "per_target": 3, "near_duplicates": threshold}
        (question,) = proposals(PREMISES[:1], PROPOSER.model_copy(update=settings))
        assert len(parts(drive(question, lambda _: gives(hypotheses=said)))[1]) == taken


def test_premises_are_read_one_at_a_time_and_do_not_know_each_other() -> None:
    read: list[str] = []

    def premises() -> Iterator[PremiseToPropose]:
        for each in PREMISES:
            read.append(each.premise.text)
            yield each

    said = ["The dog is old.", "The lake is deep."]
    for number, question in enumerate(proposals(premises(), PROPOSER), start=1):
        assert len(read) == number
        assert len(parts(drive(question, lambda _: gives(hypotheses=said)))[1]) == 2


def test_a_prompt_that_asks_for_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="the kind proposed reads hypotheses"):
        proposals(PREMISES, PROPOSER.model_copy(update={"prompt": "token"}))


@pytest.mark.slow
def test_the_embedded_model_proposes_distinct_short_statements(llm_url: str) -> None:
    with httpx.Client(timeout=180) as client:

        def ask(call: Call) -> CallResult:
            reply = client.post(f"{llm_url}/chat/completions", json=call.body(structured=True)).raise_for_status()
            choice = reply.json()["choices"][0]
            return says(choice["message"]["content"], choice["finish_reason"])

        answers = [parts(drive(question, ask)) for question in proposals(PREMISES, DEFAULT_PROPOSER)]
    for premise, (requests, propositions, drops) in zip(PREMISES, answers, strict=True):
        assert len(propositions) + len(drops) == sum(request.status == "answered" for request in requests)
        assert len({bare(each.hypothesis) for each in propositions}) == len(propositions)
        for each in propositions:
            assert each.hypothesis != premise.premise.text
            assert len(each.hypothesis) <= MAX_HYPOTHESIS_CHARACTERS
    assert sum(len(propositions) for _, propositions, _ in answers) >= 8
