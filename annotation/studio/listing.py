"""Conditions for listing tasks, in the form of Label Studio's Data Manager."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

Condition = dict[str, Any]


def changed_after(moment: datetime) -> Condition:
    """Tasks that changed, or whose annotations changed, after a time."""
    return _condition("updated_at", "Datetime", "greater", _time(moment))


def annotated() -> Condition:
    """Tasks with annotations that were not skipped."""
    return _condition("total_annotations", "Number", "greater", 0)


def unannotated() -> Condition:
    """Tasks without annotations, not counting skipped ones."""
    return _condition("total_annotations", "Number", "equal", 0)


def skipped() -> Condition:
    """Tasks that somebody skipped."""
    return _condition("cancelled_annotations", "Number", "greater", 0)


def numbered_from(number: int) -> Condition:
    """Tasks with this number or a higher one."""
    return _condition("id", "Number", "greater_or_equal", number)


def numbered_below(number: int) -> Condition:
    """Tasks with a lower number."""
    return _condition("id", "Number", "less", number)


def numbered_among(numbers: Sequence[int]) -> Condition:
    """Tasks with one of these numbers. They travel in the URL, so at most a few hundred."""
    return _condition("id", "Number", "in_list", list(numbers))


def _time(moment: datetime) -> str:
    # Label Studio ignores a time in any other form.
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _condition(field: str, kind: str, operator: str, value: object) -> Condition:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}
