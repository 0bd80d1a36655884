"""A question: what one model config is asked about one subject, as a generator that sends nothing itself. Pure.

It yields the calls that it needs next, to be made at the same time, is sent their results in the same order, and
returns the rows that came of it. `run.py` answers it from the ledger and over the network, `batch/runner.py` through a
batch interface, and `plan.py` only counts its calls.
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
"""Finish reasons of a withheld reply, in lower case."""
MAX_TRIES = 3
"""How often a question is asked before an unreadable reply is recorded as refused."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that came of a question: every request made for it, and what was read from the replies."""

    rows: list[Record]


Question: TypeAlias = Generator[Sequence[Call], Sequence[CallResult], Answer]


@dataclass(frozen=True, slots=True)
class Tried(Generic[T]):
    """The requests of some tries, and what the last reply said.

    `parsed` is None if the last try got no reply at all; `rejected` says that it never will.
    """

    requests: list[Request]
    parsed: Parsed[T] | None
    rejected: bool = False


def until_read(
    call_of: Callable[[int], Call], read: Callable[[Reply], Parsed[T]], tries: int = MAX_TRIES
) -> Generator[Sequence[Call], Sequence[CallResult], Tried[T]]:
    """Asks until a reply can be read, at most `tries` times. Stops if there is no reply, or if the model refuses."""
    requests: list[Request] = []
    found: Parsed[T] | None = None
    rejected = False
    for number in range(tries):
        call = call_of(number)
        (result,) = yield [call]
        found, request = parsed_result(call, result, read)
        requests.append(request)
        rejected = isinstance(result, Failure) and result.reason == "rejected"
        if found is None or found.reason is None or found.reason is Reason.REFUSED:
            break
    return Tried(requests, found, rejected)


def together(
    parts: Sequence[Generator[Sequence[Call], Sequence[CallResult], P]],
) -> Generator[Sequence[Call], Sequence[CallResult], list[P]]:
    """What the generators return, in order. They run side by side, so that their calls are made together."""
    results: dict[int, P] = {}
    came: dict[int, Sequence[CallResult] | None] = dict.fromkeys(range(len(parts)))
    while True:
        calls: dict[int, Sequence[Call]] = {}
        for index, answered in came.items():
            try:
                # send(None) starts a generator, which the standard library's types do not know.
                calls[index] = parts[index].send(answered)  # type: ignore[arg-type]
            except StopIteration as stopped:
                results[index] = stopped.value
        if not calls:
            return [results[index] for index in range(len(parts))]
        all_results = iter((yield [call for asked in calls.values() for call in asked]))
        came = {index: list(islice(all_results, len(asked))) for index, asked in calls.items()}


def refused(reply: Reply) -> Parsed[Any] | None:
    """The refusal in a reply in which the model, or a filter, would not answer; None for any other reply."""
    filtered = (reply.finish_reason or "").casefold() in FILTERED and not without_thinking(reply.text)
    return Parsed(None, Reason.REFUSED, reply.refusal) if reply.refusal or filtered else None


def parsed_result(
    call: Call, result: CallResult, read: Callable[[Reply], Parsed[T]]
) -> tuple[Parsed[T] | None, Request]:
    """What a result says, None if it is no reply, and the row of its request."""
    if isinstance(result, Failure):
        return None, request_row(call, result, None)
    found: Parsed[T] = refused(result) or read(result)
    return found, request_row(call, result, found.reason)
