"""The question that an estimator answers, and its tokens.

The texts are those of Wang et al. 2025 (arXiv 2505.01595), so that their published checkpoints can answer too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError

from warehouse.errors import InputError
from warehouse.records import PropositionText

ANSWER = "### Answer:"


class Encoded(NamedTuple):
    """The prompts of n propositions, ragged: proposition i has `tokens[offsets[i]:offsets[i + 1]]`.

    `rows` [n] are their positions among the given propositions; those whose question alone is too long are left out.
    `truncated` [n] tells whose premise was cut. The last token is the answer position.
    """

    tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the number of tokens of each prompt, [n]."""
        return np.diff(self.offsets)


def question(premise: str, hypothesis: str) -> str:
    """Return the user's turn."""
    return (
        f'### Question: Given the premise "{premise}", how likely is it that the hypothesis "{hypothesis}" is true?\n\n'
    )


def render(tokenizer: Any, premise: str, hypothesis: str) -> str:
    """Return the prompt up to the answer, through the tokenizer's chat template if it has one.

    The answer starts the assistant's turn. If a template has no assistant, or changes its words, the answer follows the
    user's turn.
    """
    user = question(premise, hypothesis)
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


def encode(tokenizer: Any, propositions: Sequence[PropositionText], max_length: int) -> Encoded:
    """Return the prompts as at most `max_length` tokens each.

    The start of a long premise is cut, never its end, where updates stand, and never the question. Control tokens in a
    text are text: they are read character by character, not as tokens.
    """
    controls = _controls(tokenizer)
    prompts = [_pieces(tokenizer, each.premise, each.hypothesis, controls) for each in propositions]
    found: list[list[int]] = []
    rows: list[int] = []
    truncated: list[bool] = []
    for row, tokens in enumerate(_tokens(tokenizer, prompts)):
        short = tokens if len(tokens) <= max_length else _cut(tokenizer, propositions[row], max_length, controls)
        if short is None:
            continue
        found.append(short)
        rows.append(row)
        truncated.append(len(tokens) > max_length)
    return Encoded(
        np.fromiter((token for tokens in found for token in tokens), dtype=np.int32),
        np.concatenate([[0], np.cumsum([len(tokens) for tokens in found], dtype=np.int64)]).astype(np.int64),
        np.array(rows, dtype=np.int64),
        np.array(truncated, dtype=np.bool_),
    )


def join(parts: Sequence[Encoded], counts: Sequence[int]) -> Encoded:
    """Join consecutive parts; `counts` are the numbers of propositions that each was given."""
    starts = np.concatenate([[0], np.cumsum(counts)])
    lengths = np.concatenate([[0], *(part.lengths() for part in parts)])
    return Encoded(
        np.concatenate([np.empty(0, np.int32), *(part.tokens for part in parts)]),
        np.cumsum(lengths).astype(np.int64),
        np.concatenate([np.empty(0, np.int64), *(p.rows + s for p, s in zip(parts, starts[:-1], strict=True))]),
        np.concatenate([np.empty(0, np.bool_), *(part.truncated for part in parts)]),
    )


def _controls(tokenizer: Any) -> re.Pattern[str]:
    """Return a pattern of the added tokens, which a tokenizer finds in any text: turns, ends, levels."""
    added = {token.strip() for token in tokenizer.get_added_vocab()} - {""}
    return re.compile("|".join(map(re.escape, sorted(added, key=len, reverse=True))) or "(?!)")


def _pieces(tokenizer: Any, premise: str, hypothesis: str, controls: re.Pattern[str]) -> list[str]:
    """Return the prompt, cut inside of every control token that its texts contain."""
    prompt = render(tokenizer, premise, hypothesis)
    if not controls.search(premise) and not controls.search(hypothesis):
        return [prompt]
    asked = question(premise, hypothesis).strip()
    start = prompt.find(asked)
    cuts = [start + match.start() + 1 for match in controls.finditer(asked)]
    return [prompt[low:high] for low, high in pairwise([0, *cuts, len(prompt)])]


def _tokens(tokenizer: Any, prompts: Sequence[list[str]]) -> list[list[int]]:
    """Return the tokens of prompts in pieces. Later pieces are rare."""
    if not prompts:
        return []
    special = not tokenizer.chat_template  # a chat template writes its special tokens itself
    result: list[list[int]] = tokenizer([first for first, *_ in prompts], add_special_tokens=special)["input_ids"]
    for tokens, (_, *rest) in zip(result, prompts, strict=True):
        for piece in rest:
            tokens.extend(tokenizer(piece, add_special_tokens=False)["input_ids"])
    return result


def _cut(tokenizer: Any, proposition: PropositionText, max_length: int, controls: re.Pattern[str]) -> list[int] | None:
    """Return the prompt with the longest end of the premise that fits, or None if not even an empty one fits."""
    premise = proposition.premise

    def attempt(characters: int) -> list[int]:
        end = premise[len(premise) - characters :].lstrip()
        return _tokens(tokenizer, [_pieces(tokenizer, end, proposition.hypothesis, controls)])[0]

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
    return best
