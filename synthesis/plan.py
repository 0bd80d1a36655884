"""What a run would take: requests, tokens and cost. Sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from synthesis.call import Call
from synthesis.ledger.ledger import Ledger
from synthesis.llm.budget import cost
from synthesis.panel.settings import Endpoint, ModelConfig, Prices, prices_of
from synthesis.questions.question import Question
from synthesis.run import recall

T = TypeVar("T", int, float)
Tokens = tuple[float, float]
Past = Mapping[tuple[str, str, str], Tokens]
"""The mean tokens in and out of a request, by labeler, model and prompt version."""


@dataclass(frozen=True)
class Plan:
    """What questions would take: their number, those answered from the ledger, and what the others would send.

    `held` counts requests in batches in progress, which are not sent. `tokens_in` and `tokens_out` are expected tokens,
    `most_in` and `most_out` the most if each request is sent once. `most_out` is None if nothing bounds a reply;
    `tokens_out` is None if, in addition, there are no similar past requests. Costs are None if prices or these tokens
    are unknown. Requests that depend on a reply are not counted, for example another try after an unreadable one.
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
    """Plans these questions. Must not be called in an event loop.

    Without past requests of this config, model and prompt, four bytes of the prompt count as a token, and a reply is
    taken to be as long as it may be.
    """
    made = asyncio.run(_counted(iter(questions), ledger, endpoint.name, past))
    prices = prices_of(endpoint, config)
    share = endpoint.batch_price if batch else 1.0
    expected = _cost(round(made.tokens_in), made.tokens_out, prices, share)
    return replace(made, cost=expected, most_cost=_cost(made.most_in, made.most_out, prices, share))


async def _counted(source: Iterator[Question], ledger: Ledger, endpoint: str, past: Past) -> Plan:
    made = Plan()
    held = {key for each in await ledger.batches(endpoint) for key in each.lines}
    while (chunk := await recall(source, ledger)) is not None:
        done = len(chunk.answers)
        made = replace(made, questions=made.questions + len(chunk.waiting) + done, kept=made.kept + done)
        for call in (call for each in chunk.waiting for call in each.missing):
            made = _with(made, call, held, past)
    return made


def _with(made: Plan, call: Call, held: Collection[str], past: Past) -> Plan:
    if call.key in held:
        return replace(made, held=made.held + 1)
    most_out = call.most_tokens_out
    tokens_in, tokens_out = past.get((call.about.labeler, call.model, call.about.prompt_version), (None, most_out))
    if tokens_out is not None and most_out is not None:
        tokens_out = min(tokens_out, most_out)  # the bound may have been lowered since
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
