from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import training
from tests.fixtures.estimator import Base, shard_table
from tests.training.test_estimator import LEVELS, estimator
from training.model.texts import texts
from warehouse.records import PropositionText


def test_batched_and_padded_scores_are_the_one_by_one_scores(tiny_base: Base) -> None:
    subject = estimator(tiny_base, disturb=True)
    together = {
        key: value
        for batch in subject.score_stream(texts(shard_table(13)), tokens_at_once=150)
        for key, value in zip(batch.proposition_ids, batch.scores, strict=True)
    }
    for proposition in texts(shard_table(13)):
        (alone,) = subject.score_stream([proposition], tokens_at_once=1)
        assert together[proposition.proposition_id] == pytest.approx(alone.scores[0], abs=1e-5)
    assert np.ptp(list(together.values())) > 1e-3


def test_a_score_is_the_mean_of_its_distribution(tiny_base: Base) -> None:
    for batch in estimator(tiny_base, disturb=True).score_stream(texts(shard_table(7)), tokens_at_once=80):
        assert batch.level_probabilities.shape == (len(batch.proposition_ids), LEVELS)
        np.testing.assert_allclose(batch.level_probabilities.sum(axis=1), 1)
        np.testing.assert_allclose(batch.scores, batch.level_probabilities @ ((np.arange(LEVELS) + 0.5) / LEVELS))


def test_what_cannot_be_scored_is_dropped_with_its_reason_once(tiny_base: Base) -> None:
    subject = estimator(tiny_base)
    fine, long = shard_table(1), PropositionText(proposition_id="long", premise="A.", hypothesis="word " * 300)
    batches = list(subject.score_stream([*texts(fine), long], tokens_at_once=50))
    assert [key for batch in batches for key in batch.proposition_ids] == fine["proposition_id"].to_pylist()
    assert [drop.subject_id for batch in batches for drop in batch.drops] == ["long"]
    (only,) = subject.score_stream([long])
    assert (only.proposition_ids, len(only.scores), [drop.stage for drop in only.drops]) == ((), 0, ["score"])


def test_a_cut_premise_is_counted(tiny_base: Base) -> None:
    long = PropositionText(proposition_id="cut", premise="word " * 300, hypothesis="It is.")
    (batch,) = estimator(tiny_base).score_stream([long])
    assert (batch.proposition_ids, batch.truncated.tolist()) == (("cut",), [True])


def test_nothing_gives_nothing(tiny_base: Base) -> None:
    assert list(estimator(tiny_base).score_stream([])) == []


def test_pairs_are_scored_in_their_order_with_their_distributions(tiny_base: Base, tmp_path: Path) -> None:
    subject = estimator(tiny_base, disturb=True)
    subject.save(tmp_path)
    given = [(each.premise, each.hypothesis) for each in texts(shard_table(40))]
    pairs = [*given, ("A.", "word " * 300), given[0]]
    for folder in (tmp_path, str(tmp_path)):
        found = training.Estimator.load(folder, "cpu", "fp32").score(pairs, tokens_at_once=200)
        assert (found.scores.shape, found.level_probabilities.shape) == ((42,), (42, LEVELS))
        assert found.scores[41] == pytest.approx(found.scores[0], abs=1e-6)
        assert np.isnan(found.scores).tolist() == [row == 40 for row in range(42)]
    for row in (0, 7, 39):
        (alone,) = subject.score([given[row]]).scores
        assert found.scores[row] == pytest.approx(alone, abs=1e-5)
    assert subject.score([]).scores.shape == (0,)
