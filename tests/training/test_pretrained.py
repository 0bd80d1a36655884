"""The estimators that Odds carries: small, complete, and better than a constant on what anybody would agree with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from huggingface_hub import try_to_load_from_cache

from tests.fixtures.store import DATA
from training import Estimator
from training.embedded import CARRIED, PRETRAINED, PRETRAINED_LARGE, pretrained_path
from training.identity import base_hash
from training.model.saved import base_of, read_info
from training.model.seen import read_seen
from warehouse.errors import InputError
from warehouse.records import premise_id

JOCI = DATA / "joci" / "train.parquet"
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


LEARNED_FROM = {PRETRAINED: 14_830, PRETRAINED_LARGE: 14_620}
MIB = {PRETRAINED: 8, PRETRAINED_LARGE: 12}


@pytest.fixture(scope="module", params=CARRIED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(name: str) -> Path:
    try:
        return pretrained_path(name)
    except InputError as error:
        pytest.skip(str(error))


def test_it_tells_the_likely_from_the_unlikely(folder: Path) -> None:
    info = read_info(folder)
    assert info is not None
    cached = try_to_load_from_cache(info.base, "model.safetensors") if "/" in info.base else None
    if "/" in info.base and not isinstance(cached, str):
        pytest.skip(f"{info.base} is not in the cache of the Hub")
    bases = [Path(cached).parent] if isinstance(cached, str) else []  # named, so that the Hub is not asked
    found = Estimator.load(folder, "cpu", bases=bases).score([*LIKELY, *UNLIKELY])
    assert np.mean(found.scores[:3]) > np.mean(found.scores[3:]) + 0.15
    np.testing.assert_allclose(found.level_probabilities.sum(axis=1), 1)


def test_it_tells_what_it_learned_from(name: str, folder: Path) -> None:
    seen = read_seen(folder)
    assert seen is not None
    assert len(seen) == len(set(seen.to_pylist())) == LEARNED_FROM[name]
    if not JOCI.exists():
        pytest.skip("needs JOCI, which is not part of the project")
    premises = {premise_id(text) for text in pq.read_table(JOCI, columns=["premise"])["premise"].to_pylist()}
    assert len(premises & set(seen.to_pylist())) > 0.6 * len(premises)


def test_it_is_small_has_a_card_and_names_no_place(name: str, folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MIB[name] * 2**20
    assert not [path.name for path in files if path.suffix in (".bin", ".pt", ".pkl")]
    told = json.loads((folder / "estimator.json").read_text(encoding="utf-8"))
    assert told["base_sha256"]
    assert not [key for key in told if key.endswith("_from_here")]
    adapter = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert adapter["base_model_name_or_path"] == told["base"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    for heading in ("## Trained on", "## Figures", "## Limits"):
        assert heading in card


def test_a_base_on_the_hub_is_also_found_in_a_folder_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    same, other = tmp_path / "same", tmp_path / "other"
    for place in (same, other):
        place.mkdir()
        (place / "model.safetensors").write_text(place.name, encoding="utf-8")
    carried = read_info(pretrained_path(PRETRAINED_LARGE))
    assert carried is not None
    info = carried.model_copy(update={"base_sha256": base_hash(same / "model.safetensors")})
    assert base_of(tmp_path, info, [tmp_path, other, same]) == str(same)
    assert base_of(tmp_path, info, [other]) == carried.base == "sentence-transformers/all-mpnet-base-v2"
    cached = tmp_path / "hub" / "models--sentence-transformers--all-mpnet-base-v2"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("newer", encoding="utf-8")
    shutil.copytree(other, cached / "snapshots" / "newer")
    with pytest.raises(InputError, match="the cache of the Hub has another version than the one that the estimator"):
        base_of(tmp_path, info, [other])
    older = shutil.copytree(same, cached / "snapshots" / "older")
    assert base_of(tmp_path, info, [other]) == str(older)
