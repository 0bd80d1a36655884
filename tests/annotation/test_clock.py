"""The server's clock beside ours, and from when on a pull lists changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from annotation.studio.clock import TOLERANCE, Moment, moment_of, was_set, was_set_back
from annotation.studio.remote import TaskStamp
from annotation.sync.pull import OVERLAP, listed_from

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def moment(hours: float, ahead: float) -> Moment:
    """So many hours after noon by our clock, with the server's so many hours ahead."""
    return Moment(NOON + hours * HOUR, NOON + (hours + ahead) * HOUR)


def test_an_answer_tells_its_time_by_both_clocks() -> None:
    found = moment_of(httpx.Response(200, headers={"Date": "Sun, 29 Nov 2026 12:00:00 GMT"}))
    assert found is not None
    assert found.theirs == NOON
    assert abs(found.ours - datetime.now(UTC)) < timedelta(minutes=1)
    assert moment_of(httpx.Response(200)) is None
    assert moment_of(httpx.Response(200, headers={"Date": "noon"})) is None


@pytest.mark.parametrize(
    ("before", "after", "back", "changed"),
    [(5.0, 5.0, False, False), (5.0, 0.0, True, True), (-3.0, 2.0, False, True), (0.0, -0.01, False, False)],
)
def test_what_is_less_than_a_minute_is_no_change(before: float, after: float, back: bool, changed: bool) -> None:
    assert was_set_back(moment(0, before), moment(2, after)) is back
    assert was_set(moment(0, before), moment(2, after)) is changed
    assert TOLERANCE < OVERLAP, "what is not noticed is in what is listed again"


def test_changes_are_listed_from_the_last_one_or_the_last_pull() -> None:
    seen = [TaskStamp(1, NOON - HOUR, 1), TaskStamp(2, NOON - 2 * HOUR, 1)]
    assert listed_from(seen, moment(0, 0), moment(1, 0)) == NOON - HOUR - OVERLAP
    ahead = [*seen, TaskStamp(3, NOON + 5 * HOUR, 1)]  # dated while the clock was ahead
    assert listed_from(ahead, moment(0, 0), moment(1, 0)) == NOON - OVERLAP
    for last, now in ((None, moment(1, 0)), (moment(0, 0), None), (moment(0, 5), moment(1, 0))):
        assert listed_from(ahead, last, now) is None
    assert listed_from([], moment(0, 0), moment(1, 0)) is None
