"""A question: what one config is asked about one subject, as a generator. It thinks and sends nothing itself.

It yields the calls that it needs next, to be asked at the same time, is sent their outcomes in the same order, and
returns the rows that it came to. Who runs it decides how: `run.py` from the ledger and over the network, `batch.py`
through a batch interface, `plan.py` not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeAlias, TypeVar

from synthesis.call import Call
from synthesis.questions.parse import Parsed, Reason, without_thinking
from synthesis.reply import CallResult, Failure, Reply, request_row
from warehouse.records import Record, Request

T = TypeVar("T")
P = TypeVar("P")

FILTERED = frozenset({"content_filter", "refusal", "safety"})
"""Finish reasons of a reply that was withheld, in lower case."""
MAX_TRIES = 3
"""How often a question is asked before an unreadable reply is kept as refused."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that a question came to: every request that was made for it, and what was read from the replies."""

    rows: list[Record]


Question: TypeAlias = Generator[Sequence[Call], Sequence[CallResult], Answer]


@dataclass(frozen=True, slots=True)
class Tried(Generic[T]):
    """The requests of some tries, and what the last one said.

    `read` is None where the last one got no reply at all; `rejected` says that it never will.
    """

    requests: list[Request]
    read: Parsed[T] | None
    rejected: bool = False


def until_read(
    call_of: Callable[[int], Call], read: Callable[[Reply], Parsed[T]], tries: int = MAX_TRIES
) -> Generator[Sequence[Call], Sequence[CallResult], Tried[T]]:
    """Asks until a reply can be read, at most so often, and stops where there is none at all, or the model refuses."""
    requests: list[Request] = []
    found: Parsed[T] | None = None
    rejected = False
    for number in range(tries):
        call = call_of(number)
        (outcome,) = yield [call]
        found, request = understood(call, outcome, read)
        requests.append(request)
        rejected = isinstance(outcome, Failure) and outcome.reason == "rejected"
        if found is None or found.reason is None or found.reason is Reason.REFUSED:
            break
    return Tried(requests, found, rejected)


def together(
    parts: Sequence[Generator[Sequence[Call], Sequence[CallResult], P]],
) -> Generator[Sequence[Call], Sequence[CallResult], list[P]]:
    """What each generator returns, in their order: they run side by side, so that their calls are asked together."""
    results: dict[int, P] = {}
    outcomes: dict[int, Sequence[CallResult] | None] = dict.fromkeys(range(len(parts)))
    while True:
        calls: dict[int, Sequence[Call]] = {}
        for index, answered in outcomes.items():
            try:
                # send(None) starts a generator; the types of the standard library do not know that.
                calls[index] = parts[index].send(answered)  # type: ignore[arg-type]
            except StopIteration as stopped:
                results[index] = stopped.value
        if not calls:
            return [results[index] for index in range(len(parts))]
        came = iter((yield [call for asked in calls.values() for call in asked]))
        outcomes = {index: list(islice(came, len(asked))) for index, asked in calls.items()}


def refused(reply: Reply) -> Parsed[Any] | None:
    """What a reply says in which the model, or a filter before it, would not answer: its words; None for any other."""
    filtered = (reply.finish_reason or "").casefold() in FILTERED and not without_thinking(reply.text)
    return Parsed(None, Reason.REFUSED, reply.refusal) if reply.refusal or filtered else None


def understood(call: Call, outcome: CallResult, read: Callable[[Reply], Parsed[T]]) -> tuple[Parsed[T] | None, Request]:
    """What an outcome says, None where there is no reply, and the row of its request."""
    if isinstance(outcome, Failure):
        return None, request_row(call, outcome, None)
    found: Parsed[T] = refused(outcome) or read(outcome)
    return found, request_row(call, outcome, found.reason)
