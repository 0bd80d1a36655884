from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from synthesis.call import Call
from synthesis.panel.settings import Judge
from synthesis.panel.versions import judge_version
from synthesis.prompts.render import load_prompt
from synthesis.questions.judge import verdicts
from synthesis.questions.question import MAX_TRIES, Answer
from synthesis.reply import CallResult, Failure
from tests.synthesis.driving import drive_rounds, gives, says
from warehouse.errors import InputError
from warehouse.records import Disagreement, PanelAnswer, PropositionText, Request, Verdict, content_id, proposition_id

PREMISE, HYPOTHESIS = "A woman is carrying an umbrella.", "It is raining."
PROPOSITION = PropositionText(
    proposition_id=proposition_id(PREMISE, HYPOTHESIS), premise=PREMISE, hypothesis=HYPOTHESIS
)
SHORT, LONG = "Umbrellas mean rain.", "She may want shade.\n" * 20
ANSWERS = [
    PanelAnswer(estimate_id="b", labeler="secret-token", probability=0.123456, reasoning=None),
    PanelAnswer(estimate_id="c", labeler="secret-large", probability=0.9, reasoning=SHORT),
    PanelAnswer(estimate_id="a", labeler="secret-small", probability=0.2, reasoning=LONG),
]
DISAGREEMENT = Disagreement(proposition=PROPOSITION, answers=ANSWERS)
JUDGE = Judge(name="j", endpoint="e", model="m", summarise_above=100, seed=7)
GOOD = [{"answer": 3, "confidence": 0.9}, {"answer": 1, "confidence": 0.25}, {"answer": 2, "confidence": 0}]


def judged(
    judge: Judge,
    judgement: Callable[[Call], CallResult],
    summary: Callable[[Call], CallResult],
    answers: list[PanelAnswer],
) -> tuple[Answer, list[list[Call]]]:
    def answer(call: Call) -> CallResult:
        return summary(call) if call.about.prompt == "summarise" else judgement(call)

    (question,) = verdicts([Disagreement(proposition=PROPOSITION, answers=answers)], judge)
    result, rounds = drive_rounds(question, answer)
    return result, [list(calls) for calls in rounds]


def always(outcome: CallResult) -> Callable[[Call], CallResult]:
    return lambda _: outcome


def rows(answer: Answer) -> tuple[list[Request], list[Verdict]]:
    requests = [row for row in answer.rows if isinstance(row, Request)]
    found = [row for row in answer.rows if isinstance(row, Verdict)]
    assert len(requests) + len(found) == len(answer.rows)
    return requests, found


def shown(call: Call) -> list[dict[str, object]]:
    line = call.messages[-1]["content"].splitlines()[-1]
    answers = json.loads(line[line.index("[") :])
    assert isinstance(answers, list)
    return answers


def test_each_answer_gets_the_confidence_that_its_number_was_given() -> None:
    answer, rounds = judged(JUDGE, always(gives(confidences=GOOD)), always(gives(summary="Shade.")), ANSWERS)
    requests, found = rows(answer)
    assert [len(calls) for calls in rounds] == [1, 1]
    assert shown(rounds[1][0]) == [
        {"answer": 1, "probability": 0.2, "reasoning": "Shade."},
        {"answer": 2, "probability": 0.1235, "reasoning": None},
        {"answer": 3, "probability": 0.9, "reasoning": SHORT},
    ]
    assert {each.estimate_id: (each.confidence, each.summary) for each in found} == {
        "a": (0.25, "Shade."),
        "b": (0.0, None),
        "c": (0.9, None),
    }
    version = judge_version(JUDGE, load_prompt("judge"), load_prompt("summarise"))
    for each in found:
        assert each.verdict_id == content_id("verdict", each.estimate_id, "j", version)
        assert (each.judge_version, each.mode, each.proposition_id) == (
            version,
            "confidence",
            PROPOSITION.proposition_id,
        )
        assert each.request_id == requests[-1].request_id
    assert [(row.purpose, row.subject_id, row.labeler, row.status) for row in requests] == [
        ("judge", PROPOSITION.proposition_id, "j", "answered")
    ] * 2


def test_numbers_as_texts_are_read_as_estimates_are() -> None:
    said = [{"answer": n, "confidence": confidence} for n, confidence in (("3", "0.9"), (1.0, "25%"), (" 2", 0))]
    answer, _ = judged(JUDGE, always(gives(confidences=said)), always(gives(summary="Shade.")), ANSWERS)
    assert {each.estimate_id: each.confidence for each in rows(answer)[1]} == {"a": 0.25, "b": 0.0, "c": 0.9}


def test_the_judge_cannot_know_the_labelers() -> None:
    _, rounds = judged(JUDGE, always(gives(confidences=GOOD)), always(gives(summary="Shade.")), ANSWERS)
    sent = json.dumps([call.body(structured=True) for calls in rounds for call in calls])
    assert "secret" not in sent
    renamed = [each.model_copy(update={"labeler": "other"}) for each in reversed(ANSWERS)]
    _, again = judged(JUDGE, always(gives(confidences=GOOD)), always(gives(summary="Shade.")), renamed)
    assert [[call.key for call in calls] for calls in again] == [[call.key for call in calls] for calls in rounds]


def test_keep_and_drop_are_one_and_nothing() -> None:
    judge = Judge(name="j", endpoint="e", model="m", mode="keep_drop")
    said = [{"answer": n, "verdict": verdict} for n, verdict in ((1, "Drop"), (2, " keep "), ("3", "KEEP"))]
    answer, rounds = judged(judge, always(gives(verdicts=said)), always(says("")), ANSWERS)
    assert [len(calls) for calls in rounds] == [1], "400 characters are not summarised at the default of 600"
    assert {each.estimate_id: each.confidence for each in rows(answer)[1]} == {"a": 0.0, "b": 1.0, "c": 1.0}
    assert {each.mode for each in rows(answer)[1]} == {"keep_drop"}


def test_summaries_are_asked_together_and_once_for_each_text() -> None:
    texts = [LONG, LONG.replace("shade", "style"), LONG, SHORT]
    answers = [
        PanelAnswer(estimate_id=f"{n}", labeler=f"l{n}", probability=0.1, reasoning=text)
        for n, text in enumerate(texts)
    ]
    good = [{"answer": n, "confidence": 0.5} for n in range(1, 5)]
    judge = JUDGE.model_copy(update={"seed": None})
    answer, rounds = judged(judge, always(gives(confidences=good)), always(gives(summary="S" * 300)), answers)
    assert [len(calls) for calls in rounds] == [2, 1]
    requests, found = rows(answer)
    assert len({request.request_id for request in requests}) == len(requests) == 3
    assert [each.summary for each in found] == ["S" * 100, "S" * 100, "S" * 100, None], "as it was shown: cut"


def test_an_unreadable_summary_is_asked_again_and_then_the_reasoning_is_cut() -> None:
    answer, rounds = judged(JUDGE, always(gives(confidences=GOOD)), always(says("Well ...")), ANSWERS)
    requests, found = rows(answer)
    assert [len(calls) for calls in rounds] == [1] * MAX_TRIES + [1]
    assert len({calls[0].seed for calls in rounds}) == len(rounds)
    assert [request.status for request in requests] == ["refused"] * MAX_TRIES + ["answered"]
    assert shown(rounds[-1][0])[0]["reasoning"] == " ".join(LONG.split())[:100]
    assert [(each.confidence, each.summary) for each in found] == [(0.25, None), (0.0, None), (0.9, None)]


FAILED = Failure(reason="not_answered", detail="HTTP 500")


def test_a_failed_request_leaves_no_verdict() -> None:
    for judgement, summary, rounds_wanted in (
        (always(FAILED), always(gives(summary="Shade.")), 2),
        (always(gives(confidences=GOOD)), always(FAILED), 1),
    ):
        answer, rounds = judged(JUDGE, judgement, summary, ANSWERS)
        requests, found = rows(answer)
        assert found == []
        assert len(requests) == len(rounds) == rounds_wanted
        assert requests[-1].status == "failed"


def test_a_summary_that_is_rejected_is_done_without() -> None:
    rejected = Failure(reason="rejected", detail="HTTP 400 too long")
    answer, rounds = judged(JUDGE, always(gives(confidences=GOOD)), always(rejected), ANSWERS)
    requests, found = rows(answer)
    assert [request.status for request in requests] == ["failed", "answered"]
    assert shown(rounds[-1][0])[0]["reasoning"] == " ".join(LONG.split())[:100]
    assert [(each.confidence, each.summary) for each in found] == [(0.25, None), (0.0, None), (0.9, None)]


def _numbered(*pairs: tuple[object, object]) -> str:
    return json.dumps({"confidences": [{"answer": number, "confidence": value} for number, value in pairs]})


UNREADABLE = [
    ("", "empty_reply"),
    ("All are fine.", "not_json"),
    ('{"confidence": 0.5}', "missing_field"),
    ('{"confidences": 0.5}', "missing_field"),
    ('{"confidences": [0.1, 0.2, 0.3]}', "missing_field"),
    ('{"confidences": {"1": 0.1, "2": 0.2, "3": 0.3}}', "missing_field"),
    ('{"confidences": [{"answer": 1}, {"answer": 2}, {"answer": 3}]}', "missing_field"),
    ('{"confidences": []}', "wrong_numbers"),
    (_numbered((1, 0.1), (2, 0.2)), "wrong_numbers"),
    (_numbered((1, 0.1), (2, 0.2), (2, 0.2)), "wrong_numbers"),
    (_numbered((1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)), "wrong_numbers"),
    (_numbered((0, 0.1), (1, 0.2), (2, 0.3)), "wrong_numbers"),
    (_numbered((True, 0.1), (2, 0.2), (3, 0.3)), "wrong_numbers"),
    (_numbered(("1", 0.1), ("2", 0.2), ("two", 0.3)), "wrong_numbers"),
    (_numbered((1, 0.1), ("1", 0.2), (2, 0.2), (3, 0.3)), "wrong_numbers"),
    (_numbered((1, 0.1), (2, 0.2), (2.5, 0.3)), "wrong_numbers"),
    (_numbered((1, 0.1), (2, 0.2), (3, True)), "no_number"),
    (_numbered((1, 0.1), (2, 0.2), (3, None)), "no_number"),
    (_numbered((1, 0.1), (2, 0.2), (3, "high")), "no_number"),
    (_numbered((1, 0.1), (2, 0.2), (3, "about 0.3")), "ambiguous"),
    (_numbered((1, 0.1), (2, 0.2), (3, math.nan)), "not_finite"),
    (_numbered((1, 0.1), (2, 0.2), (3, 1.1)), "out_of_range"),
    (_numbered((1, 0.1), (2, 0.2), (3, -1)), "out_of_range"),
    (_numbered((1, 0.1), (2, 0.2), (3, 90)), "out_of_range"),
    ('{"confidences": []} {"confidences": [1]}', "several_answers"),
    (
        _numbered((1, 0.1), (2, 0.2), (3, 0.3)).replace('"confidence": 0.3', '"confidence": 0, "confidence": 1'),
        "several_answers",
    ),
]


@pytest.mark.parametrize(("text", "reason"), UNREADABLE)
def test_a_judgement_that_cannot_be_read_whole_gives_no_number(text: str, reason: str) -> None:
    answer, _ = judged(JUDGE, always(says(text)), always(gives(summary="Shade.")), ANSWERS)
    requests, found = rows(answer)
    assert [(each.estimate_id, each.confidence, each.reason) for each in found] == [(n, None, reason) for n in "abc"]
    assert [request.reason for request in requests] == [None] + [reason] * MAX_TRIES
    assert {each.request_id for each in found} == {requests[-1].request_id}


@pytest.mark.parametrize("verdict", ["Keep it", "", None, 1, True, "dropped", ["keep"]])
def test_any_other_verdict_is_no_choice(verdict: object) -> None:
    judge = Judge(name="j", endpoint="e", model="m", mode="keep_drop")
    said = [{"answer": 1, "verdict": "keep"}, {"answer": 2, "verdict": "keep"}, {"answer": 3, "verdict": verdict}]
    answer, _ = judged(judge, always(gives(verdicts=said)), always(says("")), ANSWERS)
    assert [each.reason for each in rows(answer)[1]] == ["no_choice"] * 3


def test_a_second_try_is_read_past_its_thinking() -> None:
    texts = iter(("unsure", f"<think>{_numbered((1, 1))}</think>" + json.dumps({"confidences": GOOD})))
    answer, _ = judged(JUDGE, lambda _: says(next(texts)), always(gives(summary="Shade.")), ANSWERS)
    requests, found = rows(answer)
    assert [request.status for request in requests] == ["answered", "refused", "answered"]
    assert [each.confidence for each in found] == [0.25, 0.0, 0.9]


def test_the_schema_asks_for_as_many_entries_as_there_are_answers() -> None:
    _, rounds = judged(JUDGE, always(gives(confidences=GOOD)), always(gives(summary="Shade.")), ANSWERS)
    form = rounds[-1][0].body(structured=True)["response_format"]
    listed = form["json_schema"]["schema"]["properties"]["confidences"]
    assert (listed["minItems"], listed["maxItems"]) == (3, 3)
    assert "The 3 answers:" in rounds[-1][0].messages[-1]["content"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "judge_keep_drop"}, "the mode confidence of a judge reads confidences"),
        ({"mode": "keep_drop", "prompt": "judge"}, "the mode keep_drop of a judge reads keep_drop"),
        ({"summary_prompt": "verbalised"}, "summary_prompt of a judge reads summary"),
        ({"prompt": "none"}, "no such prompt"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_asked(change: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        verdicts([DISAGREEMENT], JUDGE.model_copy(update=change))
