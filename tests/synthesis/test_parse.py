from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.prompts.render import AnswerKind
from synthesis.questions.parse import Parsed, Reason, parse_texts, without_thinking
from synthesis.questions.probabilities import MIN_YES_NO_MASS, parse_number, parse_yes_no

READABLE: list[tuple[AnswerKind, str, float]] = [
    ("probability", '{"probability": 0.7}', 0.7),
    ("probability", '{"reasoning": "It is {likely}.", "probability": 0.7}', 0.7),
    ("probability", '```json\n{"probability": 0.25}\n```', 0.25),
    ("probability", 'Here you are: {"probability": 1} I hope it helps, 100%.', 1.0),
    ("probability", '{"probability": "70%"}', 0.7),
    ("probability", '{"probability": "0.7"}', 0.7),
    ("probability", '<think>maybe {"probability": 0.1}</think>{"probability": 0.9}', 0.9),
    ("probability", 'maybe 0.1</think>\n{"probability": 0.9}', 0.9),
    ("probability", '{"probability": 0.4} and again {"probability": 0.4}', 0.4),
    ("probability", "0.7", 0.7),
    ("probability", " .7\n", 0.7),
    ("probability", "0", 0.0),
    ("probability", "70%", 0.7),
    ("probability", "70 %.", 0.7),
    ("probability", "Probability: 0.05", 0.05),
    ("probability", "5e-2", 0.05),
    ("scale20", '{"score": 14}', 0.7),
    ("scale20", '{"score": 0}', 0.0),
    ("scale20", '{"score": "20"}', 1.0),
    ("scale20", "14", 0.7),
    ("scale20", "14/20", 0.7),
    ("scale20", "Score: 5 / 20", 0.25),
    ("scale20", '{"score": 14.5}', 0.725),
]

UNREADABLE: list[tuple[AnswerKind, str, Reason]] = [
    ("probability", "", Reason.EMPTY),
    ("probability", "   \n", Reason.EMPTY),
    ("probability", "<think>0.7</think>", Reason.EMPTY),
    ("probability", "<think>0.7", Reason.EMPTY),
    ("probability", "about 70%", Reason.AMBIGUOUS),
    ("probability", "I would say 0.7", Reason.AMBIGUOUS),
    ("probability", "0,7", Reason.AMBIGUOUS),
    ("probability", "0.5 or 0.6", Reason.SEVERAL_ANSWERS),
    ("probability", "between 50% and 60%", Reason.SEVERAL_ANSWERS),
    ("probability", "3 to 1", Reason.SEVERAL_ANSWERS),
    ("probability", "3:1", Reason.SEVERAL_ANSWERS),
    ("probability", "1/3", Reason.SEVERAL_ANSWERS),
    ("probability", "14/20", Reason.AMBIGUOUS),
    ("probability", "very likely", Reason.NO_NUMBER),
    ("probability", '{"probability": null}', Reason.NO_NUMBER),
    ("probability", '{"probability": true}', Reason.NO_NUMBER),
    ("probability", '{"probability": [0.5]}', Reason.NO_NUMBER),
    ("probability", '{"probability": "likely"}', Reason.NO_NUMBER),
    ("probability", '{"probability": "0.5 or 0.6"}', Reason.SEVERAL_ANSWERS),
    ("probability", '{"probability": 0.2, "probability": 0.9}', Reason.SEVERAL_ANSWERS),
    ("probability", '{"probability": 0.2} no, {"probability": 0.9}', Reason.SEVERAL_ANSWERS),
    ("probability", '{"probability": NaN}', Reason.NOT_FINITE),
    ("probability", '{"probability": 1e999}', Reason.NOT_FINITE),
    ("probability", "nan", Reason.NOT_FINITE),
    ("probability", '{"probability": 70}', Reason.OUT_OF_RANGE),
    ("probability", '{"probability": -0.1}', Reason.OUT_OF_RANGE),
    ("probability", "101%", Reason.OUT_OF_RANGE),
    ("probability", "70", Reason.OUT_OF_RANGE),
    ("probability", '{"score": 14}', Reason.MISSING_FIELD),
    ("probability", '{"probability": 0.', Reason.NOT_JSON),
    ("probability", '{"probability": ' + "9" * 5000 + "}", Reason.NOT_JSON),
    ("probability", '{"a":' * 100_000, Reason.NOT_JSON),
    ("scale20", '{"score": 21}', Reason.OUT_OF_RANGE),
    ("scale20", "70%", Reason.AMBIGUOUS),
    ("scale20", "14 of 20", Reason.SEVERAL_ANSWERS),
]


@pytest.mark.parametrize(("answer", "text", "probability"), READABLE)
def test_a_clear_form_is_read(answer: AnswerKind, text: str, probability: float) -> None:
    parsed = parse_number(text, answer)
    assert parsed.reason is None
    assert parsed.value == pytest.approx(probability)


@pytest.mark.parametrize(("answer", "text", "reason"), UNREADABLE, ids=lambda value: str(value)[:40])
def test_what_can_be_read_in_two_ways_is_refused(answer: AnswerKind, text: str, reason: Reason) -> None:
    assert parse_number(text, answer) == parse_number(text, answer, "stop")
    parsed = parse_number(text, answer)
    assert (parsed.value, parsed.reason) == (None, reason)


def test_the_reasoning_is_kept_beside_the_number() -> None:
    assert parse_number('{"reasoning": "Dogs bark.", "probability": 0.7}', "probability").reasoning == "Dogs bark."


def test_a_reply_that_met_the_token_limit_says_so_unless_it_is_readable() -> None:
    assert parse_number('{"reasoning": "and so', "probability", "length").reason is Reason.CUT_OFF
    assert parse_number("<think>and so", "probability", "length").reason is Reason.CUT_OFF
    assert parse_number('{"probability": 0.7} and', "probability", "length").value == 0.7
    assert texts('{"hypotheses": ["A', "length") is Reason.CUT_OFF


@given(st.text() | st.from_regex(r'\{"(probability|score)": ?"?[-+0-9.eE%/ nanif]{0,8}"?\}?', fullmatch=True))
def test_any_text_gives_a_probability_or_a_reason(text: str) -> None:
    answers: tuple[AnswerKind, ...] = ("probability", "scale20")
    for answer in answers:
        parsed = parse_number(text, answer)
        assert (parsed.value is None) != (parsed.reason is None)
        assert parsed.value is None or 0 <= parsed.value <= 1
    read = parse_texts(text, "hypotheses")
    assert (read.value is None) != (read.reason is None)


@given(st.integers(0, 100))
def test_a_percentage_is_a_hundredth(percentage: int) -> None:
    parsed = parse_number(f"{percentage}%", "probability")
    assert parsed.value is not None
    assert abs(parsed.value - percentage / 100) < 1e-12


def test_yes_and_no_are_summed_over_their_spellings() -> None:
    tokens = [("Yes", 0.3), (" yes", 0.1), ("YES", 0.05), ("▁No", 0.1), ("no", 0.05), ("Perhaps", 0.4), ("None", 0.0)]
    parsed = parse_yes_no([(token, math.log(p)) for token, p in tokens if p > 0])
    assert parsed.value == pytest.approx(0.45 / 0.6)


@pytest.mark.parametrize("above", [0.0, 1e-7, 2e-4])
def test_a_certain_token_stays_certain_where_rounding_puts_it_above_0(above: float) -> None:
    assert parse_yes_no([("Yes", above), ("No", -20.0)]).value == pytest.approx(1 / (1 + math.exp(-20)), rel=1e-12)
    assert parse_yes_no([("No", above), ("Yes", math.log(0.25))]).value == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ([], Reason.NO_LOGPROBS),
        ([("Yes", math.nan)], Reason.NO_LOGPROBS),
        ([("Yes", 0.5), ("No", math.log(0.4))], Reason.NO_LOGPROBS),
        ([("Yes", math.nan), ("No", math.log(0.4))], Reason.NO_LOGPROBS),
        ([("No", math.log(0.4)), ("Maybe", math.inf)], Reason.NO_LOGPROBS),
        ([("The", math.log(0.9)), ("Yes", math.log(MIN_YES_NO_MASS / 2))], Reason.NO_YES_NO_TOKEN),
        ([("Yesterday", 0.0)], Reason.NO_YES_NO_TOKEN),
        ([("Yes", -math.inf), ("No", -math.inf)], Reason.NO_YES_NO_TOKEN),
    ],
)
def test_a_first_token_that_is_no_answer_is_refused(tokens: list[tuple[str, float]], reason: Reason) -> None:
    parsed = parse_yes_no(tokens)
    assert (parsed.value, parsed.reason) == (None, reason)


@given(st.lists(st.tuples(st.sampled_from(["Yes", " no", "x"]), st.floats())))
def test_any_log_probabilities_give_a_probability_or_a_reason(tokens: list[tuple[str, float]]) -> None:
    parsed = parse_yes_no(tokens)
    assert (parsed.value is None) != (parsed.reason is None)
    assert parsed.value is None or 0 <= parsed.value <= 1


def texts(text: str, finish_reason: str | None = None) -> list[str] | Reason | None:
    read = parse_texts(text, "hypotheses", finish_reason)
    return read.value if read.reason is None else read.reason


def test_hypotheses_are_a_list_of_texts() -> None:
    assert texts('Sure: {"hypotheses": ["A {b}.", "C \\"d\\"."]}') == ["A {b}.", 'C "d".']
    assert texts('{"hypotheses": []}') == []
    assert texts('{"hypotheses": "A"}') is Reason.MISSING_FIELD
    assert texts('{"hypotheses": [1]}') is Reason.MISSING_FIELD
    assert texts('{"statements": ["A"]}') is Reason.MISSING_FIELD
    assert texts("1. A\n2. B") is Reason.NOT_JSON
    assert texts("") is Reason.EMPTY
    assert texts('{"hypotheses": ["A"]} {"hypotheses": ["B"]}') is Reason.SEVERAL_ANSWERS


def test_thinking_is_not_part_of_the_answer() -> None:
    assert without_thinking("<think>a</think> b <THINK>c</THINK> d") == "b  d"


@pytest.mark.parametrize("reason", ["length", "model_length", "MAX_TOKENS", "content_filter", "tool_calls", "", None])
@pytest.mark.parametrize(
    ("text", "answer"), [("0.", "probability"), ("Probability: 0.7", "probability"), ("1", "scale20")]
)
def test_a_bare_number_counts_only_in_a_reply_that_ended_by_itself(
    reason: str | None, text: str, answer: AnswerKind
) -> None:
    assert parse_number(text, answer, reason) == Parsed(None, Reason.CUT_OFF)


@pytest.mark.parametrize("reason", ["stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE"])
def test_servers_say_in_several_words_that_a_reply_ended_by_itself(reason: str) -> None:
    assert parse_number("0.7", "probability", reason).value == 0.7
    assert parse_number("14", "scale20", reason).value == 0.7


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "model_length", "content_filter", None])
def test_a_whole_object_counts_however_a_reply_ended(reason: str | None) -> None:
    assert parse_number('{"probability": 0.7} and', "probability", reason).value == 0.7
    assert texts('{"hypotheses": ["A"]}', reason) == ["A"]


def test_what_no_number_was_read_from_keeps_its_reason_where_nothing_says_that_it_was_cut() -> None:
    assert parse_number("I cannot say.", "probability", None).reason is Reason.NO_NUMBER
    assert parse_number("", "probability", "content_filter").reason is Reason.EMPTY
    assert parse_number("", "probability", "MAX_TOKENS").reason is Reason.CUT_OFF
    assert texts('{"hypotheses": ["A', "MAX_TOKENS") is Reason.CUT_OFF
