"""Answers questions: from the ledger in bulk, and over the network many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType

from synthesis.call import Call
from synthesis.errors import StoppedError
from synthesis.ledger.ledger import Ledger
from synthesis.llm.client import Caller
from synthesis.llm.skip_list import SkippedError
from synthesis.questions.question import Answer, Question
from synthesis.reply import CallResult, Failure, Reply
from warehouse.errors import ServiceError

CHUNK = 512
"""Questions per look-up in the ledger."""


@dataclass(slots=True)
class Waiting:
    """A question that waits for results: the calls that it yielded, and the replies that are kept."""

    question: Question
    calls: Sequence[Call]
    kept: dict[str, Reply] = field(default_factory=dict)

    @property
    def missing(self) -> list[Call]:
        """The calls without a reply."""
        return [call for call in self.calls if call.key not in self.kept]


@dataclass(slots=True)
class Recalled:
    """A chunk of questions after the ledger: the answers, and the questions that wait for more."""

    answers: list[Answer] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


async def run_questions(
    questions: Iterable[Question], caller: Caller, in_flight: int
) -> AsyncGenerator[list[Answer], None]:
    """Yields lists of answers as they are finished.

    At most `in_flight` questions are in progress at a time, and `questions` is read at most one chunk ahead. What the
    ledger holds is answered without the network. If the run is stopped (`caller.stop`), questions in progress are
    finished, except those that would have to send something new, and no exception is raised. After any other exception,
    nothing new is started, what is in progress is finished and yielded, then the exception is raised. A SkippedError
    leaves out the questions of its model or labeler only, and is raised once all others are done.
    """
    running = _Running(iter(questions), caller, in_flight)
    try:
        while True:
            if answers := await running.recalled():
                yield answers
            running.start()
            if answers := await running.done():
                yield answers
            elif running.is_over:
                break
    finally:
        await running.cancel()
    if running.broken is not None:
        raise running.broken
    if running.left_out:
        raise ServiceError("; ".join(running.left_out))


class _Running:
    """The questions of a run that are in progress."""

    def __init__(self, source: Iterator[Question], caller: Caller, in_flight: int) -> None:
        self.broken: BaseException | None = None
        self.left_out: dict[str, None] = {}
        self._source = source
        self._caller = caller
        self._in_flight = in_flight
        self._waiting: deque[Waiting] = deque()
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._exhausted = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is in progress and nothing more will be started."""
        return not self._tasks and (self._exhausted or self._is_ending)

    @property
    def _is_ending(self) -> bool:
        return self.broken is not None or self._caller.stop.reason is not None

    async def recalled(self) -> list[Answer]:
        """The answers that the ledger gives to the next chunk, if there is room for the rest of it."""
        enough = self._waiting or len(self._tasks) >= self._in_flight
        if enough or self._exhausted or self._is_ending:
            return []
        try:
            chunk = await recall(self._source, self._caller.ledger)
        except Exception as error:
            # Raised once what is in flight has come, which is paid for.
            self.broken = error
            return []
        if chunk is None:
            self._exhausted = True
            return []
        self._waiting.extend(chunk.waiting)
        return chunk.answers

    def start(self) -> None:
        """Starts as many questions as may be in progress."""
        while self._waiting and len(self._tasks) < self._in_flight and not self._is_ending:
            self._tasks.add(asyncio.ensure_future(_finish(self._waiting.popleft(), self._caller)))

    async def done(self) -> list[Answer]:
        """Waits for the next answers, if anything is in progress."""
        if not self._tasks:
            return []
        done, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        answers = []
        for task in done:
            error = task.exception()
            if error is None:
                answers.append(task.result())
            elif isinstance(error, SkippedError):
                self.left_out[str(error)] = None
            elif not isinstance(error, StoppedError):
                self.broken = self.broken or error
        return answers

    async def cancel(self) -> None:
        """Cancels what is in progress."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def recall(source: Iterator[Question], ledger: Ledger) -> Recalled | None:
    """The next chunk of questions, taken as far as the ledger allows; None if there are no more."""
    chunk = [Waiting(question, next(question)) for question in islice(source, CHUNK)]
    if not chunk:
        return None
    return await forward(chunk, ledger)


async def forward(
    chunk: Sequence[Waiting], ledger: Ledger, failures: Mapping[str, Failure] = MappingProxyType({})
) -> Recalled:
    """Takes questions as far as the ledger, and these failures by key, allow."""
    recalled = Recalled()
    while chunk:
        kept = await ledger.recall([call for each in chunk for call in each.calls])
        going_on = []
        for each in chunk:
            results = [result for call in each.calls if (result := kept.get(call.key) or failures.get(call.key))]
            if len(results) < len(each.calls):
                each.kept = {call.key: kept[call.key] for call in each.calls if call.key in kept}
                recalled.waiting.append(each)
                continue
            try:
                going_on.append(Waiting(each.question, each.question.send(results)))
            except StopIteration as end:
                recalled.answers.append(end.value)
        chunk = going_on
    return recalled


async def _finish(waiting: Waiting, caller: Caller) -> Answer:
    """Makes calls until the question is answered."""
    while True:
        results: Sequence[CallResult] = await _results(waiting, caller)
        try:
            waiting = Waiting(waiting.question, waiting.question.send(results))
        except StopIteration as end:
            answer: Answer = end.value
            return answer


async def _results(waiting: Waiting, caller: Caller) -> list[CallResult]:
    if len(waiting.calls) == 1 and not waiting.kept:
        return [await caller.ask(waiting.calls[0])]
    missing = waiting.missing
    # All calls finish before an exception is raised: what is in flight is paid for, and kept.
    found = await asyncio.gather(*(caller.ask(call) for call in missing), return_exceptions=True)
    errors = [each for each in found if isinstance(each, BaseException)]
    if errors:
        raise min(errors, key=_weight)
    replies = {call.key: each for call, each in zip(missing, found, strict=True) if not isinstance(each, BaseException)}
    return [waiting.kept.get(call.key) or replies[call.key] for call in waiting.calls]


def _weight(error: BaseException) -> int:
    """The order of errors, the most telling one first."""
    return 2 if isinstance(error, StoppedError) else int(isinstance(error, SkippedError))
