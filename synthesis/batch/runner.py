"""Runs questions through an endpoint's batch interface: for a share of the price, within a day instead of at once.

The twin of `run.py`. What is handed in stands in the ledger before it leaves, and what comes back before it is used:
a run may be killed at any moment, and the next one goes on with the same batches and pays for nothing twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable

from synthesis.batch.recovery import under_way
from synthesis.batch.submitter import BatchState, Submitter
from synthesis.errors import StoppedError
from synthesis.llm.client import Caller
from synthesis.questions.question import Answer, Question
from synthesis.reply import Failure
from synthesis.run import CHUNK, Waiting, forward, recall

REQUESTS_PER_BATCH = 50_000
"""The limit of OpenAI."""
BYTES_PER_BATCH = 100_000_000
"""Half the limit of OpenAI: others have lower ones, and a smaller file is sooner uploaded again."""


async def run_batches(
    questions: Iterable[Question],
    caller: Caller,
    endpoint: str,
    *,
    requests_per_batch: int = REQUESTS_PER_BATCH,
    bytes_per_batch: int = BYTES_PER_BATCH,
    poll_s: float = 30.0,
    on_state: Callable[[BatchState], None] | None = None,
) -> AsyncGenerator[list[Answer], None]:
    """Lists of answers, in the order in which they are done. All questions ask the endpoint of that name.

    The calls of at most about `requests_per_batch` waiting questions are handed in at a time, and asked after every
    `poll_s` seconds. What the ledger holds is answered without the network. Where the run is being stopped
    (`caller.stop`), batches under way stay with the endpoint, and the next run takes them in; no exception is raised.

    Raises InputError where the endpoint has no batch interface, ServiceError where it refuses a batch or is down for
    longer than it may be.
    """
    desk = Submitter(caller, endpoint, (requests_per_batch, bytes_per_batch), poll_s, on_state)
    source = iter(questions)
    group: list[Waiting] = []
    failures: dict[str, Failure] = {}
    exhausted = False
    try:
        while not exhausted or group:
            while not exhausted and sum(len(each.calls) for each in group) < requests_per_batch:
                caller.stop.check()
                recalled = await recall(source, caller.ledger)
                exhausted = recalled is None
                if recalled is not None:
                    group.extend(recalled.waiting)
                    if recalled.answers:
                        yield recalled.answers
            failures |= await desk.ask([call for each in group for call in each.missing if call.key not in failures])
            waiting: list[Waiting] = []
            for first in range(0, len(group), CHUNK):
                brought = await forward(group[first : first + CHUNK], caller.ledger, failures)
                waiting.extend(brought.waiting)
                if brought.answers:
                    yield brought.answers
            group = waiting
            failures = {call.key: failures[call.key] for each in group for call in each.calls if call.key in failures}
    except StoppedError:
        return


__all__ = ["BatchState", "run_batches", "under_way"]
