from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from synthesis.call import Call
from synthesis.panel.defaults import DEFAULT_PANEL
from synthesis.panel.settings import TOP_LOGPROBS, Labeler
from synthesis.panel.versions import labeler_version
from synthesis.prompts.render import load_prompt
from synthesis.questions.elicit import estimates, mean_of
from synthesis.questions.parse import Parsed, Reason
from synthesis.questions.question import MAX_TRIES
from synthesis.reply import CallResult, Failure, Reply
from tests.synthesis.driving import drive_rounds, gives, says
from warehouse.errors import InputError
from warehouse.records import Estimate, PropositionText, Request, content_id, proposition_id

VERBALISED = Labeler(name="v", endpoint="e", model="m", prompt="verbalised_short", method="verbalised", seed=5)
MEAN = Labeler(
    name="v",
    endpoint="e",
    model="m",
    prompt="verbalised_short",
    method="mean_of_samples",
    seed=5,
    temperature=0.8,
    samples=4,
)


def proposition(premise: str, hypothesis: str) -> PropositionText:
    return PropositionText(proposition_id=proposition_id(premise, hypothesis), premise=premise, hypothesis=hypothesis)


BAKERY = proposition(
    'The sign said "{closed}", but the door of the bakery stood open.', "The baker forgot to lock the door."
)
FERRY = proposition("The ferry was cancelled because of strong winds.", "It sails again in the evening.")


def asked(
    labeler: Labeler, answer: Callable[[Call], CallResult], about: PropositionText = BAKERY
) -> tuple[list[Request], list[Estimate], list[list[Call]]]:
    (question,) = estimates([about], labeler)
    result, rounds = drive_rounds(question, answer)
    requests = [row for row in result.rows if isinstance(row, Request)]
    found = [row for row in result.rows if isinstance(row, Estimate)]
    assert len(requests) + len(found) == len(result.rows)
    return requests, found, [list(calls) for calls in rounds]


def by_attempt(*outcomes: CallResult) -> Callable[[Call], CallResult]:
    return lambda call: outcomes[call.attempt]


def test_an_estimate_names_its_proposition_labeler_version_and_request() -> None:
    requests, (found,), rounds = asked(VERBALISED, lambda _: gives(reasoning="r", probability=0.25))
    version = labeler_version(VERBALISED, load_prompt("verbalised_short"))
    assert found.estimate_id == content_id("estimate", BAKERY.proposition_id, "v", version)
    assert (found.proposition_id, found.labeler, found.labeler_version) == (BAKERY.proposition_id, "v", version)
    assert (found.probability, found.reason, found.reasoning, found.method) == (0.25, None, "r", "verbalised")
    (request,) = requests
    assert (request.request_id, request.purpose, request.subject_id) == (
        found.request_id,
        "elicit",
        BAKERY.proposition_id,
    )
    assert (request.status, request.call_key) == ("answered", rounds[0][0].key)
    assert "{closed}" in rounds[0][0].messages[-1]["content"]


def test_an_unreadable_reply_is_asked_for_again_and_then_kept_with_its_reason() -> None:
    requests, (found,), rounds = asked(VERBALISED, lambda _: says("about 70%"))
    assert (found.probability, found.reason) == (None, "ambiguous")
    assert [(request.status, request.reply) for request in requests] == [("refused", "about 70%")] * MAX_TRIES
    calls = [call for (call,) in rounds]
    assert len({call.seed for call in calls}) == len({call.key for call in calls}) == MAX_TRIES
    assert [call.temperature for call in calls] == [0.0, 0.3, 0.6]
    assert found.request_id == requests[-1].request_id


def test_the_temperature_of_a_try_rises_to_one_and_no_further() -> None:
    warm = VERBALISED.model_copy(update={"temperature": 0.8})
    _, _, rounds = asked(warm, lambda _: says(""))
    assert [call.temperature for (call,) in rounds] == [0.8, 1.0, 1.0]
    hot = VERBALISED.model_copy(update={"temperature": 1.5})
    assert [call.temperature for (call,) in asked(hot, lambda _: says(""))[2]] == [1.5] * 3
    silent = VERBALISED.model_copy(update={"temperature": None})
    assert [call.temperature for (call,) in asked(silent, lambda _: says(""))[2]] == [None] * 3


def test_a_second_try_can_be_read() -> None:
    requests, (found,), _ = asked(VERBALISED, by_attempt(says("perhaps"), gives(reasoning="r", probability=0.25)))
    assert (found.probability, found.reason, found.reasoning) == (0.25, None, "r")
    assert [request.status for request in requests] == ["refused", "answered"]
    assert found.request_id == requests[1].request_id


def test_each_proposition_has_a_seed_of_its_own_that_stays() -> None:
    def seeds() -> list[int | None]:
        return [asked(VERBALISED, lambda _: gives(probability=0.5), each)[2][0][0].seed for each in (BAKERY, FERRY)]

    assert seeds() == seeds()
    assert len(set(seeds())) == 2


def test_a_token_labeler_reads_the_first_token_and_asks_once() -> None:
    labeler = DEFAULT_PANEL[2]
    tokens = (("Yes", -1.0), ("No", -2.0))
    requests, (found,), rounds = asked(labeler, lambda _: Reply(text="Yes", top_logprobs=tokens))
    yes, no = math.exp(-1.0), math.exp(-2.0)
    assert found.probability == pytest.approx(yes / (yes + no))
    assert rounds[0][0].top_logprobs == TOP_LOGPROBS
    assert requests[0].request_id == found.request_id
    requests, (found,), _ = asked(labeler, lambda _: says("Yes"))
    assert (found.probability, found.reason, len(requests)) == (None, "no_logprobs", 1)


def test_the_samples_of_a_mean_are_asked_together_and_differ_only_in_their_seeds() -> None:
    values = (0.1, 0.2, 0.6, 0.7)
    requests, (found,), rounds = asked(MEAN, by_attempt(*(gives(probability=value) for value in values)))
    assert [len(calls) for calls in rounds] == [4]
    assert {call.temperature for call in rounds[0]} == {0.8}
    assert len({call.seed for call in rounds[0]}) == 4
    assert found.probability == pytest.approx(0.4)
    assert (found.request_id, len(requests)) == (None, 4)


def test_an_unreadable_sample_is_drawn_again_at_the_same_temperature() -> None:
    def answer(call: Call) -> CallResult:
        # Of four samples the second can be read at its second try, the third never.
        unreadable = call.attempt in {1} | {2, 2 + 4, 2 + 8}
        return says("about 70%") if unreadable else gives(probability=0.25 if call.attempt == 1 + 4 else 0.5)

    requests, (found,), rounds = asked(MEAN, answer)
    assert [[call.attempt for call in calls] for calls in rounds] == [[0, 1, 2, 3], [5, 6], [10]]
    calls = [call for each in rounds for call in each]
    assert len({call.key for call in calls}) == len({call.seed for call in calls}) == len(calls) == len(requests)
    assert {call.temperature for call in calls} == {0.8}
    assert [request.status for request in requests].count("refused") == 4
    assert found.probability == pytest.approx((0.5 + 0.25 + 0.5) / 3)


def test_samples_that_can_never_be_read_are_asked_a_bounded_number_of_times() -> None:
    requests, (found,), rounds = asked(MEAN, lambda _: says(""))
    assert (len(requests), len(rounds)) == (4 * MAX_TRIES, MAX_TRIES)
    assert (found.probability, found.reason) == (None, "too_few_samples")


def test_the_reasoning_of_a_mean_is_that_of_the_sample_nearest_to_it() -> None:
    said = {0: (0.1, "low"), 1: (0.4, ""), 2: (0.5, "near"), 3: (0.6, "high")}

    def answer(call: Call) -> CallResult:
        value, reasoning = said[call.attempt]
        return gives(reasoning=reasoning, probability=value)

    _, (found,), _ = asked(MEAN, answer)
    assert found.probability == pytest.approx(0.4)
    assert found.reasoning == "near"
    assert mean_of([Parsed(0.5, None), Parsed(0.5, None)]).reasoning is None
    assert mean_of([Parsed(0.25, None, "first"), Parsed(0.75, None, "second")]).reasoning == "first"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="", refusal="I cannot judge this person.", finish_reason="stop"),
        Reply(text="", finish_reason="content_filter"),
        Reply(text="<think>Hm.</think>", finish_reason="SAFETY"),
    ],
)
def test_a_model_that_refuses_is_asked_once_and_its_words_are_kept(reply: Reply) -> None:
    for labeler in (VERBALISED, MEAN):
        requests, (estimate,), rounds = asked(labeler, lambda _: reply)
        assert (len(rounds), len(requests)) == (1, labeler.samples)
        assert {(row.status, row.reason) for row in requests} == {("refused", "refused_by_model")}
        assert {row.reply for row in requests} == {reply.text or reply.refusal or ""}
        assert (estimate.probability, estimate.reason) == (None, "refused_by_model")
        assert estimate.reasoning == reply.refusal


def test_the_mean_needs_half_of_the_samples() -> None:
    read: Parsed[float] = Parsed(0.2, None)
    unread: Parsed[float] = Parsed(None, Reason.EMPTY)
    assert mean_of([read, Parsed(0.6, None), unread, unread]).value == pytest.approx(0.4)
    assert mean_of([read, unread, unread]) == Parsed(None, Reason.TOO_FEW_SAMPLES)
    assert mean_of([unread]) == Parsed(None, Reason.TOO_FEW_SAMPLES)


FAILED = Failure(reason="rejected", detail="HTTP 400 too long")


def test_a_failed_request_has_a_row_and_no_estimate() -> None:
    requests, found, _ = asked(VERBALISED, by_attempt(says("perhaps"), FAILED))
    assert found == []
    assert [(request.status, request.reason) for request in requests] == [
        ("refused", "no_number"),
        ("failed", "rejected: HTTP 400 too long"),
    ]
    good = gives(probability=0.5)
    requests, found, _ = asked(MEAN, by_attempt(good, FAILED, good, good))
    assert found == []
    assert [request.status for request in requests] == ["answered", "failed", "answered", "answered"]


def test_thinking_is_kept_before_the_reasoning_that_is_stated() -> None:
    def reasoning(reply: Reply) -> str | None:
        return asked(VERBALISED, lambda _: reply)[1][0].reasoning

    own, bare = '{"reasoning": "own", "probability": 0.5}', '{"probability": 0.5}'
    assert reasoning(Reply(text=own, thinking="apart")) == "apart\n\nown"
    assert reasoning(Reply(text=own)) == "own"
    assert reasoning(Reply(text=bare, thinking="apart")) == "apart"
    assert reasoning(says(f"<think> It may be 0.9. </think>{bare}")) == "It may be 0.9."
    assert reasoning(says(f"<think>Hm, 0.5.</think>{own}")) == "Hm, 0.5.\n\nown"
    assert reasoning(says('<think>yes</think>{"reasoning": "", "probability": 0.5}')) == "yes"
    assert reasoning(says(bare)) is None
    assert reasoning(says("<think>It may be 0.9.")) == "It may be 0.9.", "of a refused estimate too"


def test_a_prompt_and_a_method_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="reads probability"):
        estimates([], VERBALISED.model_copy(update={"prompt": "token"}))


def test_the_versions_of_the_default_panel_stay() -> None:
    """An estimate's id holds its labeler's version: another one here asks a whole warehouse again."""
    assert [labeler_version(labeler, load_prompt(labeler.prompt)) for labeler in DEFAULT_PANEL] == [
        "7f188a1fb0ab042d7b04946f",
        "6897ac4bc5ca8f47fcefd960",
        "e5b277675a2beac982f109a1",
    ]


KEYS = [
    (DEFAULT_PANEL[0], 0, "39803eee09a4005c8b29efc8"),
    (DEFAULT_PANEL[0], 1, "1f7d896db4206eb1070e31cb"),
    (DEFAULT_PANEL[1], 0, "c105b983584e017c282f2fc4"),
    (DEFAULT_PANEL[2], 0, "3ff26bde8797c7c9decc6d11"),
    (MEAN, 3, "d8978bb81c7cbb99b90662b3"),
    (VERBALISED.model_copy(update={"seed": None, "temperature": None}), 2, "f71690b5f99c67f7087421b1"),
]


@pytest.mark.parametrize(("labeler", "attempt", "key"), KEYS)
def test_the_ledger_of_an_older_version_is_still_found(labeler: Labeler, attempt: int, key: str) -> None:
    """The keys were computed by the code of commit 97ea7db, before calls were written as questions."""
    _, _, rounds = asked(labeler, lambda _: Reply(text="", top_logprobs=()))
    keys = {call.attempt: call.key for calls in rounds for call in calls}
    assert keys[attempt] == key
