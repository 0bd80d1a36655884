"""Elicit: a labeler's probability for a proposition, or the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from synthesis.call import Call, Reply, call_for
from synthesis.panel import Labeler, labeler_version
from synthesis.parse import Read, Reason, parse_number, parse_yes_no, thinking_of
from synthesis.question import MAX_TRIES, Answer, Question, understood, until_read
from synthesis.render import ANSWERS_OF_METHOD, Prompt, prompt_for
from warehouse.errors import InputError
from warehouse.records import Estimate, PropositionText, content_id

TOP_LOGPROBS = 20
_WARMER = 0.3


def estimates(propositions: Iterable[PropositionText], labeler: Labeler) -> Iterator[Question]:
    """A question for each proposition: its answer holds the requests and, but where one failed, the estimate.

    A reply that cannot be read is asked for again, MAX_TRIES times in all, with another seed and a higher
    temperature; then the estimate has no probability but a reason. A proposition whose request *failed* (the endpoint
    gave no reply at all) has request rows and no estimate, so that a later run asks again.

    Raises InputError where prompt and method do not fit.
    """
    if labeler.method == "pairwise":
        raise InputError(f"labeler {labeler.name}: the method pairwise compares propositions, it gives no estimates")
    prompt = prompt_for(labeler.prompt, f"the method {labeler.method}", ANSWERS_OF_METHOD[labeler.method])
    version = labeler_version(labeler, prompt)
    ask = _mean if labeler.method == "mean_of_samples" else _single
    return (ask(proposition, labeler, prompt, version) for proposition in propositions)


def _single(proposition: PropositionText, labeler: Labeler, prompt: Prompt, version: str) -> Question:
    tries = 1 if labeler.method == "token" else MAX_TRIES  # the first token's probabilities know no seed
    call_of = partial(_call, proposition, labeler, prompt, warmer=_WARMER)
    tried = yield from until_read(call_of, partial(_read, prompt), tries)
    if tried.read is None:
        return Answer([*tried.requests])
    request_id = tried.requests[-1].request_id
    return Answer([*tried.requests, _estimate(proposition, labeler, version, tried.read, request_id)])


def _mean(proposition: PropositionText, labeler: Labeler, prompt: Prompt, version: str) -> Question:
    calls = [_call(proposition, labeler, prompt, number, warmer=0.0) for number in range(labeler.samples)]
    outcomes = yield calls
    found = [understood(call, outcome, partial(_read, prompt)) for call, outcome in zip(calls, outcomes, strict=True)]
    requests = [request for _, request in found]
    samples = [read for read, _ in found if read is not None]
    if len(samples) < len(found):
        return Answer([*requests])
    return Answer([*requests, _estimate(proposition, labeler, version, mean_of(samples), None)])


def mean_of(samples: Sequence[Read[float]]) -> Read[float]:
    """The mean of the samples that were read; refused where fewer than half of them were."""
    values = [sample.value for sample in samples if sample.value is not None]
    if not values or 2 * len(values) < len(samples):
        return Read(None, Reason.TOO_FEW_SAMPLES)
    return Read(min(max(fmean(values), 0.0), 1.0), None)


def _call(proposition: PropositionText, labeler: Labeler, prompt: Prompt, number: int, *, warmer: float) -> Call:
    return call_for(
        labeler,
        prompt,
        {"premise": proposition.premise, "hypothesis": proposition.hypothesis},
        purpose="elicit",
        subject_id=proposition.proposition_id,
        question=labeler.method,
        number=number,
        warmer=warmer,
        top_logprobs=TOP_LOGPROBS if labeler.method == "token" else None,
    )


def _read(prompt: Prompt, reply: Reply) -> Read[float]:
    if prompt.answer == "yes_no":
        read = parse_yes_no(reply.top_logprobs)
    else:
        read = parse_number(reply.text, prompt.answer, reply.finish_reason)
    return read if read.reasoning else replace(read, reasoning=reply.thinking or thinking_of(reply.text))


def _estimate(
    proposition: PropositionText, labeler: Labeler, version: str, read: Read[float], request_id: str | None
) -> Estimate:
    return Estimate(
        estimate_id=content_id("estimate", proposition.proposition_id, labeler.name, version),
        proposition_id=proposition.proposition_id,
        labeler=labeler.name,
        labeler_version=version,
        method=labeler.method,
        probability=read.value,
        reason=read.reason,
        reasoning=read.reasoning,
        request_id=request_id,
    )
