"""Elicit: a labeler's probability for a proposition, or the reason why it gave none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from statistics import fmean

from synthesis.call import Call, call_for
from synthesis.panel.settings import Labeler
from synthesis.panel.versions import labeler_prompt, labeler_version
from synthesis.prompts.render import Prompt
from synthesis.questions.parse import Parsed, Reason, thinking_of
from synthesis.questions.probabilities import parse_number, parse_yes_no
from synthesis.questions.question import MAX_TRIES, Answer, Question, together, until_read
from synthesis.reply import Reply
from warehouse.errors import InputError
from warehouse.records import Estimate, PropositionText, content_id

_WARMER = 0.3


def estimates(propositions: Iterable[PropositionText], labeler: Labeler) -> Iterator[Question]:
    """One question per proposition: its answer holds the requests and, unless one failed, the estimate.

    An unreadable reply is asked for again, MAX_TRIES times in all, with another seed and a higher temperature (a sample
    of a mean at the same temperature; the method token asks once). If none can be read, the estimate has a reason
    instead of a probability. A proposition whose request *failed* (the endpoint gave no reply) gets request rows and no
    estimate, so that a later run asks again.

    Raises InputError if the prompt does not fit the method.
    """
    if labeler.method == "pairwise":
        raise InputError(f"labeler {labeler.name}: the method pairwise compares propositions and gives no estimates")
    prompt = labeler_prompt(labeler)
    version = labeler_version(labeler, prompt)
    ask = _mean if labeler.method == "mean_of_samples" else _single
    return (ask(proposition, labeler, prompt, version) for proposition in propositions)


def _single(proposition: PropositionText, labeler: Labeler, prompt: Prompt, version: str) -> Question:
    tries = 1 if labeler.method == "token" else MAX_TRIES  # the first token's probabilities do not depend on a seed
    call_of = partial(_call, proposition, labeler, prompt, warmer=_WARMER)
    tried = yield from until_read(call_of, partial(_read, prompt), tries)
    if tried.parsed is None:
        return Answer([*tried.requests])
    request_id = tried.requests[-1].request_id
    return Answer([*tried.requests, _estimate(proposition, labeler, version, tried.parsed, request_id)])


def _mean(proposition: PropositionText, labeler: Labeler, prompt: Prompt, version: str) -> Question:
    def call_of(sample: int, attempt: int) -> Call:
        # Every number is another draw at the same temperature: an unreadable sample is drawn again.
        return _call(proposition, labeler, prompt, sample + attempt * labeler.samples, warmer=0.0)

    read = partial(_read, prompt)
    tried = yield from together([until_read(partial(call_of, sample), read) for sample in range(labeler.samples)])
    requests = [request for each in tried for request in each.requests]
    samples = [each.parsed for each in tried if each.parsed is not None]
    if len(samples) < labeler.samples:
        return Answer([*requests])
    return Answer([*requests, _estimate(proposition, labeler, version, mean_of(samples), None)])


def mean_of(samples: Sequence[Parsed[float]]) -> Parsed[float]:
    """The mean of the samples that could be read; refused if fewer than half of them could.

    If the model refused all of them, that is the reason. The reasoning is that of the sample nearest to the mean: the
    others argue for something else.
    """
    read = [(sample.value, sample.reasoning) for sample in samples if sample.value is not None]
    if samples and all(sample.reason is Reason.REFUSED for sample in samples):
        return samples[0]
    if not read or 2 * len(read) < len(samples):
        return Parsed(None, Reason.TOO_FEW_SAMPLES)
    mean = min(max(fmean(value for value, _ in read), 0.0), 1.0)
    reasoned = [(abs(value - mean), reasoning) for value, reasoning in read if reasoning]
    return Parsed(mean, None, min(reasoned, key=itemgetter(0))[1] if reasoned else None)


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
        top_logprobs=labeler.top_logprobs if labeler.method == "token" else None,
    )


def _read(prompt: Prompt, reply: Reply) -> Parsed[float]:
    if prompt.answer == "yes_no":
        read = parse_yes_no(reply.top_logprobs)
    else:
        read = parse_number(reply.text, prompt.answer, reply.finish_reason)
    thinking = reply.thinking or thinking_of(reply.text)
    return replace(read, reasoning="\n\n".join(filter(None, (thinking, read.reasoning)))) if thinking else read


def _estimate(
    proposition: PropositionText, labeler: Labeler, version: str, read: Parsed[float], request_id: str | None
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
