"""The estimator: a network that answers propositions with a distribution over levels, with its tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from training.levels import Floats
from training.model.calibration import Calibration, read_calibration, write_calibration
from training.model.device import Place, place_of
from training.model.encoder import PairEncoder
from training.model.network import Network
from training.model.packing import Batch, Indices, Packed, Tokens, one_per_row, pack, parts, shares, walk
from training.model.prompt import Encoded
from training.model.saved import EstimatorInfo, as_whole, read_saved, write_saved
from training.model.scores import ScoredBatch, Scores, scores_of
from training.model.seen import copy_seen
from training.model.texts import too_long
from training.settings import Device, Precision
from warehouse.records import Drop, PropositionText

TOKENS_AT_ONCE = {"cpu": 1024, "cuda": 65_536}
"""How many tokens go through the model at once, with what prompts share counted once."""
_WINDOW = 4096  # propositions whose prompts are sorted together


@dataclass(frozen=True)
class Estimator:
    """A network with its tokenizer, on a device, and what was calibrated on dev after its fit.

    >>> Estimator.load("path/to/estimator").score([("It rains.", "The street is wet.")]).scores
    array([0.91])
    """

    network: Network | PairEncoder
    tokenizer: Any
    info: EstimatorInfo
    place: Place
    calibration: Calibration | None = None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: Device = "auto",
        precision: Precision = "auto",
        *,
        bases: Sequence[str | Path] = (),
    ) -> Estimator:
        """Load an estimator to score with.

        Args:
            folder: A folder that `odds train` wrote (`odds status` shows it), or a published checkpoint in Hugging
                Face format that has level tokens.
            device: "cpu", "cuda", or "auto": the GPU if there is one.
            precision: "bf16", "fp32", or "auto": bf16 where the device gains by it.
            bases: Where else to look for the base if it has moved.

        Raises:
            InputError: the folder or its base is missing or cannot be used.
        """
        network, tokenizer, info = read_saved(Path(folder), bases)
        calibration = read_calibration(Path(folder))
        return cls.to_score(network, tokenizer, info, place_of(device, precision), calibration)

    @classmethod
    def to_score(
        cls,
        network: Network | PairEncoder,
        tokenizer: Any,
        info: EstimatorInfo,
        place: Place,
        calibration: Calibration | None = None,
    ) -> Estimator:
        """Return an estimator to score with: on the device of a place, its weights in the precision of it."""
        if place.precision == "bf16":
            network.cast_weights(torch.bfloat16)
        return cls(network.to(place.device).eval(), tokenizer, info, place, calibration)

    @property
    def device(self) -> torch.device:
        """Where the model and its inputs are."""
        return self.place.device

    @property
    def level_ids(self) -> torch.Tensor:
        """The level tokens [K] in order."""
        return self.network.head.level_ids

    def score(self, propositions: Iterable[tuple[str, str]], tokens_at_once: int | None = None) -> Scores:
        """Score (premise, hypothesis) pairs.

        Args:
            propositions: n pairs of texts.
            tokens_at_once: How many tokens go through the model at once; by default as many as suit the device.

        Returns:
            Scores, distributions and intervals in the order of the pairs. The end of a premise is kept if a pair is
            too long; a pair whose hypothesis alone is too long has NaN.
        """
        texts = [
            PropositionText(proposition_id=str(row), premise=premise, hypothesis=hypothesis)
            for row, (premise, hypothesis) in enumerate(propositions)
        ]
        levels = np.full((len(texts), self.info.levels), np.nan)
        for batch in self.score_stream(texts, tokens_at_once):
            levels[[int(row) for row in batch.proposition_ids]] = batch.level_probabilities
        return scores_of(levels, self.calibration)

    def score_stream(
        self, propositions: Iterable[PropositionText], tokens_at_once: int | None = None
    ) -> Iterator[ScoredBatch]:
        """Score propositions batch by batch. Prompts that begin alike go together, so order is not kept.

        Memory does not grow with the number of propositions.
        """
        stream, most = iter(propositions), self.info.max_length
        while window := list(islice(stream, _WINDOW)):
            encoded = self.encode(window)
            drops = tuple(too_long(window, encoded, most, "score"))
            prompts = encoded.prompts()
            for indices in self._parts(prompts, tokens_at_once or TOKENS_AT_ONCE[self.device.type]):
                distribution = self.level_distribution(self.batch([prompts[index] for index in indices]).batch)
                ids = tuple(window[row].proposition_id for row in encoded.rows[indices])
                yield self._scored(distribution, ids, encoded.truncated[indices], drops)
                drops = ()
            if drops:
                yield self._scored(np.empty((0, self.info.levels)), (), np.empty(0, np.bool_), drops)

    def answers(self, propositions: Iterable[PropositionText]) -> Iterator[tuple[str, float]]:
        """Yield the id and the share of the highest level of each proposition that is not too long, in any order.

        Of a reader of two levels, false and true, that is its probability.
        """
        for batch in self.score_stream(propositions):
            yield from zip(batch.proposition_ids, batch.level_probabilities[:, -1].tolist(), strict=True)

    def encode(self, propositions: Sequence[PropositionText]) -> Encoded:
        """Return the prompts of propositions, as at most as many tokens as the estimator reads."""
        return self.network.encode(self.tokenizer, propositions, self.info.max_length)

    def batch(self, prompts: Sequence[Tokens]) -> Packed:
        """Return prompts as a batch on the device, in the form that the base can read."""
        return (pack if self.network.trees else one_per_row)(prompts, self.device)

    @torch.inference_mode()
    def level_distribution(self, batch: Batch) -> Floats:
        """Return the distributions [n, K]: softmax(z/T) over the K level logits z at the answer positions."""
        self.network.eval()
        with self.autocast():
            logits = self.network(batch, levels_only=True)
        result: Floats = torch.softmax(logits.double() / self.info.temperature, dim=-1).cpu().numpy()
        return result

    def autocast(self) -> torch.autocast:
        """Return the context in which the model runs at its precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.place.precision == "bf16")

    def save(self, folder: Path) -> None:
        """Write the estimator into an existing folder."""
        write_saved(self.network, self.tokenizer, self.info, folder)
        write_calibration(self.calibration, folder)

    def _scored(
        self, distribution: Floats, ids: tuple[str, ...], truncated: npt.NDArray[np.bool_], drops: tuple[Drop, ...]
    ) -> ScoredBatch:
        found = vars(scores_of(distribution, self.calibration))
        return ScoredBatch(**found, proposition_ids=ids, truncated=truncated, drops=drops)

    def _parts(self, prompts: list[Tokens], most: int) -> Iterator[Indices]:
        """Yield the indices of prompts that go together, those that begin alike next to each other."""
        if not self.network.trees:
            longest_first = np.argsort([-len(prompt) for prompt in prompts], kind="stable")
            for part in parts([len(prompts[index]) for index in longest_first], most):
                yield longest_first[part]
            return
        order = walk(prompts)
        sizes = [len(prompts[index]) - known for index, known in zip(order, shares(prompts, order), strict=True)]
        for part in parts(sizes, most):
            yield np.array(order[part], dtype=np.int64)


def write_merged(folder: Path, existing: Path, bases: Sequence[str | Path] = ()) -> tuple[Any, EstimatorInfo]:
    """Write the estimator in `folder` as whole weights into an existing folder, a model in plain Hugging Face format.

    `AutoModelForCausalLM.from_pretrained(existing)` loads it, any server can serve it; it answers with a level token.
    An encoder is copied; `AutoModel.from_pretrained(existing)` loads it without its head.

    Returns:
        The tokenizer and the description of the estimator.
    """
    network, tokenizer, info = read_saved(folder, bases)
    whole = as_whole(info)
    write_saved(network, tokenizer, whole, existing)
    write_calibration(read_calibration(folder), existing)
    copy_seen(folder, existing)
    return tokenizer, whole
