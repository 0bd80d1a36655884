"""The keys under which replies are kept: one that moves loses what was paid for, so each kind of call has some here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from synthesis.call import About, Call
from synthesis.panel.settings import DerivedKind, Judge, Labeler, Proposer
from synthesis.prompts.render import AnswerKind
from synthesis.questions.compare import comparisons
from synthesis.questions.derive import derivations
from synthesis.questions.elicit import estimates
from synthesis.questions.judge import verdicts
from synthesis.questions.propose import proposals
from synthesis.questions.question import Question
from tests.synthesis.driving import drive_rounds, gives, says
from warehouse.records import (
    Disagreement,
    JudgeMode,
    LLMMethod,
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
# Prompts of our own: those of the package may change, and their new versions are other requests.
USERS: dict[AnswerKind, str] = {
    "hypotheses": "{premise} {count} {likelihood} {target}",
    "updates": "{premise} {hypothesis} {count}",
    "variants": "{premise} {hypothesis} {count}",
    "conjunction": "{premise} {first} {second}",
    "rewriting": "{premise} {hypothesis}",
    "probability": "{premise} {hypothesis}",
    "scale20": "{premise} {hypothesis}",
    "yes_no": "{premise} {hypothesis}",
    "which": "{premise} {hypothesis} {other_premise} {other_hypothesis}",
    "confidences": "{premise} {hypothesis} {answers} {count}",
    "keep_drop": "{premise} {hypothesis} {answers} {count}",
    "summary": "{premise} {hypothesis} {reasoning}",
}
ANSWER_OF_METHOD: dict[LLMMethod, AnswerKind] = {
    "verbalised": "probability",
    "scale20": "scale20",
    "token": "yes_no",
    "mean_of_samples": "scale20",
    "pairwise": "which",
}
ANSWER_OF_KIND: dict[DerivedKind, AnswerKind] = {
    "strengthened": "updates",
    "weakened": "updates",
    "negation": "variants",
    "paraphrase": "variants",
    "conjunction": "conjunction",
    "rewritten": "rewriting",
}
ANSWER_OF_MODE: dict[JudgeMode, AnswerKind] = {"confidence": "confidences", "keep_drop": "keep_drop"}
Ask = Callable[[Path], Iterator[Question]]


def prompt(folder: Path, answer: AnswerKind) -> str:
    """The path of a prompt that is answered in this way."""
    user = USERS[answer]
    schema = {"type": "object", "properties": {"\u00e4": {"type": "number", "maximum": 1.0}, "a": {"enum": ["\u201e"]}}}
    example = ", ".join(f'{name} = "Example {name}."' for name in re.findall(r"\{(\w+)\}", user))
    path = folder / f"{answer}.toml"
    path.write_text(
        f'name = "{answer}"\nversion = 1\ndescription = "d"\nanswer = "{answer}"\n'
        f'system = \'Say \u201eyes\u201c, "no".\'\nuser = "{user}"\n'
        + ("" if answer == "yes_no" else f"json_schema = '{json.dumps(schema, ensure_ascii=False)}'\n")
        + f"[[examples]]\nvalues = {{ {example} }}\n"
        "reply = 'A reply \\ \"so\".'\n",
        encoding="utf-8",
    )
    return str(path)


def labeled(method: LLMMethod, folder: Path) -> Iterator[Question]:
    samples, temperature = (4, 0.3) if method == "mean_of_samples" else (1, 0.0)
    labeler = Labeler(
        name="l",
        endpoint="e",
        model="org/M-1",
        prompt=prompt(folder, ANSWER_OF_METHOD[method]),
        method=method,
        samples=samples,
        temperature=temperature,
        seed=3,
    )
    if method == "pairwise":
        return comparisons([Pair(first=FIRST, second=SECOND)], labeler)
    return estimates([FIRST], labeler)


def proposed(folder: Path) -> Iterator[Question]:
    proposer = Proposer(
        name="p", endpoint="e", model="org/M-1", prompt=prompt(folder, "hypotheses"), targets=(0.1, 0.9)
    )
    return proposals([PremiseToPropose(premise=STORED, known={})], proposer)


def derived(kind: DerivedKind, folder: Path) -> Iterator[Question]:
    prompts = {kind: prompt(folder, ANSWER_OF_KIND[kind])}
    proposer = Proposer(name="p", endpoint="e", model="org/M-1", per_proposition=2, prompts=prompts)
    return derivations([PARENT], proposer, kind)


def judged(mode: JudgeMode, folder: Path) -> Iterator[Question]:
    judge = Judge(
        name="j",
        endpoint="e",
        model="org/M-1",
        mode=mode,
        summarise_above=50,
        prompt=prompt(folder, ANSWER_OF_MODE[mode]),
        summary_prompt=prompt(folder, "summary"),
    )
    return verdicts([Disagreement(proposition=FIRST, answers=ANSWERS)], judge)


def odd(number: int, folder: Path) -> Iterator[Question]:
    """Settings that change what is sent."""
    changes: list[dict[str, Any]] = [
        {"omit": ("temperature", "seed", "max_tokens"), "extra": EXTRA},
        {"temperature": None, "seed": None},
        {"temperature": 1, "extra": {"reasoning_effort": "low"}},
    ]
    path = prompt(folder, "probability")
    base: dict[str, Any] = {"name": "l", "endpoint": "\u00e9", "model": "m", "prompt": path, "method": "verbalised"}
    return estimates([FIRST], Labeler.model_validate(base | changes[number]))


def keys_of(questions: Iterator[Question]) -> list[str]:
    """The keys of the first and last call of the first round, and of the first call of the second.

    No reply but a summary can be read, so that the second round is another try, or what follows the summaries.
    """
    (question,) = questions
    _, (first, *others) = drive_rounds(
        question, lambda call: gives(summary="Short.") if call.about.prompt == "summary" else says("")
    )
    return [call.key for call in (first[0], first[-1], *(calls[0] for calls in others[:1]))]


# By the code of commit 28c0804.
PINNED: dict[str, list[str]] = {
    "method verbalised": ["5df7c1e9bf7bad0fef224b5c", "5df7c1e9bf7bad0fef224b5c", "10d5aeee1c1cfde52a173f58"],
    "method scale20": ["e925942fad3d5985d95103ba", "e925942fad3d5985d95103ba", "22a8d19b21162371950824ef"],
    "method token": ["75e4a972218079db6382a05c", "75e4a972218079db6382a05c"],
    "method mean_of_samples": ["2c5f999c75c19385c23eebe1", "316a108622f729ab6ffee336"],
    "method pairwise": ["bd0739be346b1a5088f1b691", "b452476d5c670e85a7c1f79b", "0345cae7ef393742b02e183f"],
    "kind proposed": ["151ef007785a10661f9e5d82", "2cfac8f5db65fb77072ab1b8", "9f00074d2b93a053c8de2ee4"],
    "kind strengthened": ["fd4c31aa82cf6c435c0eff21", "fd4c31aa82cf6c435c0eff21", "f4d916920cfdf946fb4d436a"],
    "kind weakened": ["538f9846dad52e9b2bae664d", "538f9846dad52e9b2bae664d", "1dbd3d9a1675f9e73da844eb"],
    "kind negation": ["26d1dadd7b6e9d4a2d3374f1", "26d1dadd7b6e9d4a2d3374f1", "d92f1636668f8daa1707fbc4"],
    "kind paraphrase": ["6905448155eea90a7f33afa7", "6905448155eea90a7f33afa7", "a3c41d515b8bba1fcce2a942"],
    "kind conjunction": ["951823bc025de9a21994adf8", "951823bc025de9a21994adf8", "097278318002e230afb3da77"],
    "kind rewritten": ["e471e564fc1edb35f180f1fe", "e471e564fc1edb35f180f1fe", "f0d6fe13e319fed13991a61e"],
    "mode confidence": ["24947586ec660db6f92eecf1", "24947586ec660db6f92eecf1", "704331240b2b3a6a0336045e"],
    "mode keep_drop": ["24947586ec660db6f92eecf1", "24947586ec660db6f92eecf1", "b7e86962d01c67b920115d09"],
    "settings 0": ["8b61018201f7b763cfe5dafe", "8b61018201f7b763cfe5dafe", "cd0f416733d6cb8d15bc7e15"],
    "settings 1": ["7259f69a55e04d456f48356e", "7259f69a55e04d456f48356e", "37c57a9744d378a199309445"],
    "settings 2": ["98616dc1ea1a450a73ef134a", "98616dc1ea1a450a73ef134a", "3538307a63886cec23b2616e"],
}
# Another sample of a mean in place of one that cannot be read came later: only its first round is old.
FIRST_ROUND = ("method mean_of_samples", "method token")
QUESTIONS: dict[str, Ask] = {
    **{f"method {each}": partial(labeled, each) for each in get_args(LLMMethod)},
    "kind proposed": proposed,
    **{f"kind {each}": partial(derived, each) for each in get_args(DerivedKind)},
    **{f"mode {each}": partial(judged, each) for each in get_args(JudgeMode)},
    **{f"settings {each}": partial(odd, each) for each in range(3)},
}


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_reply_that_was_paid_for_is_found_by_later_code(tmp_path: Path, name: str) -> None:
    keys = keys_of(QUESTIONS[name](tmp_path))
    assert keys[: 2 if name in FIRST_ROUND else 3] == PINNED[name]


def test_every_answer_that_a_prompt_may_want_has_a_key_here() -> None:
    answers = {*ANSWER_OF_METHOD.values(), *ANSWER_OF_KIND.values(), *ANSWER_OF_MODE.values(), "hypotheses", "summary"}
    assert answers == set(USERS) == set(get_args(AnswerKind))


def test_a_bare_call_has_the_key_that_it_had() -> None:
    about = About(purpose="elicit", labeler="a", subject_id="s", prompt="p", prompt_version="1")
    turns = ({"role": "system", "content": PREMISE}, {"content": "\x00 \U0001f600", "role": "user"})
    bare = Call("e", "m", turns[1:], None, about)
    whole = Call("e", "m", turns, 7, about, 0.30000000000000004, 0, 5, '{"a": [1.0, "\u00e9"]}', EXTRA, 2)
    assert (bare.key, whole.key) == ("df33a5a782687179d4f089e5", "c09051f947598dc90215234a")
