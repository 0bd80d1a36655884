"""The estimator that Odds carries: small, complete, and better than a constant on what anybody would agree with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training import Estimator
from training.embedded import pretrained_path
from warehouse.errors import InputError

LIKELY = [
    ("A man is playing a guitar on a stage.", "A man is playing an instrument."),
    ("A woman is eating a sandwich in a park.", "A woman is outdoors."),
    ("Two children are running on the beach.", "Children are moving."),
]
UNLIKELY = [
    ("A man is playing a guitar on a stage.", "The man is asleep in his bed."),
    ("A woman is eating a sandwich in a park.", "Nobody is eating."),
    ("Two children are running on the beach.", "The children are sitting in a classroom."),
]


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        return pretrained_path()
    except InputError as error:
        pytest.skip(str(error))


def test_it_tells_the_likely_from_the_unlikely(folder: Path) -> None:
    found = Estimator.load(folder, "cpu").score([*LIKELY, *UNLIKELY])
    assert np.mean(found.scores[:3]) > np.mean(found.scores[3:]) + 0.15
    np.testing.assert_allclose(found.level_probabilities.sum(axis=1), 1)


def test_it_is_small_has_a_card_and_names_no_place(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8 * 2**20
    assert not [path.name for path in files if path.suffix in (".bin", ".pt", ".pkl")]
    told = json.loads((folder / "estimator.json").read_text(encoding="utf-8"))
    assert told["base_sha256"]
    assert not [key for key in told if key.endswith("_from_here")]
    adapter = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert adapter["base_model_name_or_path"] == told["base"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    for heading in ("## Trained on", "## Figures", "## Limits"):
        assert heading in card
