"""Level tokens: the K tokens that an estimator answers with, added to a base model and counted in a tokenizer."""

from __future__ import annotations

from typing import Any

from training.levels import level_token
from training.model.base import add_rows
from warehouse.errors import InputError


def add_levels(model: Any, tokenizer: Any, levels: int, seed: int) -> list[int]:
    """Add the level tokens that a model and its tokenizer lack, and return the ids of all K.

    A new row of the embedding (and of an untied output matrix) is the mean row plus a little noise that depends only on
    `seed`.

    Raises:
        InputError: the model has more levels already, or its tokenizer takes no new tokens.
    """
    if (found := count_levels(tokenizer)) > levels:
        raise InputError(f"the base model already answers in {found} levels; set levels to {found}, not {levels}")
    missing = [level_token(level) for level in range(found, levels)]
    if missing:
        tokenizer.add_tokens(missing)
        if count_levels(tokenizer) != levels:
            raise InputError("the base model's tokenizer cannot add the tokens that the levels need; use another base")
        add_rows(model, tokenizer, missing, seed)
    return level_ids(tokenizer, levels)


def count_levels(tokenizer: Any) -> int:
    """Return how many level tokens, counted from level 0, a tokenizer has."""
    present = tokenizer.get_vocab()
    levels = 0
    while level_token(levels) in present:
        levels += 1
    return levels


def level_ids(tokenizer: Any, levels: int) -> list[int]:
    """Return the ids of the level tokens, in order."""
    return [int(tokenizer.convert_tokens_to_ids(level_token(level))) for level in range(levels)]
