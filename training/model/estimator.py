"""The estimator: a causal language model with one token per level, read only at the answer position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.levels import Floats, expectation
from training.model.batches import Batch, collate, sorted_batches, too_long
from training.model.device import Place, place_of
from training.model.level_tokens import level_ids
from training.model.prompt import encode
from training.model.saved import EstimatorInfo, read_saved, write_saved
from training.settings import Device, Precision
from warehouse.atomic import atomic_folder
from warehouse.records import Drop, PropositionText

_SORTED_TOGETHER = 32  # batches


@dataclass(frozen=True)
class Scores:
    """The scores [n] in [0, 1] of n propositions and their distributions [n, K] over the levels."""

    scores: Floats
    level_probabilities: Floats


@dataclass(frozen=True)
class ScoredBatch(Scores):
    """The scores of one batch, with the ids of its propositions.

    `truncated` counts premises that were cut; `drops` are propositions whose question alone was too long to score.
    """

    proposition_ids: tuple[str, ...]
    truncated: int
    drops: tuple[Drop, ...]


@dataclass(frozen=True)
class Estimator:
    """A model with its tokenizer. `level_ids` [K] are the level tokens in order, on the model's device.

    >>> Estimator.load("path/to/estimator").score([("It rains.", "The street is wet.")]).scores
    array([0.91])
    """

    model: Any
    tokenizer: Any
    level_ids: torch.Tensor
    info: EstimatorInfo
    place: Place

    @classmethod
    def load(cls, folder: str | Path, device: Device = "auto", precision: Precision = "auto") -> Estimator:
        """Load an estimator to score with.

        Args:
            folder: A folder that `odds train` wrote (`odds status` shows it), or a published checkpoint in Hugging
                Face format that has level tokens.
            device: "cpu", "cuda", or "auto": the GPU if there is one.
            precision: "bf16", "fp32", or "auto": bf16 where the device computes in it.

        Raises:
            InputError: the folder or its base is missing or cannot be used.
        """
        model, tokenizer, info = read_saved(Path(folder))
        return cls.of(model.eval(), tokenizer, info, device, precision)

    @classmethod
    def of(cls, model: Any, tokenizer: Any, info: EstimatorInfo, device: Device, precision: Precision) -> Estimator:
        """Put a model with level tokens on a device."""
        place = place_of(device, precision)
        ids = torch.tensor(level_ids(tokenizer, info.levels), device=place.device)
        return cls(model.to(place.device), tokenizer, ids, info, place)

    @property
    def device(self) -> torch.device:
        """Where the model and its inputs are."""
        return self.place.device

    def score(self, propositions: Iterable[tuple[str, str]], batch_size: int = 16) -> Scores:
        """Score (premise, hypothesis) pairs.

        Args:
            propositions: n pairs of texts.
            batch_size: How many go through the model at once.

        Returns:
            Scores [n] and distributions [n, K] in the order of the pairs. The end of a premise is kept if a pair is
            too long; a pair whose hypothesis alone is too long has NaN.
        """
        texts = [
            PropositionText(proposition_id=str(row), premise=premise, hypothesis=hypothesis)
            for row, (premise, hypothesis) in enumerate(propositions)
        ]
        scores, levels = np.full(len(texts), np.nan), np.full((len(texts), self.info.levels), np.nan)
        for batch in self.score_stream(texts, batch_size):
            rows = [int(row) for row in batch.proposition_ids]
            scores[rows], levels[rows] = batch.scores, batch.level_probabilities
        return Scores(scores, levels)

    def score_stream(self, propositions: Iterable[PropositionText], batch_size: int = 16) -> Iterator[ScoredBatch]:
        """Score propositions batch by batch. Prompts of similar length go together, so order is not kept.

        Memory does not grow with the number of propositions.
        """
        stream, most = iter(propositions), self.info.max_length
        while window := list(islice(stream, batch_size * _SORTED_TOGETHER)):
            encoded = encode(self.tokenizer, window, most)
            drops = tuple(too_long(window, encoded, most, "score"))
            for indices in sorted_batches(encoded.lengths(), batch_size):
                batch = collate(encoded, indices, self.tokenizer.pad_token_id, self.device)
                distribution = self.level_distribution(batch)
                ids = tuple(window[row].proposition_id for row in encoded.rows[indices])
                cut = int(encoded.truncated[indices].sum())
                yield ScoredBatch(expectation(distribution), distribution, ids, cut, drops)
                drops = ()
            if drops:
                yield ScoredBatch(np.empty(0), np.empty((0, self.info.levels)), (), 0, drops)

    @torch.inference_mode()
    def level_distribution(self, batch: Batch) -> Floats:
        """Return the distributions [batch, K]: softmax(z/T) over the K level logits z at the answer position."""
        self.model.eval()
        with self.autocast():
            logits = answer_logits(self.model, batch)[:, self.level_ids]
        result: Floats = torch.softmax(logits.double() / self.info.temperature, dim=-1).cpu().numpy()
        return result

    def autocast(self) -> torch.autocast:
        """Return the context in which the model runs at its precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.place.precision == "bf16")

    def save(self, folder: Path) -> None:
        """Write the estimator into an existing folder."""
        write_saved(self.model, self.tokenizer, self.info, folder)


def answer_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Return the logits [batch, vocab] at the answer position in float32; the output matrix sees no other position."""
    output = model(**batch._asdict(), logits_to_keep=1, use_cache=False)
    logits: torch.Tensor = output.logits[:, -1].float()
    return logits


def merge_estimator(folder: Path, out_dir: Path) -> None:
    """Write the estimator in `folder` as whole weights into `out_dir`, a model in plain Hugging Face format.

    `AutoModelForCausalLM.from_pretrained(out_dir)` loads it, any server can serve it; it answers with a level token.
    """
    estimator = Estimator.load(folder, device="cpu", precision="fp32")
    model = estimator.model.merge_and_unload() if estimator.info.weights == "adapter" else estimator.model
    info = estimator.info.model_copy(update={"weights": "whole"})
    with atomic_folder(out_dir) as scratch:
        replace(estimator, model=model, info=info).save(scratch)
