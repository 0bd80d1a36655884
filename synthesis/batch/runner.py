"""Answers questions through an endpoint's batch interface: cheaper, and within a day instead of at once.

The counterpart of `run.py`. The ledger records batches before they are submitted and replies before they are used, so a
run may be killed at any moment: the next one continues with the same batches and pays for nothing twice.
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
"""OpenAI's limit."""
BYTES_PER_BATCH = 100_000_000
"""Half of OpenAI's limit: others have lower ones, and a smaller file is uploaded again sooner."""


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
    """Yields lists of answers as they are finished. What the ledger holds is answered without the network.

    If the run is stopped (`caller.stop`), it ends without an exception: batches in progress stay with the endpoint, and
    the next run collects them.

    Args:
        questions: all for this endpoint.
        caller: its ledger, budget and clients are used.
        endpoint: the name of the endpoint.
        requests_per_batch: about how many calls are submitted at a time, and the most for one batch.
        bytes_per_batch: the largest size of one batch.
        poll_s: the seconds between two looks at a batch.
        on_state: called with the state of all batches when it changes.

    Raises:
        InputError: the endpoint has no batch interface.
        ServiceError: the endpoint refuses a batch, or is down for longer than it may be.
    """
    submitter = Submitter(caller, endpoint, (requests_per_batch, bytes_per_batch), poll_s, on_state)
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
            failures |= await submitter.ask(
                [call for each in group for call in each.missing if call.key not in failures]
            )
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
