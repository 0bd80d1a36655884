"""Whether and when an attempt may be sent to its endpoint, and what the endpoint's answer says about that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import openai

from synthesis.call import Call
from synthesis.llm.breaker import Breaker, DownError
from synthesis.llm.errors import LIMITED, MAX_WAIT_S, UNREACHED, down, retry_after
from synthesis.llm.rate import RateLimits, Share
from synthesis.llm.skip_list import SkipList
from synthesis.llm.stop import Stop
from synthesis.llm.window import Window
from synthesis.panel.settings import Endpoint


@dataclass(slots=True)
class Attempt:
    """One attempt in flight. Set `used` to the tokens that it took, or to `wanted` if that is unknown."""

    state: int
    round: int
    wanted: int
    tokens: list[Share]
    used: int = 0


class Gate:
    """Lets attempts through to one endpoint.

    `stop` ends everything that waits here, and with it all calls to the endpoint; it ends with the run.
    """

    def __init__(self, endpoint: Endpoint, run: Stop, first_pause_s: float) -> None:
        self.stop = Stop(run)
        self.limits = RateLimits.of(endpoint, self.stop)
        self.skip_list = SkipList(endpoint)
        self._endpoint = endpoint
        self.breaker = Breaker(self.stop, endpoint.patience_s, endpoint.max_attempts, first_pause_s)
        self._window = Window(endpoint.max_in_flight)

    @asynccontextmanager
    async def attempt(self, call: Call, own: RateLimits | None) -> AsyncIterator[Attempt]:
        """Waits until the call may be sent; the body sends it, and its exception tells how the endpoint is.

        The labeler's `own` rates come first and the window last, so that a labeler waiting for its own holds up nobody.

        Raises:
            ServiceError: the endpoint was down for too long.
            StoppedError: the run, or this endpoint's share of it, is stopped.
            SkippedError: the model or the labeler is skipped.
        """
        attempt = await self._admitted(call, own)
        try:
            yield attempt
        except openai.APIStatusError as error:
            self._learn(attempt, error.status_code, min(retry_after(error.response), MAX_WAIT_S))
            raise
        except UNREACHED:
            self.breaker.failed(attempt.state)
            raise
        except BaseException:
            self.breaker.abandoned(attempt.state)
            raise
        else:
            self._window.grow()
            self.breaker.worked()
        finally:
            self._window.release()
            for share in attempt.tokens:
                share.release(attempt.used)

    async def _admitted(self, call: Call, own: RateLimits | None) -> Attempt:
        wanted = call.guessed_tokens_in + (call.most_tokens_out or 0)
        while True:
            self.stop.check()
            self.skip_list.check(call)
            try:
                state = await self.breaker.admit()
            except DownError:
                raise down(self._endpoint, "it did not come back") from None
            requests: list[Share] = []
            tokens: list[Share] = []
            try:
                for limits in (own, self.limits) if own else (self.limits,):
                    requests.append(await limits.requests.reserve(1))
                    tokens.append(await limits.tokens.reserve(wanted))
                round_ = await self._window.reserve()
            except BaseException:
                self.breaker.abandoned(state)
                raise
            # Much may have happened while it waited for its rates.
            if not self.breaker.is_outdated(state) and self.skip_list.reason(call.model, call.about.labeler) is None:
                return Attempt(state, round_, wanted, tokens)
            self._window.release()
            self.breaker.abandoned(state)
            for share in requests + tokens:
                share.release()

    def _learn(self, attempt: Attempt, status: int, wish_s: float) -> None:
        """An HTTP status came instead of a reply, with a wish for a pause of `wish_s` seconds, or 0."""
        if status == LIMITED:
            self.breaker.limited(attempt.state, wish_s)
            self._window.shrink(attempt.round)
        elif status >= 500:
            self.breaker.failed(attempt.state)
            self.breaker.rest(wish_s)
        else:
            self.breaker.worked()
