"""Propose: hypotheses for each premise at each target probability, and the reason of each that is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from synthesis.call import Call, Failure, request_row, seed_for
from synthesis.client import Caller
from synthesis.panel import Proposer
from synthesis.parse import Reason, parse_hypotheses
from synthesis.progress import Progress, counted
from synthesis.render import Prompt, likelihood, load_prompt, messages, percent, response_format
from synthesis.window import batches_of
from warehouse.errors import InputError
from warehouse.records import (
    Drop,
    Premise,
    Proposition,
    Request,
    Split,
    content_id,
    normalise,
    proposition_id,
    split_of,
)

MAX_TRIES = 3
"""How often a target is asked for before an unreadable reply is kept as refused."""
MAX_HYPOTHESIS_CHARACTERS = 240
BATCH = 16
_WARMER = 0.1
_QUESTION_MARKS = ("?", "？", "؟")  # noqa: RUF001 - full-width and Arabic question marks


class DropReason(StrEnum):
    """Why a hypothesis is not taken over."""

    EMPTY = "empty"
    EQUALS_PREMISE = "equals_premise"
    DUPLICATE = "duplicate"
    TOO_LONG = "too_long"
    NOT_A_STATEMENT = "not_a_statement"
    COPIED_FROM_PROMPT = "copied_from_prompt"
    WRONG_COUNT = "wrong_count"


@dataclass(frozen=True)
class Proposed:
    """A batch of propositions, every request that was made for them, and the hypotheses that were dropped."""

    propositions: list[Proposition]
    requests: list[Request]
    drops: list[Drop]


@dataclass(frozen=True)
class Written:
    """What a request wrote for one target probability."""

    target: float
    request_id: str
    hypotheses: list[str]


async def propose(
    premises: Iterable[Premise],
    proposer: Proposer,
    caller: Caller,
    split: Callable[[str], Split] = split_of,
    on_progress: Callable[[Progress], None] | None = None,
) -> AsyncIterator[Proposed]:
    """Batches of at most BATCH premises' propositions, in the order in which they are done.

    Each target probability is one request, so that one bad reply costs one target. A reply that cannot be read is
    asked for again, MAX_TRIES times in all, with another seed and a higher temperature. `split` gives the split of a
    premise's id. Memory does not grow with the number of premises.

    Raises InputError where the prompt does not ask for hypotheses, and ServiceError where the endpoint as a whole
    does not work, after the batches that were done.
    """
    prompt = load_prompt(proposer.prompt)
    if prompt.answer != "hypotheses":
        raise InputError(f"prompt {prompt.name}: its answer is {prompt.answer}, not hypotheses; choose another prompt")
    report = counted(on_progress)

    async def work(premise: Premise) -> Proposed:
        one = await _one(premise, proposer, prompt, caller, split)
        report(one.requests)
        return one

    in_flight = caller.endpoint(proposer.endpoint).max_in_flight
    async for batch in batches_of(premises, work, in_flight, BATCH):
        yield Proposed(
            [proposition for one in batch for proposition in one.propositions],
            [request for one in batch for request in one.requests],
            [drop for one in batch for drop in one.drops],
        )


async def _one(
    premise: Premise, proposer: Proposer, prompt: Prompt, caller: Caller, split: Callable[[str], Split]
) -> Proposed:
    asked = [_write(premise, target, proposer, prompt, caller) for target in proposer.targets]
    results = await asyncio.gather(*asked)
    written = [one for one, _ in results if one is not None]
    requests = [request for _, made in results for request in made]
    propositions, drops = select(premise, written, proposer, prompt, split(premise.premise_id))
    return Proposed(propositions, requests, drops)


async def _write(
    premise: Premise, target: float, proposer: Proposer, prompt: Prompt, caller: Caller
) -> tuple[Written | None, list[Request]]:
    """What was written for one target, or None, and the requests that were made."""
    endpoint = caller.endpoint(proposer.endpoint)
    requests: list[Request] = []
    for number in range(MAX_TRIES):
        call = _call(premise, target, proposer, prompt, number)
        outcome = await caller.ask(call)
        failed = isinstance(outcome, Failure)
        read = Reason.EMPTY if isinstance(outcome, Failure) else parse_hypotheses(outcome.text, outcome.finish_reason)
        reason = read if isinstance(read, Reason) else None
        requests.append(
            request_row(
                call,
                outcome,
                reason=reason,
                asker=proposer,
                prompt=prompt,
                subject_id=premise.premise_id,
                endpoint=endpoint,
            )
        )
        if not isinstance(read, Reason):
            return Written(target, requests[-1].request_id, read), requests
        if failed:
            break
    return None, requests


def _call(premise: Premise, target: float, proposer: Proposer, prompt: Prompt, number: int) -> Call:
    values = {
        "premise": premise.text,
        "target": percent(target),
        "likelihood": likelihood(target),
        "count": str(proposer.per_target),
    }
    temperature = proposer.temperature
    if temperature is not None:
        temperature = max(temperature, min(1.0, round(temperature + _WARMER * number, 6)))
    return Call(
        endpoint=proposer.endpoint,
        model=proposer.model,
        messages=messages(prompt, values),
        max_tokens=proposer.max_tokens,
        temperature=temperature,
        seed=seed_for(proposer.seed, premise.premise_id, percent(target), number),
        response_format=response_format(prompt, proposer.per_target),
        attempt=number,
    )


def select(
    premise: Premise, written: Sequence[Written], proposer: Proposer, prompt: Prompt, split: Split
) -> tuple[list[Proposition], list[Drop]]:
    """The propositions of a premise and the drops, from all that was written for it. Pure.

    A target with too few hypotheses, and each hypothesis beyond the count, is a drop with the reason wrong_count.
    """
    seen: set[str] = set()
    shown = _shown(prompt)
    propositions: list[Proposition] = []
    drops: list[Drop] = []
    for one in written:
        for number, text in enumerate(one.hypotheses):
            hypothesis = normalise(text)
            reason = _why_dropped(hypothesis, premise, seen, shown, number >= proposer.per_target)
            if reason is not None:
                drops.append(_drop(premise, one.request_id, number, reason, hypothesis[:MAX_HYPOTHESIS_CHARACTERS]))
                continue
            seen.add(bare(hypothesis))
            propositions.append(_proposition(premise, hypothesis, one, proposer, split))
        if len(one.hypotheses) < proposer.per_target:
            detail = f"asked for {proposer.per_target}, got {len(one.hypotheses)}"
            drops.append(_drop(premise, one.request_id, len(one.hypotheses), DropReason.WRONG_COUNT, detail))
    return propositions, drops


def bare(text: str) -> str:
    """The text in one case and without punctuation: what two hypotheses that say the same share."""
    return " ".join("".join(c if c.isalnum() else " " for c in normalise(text).casefold()).split())


def _shown(prompt: Prompt) -> set[str]:
    """The hypotheses of the prompt's own examples, which a small model likes to repeat."""
    replies = [parse_hypotheses(example.reply) for example in prompt.examples]
    return {bare(text) for reply in replies if not isinstance(reply, Reason) for text in reply}


def _why_dropped(hypothesis: str, premise: Premise, seen: set[str], shown: set[str], beyond: bool) -> DropReason | None:
    words = bare(hypothesis)
    reasons = {
        DropReason.EMPTY: not hypothesis,
        DropReason.WRONG_COUNT: beyond,
        DropReason.TOO_LONG: len(hypothesis) > MAX_HYPOTHESIS_CHARACTERS,
        DropReason.NOT_A_STATEMENT: not words or hypothesis.endswith(_QUESTION_MARKS),
        DropReason.EQUALS_PREMISE: words == bare(premise.text),
        DropReason.COPIED_FROM_PROMPT: words in shown,
        DropReason.DUPLICATE: words in seen,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _proposition(premise: Premise, hypothesis: str, one: Written, proposer: Proposer, split: Split) -> Proposition:
    return Proposition(
        proposition_id=proposition_id(premise.text, hypothesis),
        premise_id=premise.premise_id,
        hypothesis=hypothesis,
        kind="proposed",
        source=proposer.name,
        split=split,
        target_probability=one.target,
        request_id=one.request_id,
    )


def _drop(premise: Premise, request_id: str, number: int, reason: DropReason, detail: str) -> Drop:
    return Drop(
        drop_id=content_id("drop", "propose", request_id, str(number)),
        stage="propose",
        subject_id=premise.premise_id,
        reason=reason,
        detail=detail or None,
    )
