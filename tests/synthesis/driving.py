"""Drives a question by hand, in place of the runner: each call is answered by a function, and nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from synthesis.call import Call
from synthesis.questions.question import Answer, Question
from synthesis.reply import CallResult, Reply


def drive(question: Question, answer: Callable[[Call], CallResult]) -> Answer:
    """What the question comes to where each of its calls, in their order, has the outcome that `answer` gives."""
    return drive_rounds(question, answer)[0]


def drive_rounds(question: Question, answer: Callable[[Call], CallResult]) -> tuple[Answer, list[Sequence[Call]]]:
    """The same, with the calls that the question yielded, a list for each time."""
    rounds: list[Sequence[Call]] = []
    try:
        calls = next(question)
        while True:
            rounds.append(calls)
            calls = question.send([answer(call) for call in calls])
    except StopIteration as stopped:
        result = stopped.value
    assert isinstance(result, Answer)
    return result, rounds


def says(text: str, finish_reason: str | None = "stop") -> Reply:
    """A reply with this text."""
    return Reply(text=text, finish_reason=finish_reason)


def gives(**fields: object) -> Reply:
    """A reply that is a JSON object with these fields."""
    return says(json.dumps(fields))
