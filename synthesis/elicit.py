"""Elicit: a labeler's probability for each proposition, or the reason why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from statistics import fmean

from synthesis.call import Call, Failure, Reply, request_row, seed_for
from synthesis.client import Caller
from synthesis.panel import Labeler, labeler_version
from synthesis.parse import Parsed, Reason, parse_number, parse_yes_no
from synthesis.progress import Progress, counted
from synthesis.render import Prompt, check_method, load_prompt, messages, response_format
from synthesis.window import batches_of
from warehouse.records import Estimate, PropositionText, Request, content_id

MAX_TRIES = 3
"""How often a question is asked before an unreadable reply is kept as refused."""
BATCH = 64
TOP_LOGPROBS = 20
_WARMER = 0.3


@dataclass(frozen=True)
class Elicited:
    """A batch of estimates and every request that was made for them, the refused and failed ones included."""

    estimates: list[Estimate]
    requests: list[Request]


@dataclass(frozen=True)
class _Tried:
    call: Call
    outcome: Reply | Failure
    parsed: Parsed | None


async def elicit(
    propositions: Iterable[PropositionText],
    labeler: Labeler,
    caller: Caller,
    on_progress: Callable[[Progress], None] | None = None,
) -> AsyncIterator[Elicited]:
    """Batches of at most BATCH propositions' estimates, in the order in which they are done.

    A reply that cannot be read is asked for again, MAX_TRIES times in all, with another seed and a higher
    temperature; then the estimate has no probability but a reason. A proposition whose request *failed* (the endpoint
    gave no reply at all) has request rows and no estimate, so that a later run asks again. Memory does not grow with
    the number of propositions.

    Raises InputError where prompt and method do not fit, and ServiceError where the endpoint as a whole does not
    work, after the batches that were done.
    """
    prompt = load_prompt(labeler.prompt)
    check_method(prompt, labeler.method)
    report = counted(on_progress)

    async def work(proposition: PropositionText) -> Elicited:
        one = await _one(proposition, labeler, prompt, caller)
        report(one.requests)
        return one

    in_flight = 2 * caller.endpoint(labeler.endpoint).max_in_flight
    async for batch in batches_of(propositions, work, in_flight, BATCH):
        yield Elicited(
            [estimate for one in batch for estimate in one.estimates],
            [request for one in batch for request in one.requests],
        )


async def _one(proposition: PropositionText, labeler: Labeler, prompt: Prompt, caller: Caller) -> Elicited:
    if labeler.method == "mean_of_samples":
        calls = [_call(proposition, labeler, prompt, number, warmer=0.0) for number in range(labeler.samples)]
        tried = list(await asyncio.gather(*(_try(call, prompt, caller) for call in calls)))
    else:
        tried = await _until_read(proposition, labeler, prompt, caller)
    endpoint = caller.endpoint(labeler.endpoint)
    requests = [
        request_row(
            each.call,
            each.outcome,
            reason=each.parsed.reason if each.parsed else None,
            asker=labeler,
            prompt=prompt,
            subject_id=proposition.proposition_id,
            endpoint=endpoint,
        )
        for each in tried
    ]
    parsed = [each.parsed for each in tried if each.parsed is not None]
    if len(parsed) < len(tried):
        return Elicited([], requests)
    answer = mean_of(parsed) if labeler.method == "mean_of_samples" else parsed[-1]
    request_id = requests[-1].request_id if labeler.method != "mean_of_samples" else None
    return Elicited([_estimate(proposition, labeler, prompt, answer, request_id)], requests)


async def _until_read(proposition: PropositionText, labeler: Labeler, prompt: Prompt, caller: Caller) -> list[_Tried]:
    """Asks until a reply can be read, at most MAX_TRIES times, and stops where there is no reply at all."""
    tries = 1 if labeler.method == "token" else MAX_TRIES  # the first token's probabilities know no seed
    tried: list[_Tried] = []
    for number in range(tries):
        tried.append(await _try(_call(proposition, labeler, prompt, number, warmer=_WARMER), prompt, caller))
        parsed = tried[-1].parsed
        if parsed is None or parsed.reason is None:
            break
    return tried


async def _try(call: Call, prompt: Prompt, caller: Caller) -> _Tried:
    outcome = await caller.ask(call)
    return _Tried(call, outcome, _parse(outcome, prompt) if isinstance(outcome, Reply) else None)


def _parse(reply: Reply, prompt: Prompt) -> Parsed:
    if prompt.answer == "yes_no":
        return parse_yes_no(reply.top_logprobs)
    return parse_number(reply.text, prompt.answer, reply.finish_reason)


def mean_of(samples: list[Parsed]) -> Parsed:
    """The mean of the samples that were read; refused where fewer than half of them were."""
    values = [sample.probability for sample in samples if sample.probability is not None]
    if not values or 2 * len(values) < len(samples):
        return Parsed(None, Reason.TOO_FEW_SAMPLES)
    return Parsed(min(max(fmean(values), 0.0), 1.0), None)


def _call(proposition: PropositionText, labeler: Labeler, prompt: Prompt, number: int, warmer: float) -> Call:
    """The call of a try or sample: each has another seed, and a temperature that rises by `warmer`, at most to 1."""
    values = {"premise": proposition.premise, "hypothesis": proposition.hypothesis}
    temperature = labeler.temperature
    if temperature is not None:
        temperature = max(temperature, min(1.0, round(temperature + warmer * number, 6)))
    return Call(
        endpoint=labeler.endpoint,
        model=labeler.model,
        messages=messages(prompt, values),
        max_tokens=labeler.max_tokens,
        temperature=temperature,
        seed=seed_for(labeler.seed, proposition.proposition_id, labeler.method, number),
        top_logprobs=TOP_LOGPROBS if labeler.method == "token" else None,
        response_format=response_format(prompt, count=1),
        attempt=number,
    )


def _estimate(
    proposition: PropositionText, labeler: Labeler, prompt: Prompt, parsed: Parsed, request_id: str | None
) -> Estimate:
    version = labeler_version(labeler, prompt)
    return Estimate(
        estimate_id=content_id("estimate", proposition.proposition_id, labeler.name, version),
        proposition_id=proposition.proposition_id,
        labeler=labeler.name,
        labeler_version=version,
        method=labeler.method,
        probability=parsed.probability,
        reason=parsed.reason,
        reasoning=parsed.reasoning,
        request_id=request_id,
    )
