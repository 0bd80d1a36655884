"""Scoring: an estimator's score and level distribution for propositions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import torch

from training.levels import Floats, expectation
from training.model.batches import Batch, collate, sorted_batches, texts, too_long
from training.model.estimator import Estimator, answer_logits, autocast
from training.model.prompt import encode
from warehouse.records import Drop, PropositionText

_SORTED_TOGETHER = 32  # batches


@dataclass(frozen=True)
class Scores:
    """The scores [n] in [0, 1] and the level distributions [n, K] of some propositions, joined by id.

    `truncated` counts those whose premise was cut; `drops` are those whose question alone was too long to score.
    """

    proposition_ids: tuple[str, ...]
    scores: Floats
    level_probabilities: Floats
    truncated: int
    drops: tuple[Drop, ...]


def score(
    estimator: Estimator, propositions: Iterable[PropositionText] | pa.Table, batch_size: int = 16
) -> Iterator[Scores]:
    """The scores of the propositions, a batch at a time. Prompts of similar length go together, so order is not kept.

    A table has the columns proposition_id, premise and hypothesis. Memory does not grow with the propositions.
    """
    stream = texts(propositions) if isinstance(propositions, pa.Table) else iter(propositions)
    while window := list(islice(stream, batch_size * _SORTED_TOGETHER)):
        encoded = encode(estimator.tokenizer, window, estimator.card.max_length)
        drops = tuple(too_long(window, encoded, estimator.card.max_length, "score"))
        for indices in sorted_batches(encoded.lengths(), batch_size):
            batch = collate(encoded, indices, estimator.tokenizer.pad_token_id, estimator.device)
            distribution = level_distribution(estimator, batch)
            yield Scores(
                proposition_ids=tuple(window[row].proposition_id for row in encoded.rows[indices]),
                scores=expectation(distribution),
                level_probabilities=distribution,
                truncated=int(encoded.truncated[indices].sum()),
                drops=drops,
            )
            drops = ()
        if drops:
            yield Scores((), np.empty(0), np.empty((0, estimator.card.levels)), 0, drops)


@torch.inference_mode()
def level_distribution(estimator: Estimator, batch: Batch) -> Floats:
    """The level distributions [batch, K]: the softmax over the K level logits at the answer position."""
    estimator.model.eval()
    with autocast(estimator):
        logits = answer_logits(estimator.model, batch)[:, estimator.level_ids]
    result: Floats = torch.softmax(logits.double(), dim=-1).cpu().numpy()
    return result
