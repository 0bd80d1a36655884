"""Whether and when a call may be sent to its endpoint, by all that limits it. No request is sent here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthesis.call import Call
from synthesis.llm.errors import LIMITED, down
from synthesis.llm.flow_control import Breaker, DownError, Rate, Stop, Window
from synthesis.llm.skip_list import SkipList
from synthesis.panel.settings import Endpoint, ModelConfig


@dataclass
class RateLimits:
    """How fast an endpoint, or one who asks there, may go."""

    requests: Rate
    tokens: Rate


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one attempt is sent with: the state that its endpoint was in, and its place in the window."""

    state: int
    place: int


class Gate:
    """Lets calls through to one endpoint, one attempt at a time.

    `stop` ends what waits here, and with it all that is asked of the endpoint; it ends with the run. Who got a ticket
    must say what came of it: `answered`, `refused`, `failed` or `left`.
    """

    def __init__(self, endpoint: Endpoint, run: Stop, first_pause_s: float) -> None:
        self.stop = Stop(run)
        self.limits = limits_of(endpoint, self.stop)
        self.standing = SkipList(endpoint)
        self._endpoint = endpoint
        self._breaker = Breaker(self.stop, endpoint.patience_s, endpoint.max_attempts, first_pause_s)
        self._window = Window(endpoint.max_in_flight)

    @property
    def has_answered(self) -> bool:
        """Whether the endpoint has answered anything in this run."""
        return self._breaker.answered > 0

    @property
    def limits_for_too_long(self) -> bool:
        """Whether the endpoint limits the rate, and has answered nobody for as long as it may."""
        return self._breaker.limits_for_too_long

    @property
    def pause(self) -> tuple[str, float] | None:
        """What holds calls back, in words, and for how many seconds more; None where nothing does."""
        return self._breaker.pause

    def check(self, call: Call) -> None:
        """Raises StoppedError or SkippedError where the call is not to be sent any more."""
        self.stop.check()
        self.standing.check(call)

    async def turn(self, call: Call, limits: Sequence[RateLimits]) -> Ticket:
        """Waits until the call may be sent: the endpoint is up and does not rest, rates and window have room.

        Raises ServiceError where it was down for too long, StoppedError and SkippedError as `check` does.
        """
        while True:
            self.check(call)
            try:
                state = await self._breaker.enter()
            except DownError:
                raise down(self._endpoint, "it did not come back") from None
            try:
                taken = [(each.requests, await each.requests.take(1)) for each in limits]
                place = await self._window.enter()
            except BaseException:
                self._breaker.left(state)
                raise
            ticket = Ticket(state, place)
            # Much may have happened while it waited for its rates.
            if not self._breaker.holds(state) and self.standing.reason(call.model, call.about.labeler) is None:
                return ticket
            self.left(ticket)
            for rate, each in taken:
                rate.settle(each, 0)

    def answered(self) -> None:
        """A reply came."""
        self._window.leave()
        self._window.grow()
        self._breaker.worked()

    def refused(self, ticket: Ticket, status: int, wish_s: float) -> None:
        """An HTTP status came in place of a reply, with a wish for a pause; 0 where there was none."""
        if status == LIMITED:
            self._breaker.limited(ticket.state, wish_s)
            self._window.shrink(ticket.place)
        elif status >= 500:
            self._breaker.failed(ticket.state)
            self._breaker.rest(wish_s)
        else:
            self._breaker.worked()
        self._window.leave()

    def failed(self, ticket: Ticket) -> None:
        """No answer came, or none that can be read."""
        self._window.leave()
        self._breaker.failed(ticket.state)

    def left(self, ticket: Ticket) -> None:
        """The attempt was given up."""
        self._window.leave()
        self._breaker.left(ticket.state)


def limits_of(who: Endpoint | ModelConfig, stop: Stop) -> RateLimits:
    """The limits of an endpoint, or the narrower ones of a labeler."""
    return RateLimits(Rate(who.requests_per_minute, stop), Rate(who.tokens_per_minute, stop))
