"""What a run would take, before it is run: requests, tokens and cost. Nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from synthesis.call import Call
from synthesis.ledger.ledger import Ledger
from synthesis.llm.budget import cost
from synthesis.panel.settings import Endpoint, ModelConfig, Prices, prices_of
from synthesis.questions.question import Question
from synthesis.run import CHUNK, Recalled, Waiting, advanced

T = TypeVar("T", int, float)
Tokens = tuple[float, float]
Past = Mapping[tuple[str, str, str], Tokens]
"""The mean tokens in and out of a request, by who asks, the model, and the version of the prompt."""


@dataclass(frozen=True)
class Plan:
    """What questions would take: how many, those answered from the ledger, and what would be sent for the others.

    `held` are requests that batches under way hold, which are not sent. `tokens_in` and `tokens_out` are what is
    expected, `most_in` and `most_out` the most that the requests take if each is sent once; of the tokens out they are
    None where nothing bounds a reply and, for the expected ones, nothing like it was asked before.
    The costs are None where prices, or these tokens, are not known. What is sent only after a reply is seen is not
    counted: another try where it cannot be read, and what rests on it.
    """

    questions: int = 0
    kept: int = 0
    held: int = 0
    requests: int = 0
    tokens_in: float = 0.0
    tokens_out: float | None = 0.0
    most_in: int = 0
    most_out: int | None = 0
    cost: float | None = None
    most_cost: float | None = None


def plan(
    questions: Iterable[Question],
    config: ModelConfig,
    endpoint: Endpoint,
    ledger: Ledger,
    past: Past,
    *,
    batch: bool = False,
) -> Plan:
    """The plan of these questions; not to be called in an event loop.

    Where the config has no past with this model and prompt, a token of the prompt counts as four bytes of text, and a
    reply as long as it may be.
    """
    made = Plan()
    held = {key for each in asyncio.run(ledger.batches(endpoint.name)) for key in each.lines}
    for waiting, done in _chunks(iter(questions), ledger):
        made = replace(made, questions=made.questions + len(waiting) + done, kept=made.kept + done)
        for call in (call for each in waiting for call in each.missing):
            made = _with(made, call, held, past)
    prices = prices_of(endpoint, config)
    share = endpoint.batch_price if batch else 1.0
    expected = _cost(round(made.tokens_in), made.tokens_out, prices, share)
    return replace(made, cost=expected, most_cost=_cost(made.most_in, made.most_out, prices, share))


def _chunks(source: Iterator[Question], ledger: Ledger) -> Iterator[tuple[list[Waiting], int]]:
    """The questions of each chunk that need the network, and the number of those that do not."""
    while chunk := [Waiting(question, next(question)) for question in islice(source, CHUNK)]:
        recalled = Recalled()
        while chunk:
            kept = ledger.recall_now([call for each in chunk for call in each.calls])
            chunk = advanced(chunk, kept, recalled)
        yield recalled.waiting, len(recalled.answers)


def _with(made: Plan, call: Call, held: Collection[str], past: Past) -> Plan:
    if call.key in held:
        return replace(made, held=made.held + 1)
    most_out = call.most_tokens_out
    tokens_in, tokens_out = past.get((call.about.labeler, call.model, call.about.prompt_version), (None, most_out))
    if tokens_out is not None and most_out is not None:
        tokens_out = min(tokens_out, most_out)  # the bound may be lower than it was
    return replace(
        made,
        requests=made.requests + 1,
        tokens_in=made.tokens_in + (call.guessed_tokens_in if tokens_in is None else tokens_in),
        tokens_out=_sum(made.tokens_out, tokens_out),
        most_in=made.most_in + call.most_tokens_in,
        most_out=_sum(made.most_out, most_out),
    )


def _sum(left: T | None, right: T | None) -> T | None:
    return None if left is None or right is None else left + right


def _cost(tokens_in: int, tokens_out: float | None, prices: Prices, share: float) -> float | None:
    if tokens_out is None and prices[1] == 0:
        tokens_out = 0.0  # however many they are
    return cost(tokens_in, None if tokens_out is None else round(tokens_out), prices, share)
