"""Why a text that a model wrote is dropped, and the row that records it. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

from synthesis.questions.dedup import bare
from warehouse.records import Drop, content_id

MAX_HYPOTHESIS_CHARACTERS = 240
_QUESTION_MARKS = ("?", "？", "؟")  # noqa: RUF001 - full-width and Arabic question marks

_CLOSING = "\"')]}*_ \u2019\u201d\u201c\u00bb\u203a\u300d\u300f\uff09"
_OPENING = re.compile("[\"\u201c\u201e\u00ab\u2039\u300c\u300e(]|(?<!\\w)['\u2018]")


class DropReason(StrEnum):
    """Why a text that a model wrote is dropped."""

    EMPTY = "empty"
    EQUALS_PREMISE = "equals_premise"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    TOO_LONG = "too_long"
    NOT_A_STATEMENT = "not_a_statement"
    COPIED_FROM_PROMPT = "copied_from_prompt"
    WRONG_COUNT = "wrong_count"
    IN_PREMISE = "in_premise"
    STATES_HYPOTHESIS = "states_hypothesis"
    EQUALS_PARENT = "equals_parent"
    UNCHANGED = "unchanged"


def why_no_hypothesis(hypothesis: str, premise: str, shown: frozenset[str]) -> DropReason | None:
    """Why a text cannot be a hypothesis about this premise; None if it can."""
    words = bare(hypothesis)
    reasons = {
        DropReason.EMPTY: not hypothesis,
        DropReason.TOO_LONG: len(hypothesis) > MAX_HYPOTHESIS_CHARACTERS,
        DropReason.NOT_A_STATEMENT: not any(c.isalnum() for c in words) or _is_question(hypothesis),
        DropReason.EQUALS_PREMISE: words == bare(premise),
        DropReason.COPIED_FROM_PROMPT: words in shown,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _is_question(text: str) -> bool:
    """Whether a text is a question, quoted or not; a statement that ends in a quoted question is not."""
    within = text.rstrip(_CLOSING)
    if not within.endswith(_QUESTION_MARKS):
        return False
    return within == text or _OPENING.search(within, 1) is None


def too_few(subject_id: str, request_id: str, got: int, wanted: int) -> list[Drop]:
    """The drop for a reply with fewer texts than asked for; empty if there are enough."""
    if got >= wanted:
        return []
    return [drop(subject_id, request_id, got, DropReason.WRONG_COUNT, detail=f"asked for {wanted}, got {got}")]


def drop(
    subject_id: str, request_id: str, number: int, reason: DropReason, *, detail: str, kept_id: str | None = None
) -> Drop:
    """The row of a dropped text; `number` counts the texts of a request's reply from 0."""
    return Drop(
        drop_id=content_id("drop", "propose", request_id, str(number)),
        stage="propose",
        subject_id=subject_id,
        reason=reason,
        detail=detail[:MAX_HYPOTHESIS_CHARACTERS] or None,
        kept_id=kept_id,
    )
