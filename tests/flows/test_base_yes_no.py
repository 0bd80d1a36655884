"""The base before any fit, beside its estimator on an evaluation set."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.evaluate_suites import Subjects, evaluate_suites
from flows.suites import import_suite
from tests.fixtures.estimator import Base, in_use
from tests.flows.test_suites import NEW, judged
from tests.training.test_estimator import estimator
from tests.training.test_yes_no import answering, estimator_of
from warehouse.errors import InputError


def test_it_is_a_subject_only_if_it_is_asked_for(tiny_base: Base, tmp_path: Path) -> None:
    base = answering(tiny_base.path, tmp_path / "base")
    (folder := tmp_path / "estimator").mkdir()
    estimator(Base(base, tiny_base.cache), disturb=True).save(folder)
    config = in_use(tmp_path / "home", folder)
    import_suite(judged(tmp_path / "j.jsonl", NEW), "boats", config=config, family="correlation")
    names = []
    for asked in (False, True):
        (found,) = evaluate_suites(config=config, subjects=Subjects(base_yes_no=asked))
        names.append({each.subject for each in found.figures})
    assert names[1] - names[0] == {"base-yes-no"}
    figures = {each.metric: each for each in found.figures if each.subject == "base-yes-no"}
    assert figures["mse"].n == 12
    assert {each.against for each in found.differences} == {"base-yes-no", "constant"}


def test_an_encoder_has_no_base_to_ask(tiny_base: Base, tmp_path: Path) -> None:
    config = in_use(tmp_path / "home", estimator_of(tmp_path / "encoder", tiny_base.path, "encoder"))
    with pytest.raises(InputError, match="only an estimator fitted from a language model has a base to ask"):
        evaluate_suites(config=config, subjects=Subjects(base_yes_no=True))
