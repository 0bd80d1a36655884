"""The keys under which replies are kept: one that moves loses what was paid for, so each kind of call has some here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_args

import pytest

from synthesis.call import About, Call
from synthesis.compare import comparisons
from synthesis.derive import derivations
from synthesis.elicit import estimates
from synthesis.judge import verdicts
from synthesis.panel import DerivedKind, Judge, Labeler, Proposer
from synthesis.propose import proposals
from synthesis.question import Question
from synthesis.render import prompt_names
from tests.synthesis.driving import drive_rounds, gives, says
from warehouse.records import (
    Disagreement,
    JudgeMode,
    Method,
    Pair,
    PanelAnswer,
    Parent,
    Premise,
    PremiseToPropose,
    PropositionText,
)

# Whatever JSON writes in more ways than one: quotes, braces, a line break, letters and signs beyond ASCII.
PREMISE = (
    'The sign said "{closed}" \\ \u201ezu\u201c,\nbut the caf\u00e9\u2019s door stood open \U0001f6aa\u2028\x85\x7f.'
)
FIRST = PropositionText(proposition_id="a1", premise=PREMISE, hypothesis="The baker forgot to lock the door.")
SECOND = PropositionText(proposition_id="b2", premise=PREMISE, hypothesis="It is Sunday {premise}.")
STORED = Premise(premise_id="p1", text=PREMISE, source="test")
PARENT = Parent(proposition_id="a1", premise=STORED, hypothesis=FIRST.hypothesis, split="train", other=SECOND)
ANSWERS = [
    PanelAnswer(estimate_id="x", labeler="l", probability=0.123456, reasoning="It may be \u201cso\u201d.\n" * 9),
    PanelAnswer(estimate_id="y", labeler="k", probability=1.0, reasoning=None),
]
EXTRA = {"top_p": 0.1, "chat_template_kwargs": {"enable_thinking": False, "\u00e4": [1, 1e-7, None]}}
PROMPTS: dict[Method, str] = {
    "verbalised": "verbalised",
    "scale20": "scale20",
    "token": "token",
    "mean_of_samples": "scale20",
    "pairwise": "compare",
}


def labeled(method: Method) -> Iterator[Question]:
    samples, temperature = (4, 0.3) if method == "mean_of_samples" else (1, 0.0)
    labeler = Labeler(
        name="l",
        endpoint="e",
        model="org/M-1",
        prompt=PROMPTS[method],
        method=method,
        samples=samples,
        temperature=temperature,
        seed=3,
    )
    if method == "pairwise":
        return comparisons([Pair(first=FIRST, second=SECOND)], labeler)
    return estimates([FIRST], labeler)


def made(kind: DerivedKind | str) -> Iterator[Question]:
    proposer = Proposer(name="p", endpoint="e", model="org/M-1", per_proposition=2, targets=(0.1, 0.9))
    if kind in get_args(DerivedKind):
        return derivations([PARENT], proposer, kind)  # type: ignore[arg-type]
    return proposals([PremiseToPropose(premise=STORED, known={})], proposer)


def judged(mode: JudgeMode) -> Iterator[Question]:
    judge = Judge(name="j", endpoint="e", model="org/M-1", mode=mode, summarise_above=50)
    return verdicts([Disagreement(proposition=FIRST, answers=ANSWERS)], judge)


def odd(number: int) -> Iterator[Question]:
    """Settings that change what is sent."""
    changes: list[dict[str, Any]] = [
        {"omit": ("temperature", "seed", "max_tokens"), "extra": EXTRA},
        {"temperature": None, "seed": None},
        {"temperature": 1, "extra": {"reasoning_effort": "low"}},
    ]
    base: dict[str, Any] = {
        "name": "l",
        "endpoint": "\u00e9",
        "model": "m",
        "prompt": "verbalised",
        "method": "verbalised",
    }
    return estimates([FIRST], Labeler.model_validate(base | changes[number]))


def keys_of(questions: Iterator[Question]) -> list[str]:
    """The keys of all calls, in their order, where no reply but a summary can be read."""
    (question,) = questions
    _, rounds = drive_rounds(
        question, lambda call: gives(summary="Short.") if call.about.prompt == "summarise" else says("")
    )
    return [call.key for calls in rounds for call in calls]


# By the code of commit 28c0804: the number of calls, the keys of the first and the last one.
PINNED: dict[str, tuple[int, str, str]] = {
    "method verbalised": (3, "a09656a43b9e4e269fbed119", "15578220667fd69dcd4e7271"),
    "method scale20": (3, "01885afa88f08ceb0fa37dc7", "4336ab06f7524765a3c4616e"),
    "method token": (1, "eb2de3b36f3ebac5176810b3", "eb2de3b36f3ebac5176810b3"),
    "method mean_of_samples": (4, "7ff62dae504a0889ad45eaaa", "a3aa632c83e019cca88d881c"),
    "method pairwise": (6, "819dc2b4e3a8b0eec317568d", "f5398cd9a6568bfa0e9a3381"),
    "kind proposed": (6, "3b61d9ffcbd02d1a94f3be41", "d8f2ac71b234e548c7a49d4a"),
    "kind strengthened": (3, "a973a8070b329cc3e7f952fd", "ffb69f7c52536f82f3f1da52"),
    "kind weakened": (3, "17f4249d9e8a21c0d89baa34", "741699727441dd1ac1a4a566"),
    "kind negation": (3, "8baef28df2729c34481c9cb3", "ee6a8beb5821a6d3e5ec4bbb"),
    "kind paraphrase": (3, "90af0a3a0a8db5e108108bc3", "144b6a641a2b36939a1cb785"),
    "kind conjunction": (3, "412e59ca6bbd3b81ed92210e", "b17a6ffeddbdbd80dd9dd7dd"),
    "kind rewritten": (3, "51b333f46869f40d9367970a", "9332cec5319cb19fbf8d1cd4"),
    "mode confidence": (4, "53079305029b4c6a3745af95", "a13891b15a38a6957aa419a1"),
    "mode keep_drop": (4, "53079305029b4c6a3745af95", "e0bcf1f9386e67fb1555002d"),
    "settings 0": (3, "00e3a9998ea5f643cc9d1f0a", "9017ac6baa53c5bb1b54846b"),
    "settings 1": (3, "6825757e40cb24fe5b55eb57", "11e91abe9630a5fa3ae447b4"),
    "settings 2": (3, "4c87cc5996625d3578cb3faf", "0bf7a648ddbad77f8e14914b"),
}
QUESTIONS: dict[str, Callable[[], Iterator[Question]]] = {
    **{f"method {each}": partial(labeled, each) for each in get_args(Method)},
    **{f"kind {each}": partial(made, each) for each in ("proposed", *get_args(DerivedKind))},
    **{f"mode {each}": partial(judged, each) for each in get_args(JudgeMode)},
    **{f"settings {each}": partial(odd, each) for each in range(3)},
}


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_reply_that_was_paid_for_is_found_by_later_code(name: str) -> None:
    keys = keys_of(QUESTIONS[name]())
    assert (len(keys), keys[0], keys[-1]) == PINNED[name]


def test_every_prompt_of_the_package_has_a_key_here() -> None:
    asked: set[str] = set()
    for questions in QUESTIONS.values():
        (question,) = questions()
        _, rounds = drive_rounds(question, lambda _: says(""))
        asked |= {call.about.prompt for calls in rounds for call in calls}
    assert asked == set(prompt_names())


def test_a_bare_call_has_the_key_that_it_had() -> None:
    about = About(purpose="elicit", asker="a", subject_id="s", prompt="p", prompt_version="1")
    turns = ({"role": "system", "content": PREMISE}, {"content": "\x00 \U0001f600", "role": "user"})
    bare = Call("e", "m", turns[1:], None, about)
    whole = Call("e", "m", turns, 7, about, 0.30000000000000004, 0, 5, '{"a": [1.0, "\u00e9"]}', EXTRA, 2)
    assert (bare.key, whole.key) == ("df33a5a782687179d4f089e5", "c09051f947598dc90215234a")
