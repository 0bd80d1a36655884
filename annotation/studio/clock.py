"""The server's clock beside ours. Either may be wrong, and either may be set while a study runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx

TOLERANCE = timedelta(minutes=1)
"""What the header of an answer cannot tell: it has whole seconds, and the answer takes a while."""


class Moment(NamedTuple):
    """One moment by our clock and by the server's."""

    ours: datetime
    theirs: datetime

    @property
    def ahead_s(self) -> float:
        """How many seconds the server's clock is ahead of ours."""
        return (self.theirs - self.ours).total_seconds()


def moment_of(answer: httpx.Response) -> Moment | None:
    """Return when an answer was given, by its header `Date`; None without a readable one."""
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return None
    return Moment(datetime.now(UTC), theirs.replace(tzinfo=theirs.tzinfo or UTC))


def was_set_back(before: Moment, now: Moment) -> bool:
    """Return whether less time passed on the server's clock than on ours. If ours was set forward, that is true too."""
    return now.ahead_s < before.ahead_s - TOLERANCE.total_seconds()


def was_set(before: Moment, now: Moment) -> bool:
    """Return whether one of the clocks was set since, by more than the header of an answer can be wrong."""
    return abs(now.ahead_s - before.ahead_s) > TOLERANCE.total_seconds()
