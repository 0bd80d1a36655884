"""Compare: which of two propositions a labeler considers more likely, asked in both orders. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from synthesis.call import Call, call_for
from synthesis.panel.settings import Labeler
from synthesis.panel.versions import labeler_prompt, labeler_version
from synthesis.prompts.render import Prompt
from synthesis.questions.parse import Parsed, Reason, parse_field
from synthesis.questions.probabilities import whole_number
from synthesis.questions.question import Answer, Question, together, until_read
from synthesis.reply import Reply
from warehouse.records import Comparison, Pair, PropositionText, content_id

ORDERS_DISAGREE = "orders_disagree"
_WARMER = 0.3


def comparisons(pairs: Iterable[Pair], labeler: Labeler) -> Iterator[Question]:
    """One question per pair: its answer holds the requests and, unless one failed, the comparison.

    Both orders are asked at the same time, and an unreadable reply is asked for again, as for estimates. The comparison
    names the more likely proposition only if both orders do; otherwise its reason is orders_disagree, or why a reply
    could not be read. If a request *failed* there is no comparison, so that a later run asks again.

    Raises InputError if the prompt does not ask which is more likely.
    """
    prompt = labeler_prompt(labeler)
    version = labeler_version(labeler, prompt)
    return (_compare(pair, labeler, prompt, version) for pair in pairs)


def _compare(pair: Pair, labeler: Labeler, prompt: Prompt, version: str) -> Question:
    first, second = sorted((pair.first, pair.second), key=lambda each: each.proposition_id)
    comparison_id = content_id("comparison", first.proposition_id, second.proposition_id, labeler.name, version)
    call_of = partial(_call, labeler=labeler, prompt=prompt, comparison_id=comparison_id)
    plain, swapped = yield from together(
        [
            until_read(partial(call_of, question="pairwise", shown=(first, second)), _read),
            until_read(partial(call_of, question="pairwise swapped", shown=(second, first)), _read),
        ]
    )
    requests = [*plain.requests, *swapped.requests]
    if plain.parsed is None or swapped.parsed is None:
        return Answer([*requests])
    ids = (first.proposition_id, second.proposition_id)
    more_likely, reason = agreed(plain.parsed, swapped.parsed)
    comparison = Comparison(
        comparison_id=comparison_id,
        first_id=ids[0],
        second_id=ids[1],
        labeler=labeler.name,
        labeler_version=version,
        more_likely_id=None if more_likely is None else ids[more_likely - 1],
        reason=reason,
        request_id=plain.requests[-1].request_id,
        swapped_request_id=swapped.requests[-1].request_id,
    )
    return Answer([*requests, comparison])


def agreed(plain: Parsed[int], swapped: Parsed[int]) -> tuple[int | None, str | None]:
    """Which of the two is more likely, 1 or 2 in the plain order, or None and the reason.

    `swapped` counts them the other way round, so 1 and 2 agree, and 1 and 1 do not.
    """
    if plain.value is None or swapped.value is None:
        return None, plain.reason or swapped.reason
    return (plain.value, None) if plain.value != swapped.value else (None, ORDERS_DISAGREE)


def _call(
    number: int,
    *,
    labeler: Labeler,
    prompt: Prompt,
    comparison_id: str,
    question: str,
    shown: tuple[PropositionText, PropositionText],
) -> Call:
    one, other = shown
    return call_for(
        labeler,
        prompt,
        {
            "premise": one.premise,
            "hypothesis": one.hypothesis,
            "other_premise": other.premise,
            "other_hypothesis": other.hypothesis,
        },
        purpose="elicit",
        subject_id=comparison_id,
        question=question,
        number=number,
        warmer=_WARMER,
    )


def _read(reply: Reply) -> Parsed[int]:
    found = parse_field(reply.text, "more_likely", reply.finish_reason)
    if found.reason is not None:
        return Parsed(None, found.reason)
    value = whole_number(found.value)
    return Parsed(value, None) if value in (1, 2) else Parsed(None, Reason.NO_CHOICE)
