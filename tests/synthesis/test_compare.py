from __future__ import annotations

from collections.abc import Callable

import pytest

from synthesis.call import Call
from synthesis.panel.settings import Labeler
from synthesis.panel.versions import labeler_version
from synthesis.prompts.render import load_prompt
from synthesis.questions.compare import comparisons
from synthesis.questions.question import MAX_TRIES, Answer
from synthesis.reply import CallResult, Failure
from tests.synthesis.driving import drive_rounds, gives, says
from warehouse.errors import InputError
from warehouse.records import Comparison, Pair, PropositionText, Request, content_id

LABELER = Labeler(name="w", endpoint="e", model="m", prompt="compare", method="pairwise", seed=3)
FIRST = PropositionText(proposition_id="a1", premise="It rains.", hypothesis="The street is wet.")
SECOND = PropositionText(proposition_id="b2", premise="It snows.", hypothesis="The bus is late.")


def compared(
    answer: Callable[[Call], CallResult], labeler: Labeler = LABELER, pair: Pair | None = None
) -> tuple[list[Request], list[Comparison], list[list[Call]]]:
    (question,) = comparisons([pair or Pair(first=FIRST, second=SECOND)], labeler)
    result, rounds = drive_rounds(question, answer)
    assert isinstance(result, Answer)
    requests = [row for row in result.rows if isinstance(row, Request)]
    found = [row for row in result.rows if isinstance(row, Comparison)]
    return requests, found, [list(calls) for calls in rounds]


def swapped(call: Call) -> bool:
    """Whether the call shows the second proposition first."""
    text = call.messages[-1]["content"]
    return text.index(SECOND.hypothesis) < text.index(FIRST.hypothesis)


def prefers(proposition: PropositionText) -> Callable[[Call], CallResult]:
    return lambda call: gives(more_likely=1 if swapped(call) == (proposition is SECOND) else 2)


@pytest.mark.parametrize("preferred", [FIRST, SECOND])
def test_what_both_orders_agree_on_is_kept(preferred: PropositionText) -> None:
    requests, (found,), rounds = compared(prefers(preferred))
    assert [[swapped(call) for call in calls] for calls in rounds] == [[False, True]]
    version = labeler_version(LABELER, load_prompt("compare"))
    assert found.comparison_id == content_id("comparison", "a1", "b2", "w", version)
    assert (found.first_id, found.second_id, found.labeler_version) == ("a1", "b2", version)
    assert (found.more_likely_id, found.reason) == (preferred.proposition_id, None)
    assert [request.request_id for request in requests] == [found.request_id, found.swapped_request_id]
    assert {(row.purpose, row.subject_id, row.status) for row in requests} == {
        ("elicit", found.comparison_id, "answered")
    }
    user = rounds[0][1].messages[-1]["content"]
    parts = (SECOND.premise, SECOND.hypothesis, FIRST.premise, FIRST.hypothesis)
    assert sorted(parts, key=user.index) == list(parts), "each hypothesis stands behind its own premise"


@pytest.mark.parametrize("always", [1, 2])
def test_a_labeler_that_goes_by_the_place_is_not_believed(always: int) -> None:
    _, (found,), _ = compared(lambda _: gives(more_likely=always))
    assert (found.more_likely_id, found.reason) == (None, "orders_disagree")


def test_a_pair_the_other_way_round_is_the_same_question() -> None:
    _, plain, rounds = compared(prefers(FIRST))
    _, other, again = compared(prefers(FIRST), pair=Pair.model_construct(first=SECOND, second=FIRST))
    assert [call.key for call in rounds[0]] == [call.key for call in again[0]]
    assert [each.model_dump(exclude={"created_at"}) for each in plain] == [
        each.model_dump(exclude={"created_at"}) for each in other
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty_reply"),
        ("1", "not_json"),
        ('{"answer": 1}', "missing_field"),
        ('{"more_likely": 0}', "no_choice"),
        ('{"more_likely": 3}', "no_choice"),
        ('{"more_likely": true}', "no_choice"),
        ('{"more_likely": 1.5}', "no_choice"),
        ('{"more_likely": 1e999}', "no_choice"),
        ('{"more_likely": null}', "no_choice"),
        ('{"more_likely": [1]}', "no_choice"),
        ('{"more_likely": "first"}', "no_choice"),
        ('{"more_likely": "1 or 2"}', "no_choice"),
        ('{"more_likely": 1} {"more_likely": 2}', "several_answers"),
        ('{"more_likely": 1, "more_likely": 2}', "several_answers"),
    ],
)
def test_an_order_that_cannot_be_read_is_asked_again_and_decides_nothing(text: str, reason: str) -> None:
    good = prefers(SECOND)
    requests, (found,), rounds = compared(lambda call: says(text) if swapped(call) else good(call))
    assert [len(calls) for calls in rounds] == [2] + [1] * (MAX_TRIES - 1)
    assert all(swapped(calls[-1]) for calls in rounds)
    assert len({calls[-1].seed for calls in rounds}) == MAX_TRIES
    assert [calls[-1].temperature for calls in rounds] == [0.0, 0.3, 0.6]
    assert [request.reason for request in requests] == [None] + [reason] * MAX_TRIES
    assert (found.more_likely_id, found.reason) == (None, reason)
    assert (found.request_id, found.swapped_request_id) == (requests[0].request_id, requests[-1].request_id)


def test_other_forms_of_one_and_two_are_read_and_a_second_try_counts() -> None:
    texts = {(False, 0): "hm", (False, 1): '{"more_likely": " 2"}', (True, 0): '<think>2</think>{"more_likely": 1.0}'}
    requests, (found,), _ = compared(lambda call: says(texts[swapped(call), call.attempt]))
    assert [request.status for request in requests] == ["refused", "answered", "answered"]
    assert found.more_likely_id == "b2"
    assert found.request_id == requests[1].request_id


def test_a_failed_request_leaves_no_comparison() -> None:
    failure = Failure(reason="not_answered", detail="HTTP 500")
    good = prefers(FIRST)
    requests, found, _ = compared(lambda call: failure if swapped(call) else good(call))
    assert found == []
    assert [request.status for request in requests] == ["answered", "failed"]


def test_a_prompt_that_does_not_ask_which_is_refused() -> None:
    with pytest.raises(InputError, match="reads which"):
        comparisons([], LABELER.model_copy(update={"prompt": "verbalised"}))
