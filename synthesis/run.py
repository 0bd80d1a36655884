"""Runs questions: first from the ledger, in bulk; what is not kept there over the network, many at a time."""

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
"""Questions that are looked up in the ledger at once."""


@dataclass(slots=True)
class Waiting:
    """A question that waits for outcomes: the calls that it yielded, and the replies to them that are kept."""

    question: Question
    calls: Sequence[Call]
    kept: dict[str, Reply] = field(default_factory=dict)

    @property
    def missing(self) -> list[Call]:
        """The calls that have no reply yet."""
        return [call for call in self.calls if call.key not in self.kept]


@dataclass(slots=True)
class Recalled:
    """What a chunk of questions came to with the ledger alone: the answers, and those that wait for more."""

    answers: list[Answer] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


async def run_questions(
    questions: Iterable[Question], caller: Caller, in_flight: int
) -> AsyncGenerator[list[Answer], None]:
    """Lists of answers, in the order in which they are done.

    At most `in_flight` questions are asked at a time; `questions` is read no further than that and a chunk. What the
    ledger holds is answered without the network. Where the run is being stopped (`caller.stop`), the questions under
    way come to their end, those that would have to ask something new are left out, and no exception is raised.
    The first other exception ends the work: nothing more is begun, what is under way comes to its end and is yielded,
    then it is raised. One that skips a model or a labeler (SkippedError) leaves out its questions alone, and is raised
    when all others are done.
    """
    work = _Running(iter(questions), caller, in_flight)
    try:
        while True:
            if answers := await work.recalled():
                yield answers
            work.start()
            if answers := await work.done():
                yield answers
            elif work.is_over:
                break
    finally:
        await work.call_off()
    if work.broken is not None:
        raise work.broken
    if work.left_out:
        raise ServiceError("; ".join(work.left_out))


class _Running:
    """The questions of a run that are under way."""

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
        """Whether nothing is under way and nothing more is to come."""
        return not self._tasks and (self._exhausted or self._is_ending)

    @property
    def _is_ending(self) -> bool:
        return self.broken is not None or self._caller.stop.reason is not None

    async def recalled(self) -> list[Answer]:
        """What the ledger answers of the next chunk, where there is room for the rest of it."""
        enough = self._waiting or len(self._tasks) >= self._in_flight
        if enough or self._exhausted or self._is_ending:
            return []
        chunk = await recall(self._source, self._caller.ledger)
        if chunk is None:
            self._exhausted = True
            return []
        self._waiting.extend(chunk.waiting)
        return chunk.answers

    def start(self) -> None:
        """Begins to ask as many as may be under way."""
        while self._waiting and len(self._tasks) < self._in_flight and not self._is_ending:
            self._tasks.add(asyncio.ensure_future(_finish(self._waiting.popleft(), self._caller)))

    async def done(self) -> list[Answer]:
        """Waits until something is answered, where anything is under way."""
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

    async def call_off(self) -> None:
        """Cancels what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def recall(source: Iterator[Question], ledger: Ledger) -> Recalled | None:
    """The next chunk of questions, as far as the ledger brings them; None where there are no more."""
    chunk = [Waiting(question, next(question)) for question in islice(source, CHUNK)]
    if not chunk:
        return None
    return await forward(chunk, ledger)


async def forward(
    chunk: Sequence[Waiting], ledger: Ledger, failures: Mapping[str, Failure] = MappingProxyType({})
) -> Recalled:
    """Questions, as far as the ledger and these failures, by key, bring them."""
    recalled = Recalled()
    while chunk:
        kept = await ledger.recall([call for each in chunk for call in each.calls])
        chunk = advanced(chunk, kept, recalled, failures)
    return recalled


def advanced(
    chunk: Sequence[Waiting],
    kept: Mapping[str, Reply],
    into: Recalled,
    failures: Mapping[str, Failure] = MappingProxyType({}),
) -> list[Waiting]:
    """Brings questions forward that have all their outcomes; those that ask for more now, the rest goes `into`."""
    going_on = []
    for each in chunk:
        outcomes = [outcome for call in each.calls if (outcome := kept.get(call.key) or failures.get(call.key))]
        if len(outcomes) < len(each.calls):
            each.kept = {call.key: kept[call.key] for call in each.calls if call.key in kept}
            into.waiting.append(each)
            continue
        try:
            calls = each.question.send(outcomes)
        except StopIteration as end:
            into.answers.append(end.value)
        else:
            going_on.append(Waiting(each.question, calls))
    return going_on


async def _finish(waiting: Waiting, caller: Caller) -> Answer:
    """Asks until the question has its answer."""
    while True:
        outcomes: Sequence[CallResult] = await _outcomes(waiting, caller)
        try:
            waiting = Waiting(waiting.question, waiting.question.send(outcomes))
        except StopIteration as end:
            answer: Answer = end.value
            return answer


async def _outcomes(waiting: Waiting, caller: Caller) -> list[CallResult]:
    if len(waiting.calls) == 1 and not waiting.kept:
        return [await caller.ask(waiting.calls[0])]
    missing = waiting.missing
    # All come to their end before an exception is raised: what is on the way is paid for, and kept.
    found = await asyncio.gather(*(caller.ask(call) for call in missing), return_exceptions=True)
    errors = [each for each in found if isinstance(each, BaseException)]
    if errors:
        raise min(errors, key=_weight)
    replies = {call.key: each for call, each in zip(missing, found, strict=True) if not isinstance(each, BaseException)}
    return [waiting.kept.get(call.key) or replies[call.key] for call in waiting.calls]


def _weight(error: BaseException) -> int:
    """Of several errors the one that says most comes first."""
    return 2 if isinstance(error, StoppedError) else int(isinstance(error, SkippedError))
