from __future__ import annotations

import pytest

from annotation.interface.feedback import answer_of
from annotation.interface.page import page_of
from annotation.sync.mapping import task_of
from warehouse.records import Check, PropositionText


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.85, 0.95, "The answer is between 85% and 95%."),
        (0.5, 0.5, "The answer is 50%."),
        (0.0, 0.005, "The answer is at most 0.5%."),
        (0.9, 1.0, "The answer is at least 90%."),
        (0.07, 0.14, "The answer is between 7% and 14%."),
    ],
)
def test_practice_tells_the_answer(low: float, high: float, text: str) -> None:
    assert answer_of(Check(check_id="c", proposition_id="p", low=low, high=high, purpose="practice")) == text


def test_what_counts_tells_nothing() -> None:
    check = Check(check_id="c", proposition_id="p", low=0.31, high=0.42, purpose="qualification")
    assert not {"31", "42"} & set(answer_of(check).replace("%", " ").split())


def test_only_the_page_with_feedback_asks_for_an_answer_and_is_a_version_of_its_own() -> None:
    plain, telling = page_of("slider"), page_of("slider", feedback=True)
    assert ("$answer" in plain.xml, "$answer" in telling.xml) == (False, True)
    assert plain.version != telling.version
    proposition = PropositionText(proposition_id="p", premise="It rains.", hypothesis="It is wet.")
    assert "answer" not in task_of(proposition)["data"]
    assert task_of(proposition, "50%")["data"]["answer"] == "50%"
