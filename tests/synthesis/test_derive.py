from __future__ import annotations

from typing import get_args

import httpx
import pytest

from synthesis.call import Call
from synthesis.panel.defaults import DEFAULT_PROPOSER
from synthesis.panel.settings import DerivedKind, Proposer
from synthesis.panel.versions import ANSWER_OF_KIND
from synthesis.questions.dedup import Recent
from synthesis.questions.derive import derivations
from synthesis.questions.drops import MAX_HYPOTHESIS_CHARACTERS
from synthesis.questions.question import MAX_TRIES
from synthesis.reply import CallResult, Failure
from tests.synthesis.driving import drive, drive_rounds, gives, says
from warehouse.errors import InputError
from warehouse.records import (
    Drop,
    Parent,
    Premise,
    Proposition,
    PropositionText,
    Record,
    Request,
    Split,
    premise_id,
    proposition_id,
    split_of,
)

PREMISE = "A waiter drops a tray of glasses in a crowded restaurant."
HYPOTHESIS = "Some of the glasses break."
OTHER = "A guest applauds."
PROPOSER = Proposer(name="p", endpoint="e", model="m", per_proposition=2)
KINDS: tuple[DerivedKind, ...] = get_args(DerivedKind)
PARENT_ID = proposition_id(PREMISE, HYPOTHESIS)


def parent(premise: str = PREMISE, hypothesis: str = HYPOTHESIS, other: str | None = OTHER) -> Parent:
    """A parent in a split that is not the one that its premise alone would have."""
    text = Premise(premise_id=premise_id(premise), text=premise, source="book", license="CC0-1.0", language="de")
    second = other and PropositionText(proposition_id=proposition_id(premise, other), premise=premise, hypothesis=other)
    split: Split = "test" if split_of(text.premise_id) != "test" else "train"
    return Parent(
        proposition_id=proposition_id(premise, hypothesis),
        premise=text,
        hypothesis=hypothesis,
        split=split,
        other=second or None,
    )


def rows(kind: DerivedKind, reply: CallResult, of: Parent | None = None) -> list[Record]:
    """What one reply makes, without its request."""
    (question,) = derivations([of or parent()], PROPOSER, kind)
    first, *others = drive(question, lambda _: reply).rows
    assert isinstance(first, Request)
    assert (first.status, first.purpose, first.labeler) == ("answered", "propose", "p")
    assert first.subject_id == (of or parent()).proposition_id
    assert all(each.request_id == first.request_id for each in others if isinstance(each, Proposition))
    return others


def reasons(made: list[Record]) -> list[tuple[str, str | None]]:
    drops = [each for each in made if isinstance(each, Drop)]
    assert len({each.drop_id for each in drops}) == len(drops)
    assert {(each.stage, each.subject_id) for each in drops} <= {("propose", PARENT_ID)}
    return [(each.reason, each.kept_id) for each in drops]


@pytest.mark.parametrize("kind", ["strengthened", "weakened"])
def test_an_update_makes_a_longer_premise_with_the_same_hypothesis(kind: DerivedKind) -> None:
    updates = ["The floor is  of stone.", "The tray falls\nfrom his shoulder."]
    premise, proposition, *more = rows(kind, gives(updates=updates))
    longer = f"{PREMISE} The floor is of stone."
    assert isinstance(premise, Premise)
    assert isinstance(proposition, Proposition)
    assert (premise.premise_id, premise.text) == (premise_id(longer), longer)
    assert (premise.source, premise.license, premise.language) == ("p", "CC0-1.0", "de")
    assert proposition.proposition_id == proposition_id(longer, HYPOTHESIS)
    assert (proposition.premise_id, proposition.hypothesis) == (premise.premise_id, HYPOTHESIS)
    assert (proposition.kind, proposition.source, proposition.parent_id) == (kind, "p", PARENT_ID)
    assert proposition.split == parent().split != split_of(parent().premise.premise_id)
    assert (proposition.target_probability, proposition.other_parent_id) == (None, None)
    assert [type(each) for each in more] == [Premise, Proposition]


def test_variants_are_other_hypotheses_of_the_same_premise() -> None:
    (negation,) = rows("negation", gives(hypotheses=["None of the glasses breaks."]))
    first, second = rows("paraphrase", gives(hypotheses=["A few glasses break.", "A few of the glasses break."]))
    for each, kind in ((negation, "negation"), (first, "paraphrase"), (second, "paraphrase")):
        assert isinstance(each, Proposition)
        assert each.proposition_id == proposition_id(PREMISE, each.hypothesis)
        assert (each.premise_id, each.parent_id) == (premise_id(PREMISE), PARENT_ID)
        assert (each.kind, each.split, each.other_parent_id) == (kind, parent().split, None)


def test_a_conjunction_names_both_of_its_parts() -> None:
    joined = "Some of the glasses break, and a guest applauds."
    (made,) = rows("conjunction", gives(hypothesis=joined))
    assert isinstance(made, Proposition)
    assert (made.kind, made.hypothesis, made.premise_id) == ("conjunction", joined, premise_id(PREMISE))
    assert (made.parent_id, made.other_parent_id) == (PARENT_ID, proposition_id(PREMISE, OTHER))
    assert list(derivations([parent(other=None)], PROPOSER, "conjunction")) == []


def test_conjunctions_of_one_parent_with_two_others_are_two_questions() -> None:
    two = [parent(), parent(other="The music stops.")]
    calls = [next(question)[0] for question in derivations(two, PROPOSER, "conjunction")]
    assert len({call.seed for call in calls}) == len({call.request_id for call in calls}) == 2
    assert HYPOTHESIS in calls[0].messages[-1]["content"]
    assert "The music stops." in calls[1].messages[-1]["content"]


def test_a_rewriting_has_a_new_premise_only_where_that_changes() -> None:
    of = parent("waiter drops tray", "they break")
    premise, both = rows("rewritten", gives(premise="A waiter drops a tray.", hypothesis="The glasses break."), of)
    (one,) = rows("rewritten", gives(premise="Waiter drops tray.", hypothesis="The glasses break."), of)
    longer, same = rows("rewritten", gives(premise="A waiter drops a tray.", hypothesis="They break."), of)
    assert isinstance(premise, Premise)
    assert isinstance(longer, Premise)
    assert (premise.text, premise.license, premise.source) == ("A waiter drops a tray.", "CC0-1.0", "p")
    expected = [
        (both, "A waiter drops a tray.", "The glasses break."),
        (one, "waiter drops tray", "The glasses break."),
        (same, "A waiter drops a tray.", "They break."),
    ]
    for each, text, hypothesis in expected:
        assert isinstance(each, Proposition)
        assert each.proposition_id == proposition_id(text, hypothesis)
        assert (each.premise_id, each.hypothesis) == (premise_id(text), hypothesis)
        assert (each.kind, each.parent_id, each.split) == ("rewritten", of.proposition_id, of.split)


LONG = "x" * (MAX_HYPOTHESIS_CHARACTERS + 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" ", "empty"),
        (LONG, "too_long"),
        ("Is the floor of stone?", "not_a_statement"),
        (PREMISE.upper(), "equals_premise"),
        ("a tray of glasses, in a crowded restaurant", "in_premise"),
        (HYPOTHESIS, "states_hypothesis"),
        ("It is clear that some of the glasses break.", "states_hypothesis"),
        ("the tray FALLS", "duplicate"),
    ],
)
def test_an_update_that_is_none_is_dropped_with_its_reason(text: str, reason: str) -> None:
    made = rows("strengthened", gives(updates=["The tray falls.", text]))
    kept = proposition_id(f"{PREMISE} The tray falls.", HYPOTHESIS)
    assert [type(each) for each in made] == [Premise, Proposition, Drop]
    assert reasons(made) == [(reason, kept if reason == "duplicate" else None)]
    drop = made[-1]
    assert isinstance(drop, Drop)
    assert drop.detail == (text[:MAX_HYPOTHESIS_CHARACTERS].strip() or None)


@pytest.mark.parametrize(
    ("hypothesis", "text"),
    [
        ("The street is wet.", "The street is not wet."),
        ("The street isn't wet.", "The street is wet."),
        ("The street can be wet.", "The street can\u2019t be wet!"),
        ("The dog barks.", "The dog does not bark."),
        ("The dog barked.", "The dog never barks."),
        ("She agreed.", "She never agreed."),
        ("Most of the glasses break.", "Some of the glasses break."),
        ("Two guests leave the room.", "Three guests leave the room."),
        ("The prices of bread rise.", "The prices of bread fall."),
        ("The treatment was effective.", "The treatment was ineffective."),
        ("Die Straße ist nass.", "Die Straße ist nicht nass."),
    ],
)
def test_an_update_that_turns_the_hypothesis_round_is_none(hypothesis: str, text: str) -> None:
    (drop,) = (
        each
        for each in rows("weakened", gives(updates=[text, "It snows."]), parent(hypothesis=hypothesis))
        if isinstance(each, Drop)
    )
    assert (drop.reason, drop.detail) == ("states_hypothesis", text)


@pytest.mark.parametrize(
    ("hypothesis", "text"),
    [
        ("The street is wet.", "The street was not swept today."),
        ("She lost.", "She never smiled."),
        ("She lost.", "She won."),
        ("The shop opens.", "The shop is near the lake."),
        ("The dog bites the man.", "The man never bites the dog."),
        ("Some of the glasses break.", "The floor is not of stone."),
    ],
)
def test_an_update_that_says_something_else_is_taken(hypothesis: str, text: str) -> None:
    made = rows("weakened", gives(updates=[text, "It snows."]), parent(hypothesis=hypothesis))
    assert [type(each) for each in made] == [Premise, Proposition] * 2


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ('"Is the floor of stone?"', False),
        ("\u201cIs the floor of stone?\u201d", False),
        ("(Isn't the floor of stone?)", False),
        ("Is the floor of stone?*", False),
        ('Is the floor of stone?"', False),
        ('A guest asks: "Is the floor of stone?"', True),
        ("A guest asks \u2018Is it stone?\u2019", True),
        ('"It is of stone", says a guest.', True),
    ],
)
def test_a_question_is_no_statement_in_quotes_either(text: str, taken: bool) -> None:
    made = rows("strengthened", gives(updates=["The tray falls.", text]))
    assert reasons(made) == ([] if taken else [("not_a_statement", None)])


@pytest.mark.parametrize(
    ("premise", "between"),
    [
        ("It rains.", " "),
        ("It rains", ". "),
        ("It rains!", " "),
        ('He says "It rains."', " "),
        ('He says "It rains"', ". "),
        ("It rains (a little)", ". "),
        ("The rain lasts 5 h, 20%", " "),
        ("今天下雨", "\u3002 "),
        ("今天下雨\u3002", " "),
    ],
)
def test_an_update_begins_a_sentence_of_its_own(premise: str, between: str) -> None:
    made = rows("weakened", gives(updates=["The sun shines.", "It snows."]), parent(premise))
    texts = [each.text for each in made if isinstance(each, Premise)]
    assert texts == [f"{premise}{between}The sun shines.", f"{premise}{between}It snows."]


def known(of: Parent, *hypotheses: str) -> Parent:
    """The parent beside other hypotheses of its premise."""
    stand = {proposition_id(PREMISE, text): text for text in (of.hypothesis, *hypotheses)}
    return of.model_copy(update={"known": stand})


@pytest.mark.parametrize("kind", ["negation", "paraphrase", "conjunction", "rewritten"])
def test_what_stands_on_the_premise_already_is_a_duplicate_of_it(kind: DerivedKind) -> None:
    said: dict[str, dict[str, object]] = {
        "negation": {"hypotheses": ["a guest APPLAUDS", "x"]},
        "conjunction": {"hypothesis": "The music stops"},
    }
    said |= {"paraphrase": {"hypotheses": ["The music stops", "a guest applauds"]}}
    said |= {"rewritten": {"premise": PREMISE, "hypothesis": "The music stops"}}
    made = rows(kind, gives(**said[kind]), known(parent(), OTHER, "The music stops."))
    guest, music = (("duplicate", proposition_id(PREMISE, text)) for text in (OTHER, "The music stops."))
    expected = {"negation": [guest, ("wrong_count", None)], "paraphrase": [music, guest]}
    assert reasons(made) == expected.get(kind, [music])
    assert not any(isinstance(each, Proposition) for each in made)


@pytest.mark.parametrize("kind", ["negation", "rewritten"])
def test_of_two_parents_with_the_same_text_the_first_to_be_answered_has_it(kind: DerivedKind) -> None:
    said: dict[str, dict[str, object]] = {
        "negation": {"hypotheses": ["It is not so."]},
        "rewritten": {"premise": "Hm.", "hypothesis": "It is so."},
    }
    questions = list(derivations([parent(), parent(hypothesis=OTHER)], PROPOSER, kind))
    later, first = [drive(question, lambda _: gives(**said[kind])).rows for question in reversed(questions)][::-1]
    (proposition,) = (each for each in first if isinstance(each, Proposition))
    assert [(each.reason, each.kept_id) for each in later if isinstance(each, Drop)] == [
        ("duplicate", proposition.proposition_id)
    ]
    assert len(later) == 2


def test_what_two_kinds_write_of_one_parent_is_taken_once() -> None:
    recent = Recent()
    made: list[Record] = []
    for kind in ("strengthened", "weakened", "negation", "paraphrase"):
        (question,) = derivations([parent()], PROPOSER.model_copy(update={"per_proposition": 1}), kind, recent)
        field = "updates" if kind in ("strengthened", "weakened") else "hypotheses"
        made += drive(question, lambda _, field=field: gives(**{field: ["It is so."]})).rows  # type: ignore[misc]
    propositions = [each for each in made if isinstance(each, Proposition)]
    assert [each.kind for each in propositions] == ["strengthened", "negation"]
    assert reasons(made) == [("duplicate", each.proposition_id) for each in propositions]


@pytest.mark.parametrize("kind", ["negation", "strengthened"])
def test_a_reply_that_comes_again_makes_nothing_and_drops_nothing_and_another_one_is_a_repeat(
    kind: DerivedKind,
) -> None:
    field = "updates" if kind == "strengthened" else "hypotheses"
    said = gives(**{field: ["It is so.", "It snows."][: 1 + (kind == "strengthened")]})
    made = [each for each in rows(kind, said) if isinstance(each, Proposition)]
    again = parent().model_copy(
        update={
            "known": {each.proposition_id: each.hypothesis for each in made if kind == "negation"},
            "written_by": {each.proposition_id: each.request_id for each in made},
        }
    )
    assert rows(kind, said, again) == []
    others = again.model_copy(update={"written_by": dict.fromkeys(again.written_by, "another request")})
    assert reasons(rows(kind, said, others)) == [("duplicate", each.proposition_id) for each in made]


def test_what_a_run_made_is_held_for_a_while_and_no_longer() -> None:
    made = [each for each in rows("negation", gives(hypotheses=["It is so."])) if isinstance(each, Proposition)]
    one = made[0]
    others = [one.model_copy(update={"hypothesis": f"h{n}", "request_id": f"r{n}"}) for n in range(3)]
    recent = Recent(size=2)
    assert [recent.first(PREMISE, each) for each in (one, others[0], one)] == [None] * 3
    assert recent.first(PREMISE, one.model_copy(update={"request_id": "r"})) == one.proposition_id
    assert [recent.first(PREMISE, each) for each in others] == [None] * 3
    assert recent.first(PREMISE, one.model_copy(update={"request_id": "r"})) is None


def test_only_whole_words_count_as_standing_in_the_premise() -> None:
    made = rows("weakened", gives(updates=["A waiter drops a tray of glass.", "Others applaud."]))
    assert reasons(made) == []


@pytest.mark.parametrize(
    ("kind", "reply", "expected"),
    [
        ("negation", {"hypotheses": ["some of the glasses break"]}, [("equals_parent", PARENT_ID)]),
        ("negation", {"hypotheses": [PREMISE]}, [("equals_premise", None)]),
        ("negation", {"hypotheses": ["The two men are not brothers."]}, [("copied_from_prompt", None)]),
        ("negation", {"hypotheses": ["None breaks.", "No glass breaks."]}, [("wrong_count", None)]),
        ("negation", {"hypotheses": []}, [("wrong_count", None)]),
        ("paraphrase", {"hypotheses": [HYPOTHESIS, ""]}, [("equals_parent", PARENT_ID), ("empty", None)]),
        ("paraphrase", {"hypotheses": ["A few break."]}, [("wrong_count", None)]),
        ("conjunction", {"hypothesis": HYPOTHESIS + " "}, [("equals_parent", PARENT_ID)]),
        ("conjunction", {"hypothesis": "a guest applauds"}, [("equals_parent", proposition_id(PREMISE, OTHER))]),
        ("conjunction", {"hypothesis": LONG}, [("too_long", None)]),
        ("rewritten", {"premise": PREMISE.lower(), "hypothesis": HYPOTHESIS + "."}, [("unchanged", PARENT_ID)]),
        ("rewritten", {"premise": "...", "hypothesis": HYPOTHESIS}, [("empty", None)]),
        ("rewritten", {"premise": LONG * 2, "hypothesis": HYPOTHESIS}, [("too_long", None)]),
        ("rewritten", {"premise": PREMISE, "hypothesis": "Does a glass break?"}, [("not_a_statement", None)]),
        ("rewritten", {"premise": PREMISE, "hypothesis": PREMISE}, [("equals_premise", None)]),
        (
            "rewritten",
            {"premise": PREMISE, "hypothesis": "It is raining in the old town."},
            [("copied_from_prompt", None)],
        ),
    ],
)
def test_a_text_that_makes_no_proposition_is_dropped_with_its_reason(
    kind: DerivedKind, reply: dict[str, object], expected: list[tuple[str, str | None]]
) -> None:
    assert reasons(rows(kind, gives(**reply))) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_read_is_asked_for_again_and_then_refused(kind: DerivedKind) -> None:
    (question,) = derivations([parent()], PROPOSER, kind)
    answer, rounds = drive_rounds(question, lambda _: gives(something="else"))
    calls = [call for each in rounds for call in each]
    assert [(call.attempt, call.temperature) for call in calls] == [(0, 0.8), (1, 0.9), (2, 1.0)]
    assert len({call.seed for call in calls}) == len({call.key for call in calls}) == MAX_TRIES
    assert [(each.status, each.reason) for each in answer.rows if isinstance(each, Request)] == [
        ("refused", "missing_field")
    ] * MAX_TRIES
    assert len(answer.rows) == MAX_TRIES


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_request_is_a_row_and_nothing_else(kind: DerivedKind) -> None:
    (question,) = derivations([parent()], PROPOSER, kind)
    answer, rounds = drive_rounds(question, lambda _: Failure(reason="not_answered", detail="HTTP 503"))
    assert len(rounds) == 1
    assert [each.status for each in answer.rows if isinstance(each, Request)] == ["failed"]
    assert len(answer.rows) == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"hypothesis": "A b."} {"hypothesis": "C d."}',
        '{"hypothesis": ["A b."]}',
        '{"hypothesis": " "}',
        "Some of the glasses break, and a guest applauds.",
        "",
    ],
)
def test_a_conjunction_that_can_be_read_in_two_ways_or_none_is_never_guessed(text: str) -> None:
    (question,) = derivations([parent()], PROPOSER, "conjunction")
    answer = drive(question, lambda _: says(text))
    assert [each.status for each in answer.rows if isinstance(each, Request)] == ["refused"] * MAX_TRIES


def test_how_many_are_asked_for_and_of_what() -> None:
    counts = {}
    for kind in KINDS:
        (question,) = derivations([parent()], PROPOSER, kind)
        (call,) = next(question)
        schema = call.body(structured=True)["response_format"]["json_schema"]
        assert schema["name"] == ANSWER_OF_KIND[kind]
        counts[kind] = next((of.get("maxItems", 1) for of in schema["schema"]["properties"].values()), None)
        assert HYPOTHESIS in call.messages[-1]["content"]
    assert counts == {
        "strengthened": 2,
        "weakened": 2,
        "paraphrase": 2,
        "negation": 1,
        "conjunction": 1,
        "rewritten": 1,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_that_asks_for_something_else_is_refused(kind: DerivedKind) -> None:
    proposer = PROPOSER.model_copy(update={"prompts": {kind: "propose"}})
    with pytest.raises(InputError, match=f"its answer is hypotheses, but the kind {kind} reads {ANSWER_OF_KIND[kind]}"):
        derivations([parent()], proposer, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_embedded_model_writes_is_taken_or_has_a_reason(llm_url: str, kind: DerivedKind) -> None:
    with httpx.Client(timeout=180) as client:

        def ask(call: Call) -> CallResult:
            reply = client.post(f"{llm_url}/chat/completions", json=call.body(structured=True)).raise_for_status()
            choice = reply.json()["choices"][0]
            return says(choice["message"]["content"], choice["finish_reason"])

        (question,) = derivations([parent()], DEFAULT_PROPOSER.model_copy(update={"max_tokens": 96}), kind)
        made = drive(question, ask).rows
    answered = [each for each in made if isinstance(each, Request) and each.status == "answered"]
    assert len(answered) == 1
    propositions = [each for each in made if isinstance(each, Proposition)]
    assert len(propositions) + len([each for each in made if isinstance(each, Drop)]) == 1
    assert all(each.kind == kind and each.proposition_id != PARENT_ID for each in propositions)
