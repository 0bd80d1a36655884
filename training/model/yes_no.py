"""A base as it is, before any fit: the probability that it answers Yes, not No."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.model.base import load_base, most_tokens, reads_trees
from training.model.device import Place, place_of
from training.model.estimator import Estimator
from training.model.network import Network
from training.model.prompt import ANSWER, Encoded, encode, yes_no_question
from training.model.saved import EstimatorInfo, base_of, cache_of, read_info
from training.settings import Device, Precision
from warehouse.errors import InputError
from warehouse.records import PropositionText

NO, YES = " No", " Yes"


class _YesNoNetwork(Network):
    """A base that is read at the tokens of No and Yes, as an estimator is at its levels."""

    @staticmethod
    def encode(tokenizer: Any, propositions: Sequence[PropositionText], max_length: int) -> Encoded:
        """Return the prompts of propositions."""
        return encode(tokenizer, propositions, max_length, yes_no_question)


def load_yes_no_base(
    folder: Path, device: Device = "auto", precision: Precision = "auto", *, bases: Sequence[str | Path] = ()
) -> Estimator:
    """Load the base of the estimator in a folder, without its adapter; `answers` gives P(Yes) / (P(Yes) + P(No)).

    See `training.model.estimator.Estimator.load`.

    Raises:
        InputError: the estimator is an encoder or a published checkpoint, or its base is gone or reads Yes and No
            as tokens that begin alike.
    """
    info = read_info(folder)
    if info is None or info.weights.startswith("encoder"):
        raise InputError(f"{folder.name}: only an estimator fitted from a language model has a base to ask")
    base = load_base(base_of(folder, info, bases), cache_of(folder, info))
    return _reader(*base, info.base, info.max_length, place_of(device, precision))


def load_yes_no(folder: Path, device: Device = "auto", precision: Precision = "auto") -> Estimator:
    """Load a causal language model in Hugging Face format that was not fitted, to be asked in the same way.

    Raises:
        InputError: it cannot be loaded, or reads Yes and No as tokens that begin alike.
    """
    model, tokenizer = load_base(folder, folder)
    return _reader(model, tokenizer, folder.name, most_tokens(model), place_of(device, precision))


def _reader(model: Any, tokenizer: Any, name: str, most: int, place: Place) -> Estimator:
    """Return a language model as an estimator of two levels, No and Yes."""
    network = _YesNoNetwork(model, answer_ids(tokenizer, name), trees=reads_trees(model, tokenizer))
    info = EstimatorInfo(base=name, levels=2, max_length=most, weights="whole")
    return Estimator.to_score(network, tokenizer, info, place)


def answer_ids(tokenizer: Any, base: str) -> list[int]:
    """Return the tokens that No and Yes begin with after the start of the answer."""
    before: list[int] = tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    ids = [tokenizer(ANSWER + word, add_special_tokens=False)["input_ids"] for word in (NO, YES)]
    first = [each[len(before)] for each in ids if each[: len(before)] == before and len(each) > len(before)]
    if len(set(first)) < len(ids):
        raise InputError(f"{base}: its tokens do not tell Yes from No, so it cannot be asked")
    return first
