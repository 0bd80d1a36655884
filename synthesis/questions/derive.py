"""Derive: propositions made from other propositions, with a reason for each text that is dropped. Pure.

A strengthener or weakener gives a longer premise with the same hypothesis; a negation, a paraphrase or a conjunction
another hypothesis for the same premise; a rewriting makes both clearer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from synthesis.call import Call, call_for
from synthesis.panel.settings import DerivedKind, Proposer
from synthesis.panel.versions import proposer_prompt, proposer_version
from synthesis.prompts.render import AnswerKind, Prompt
from synthesis.questions.dedup import Recent, bare, differ_only_in_polarity, unspaced
from synthesis.questions.drops import MAX_HYPOTHESIS_CHARACTERS, DropReason, drop, too_few, why_no_hypothesis
from synthesis.questions.parse import Parsed, parse_text, parse_texts
from synthesis.questions.propose import WARMER
from synthesis.questions.question import Answer, Question, until_read
from synthesis.reply import Reply
from warehouse.records import Drop, Parent, Premise, Proposition, Record, normalise, premise_id, proposition_id

_CLOSING = "\"')]}*_\u2019\u201d\u00bb\u203a\u300d\u300f\uff09"
_FULL_STOP = "\u3002"


@dataclass(frozen=True, slots=True)
class _Text:
    """One thing that a reply wrote: an update, or a hypothesis with its premise if that is new."""

    text: str
    premise: str | None = None

    @property
    def shown(self) -> str:
        """All of it, as a drop's detail shows it."""
        return self.text if self.premise is None else f"{self.premise} / {self.text}"


@dataclass(frozen=True, slots=True)
class _Why:
    """Why a text makes no proposition, and the id of the one that it repeats, if any."""

    reason: DropReason
    kept_id: str | None = None


@dataclass(frozen=True)
class _Task:
    """What is the same for every parent: the kind, the proposer, the prompt, its examples, what the run made lately."""

    kind: DerivedKind
    proposer: Proposer
    prompt: Prompt
    examples: frozenset[str]
    recent: Recent

    @property
    def count(self) -> int:
        return self.proposer.count_of(self.kind)

    @cached_property
    def version(self) -> str:
        return proposer_version(self.proposer, self.kind, self.prompt)


def derivations(
    parents: Iterable[Parent], proposer: Proposer, kind: DerivedKind, recent: Recent | None = None
) -> Iterator[Question]:
    """One question per parent: its answer holds the requests, the new premises and propositions, and the drops.

    What is made belongs to the split of its parent. A parent without another hypothesis has no conjunction and gets no
    question about one. An unreadable reply is asked for again, MAX_TRIES times in all, with another seed and a higher
    temperature; if the request *failed*, the answer holds only its row. Near-duplicates are kept: a paraphrase is one
    on purpose. Exact repeats of a hypothesis of the premise, or of one made in the meantime, are dropped.

    Args:
        parents: the propositions to derive from.
        proposer: the model config.
        kind: what to make of them.
        recent: what this run has made, of other kinds as well; of two repeats the first stays.

    Raises:
        InputError: the prompt asks for something else.
    """
    prompt = proposer_prompt(proposer, kind)
    read = [_read(prompt.answer, Reply(text=example.reply)).value or [] for example in prompt.examples]
    examples = frozenset(bare(each.text) for one in read for each in one)
    task = _Task(kind, proposer, prompt, examples, recent or Recent())
    return (_one(parent, task) for parent in parents if kind != "conjunction" or parent.other is not None)


def _one(parent: Parent, task: _Task) -> Question:
    tried = yield from until_read(partial(_call, parent, task), partial(_read, task.prompt.answer))
    if tried.parsed is None or tried.parsed.value is None:
        return Answer([*tried.requests])
    return Answer([*tried.requests, *_select(parent, task, tried.parsed.value, tried.requests[-1].request_id)])


def _call(parent: Parent, task: _Task, number: int) -> Call:
    values = {"premise": parent.premise.text, "hypothesis": parent.hypothesis, "count": str(task.count)}
    question: str = task.kind
    if parent.other is not None and task.kind == "conjunction":
        values |= {"first": parent.hypothesis, "second": parent.other.hypothesis}
        question = f"{task.kind} {parent.other.proposition_id}"
    return call_for(
        task.proposer,
        task.prompt,
        values,
        purpose="propose",
        subject_id=parent.proposition_id,
        question=question,
        number=number,
        warmer=WARMER,
        count=task.count,
        asker_version=task.version,
    )


def _read(answer: AnswerKind, reply: Reply) -> Parsed[list[_Text]]:
    """The texts that a reply wrote; a conjunction or a rewriting is one."""
    if answer in ("updates", "variants"):
        field = "updates" if answer == "updates" else "hypotheses"
        several = parse_texts(reply.text, field, reply.finish_reason)
        return Parsed(
            None if several.value is None else [_Text(normalise(text)) for text in several.value], several.reason
        )
    fields = ("hypothesis", "premise") if answer == "rewriting" else ("hypothesis",)
    found = [parse_text(reply.text, field, reply.finish_reason) for field in fields]
    reason = next((each.reason for each in found if each.reason is not None), None)
    return Parsed(None if reason else [_Text(*(normalise(each.value or "") for each in found))], reason)


def _select(parent: Parent, task: _Task, texts: list[_Text], request_id: str) -> list[Record]:
    """The rows of the texts: what they make, or why they are dropped."""
    subject, why_not = parent.proposition_id, _WHY_NOT[task.prompt.answer]
    made: list[tuple[Premise, Proposition]] = []
    rows: list[Record] = []
    drops: list[Drop] = []
    for number, text in enumerate(texts):
        why = why_not(parent, task, text)
        if number >= task.count and (why is None or why.reason is not DropReason.EMPTY):
            why = _Why(DropReason.WRONG_COUNT)
        if why is None:
            new = _made(parent, task, text, request_id)
            why = _why_again(parent, task, new, made)
        if why is not None:
            drops.append(drop(subject, request_id, number, why.reason, detail=text.shown, kept_id=why.kept_id))
            continue
        made.append(new)
        # A reply that the ledger gives again finds what it made before.
        if parent.written_by.get(new[1].proposition_id) != request_id:
            rows += [new[1]] if new[0] is parent.premise else new
    return [*rows, *drops, *too_few(subject, request_id, len(texts), task.count)]


def _why_again(
    parent: Parent, task: _Task, new: tuple[Premise, Proposition], made: list[tuple[Premise, Proposition]]
) -> _Why | None:
    """Whether what a text makes exists already: in this reply, in the warehouse, or among what the run made lately."""
    premise, one = new
    here = (each.proposition_id for text, each in made if _same(text.text, premise.text) and _alike(each, one))
    kept = next(here, None)
    if kept is None and parent.written_by.get(one.proposition_id) == one.request_id:
        return None
    if kept is None and premise is parent.premise:
        kept = next((known for known, text in parent.known.items() if _same(text, one.hypothesis)), None)
    elif kept is None and one.proposition_id in parent.written_by:
        kept = one.proposition_id
    kept = kept or task.recent.first(premise.text, one)
    return _Why(DropReason.DUPLICATE, kept) if kept else None


def _alike(one: Proposition, other: Proposition) -> bool:
    return _same(one.hypothesis, other.hypothesis)


def _why_no_update(parent: Parent, task: _Task, update: _Text) -> _Why | None:
    """An update must say something new: neither what the premise says, nor the hypothesis or its contrary."""
    if reason := why_no_hypothesis(update.text, parent.premise.text, task.examples):
        return _Why(reason)
    if _holds(parent.premise.text, update.text):
        return _Why(DropReason.IN_PREMISE)
    states = _holds(update.text, parent.hypothesis) or differ_only_in_polarity(parent.hypothesis, update.text)
    return _Why(DropReason.STATES_HYPOTHESIS) if states else None


def _why_no_variant(parent: Parent, task: _Task, variant: _Text) -> _Why | None:
    """A variant or a conjunction must differ from every hypothesis that it is made from."""
    if reason := why_no_hypothesis(variant.text, parent.premise.text, task.examples):
        return _Why(reason)
    parts = {bare(parent.hypothesis): parent.proposition_id}
    if task.kind == "conjunction" and parent.other is not None:
        parts.setdefault(bare(parent.other.hypothesis), parent.other.proposition_id)
    kept = parts.get(bare(variant.text))
    return _Why(DropReason.EQUALS_PARENT, kept) if kept else None


def _why_no_rewriting(parent: Parent, task: _Task, rewriting: _Text) -> _Why | None:
    """A rewriting must change at least one word, and its premise must stay about as long as it was."""
    premise = rewriting.premise or ""
    if _same(premise, parent.premise.text) and _same(rewriting.text, parent.hypothesis):
        return _Why(DropReason.UNCHANGED, parent.proposition_id)
    if not bare(premise):
        return _Why(DropReason.EMPTY)
    if len(premise) > 2 * len(parent.premise.text) + MAX_HYPOTHESIS_CHARACTERS:
        return _Why(DropReason.TOO_LONG)
    # An unchanged hypothesis was given to us; it is not checked again.
    if _same(rewriting.text, parent.hypothesis):
        return None
    reason = why_no_hypothesis(rewriting.text, premise, task.examples)
    return _Why(reason) if reason else None


_WHY_NOT: Mapping[AnswerKind, Callable[[Parent, _Task, _Text], _Why | None]] = {
    "updates": _why_no_update,
    "variants": _why_no_variant,
    "conjunction": _why_no_variant,
    "rewriting": _why_no_rewriting,
}


def _same(one: str, other: str) -> bool:
    return bare(one) == bare(other)


def _holds(text: str, part: str) -> bool:
    """Whether the text contains the words of the part, in order and with nothing between them."""
    return f" {bare(part)} " in f" {bare(text)} "


def _made(parent: Parent, task: _Task, text: _Text, request_id: str) -> tuple[Premise, Proposition]:
    """The proposition that a text makes, with its premise: the parent's own if that does not change."""
    premise, hypothesis = parent.premise, text.text
    if task.prompt.answer == "updates":
        premise, hypothesis = _premise(parent, task, _with_update(premise.text, text.text)), parent.hypothesis
    elif text.premise is not None and not _same(text.premise, premise.text):
        premise = _premise(parent, task, text.premise)
    other = parent.other if task.kind == "conjunction" else None
    return premise, Proposition(
        proposition_id=proposition_id(premise.text, hypothesis),
        premise_id=premise.premise_id,
        hypothesis=hypothesis,
        kind=task.kind,
        source=task.proposer.name,
        split=parent.split,
        parent_id=parent.proposition_id,
        other_parent_id=other.proposition_id if other else None,
        request_id=request_id,
    )


def _with_update(premise: str, update: str) -> str:
    """The premise followed by the update, with a full stop between them if the premise ends in a word."""
    last = premise.rstrip(_CLOSING)[-1:]
    if unicodedata.category(last or ".")[0] == "P":
        return f"{premise} {update}"
    return f"{premise}{_FULL_STOP if unspaced(last) else '.'} {update}"


def _premise(parent: Parent, task: _Task, text: str) -> Premise:
    return Premise(
        premise_id=premise_id(text),
        text=text,
        source=task.proposer.name,
        license=parent.premise.license,
        language=parent.premise.language,
    )
