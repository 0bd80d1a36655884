"""Propose: hypotheses for each premise at each target probability, with a reason for each that is dropped. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from synthesis.call import Call, call_for
from synthesis.panel.settings import Proposer
from synthesis.panel.versions import proposer_prompt, proposer_version
from synthesis.prompts.render import Prompt, likelihood, percent
from synthesis.questions.dedup import KnownHypotheses, bare
from synthesis.questions.drops import DropReason, drop, too_few, why_no_hypothesis
from synthesis.questions.parse import Parsed, parse_texts
from synthesis.questions.question import Answer, Question, Tried, together, until_read
from synthesis.reply import Reply
from warehouse.records import (
    Drop,
    Premise,
    PremiseToPropose,
    Proposition,
    Split,
    normalise,
    proposition_id,
    split_of,
)

WARMER = 0.1
"""How much the temperature rises with each further try."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a request wrote for one target probability."""

    target: float
    request_id: str
    hypotheses: list[str]


@dataclass(frozen=True, slots=True)
class _Task:
    """What is the same for every premise: the proposer and its version, the prompt, the texts in its examples."""

    proposer: Proposer
    prompt: Prompt
    version: str
    shown: frozenset[str]


def proposals(
    premises: Iterable[PremiseToPropose], proposer: Proposer, split: Callable[[str], Split] = split_of
) -> Iterator[Question]:
    """One question per premise: its answer holds the requests, the propositions, and a drop for every other text.

    Each target probability is one request, so a bad reply costs one target. An unreadable reply is asked for again,
    MAX_TRIES times in all, with another seed and a higher temperature; a request that *failed* ends its target.

    Args:
        premises: the premises, with the hypotheses that they have.
        proposer: the model config.
        split: gives the split for a premise id, for premises that have none yet.

    Raises:
        InputError: the prompt does not ask for hypotheses.
    """
    prompt = proposer_prompt(proposer, "proposed")
    task = _Task(proposer, prompt, proposer_version(proposer, "proposed", prompt), shown_in(prompt, "hypotheses"))
    return (_one(asked, task, asked.split or split(asked.premise.premise_id)) for asked in premises)


def _one(asked: PremiseToPropose, task: _Task, split: Split) -> Question:
    premise, proposer = asked.premise, task.proposer
    calls = [partial(_call, premise, target, task) for target in proposer.targets]
    tried = yield from together([until_read(call_of, _read) for call_of in calls])
    requests = [request for each in tried for request in each.requests]
    written = [one for target, each in zip(proposer.targets, tried, strict=True) if (one := _written(target, each))]
    known = KnownHypotheses(asked.known, proposer.near_duplicates)
    propositions, drops = select(
        premise, written, proposer, split=split, shown=task.shown, known=known, written_by=asked.written_by
    )
    return Answer([*requests, *propositions, *drops])


def _written(target: float, tried: Tried[list[str]]) -> Written | None:
    if tried.parsed is None or tried.parsed.value is None:
        return None
    return Written(target, tried.requests[-1].request_id, tried.parsed.value)


def _call(premise: Premise, target: float, task: _Task, number: int) -> Call:
    proposer = task.proposer
    values = {
        "premise": premise.text,
        "target": percent(target),
        "likelihood": likelihood(target),
        "count": str(proposer.per_target),
    }
    return call_for(
        proposer,
        task.prompt,
        values,
        purpose="propose",
        subject_id=premise.premise_id,
        question=percent(target),
        number=number,
        warmer=WARMER,
        count=proposer.per_target,
        asker_version=task.version,
    )


def _read(reply: Reply) -> Parsed[list[str]]:
    return parse_texts(reply.text, "hypotheses", reply.finish_reason)


def select(
    premise: Premise,
    written: Sequence[Written],
    proposer: Proposer,
    *,
    split: Split,
    shown: frozenset[str],
    known: KnownHypotheses,
    written_by: Mapping[str, str] | None = None,
) -> tuple[list[Proposition], list[Drop]]:
    """The propositions of a premise, and the drops, from all that was written for it.

    A target with too few hypotheses, and each hypothesis beyond the count, is a drop with the reason wrong_count.

    Args:
        premise: the premise.
        written: what was written for each target probability.
        proposer: the model config.
        split: the split of the premise.
        shown: the texts in the prompt's examples.
        known: the hypotheses that the premise has; new ones are added to it.
        written_by: which request wrote a known hypothesis, by proposition id: if the ledger gives its reply again, the
            hypothesis is no duplicate of itself.
    """
    propositions: list[Proposition] = []
    drops: list[Drop] = []
    again = set((written_by or {}).items())
    for one in written:
        for number, text in enumerate(one.hypotheses):
            hypothesis = normalise(text)
            dropped = partial(drop, premise.premise_id, one.request_id, number, detail=hypothesis)
            reason = why_no_hypothesis(hypothesis, premise.text, shown)
            if number >= proposer.per_target and reason is not DropReason.EMPTY:
                reason = DropReason.WRONG_COUNT
            if reason is not None:
                drops.append(dropped(reason))
            elif (own := (proposition_id(premise.text, hypothesis), one.request_id)) in again:
                again.remove(own)
            elif kept := known.repeated(hypothesis):
                drops.append(dropped(DropReason.DUPLICATE, kept_id=kept))
            elif kept := known.near(hypothesis):
                drops.append(dropped(DropReason.NEAR_DUPLICATE, kept_id=kept))
            else:
                propositions.append(_proposition(premise, hypothesis, one, proposer, split))
                known.add(propositions[-1].proposition_id, hypothesis)
        drops.extend(too_few(premise.premise_id, one.request_id, len(one.hypotheses), proposer.per_target))
    return propositions, drops


def shown_in(prompt: Prompt, field: str) -> frozenset[str]:
    """The texts in the prompt's own examples, bare: small models like to repeat them."""
    replies = [parse_texts(example.reply, field) for example in prompt.examples]
    return frozenset(bare(text) for reply in replies for text in reply.value or ())


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
