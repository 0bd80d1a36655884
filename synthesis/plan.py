"""What a run would take, before it is run: requests, tokens and cost. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from synthesis.call import Call
from synthesis.client import cost
from synthesis.ledger import Ledger
from synthesis.panel import Asker, Endpoint, prices_of
from synthesis.question import Question
from synthesis.run import CHUNK, Recalled, Waiting, advanced

Tokens = tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """What questions would take: how many, those answered from the ledger, and what would be sent for the others.

    `tokens_in` and `tokens_out` are what is expected, `most_in` and `most_out` the most that these requests can take.
    The costs are None where prices are not known. A reply that cannot be read is asked for again, which is not counted.
    """

    questions: int = 0
    kept: int = 0
    requests: int = 0
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    most_in: int = 0
    most_out: int = 0
    cost: float | None = None
    most_cost: float | None = None


def plan(
    questions: Iterable[Question],
    asker: Asker,
    endpoint: Endpoint,
    ledger: Ledger,
    past: Mapping[str, Tokens],
    *,
    batch: bool = False,
) -> Plan:
    """The plan of these questions. `past` are the mean tokens in and out of a request, by its prompt's version.

    Where a prompt has no past, a token of the prompt counts as four bytes of text, and a reply as long as it may be.
    """
    made = Plan()
    for waiting, done in _chunks(iter(questions), ledger):
        made = replace(made, questions=made.questions + len(waiting) + done, kept=made.kept + done)
        for call in (call for each in waiting for call in each.missing):
            made = _with(made, call, past.get(call.about.prompt_version))
    prices = prices_of(endpoint, asker)
    share = endpoint.batch_price if batch else 1.0
    expected = cost(round(made.tokens_in), round(made.tokens_out), prices, share)
    return replace(made, cost=expected, most_cost=cost(made.most_in, made.most_out, prices, share))


def _chunks(source: Iterator[Question], ledger: Ledger) -> Iterator[tuple[list[Waiting], int]]:
    """The questions of each chunk that need the network, and the number of those that do not."""
    while chunk := [Waiting(question, next(question)) for question in islice(source, CHUNK)]:
        recalled = Recalled()
        while chunk:
            kept = ledger.recall_now([call for each in chunk for call in each.calls])
            chunk = advanced(chunk, kept, recalled)
        yield recalled.waiting, len(recalled.answers)


def _with(made: Plan, call: Call, past: Tokens | None) -> Plan:
    most_out = call.most_tokens_out or 0
    tokens_in, tokens_out = past or (float(call.guessed_tokens_in), float(most_out))
    return replace(
        made,
        requests=made.requests + 1,
        tokens_in=made.tokens_in + tokens_in,
        tokens_out=made.tokens_out + tokens_out,
        most_in=made.most_in + call.most_tokens_in,
        most_out=made.most_out + most_out,
    )
