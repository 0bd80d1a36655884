"""Runs questions: first from the ledger, in bulk; what is not kept there over the network, many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from synthesis.call import Call, Outcome, Reply
from synthesis.client import Caller
from synthesis.flow_control import StoppedError
from synthesis.ledger import Ledger
from synthesis.question import Answer, Question

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
    replies: int = 0


async def run_questions(
    questions: Iterable[Question], caller: Caller, in_flight: int
) -> AsyncGenerator[list[Answer], None]:
    """Lists of answers, in the order in which they are done.

    At most `in_flight` questions are asked at a time; `questions` is read no further than that and a chunk. What the
    ledger holds is answered without the network. Where the run is being stopped (`caller.stop`), the questions under
    way come to their end, those that would have to ask something new are left out, and no exception is raised.
    The first other exception ends the work: what was done is still yielded, then it is raised.
    """
    source = iter(questions)
    waiting: deque[Waiting] = deque()
    running: set[asyncio.Task[Answer]] = set()
    exhausted = False
    broken: BaseException | None = None
    try:
        while broken is None:
            if not waiting and not exhausted and len(running) < in_flight and caller.stop.reason is None:
                recalled = await recall(source, caller.ledger)
                exhausted = recalled is None
                if recalled is not None:
                    waiting.extend(recalled.waiting)
                    if recalled.answers:
                        yield recalled.answers
                    # A chunk may have taken long: nothing has been sent for what has come back meanwhile.
            while waiting and len(running) < in_flight:
                running.add(asyncio.ensure_future(_finish(waiting.popleft(), caller)))
            if not running:
                if exhausted or caller.stop.reason is not None:
                    break
                continue
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            answers: list[Answer] = []
            for task in done:
                error = task.exception()
                if error is None:
                    answers.append(task.result())
                elif not isinstance(error, StoppedError):
                    broken = broken or error
            if answers:
                yield answers
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if broken is not None:
        raise broken


async def recall(source: Iterator[Question], ledger: Ledger) -> Recalled | None:
    """The next chunk of questions, as far as the ledger brings them; None where there are no more."""
    chunk = [Waiting(question, next(question)) for question in islice(source, CHUNK)]
    if not chunk:
        return None
    recalled = Recalled()
    while chunk:
        kept = await ledger.recall([call for each in chunk for call in each.calls])
        chunk = advanced(chunk, kept, recalled)
    return recalled


def advanced(chunk: Sequence[Waiting], kept: dict[str, Reply], into: Recalled) -> list[Waiting]:
    """Brings questions forward whose replies are all kept; those that ask for more now, the rest goes `into`."""
    going_on = []
    for each in chunk:
        found = {call.key: kept[call.key] for call in each.calls if call.key in kept}
        into.replies += len(found)
        if len(found) < len(each.calls):
            each.kept = found
            into.waiting.append(each)
            continue
        try:
            calls = each.question.send([found[call.key] for call in each.calls])
        except StopIteration as end:
            into.answers.append(end.value)
        else:
            going_on.append(Waiting(each.question, calls))
    return going_on


async def _finish(waiting: Waiting, caller: Caller) -> Answer:
    """Asks until the question has its answer."""
    while True:
        outcomes: Sequence[Outcome] = await _outcomes(waiting, caller)
        try:
            waiting = Waiting(waiting.question, waiting.question.send(outcomes))
        except StopIteration as end:
            answer: Answer = end.value
            return answer


async def _outcomes(waiting: Waiting, caller: Caller) -> list[Outcome]:
    if len(waiting.calls) == 1 and not waiting.kept:
        return [await caller.ask(waiting.calls[0])]
    asked = [asyncio.ensure_future(caller.ask(call)) for call in waiting.missing]
    try:
        replies = dict(zip((call.key for call in waiting.missing), await asyncio.gather(*asked), strict=True))
    except BaseException:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        raise
    return [waiting.kept.get(call.key) or replies[call.key] for call in waiting.calls]
