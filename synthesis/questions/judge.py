"""Judge: how far each estimate of a panel that disagrees can be trusted. Pure.

The view `panel_distribution` turns the confidences into weights.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from synthesis.call import Call, call_for
from synthesis.panel.settings import Judge
from synthesis.panel.versions import judge_prompts, judge_version
from synthesis.prompts.render import Prompt
from synthesis.questions.parse import Parsed, Reason, parse_field, parse_text
from synthesis.questions.probabilities import probability_of, whole_number
from synthesis.questions.question import Answer, Question, Tried, together, until_read
from synthesis.reply import CallResult, Reply
from warehouse.records import Disagreement, JudgeMode, PanelAnswer, PropositionText, Verdict, content_id, normalise

_CONFIDENCE_OF_VERDICT = {"keep": 1.0, "drop": 0.0}
_WARMER = 0.3


@dataclass(frozen=True, slots=True)
class _Asked:
    """A judge with its prompts: what is the same for all propositions."""

    judge: Judge
    prompt: Prompt
    summary_prompt: Prompt
    version: str


def verdicts(disagreements: Iterable[Disagreement], judge: Judge) -> Iterator[Question]:
    """One question per disagreement: its answer holds the requests and, unless one failed, the verdicts.

    Reasoning of more than `judge.summarise_above` characters is summarised first; if the endpoint rejects that, or no
    summary can be read, it is cut off there. The judge sees the answers numbered, in the order of their ids and without
    the labelers' names. Each answer gets a verdict: the confidence in it, or a reason if the reply could not be read
    after as many tries as an estimate has. If a request *failed* there are no verdicts, so that a later run asks again.

    Raises InputError if a prompt does not ask for what the mode reads.
    """
    prompt, summary_prompt = judge_prompts(judge)
    asked = _Asked(judge, prompt, summary_prompt, judge_version(judge, prompt, summary_prompt))
    return (_judge(disagreement, asked) for disagreement in disagreements)


def _judge(disagreement: Disagreement, asked: _Asked) -> Question:
    answers = sorted(disagreement.answers, key=lambda answer: answer.estimate_id)
    reasonings = [normalise(answer.reasoning or "") for answer in answers]
    summarised = yield from _summaries(disagreement.proposition, reasonings, asked)
    requests = [request for tried in summarised.values() for request in tried.requests]
    if any(tried.parsed is None and not tried.rejected for tried in summarised.values()):
        return Answer([*requests])
    most = asked.judge.summarise_above
    summaries = {
        text: tried.parsed.value[:most] for text, tried in summarised.items() if tried.parsed and tried.parsed.value
    }
    shown = [summaries.get(reasoning, reasoning[:most]) for reasoning in reasonings]
    tried = yield from _judgement(disagreement.proposition, answers, shown, asked)
    requests += tried.requests
    if tried.parsed is None:
        return Answer([*requests])
    request_id = tried.requests[-1].request_id
    confidences: Sequence[float | None] = tried.parsed.value or [None] * len(answers)
    return Answer(
        [
            *requests,
            *(
                Verdict(
                    verdict_id=content_id("verdict", answer.estimate_id, asked.judge.name, asked.version),
                    proposition_id=disagreement.proposition.proposition_id,
                    estimate_id=answer.estimate_id,
                    judge=asked.judge.name,
                    judge_version=asked.version,
                    mode=asked.judge.mode,
                    confidence=confidence,
                    reason=tried.parsed.reason,
                    summary=summaries.get(reasoning),
                    request_id=request_id,
                )
                for answer, reasoning, confidence in zip(answers, reasonings, confidences, strict=True)
            ),
        ]
    )


def _summaries(
    proposition: PropositionText, reasonings: Iterable[str], asked: _Asked
) -> Generator[Sequence[Call], Sequence[CallResult], dict[str, Tried[str]]]:
    """The tries at summarising each long text; answers with the same text share one request."""
    long = list(dict.fromkeys(text for text in reasonings if len(text) > asked.judge.summarise_above))
    if not long:
        return {}
    tried = yield from together([until_read(_summary_call(proposition, text, asked), _read_summary) for text in long])
    return dict(zip(long, tried, strict=True))


def _summary_call(proposition: PropositionText, text: str, asked: _Asked) -> partial[Call]:
    question = f"summary of {content_id('reasoning', text)}"
    return partial(
        _call,
        judge=asked.judge,
        prompt=asked.summary_prompt,
        proposition=proposition,
        values={"reasoning": text},
        question=question,
    )


def _judgement(
    proposition: PropositionText, answers: Sequence[PanelAnswer], reasonings: Sequence[str], asked: _Asked
) -> Generator[Sequence[Call], Sequence[CallResult], Tried[list[float]]]:
    count = len(answers)
    values = {"answers": shown_answers(answers, reasonings), "count": str(count)}
    call_of = partial(
        _call,
        judge=asked.judge,
        prompt=asked.prompt,
        proposition=proposition,
        values=values,
        question=f"judgement {asked.judge.mode}",
        count=count,
    )
    return (yield from until_read(call_of, partial(_read_confidences, asked.judge.mode, count)))


def _call(
    number: int,
    *,
    judge: Judge,
    prompt: Prompt,
    proposition: PropositionText,
    values: Mapping[str, str],
    question: str,
    count: int = 1,
) -> Call:
    return call_for(
        judge,
        prompt,
        {"premise": proposition.premise, "hypothesis": proposition.hypothesis, **values},
        purpose="judge",
        subject_id=proposition.proposition_id,
        question=question,
        number=number,
        warmer=_WARMER,
        count=count,
    )


def shown_answers(answers: Sequence[PanelAnswer], reasonings: Sequence[str]) -> str:
    """The answers as the judge sees them: one line of JSON, without the labelers' names.

    Probabilities have four decimals; more would reveal which are token probabilities.
    """
    shown = [
        {"answer": number, "probability": round(answer.probability, 4), "reasoning": reasoning or None}
        for number, (answer, reasoning) in enumerate(zip(answers, reasonings, strict=True), start=1)
    ]
    return json.dumps(shown, ensure_ascii=False)


def _read_summary(reply: Reply) -> Parsed[str]:
    return parse_text(reply.text, "summary", reply.finish_reason)


def _read_confidences(mode: JudgeMode, count: int, reply: Reply) -> Parsed[list[float]]:
    """The confidences in the answers 1 to `count`, in that order: all of them, or a reason."""
    field, entry, read = (
        ("confidences", "confidence", probability_of) if mode == "confidence" else ("verdicts", "verdict", _kept)
    )
    found = parse_field(reply.text, field, reply.finish_reason)
    if found.reason is not None:
        return Parsed(None, found.reason)
    entries = found.value
    if not isinstance(entries, list) or not all(isinstance(each, dict) and entry in each for each in entries):
        return Parsed(None, Reason.MISSING_FIELD)
    by_number = {whole_number(each.get("answer")): each[entry] for each in entries}
    wanted = range(1, count + 1)
    if len(entries) != count or by_number.keys() != {*wanted}:
        return Parsed(None, Reason.WRONG_NUMBERS)
    confidences: list[float] = []
    for number in wanted:
        one = read(by_number[number])
        if one.value is None:
            return Parsed(None, one.reason)
        confidences.append(one.value)
    return Parsed(confidences, None)


def _kept(value: Any) -> Parsed[float]:
    confidence = _CONFIDENCE_OF_VERDICT.get(value.strip().lower()) if isinstance(value, str) else None
    return Parsed(None, Reason.NO_CHOICE) if confidence is None else Parsed(confidence, None)
