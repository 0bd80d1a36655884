"""Forms of a probability that models write: each is read exactly or refused with its reason, and never guessed."""

# ruff: noqa: RUF001 - digits of other scripts are what is tested

from __future__ import annotations

import pytest

from synthesis.prompts.render import AnswerKind
from synthesis.questions.parse import Reason, parse_field, parse_text, parse_texts, thinking_of, without_thinking
from synthesis.questions.probabilities import parse_number, whole_number

READ: list[tuple[AnswerKind, str, float]] = [
    ("probability", "70%", 0.7),
    ("probability", "70 %", 0.7),
    ("probability", "70\u00a0%", 0.7),
    ("probability", "12.5%", 0.125),
    ("probability", '{"probability": "70 %"}', 0.7),
    ("probability", '{"probability": "70%"}', 0.7),
    ("probability", '{"probability": ".7"}', 0.7),
    ("probability", '{"probability": 1}', 1.0),
    ("probability", '{"begründung": "Es regnet.", "probability": 0.7}', 0.7),
    ("probability", '<think>3 to 1, so "probability": 0.75?</think> {"probability": 0.7}', 0.7),
    ("scale20", '{"score": "14/20"}', 0.7),
    # on the scale of 20, a number that cannot be a probability
    ("scale20", '{"score": 14.5}', 0.725),
    ("scale20", '{"score": 14.0}', 0.7),
    ("scale20", '{"score": 1}', 0.05),
    ("scale20", '{"score": "1"}', 0.05),
    ("scale20", '{"score": 1.5}', 0.075),
    ("scale20", '{"score": 0.0}', 0.0),
    ("scale20", "1.", 0.05),
    ("scale20", "0.7/20", 0.035),
    ("scale20", '{"score": "1.0 / 20"}', 0.05),
    ("probability", "0.7%", 0.007),
    # emphasis
    ("probability", "**0.7**", 0.7),
    ("probability", "*70%*.", 0.7),
    ("probability", "`0.7`", 0.7),
    ("probability", "**70**%", 0.7),
    ("probability", "**Probability:** 0.7", 0.7),
    ("probability", "**Probability**: __0.7__", 0.7),
    ("scale20", "***Score: 14/20***", 0.7),
    # a last line that is a label and a number
    ("probability", "It rains often.\nProbability: 0.7", 0.7),
    ("probability", "It rains often.\n\nAnswer: 70%\n", 0.7),
    ("probability", "Of 10 umbrellas 6 or 7 are out in the rain, so about 0.65.\n\n**Final answer: 0.7**", 0.7),
    ("probability", "Probability: 70%, I think.\nEstimated probability = 0.7.", 0.7),
    ("scale20", "Two things speak for it.\nScore: 14/20", 0.7),
    # what a strict decoder refuses although it says one thing only
    ("probability", '{"reasoning": "It rains.\n\tOften.", "probability": 0.7}', 0.7),
    ("probability", '{"reasoning": "It rains, }", "probability": 0.7,}', 0.7),
    ("probability", '{\n  "reasoning": "He said \\"a, ]\\".",\n  "probability": 0.7 ,\n}', 0.7),
    # a brace in prose
    ("probability", 'Of the set {a, b} the first: {"probability": 0.7}', 0.7),
    ("probability", 'It is \\frac{2}{3} at most. {"probability": 0.6} as in {this}.', 0.6),
]

REFUSED: list[tuple[AnswerKind, str, Reason]] = [
    # digits of other scripts
    ("probability", "０.７", Reason.AMBIGUOUS),
    ("probability", "７０%", Reason.AMBIGUOUS),
    ("probability", "٠.٧", Reason.AMBIGUOUS),
    ("probability", "٧٠٪", Reason.AMBIGUOUS),
    ("probability", "७०%", Reason.AMBIGUOUS),
    ("probability", '{"probability": "٠.٧"}', Reason.AMBIGUOUS),
    ("probability", '{"probability": ٠.٧}', Reason.NOT_JSON),
    ("scale20", '{"score": "１４"}', Reason.AMBIGUOUS),
    ("probability", "½", Reason.NO_NUMBER),
    # odds and fractions
    ("probability", "3:1", Reason.SEVERAL_ANSWERS),
    ("probability", "3 to 1", Reason.SEVERAL_ANSWERS),
    ("probability", "1 in 4", Reason.SEVERAL_ANSWERS),
    ("probability", "2/3", Reason.SEVERAL_ANSWERS),
    ("probability", '{"probability": "3:1"}', Reason.SEVERAL_ANSWERS),
    ("probability", '{"probability": "1 in 4"}', Reason.SEVERAL_ANSWERS),
    ("probability", '{"probability": "2/3"}', Reason.SEVERAL_ANSWERS),
    ("probability", '{"probability": 2/3}', Reason.NOT_JSON),
    ("probability", '{"probability": "14/20"}', Reason.AMBIGUOUS),
    # roughly, or more than one
    ("probability", "about 70%", Reason.AMBIGUOUS),
    ("probability", "~0.7", Reason.AMBIGUOUS),
    ("probability", "> 0.9", Reason.AMBIGUOUS),
    ("probability", '{"probability": "about 70%"}', Reason.AMBIGUOUS),
    ("probability", "0.5 or 0.6", Reason.SEVERAL_ANSWERS),
    ("probability", "0.5-0.6", Reason.SEVERAL_ANSWERS),
    ("probability", "0.7 ± 0.1", Reason.SEVERAL_ANSWERS),
    ("probability", '{"probability": [0.5, 0.6]}', Reason.NO_NUMBER),
    ("probability", '{"probability": [0.7]}', Reason.NO_NUMBER),
    ("probability", '{"probability": {"low": 0.5, "high": 0.6}}', Reason.NO_NUMBER),
    ("probability", '[{"probability": 0.5}, {"probability": 0.6}]', Reason.SEVERAL_ANSWERS),
    # decimal commas
    ("probability", "0,7", Reason.AMBIGUOUS),
    ("probability", '{"probability": "0,7"}', Reason.AMBIGUOUS),
    ("probability", '{"probability": 0,7}', Reason.NOT_JSON),
    ("probability", "70,5%", Reason.AMBIGUOUS),
    # no finite number, or none in range
    ("probability", '{"probability": NaN}', Reason.NOT_FINITE),
    ("probability", '{"probability": Infinity}', Reason.NOT_FINITE),
    ("probability", '{"probability": -Infinity}', Reason.NOT_FINITE),
    ("probability", '{"probability": "NaN"}', Reason.NOT_FINITE),
    ("probability", '{"probability": "inf"}', Reason.NOT_FINITE),
    ("scale20", '{"score": NaN}', Reason.NOT_FINITE),
    ("probability", '{"probability": 70}', Reason.OUT_OF_RANGE),
    ("probability", '{"probability": 1.01}', Reason.OUT_OF_RANGE),
    ("probability", '{"probability": "170 %"}', Reason.OUT_OF_RANGE),
    ("probability", '{"probability": "-5%"}', Reason.OUT_OF_RANGE),
    ("scale20", '{"score": 70}', Reason.OUT_OF_RANGE),
    ("scale20", '{"score": "70%"}', Reason.AMBIGUOUS),
    # other words and other languages
    ("probability", "70 percent", Reason.AMBIGUOUS),
    ("probability", "70 Prozent", Reason.AMBIGUOUS),
    ("probability", "Wahrscheinlichkeit: 0.7", Reason.AMBIGUOUS),
    ("probability", "около 70%", Reason.AMBIGUOUS),
    ("probability", "七成", Reason.NO_NUMBER),
    ("probability", "très probable", Reason.NO_NUMBER),
    ("probability", '{"probability": "wahrscheinlich"}', Reason.NO_NUMBER),
    ("probability", '{"wahrscheinlichkeit": 0.7}', Reason.MISSING_FIELD),
    # a scale of 20 that may be one of 1
    ("scale20", '{"score": 0.7}', Reason.AMBIGUOUS),
    ("scale20", '{"score": 1.0}', Reason.AMBIGUOUS),
    ("scale20", '{"score": 1e0}', Reason.AMBIGUOUS),
    ("scale20", '{"score": "0.7"}', Reason.AMBIGUOUS),
    ("scale20", '{"score": "1.0"}', Reason.AMBIGUOUS),
    ("scale20", "0.7", Reason.AMBIGUOUS),
    ("scale20", "Score: 1.00", Reason.AMBIGUOUS),
    ("scale20", "Probability: 1", Reason.AMBIGUOUS),
    ("probability", "Score: 1", Reason.AMBIGUOUS),
    # stars that are no emphasis
    ("probability", "0.5*0.6*1", Reason.SEVERAL_ANSWERS),
    ("probability", "0.*7*", Reason.SEVERAL_ANSWERS),
    ("probability", "*0*.7", Reason.SEVERAL_ANSWERS),
    ("probability", "**0.5** 0.7", Reason.SEVERAL_ANSWERS),
    # a last line that is more than a label and a number, or not the only one with a label
    ("probability", "It rains often.\n0.7", Reason.AMBIGUOUS),
    ("probability", "It rains often.\nProbability: about 0.7", Reason.AMBIGUOUS),
    ("probability", "It rains often.\nProbability: 0.7 or 0.8", Reason.SEVERAL_ANSWERS),
    ("probability", "Probability: 0.5\nWait.\nProbability: 0.7", Reason.SEVERAL_ANSWERS),
    ("probability", "My first answer: 0.5, but\nProbability: 0.7", Reason.SEVERAL_ANSWERS),
    ("probability", "Probability: 0.7\nBut I am not sure.", Reason.AMBIGUOUS),
    ("probability", "It rains often.\nProbability: 70", Reason.OUT_OF_RANGE),
    ("probability", "It rains often.\nScore: 0.7", Reason.AMBIGUOUS),
    # an object inside a broken one, or beside it
    ("probability", '{"reasoning": "First {"probability": 0.3} is too low", "probability": 0.8}', Reason.NOT_JSON),
    ("probability", '{ "reasoning": "First {"probability": 0.3}, then {"probability": 0.3}', Reason.NOT_JSON),
    ("probability", "{reasoning: 'First {\"probability\": 0.3}', probability: 0.8}", Reason.NOT_JSON),
    ("probability", 'Say {first {"probability": 0.3}, then more.', Reason.NOT_JSON),
    ("probability", '[{"probability": 0.3}, {"probability": 0.', Reason.NOT_JSON),
    ("probability", '{"probability": 0.2} no, {"probability": 0.9', Reason.NOT_JSON),
    ("probability", '{"reasoning": "It rains.", "probability": 0.7,,}', Reason.NOT_JSON),
    ("probability", '{"probability": 0.7,', Reason.NOT_JSON),
    # cut off in the middle
    ("probability", '{"reasoning": "x", "probability": 0.7', Reason.NOT_JSON),
    ("probability", "{'probability': 0.7}", Reason.NOT_JSON),
]


@pytest.mark.parametrize(("answer", "text", "probability"), READ)
def test_an_exact_form_is_read(answer: AnswerKind, text: str, probability: float) -> None:
    read = parse_number(text, answer)
    assert read.reason is None
    assert read.value == pytest.approx(probability)


@pytest.mark.parametrize(("answer", "text", "reason"), REFUSED)
def test_any_other_form_is_refused_with_its_reason(answer: AnswerKind, text: str, reason: Reason) -> None:
    read = parse_number(text, answer)
    assert (read.value, read.reason) == (None, reason)


CUT_OFF: list[tuple[AnswerKind, str]] = [
    ("probability", "0."),
    ("probability", "1"),
    ("probability", "0.7"),
    ("probability", "7%"),
    ("probability", "**0.7**"),
    ("probability", "It rains often.\nProbability: 0.7"),
    ("scale20", "1"),
    ("scale20", "14"),
    ("probability", '{"reasoning": "First guess {"probability": 0.3} is too low'),
    ("probability", '{"reasoning": "First guess {\\"probability\\": 0.3}'),
    ("probability", '{"probability": 0.2} no, {"probability": 0.9'),
]


@pytest.mark.parametrize(("answer", "text"), CUT_OFF)
def test_no_number_is_taken_from_what_was_cut_off(answer: AnswerKind, text: str) -> None:
    read = parse_number(text, answer, "length")
    assert (read.value, read.reason) == (None, Reason.CUT_OFF)


def test_a_whole_object_counts_where_the_reply_was_cut_off_behind_it() -> None:
    assert parse_number('{"probability": 0.7}\n\nPremise: A', "probability", "length").value == 0.7
    assert parse_number('{"score": 14}\n', "scale20", "length").value == 0.7


@pytest.mark.parametrize(("value", "number"), [(1, 1), (1.0, 1), ("1", 1), (" 2 ", 2), (0, 0)])
def test_what_tells_one_from_another_is_a_whole_number(value: object, number: int) -> None:
    assert whole_number(value) == number


@pytest.mark.parametrize("value", [True, None, 1.5, "1.5", "one", "", "-1", "１", [1], float("inf"), float("nan")])
def test_anything_else_tells_nothing(value: object) -> None:
    assert whole_number(value) is None


@pytest.mark.parametrize(
    ("text", "thinking", "visible"),
    [
        ("0.7", None, "0.7"),
        ("<think> It rains. </think>0.7", "It rains.", "0.7"),
        ("<THINK>a</THINK>b<think>c</think>d", "a\nc", "bd"),
        ("It rains.</think>\n0.7", "It rains.", "0.7"),
        ("0.7 <think>wait", "wait", "0.7"),
        ("<think>\n\n</think>0.7", None, "0.7"),
    ],
)
def test_thinking_stands_apart_from_the_answer(text: str, thinking: str | None, visible: str) -> None:
    assert (thinking_of(text), without_thinking(text)) == (thinking, visible)


def test_a_text_is_read_or_refused() -> None:
    assert parse_text('{"summary": " It rains. "}', "summary").value == "It rains."
    refused = {
        '{"summary": " "}': Reason.EMPTY,
        '{"summary": 1}': Reason.MISSING_FIELD,
        '{"other": "a"}': Reason.MISSING_FIELD,
        '{"summary": "a", "summary": "b"}': Reason.SEVERAL_ANSWERS,
        "It rains.": Reason.NOT_JSON,
        "<think>It rains.</think>": Reason.EMPTY,
    }
    assert {text: parse_text(text, "summary").reason for text in refused} == refused
    assert parse_text('{"summary": "It', "summary", "length").reason is Reason.CUT_OFF


def test_a_field_given_twice_is_refused_whatever_it_holds() -> None:
    twice = '{"a": ["x"], "a": ["y"]}'
    assert parse_field(twice, "a").reason is parse_texts(twice, "a").reason is Reason.SEVERAL_ANSWERS
    assert parse_field('{"a": [1, {"b": null}]}', "a").value == [1, {"b": None}]
