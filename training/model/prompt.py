"""The question that an estimator answers, and its tokens.

The texts are those of Wang et al. 2025 (arXiv 2505.01595), so that their published checkpoints can answer too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError

from warehouse.errors import InputError
from warehouse.records import PropositionText

ANSWER = "### Answer:"
Ask = Callable[[str, str], str]
"""Writes the user's turn from a premise and a hypothesis."""


class Encoded(NamedTuple):
    """The prompts of n propositions, ragged: proposition i has `tokens[offsets[i]:offsets[i + 1]]`.

    `rows` [n] are their positions among the given propositions; those whose question alone is too long are left out.
    `truncated` [n] tells whose premise was cut. The last token is the answer position.
    """

    tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, found: Iterable[tuple[list[int], bool] | None]) -> Encoded:
        """Return the prompts from the tokens of each and whether its premise was cut; None leaves one out."""
        kept = [(row, *each) for row, each in enumerate(found) if each is not None]
        tokens = [tokens for _, tokens, _ in kept]
        return cls(
            np.fromiter(chain.from_iterable(tokens), dtype=np.int32),
            np.concatenate([[0], np.cumsum([len(each) for each in tokens], dtype=np.int64)]).astype(np.int64),
            np.array([row for row, *_ in kept], dtype=np.int64),
            np.array([cut for *_, cut in kept], dtype=np.bool_),
        )

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the number of tokens of each prompt, [n]."""
        return np.diff(self.offsets)

    def prompts(self) -> list[npt.NDArray[np.int32]]:
        """Return the tokens of each prompt."""
        return np.split(self.tokens, self.offsets[1:-1]) if len(self.rows) else []


def question(premise: str, hypothesis: str) -> str:
    """Return the user's turn."""
    return (
        f'### Question: Given the premise "{premise}", how likely is it that the hypothesis "{hypothesis}" is true?\n\n'
    )


def yes_no_question(premise: str, hypothesis: str) -> str:
    """Return the user's turn of a question that a base answers with Yes or No without being fitted."""
    return f'### Question: Given the premise "{premise}", is the hypothesis "{hypothesis}" true? Answer Yes or No.\n\n'


def render(tokenizer: Any, premise: str, hypothesis: str, ask: Ask = question) -> str:
    """Return the prompt up to the answer, through the tokenizer's chat template if it has one.

    The answer starts the assistant's turn. If a template has no assistant, or changes its words, the answer follows the
    user's turn.
    """
    user = ask(premise, hypothesis)
    if not tokenizer.chat_template:
        return user + ANSWER
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": ANSWER}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, continue_final_message=True))
        if text.endswith(ANSWER):
            return text
    except (TemplateError, ValueError):
        pass
    return str(tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)) + ANSWER


def check_template(tokenizer: Any, base: str) -> None:
    """Raise `InputError` if the tokenizer's chat template fails, or omits the question."""
    premise, hypothesis = "A dog barks.", "It is awake."
    try:
        text = render(tokenizer, premise, hypothesis)
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{base}: its chat template cannot be used: {reason}") from error
    if question(premise, hypothesis).strip() not in text:
        raise InputError(f"{base}: its chat template omits or changes the question; use another base")


def encode(tokenizer: Any, propositions: Sequence[PropositionText], max_length: int, ask: Ask = question) -> Encoded:
    """Return the prompts as at most `max_length` tokens each.

    The start of a long premise is cut, never its end, where updates stand, and never the question. Control tokens in a
    text are text: they are read character by character, not as tokens.
    """
    writer = _Writer(tokenizer, ask)
    texts = [(each.premise, each.hypothesis) for each in propositions]
    return Encoded.of(
        (tokens, False) if len(tokens) <= max_length else _cut(writer, proposition, max_length)
        for tokens, proposition in zip(writer.tokens(texts), propositions, strict=True)
    )


class _Writer:
    """Writes prompts as tokens. The chat template is rendered once, since what surrounds the texts never changes."""

    def __init__(self, tokenizer: Any, ask: Ask) -> None:
        self._tokenizer = tokenizer
        self._ask = ask
        self._controls = _controls(tokenizer)
        self._frame = _frame(tokenizer, ask)
        self._special = not tokenizer.chat_template  # a chat template writes its special tokens itself

    def tokens(self, texts: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Return the tokens of the prompt of each premise and hypothesis."""
        if not texts:
            return []
        prompts = [self._pieces(premise, hypothesis) for premise, hypothesis in texts]
        result = self._read([first for first, *_ in prompts], special=self._special)
        for tokens, (_, *rest) in zip(result, prompts, strict=True):
            for piece in rest:  # rare
                tokens.extend(*self._read([piece], special=False))
        return result

    def _read(self, texts: list[str], *, special: bool) -> list[list[int]]:
        """Tokenise on all cores; the tokenizer's own call would also compute the place of each token in the text."""
        if not self._tokenizer.is_fast:
            found: list[list[int]] = self._tokenizer(texts, add_special_tokens=special)["input_ids"]
            return found
        backend = self._tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        return [each.ids for each in backend.encode_batch_fast(texts, add_special_tokens=special)]

    def _pieces(self, premise: str, hypothesis: str) -> list[str]:
        """Return the prompt, cut inside of every control token that its texts contain."""
        if self._frame is None:
            prompt = render(self._tokenizer, premise, hypothesis, self._ask)
        else:
            before, between, after = self._frame
            prompt = f"{before}{premise}{between}{hypothesis}{after}"
        if not self._controls.search(premise) and not self._controls.search(hypothesis):
            return [prompt]
        asked = self._ask(premise, hypothesis).strip()
        start = prompt.find(asked)
        cuts = [start + match.start() + 1 for match in self._controls.finditer(asked)]
        return [prompt[low:high] for low, high in pairwise([0, *cuts, len(prompt)])]


def _frame(tokenizer: Any, ask: Ask) -> tuple[str, str, str] | None:
    """Return what stands before the premise, between the texts and after them; None if it depends on the texts."""
    texts = ("\ue000", "\ue001")
    before, _, rest = render(tokenizer, *texts, ask).partition(texts[0])
    between, _, after = rest.partition(texts[1])
    for premise, hypothesis in (("A dog barks.", "It is awake."), ("  X\n", "Y  ")):
        if render(tokenizer, premise, hypothesis, ask) != f"{before}{premise}{between}{hypothesis}{after}":
            return None
    return before, between, after


def _controls(tokenizer: Any) -> re.Pattern[str]:
    """Return a pattern of the added tokens, which a tokenizer finds in any text: turns, ends, levels."""
    added = {token.strip() for token in tokenizer.get_added_vocab()} - {""}
    return re.compile("|".join(map(re.escape, sorted(added, key=len, reverse=True))) or "(?!)")


def _cut(writer: _Writer, proposition: PropositionText, max_length: int) -> tuple[list[int], bool] | None:
    """Return the prompt with the longest end of the premise that fits, and True; None if not even an empty one fits."""
    premise = proposition.premise

    def attempt(characters: int) -> list[int]:
        end = premise[len(premise) - characters :].lstrip()
        return writer.tokens([(end, proposition.hypothesis)])[0]

    best = attempt(0)
    if len(best) > max_length:
        return None
    fits, over = 0, len(premise)
    while over - fits > 1:
        middle = (fits + over) // 2
        tokens = attempt(middle)
        if len(tokens) <= max_length:
            fits, best = middle, tokens
        else:
            over = middle
    return best, True
