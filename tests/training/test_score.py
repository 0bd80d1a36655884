from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.estimator import Base, shard_table
from tests.training.test_estimator import LEVELS, estimator
from training.model.batches import texts
from training.score import score
from warehouse.records import PropositionText


def test_batched_and_padded_scores_are_the_one_by_one_scores(tiny_base: Base) -> None:
    subject = estimator(tiny_base, disturb=True)
    together = {
        key: value
        for batch in score(subject, shard_table(13), batch_size=5)
        for key, value in zip(batch.proposition_ids, batch.scores, strict=True)
    }
    for proposition in texts(shard_table(13)):
        (alone,) = score(subject, [proposition], batch_size=1)
        assert together[proposition.proposition_id] == pytest.approx(alone.scores[0], abs=1e-5)
    assert np.ptp(list(together.values())) > 1e-3


def test_a_score_is_the_mean_of_its_distribution(tiny_base: Base) -> None:
    for batch in score(estimator(tiny_base, disturb=True), shard_table(7), batch_size=3):
        assert batch.level_probabilities.shape == (len(batch.proposition_ids), LEVELS)
        np.testing.assert_allclose(batch.level_probabilities.sum(axis=1), 1)
        np.testing.assert_allclose(batch.scores, batch.level_probabilities @ ((np.arange(LEVELS) + 0.5) / LEVELS))


def test_what_cannot_be_scored_is_dropped_with_its_reason_once(tiny_base: Base) -> None:
    subject = estimator(tiny_base)
    fine, long = shard_table(1), PropositionText(proposition_id="long", premise="A.", hypothesis="word " * 300)
    batches = list(score(subject, [*texts(fine), long], batch_size=2))
    assert [key for batch in batches for key in batch.proposition_ids] == fine["proposition_id"].to_pylist()
    assert [drop.subject_id for batch in batches for drop in batch.drops] == ["long"]
    (only,) = score(subject, [long])
    assert (only.proposition_ids, len(only.scores), [drop.stage for drop in only.drops]) == ((), 0, ["score"])


def test_a_cut_premise_is_counted(tiny_base: Base) -> None:
    long = PropositionText(proposition_id="cut", premise="word " * 300, hypothesis="It is.")
    (batch,) = score(estimator(tiny_base), [long])
    assert (batch.proposition_ids, batch.truncated) == (("cut",), 1)


def test_nothing_gives_nothing(tiny_base: Base) -> None:
    assert list(score(estimator(tiny_base), [])) == []
