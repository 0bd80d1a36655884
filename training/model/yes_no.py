"""A base as it is, before any fit: the probability that it answers Yes, not No."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

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


@dataclass(frozen=True)
class YesNo:
    """The base of an estimator without its adapter, asked whether hypotheses are true."""

    reader: Estimator

    @classmethod
    def load(
        cls,
        folder: Path,
        device: Device = "auto",
        precision: Precision = "auto",
        *,
        bases: Sequence[str | Path] = (),
    ) -> YesNo:
        """Load the base of the estimator in a folder. See `training.model.estimator.Estimator.load`.

        Raises:
            InputError: the estimator is an encoder or a published checkpoint, or its base is gone or reads Yes and No
                as tokens that begin alike.
        """
        info = read_info(folder)
        if info is None or info.weights.startswith("encoder"):
            raise InputError(f"{folder.name}: only an estimator fitted from a language model has a base to ask")
        base = base_of(folder, info, bases), cache_of(folder, info)
        kept = EstimatorInfo(base=info.base, levels=2, max_length=info.max_length, weights="whole")
        return cls(_reader(*load_base(*base), kept, place_of(device, precision)))

    @classmethod
    def of_language_model(cls, folder: Path, device: Device = "auto", precision: Precision = "auto") -> YesNo:
        """Load a causal language model in Hugging Face format that was not fitted as an estimator.

        Raises:
            InputError: it cannot be loaded, or reads Yes and No as tokens that begin alike.
        """
        model, tokenizer = load_base(folder, folder)
        kept = EstimatorInfo(base=folder.name, levels=2, max_length=most_tokens(model), weights="whole")
        return cls(_reader(model, tokenizer, kept, place_of(device, precision)))

    def answers(self, propositions: Iterable[PropositionText]) -> Iterator[tuple[str, float]]:
        """Yield the id and P(Yes) / (P(Yes) + P(No)) of each proposition that is not too long, in any order."""
        return self.reader.answers(propositions)


def _reader(model: Any, tokenizer: Any, info: EstimatorInfo, place: Place) -> Estimator:
    """Return a language model as an estimator of two levels, No and Yes."""
    network = _YesNoNetwork(model, answer_ids(tokenizer, info.base), trees=reads_trees(model, tokenizer))
    if place.precision == "bf16":
        network.cast_weights(torch.bfloat16)
    return Estimator(network.to(place.device).eval(), tokenizer, info, place)


def answer_ids(tokenizer: Any, base: str) -> list[int]:
    """Return the tokens that No and Yes begin with after the start of the answer."""
    before: list[int] = tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    ids = [tokenizer(ANSWER + word, add_special_tokens=False)["input_ids"] for word in (NO, YES)]
    first = [each[len(before)] for each in ids if each[: len(before)] == before and len(each) > len(before)]
    if len(set(first)) < len(ids):
        raise InputError(f"{base}: its tokens do not tell Yes from No, so it cannot be asked")
    return first
