"""Hashes of bases and code, and what becomes of an estimator whose base is no longer where, or what, it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.fixtures.estimator import Base, shard_table
from tests.training.test_estimator import assert_same, scores_of
from tests.training.test_fit import settings
from training import identity
from training.fit.loop import fit
from training.identity import SEEN, base_hash, code_hash, model_hash
from training.model.estimator import Estimator
from warehouse.errors import InputError


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_base_has_the_same_hash_wherever_it_lies(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"weights", "deep/tokenizer.json": b"[]"}
    assert base_hash(write(tmp_path / "a", files)) == base_hash(write(tmp_path / "b" / "c", files))
    one, other = write(tmp_path / "one", {"m.gguf": b"GGUF"}), write(tmp_path / "other", {"m.gguf": b"GGUF"})
    assert base_hash(one / "m.gguf") == base_hash(other / "m.gguf")


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": b"{}", "model.safetensors": b"weightz"},
        {"config.json": b"{}", "model.safetensors": b"weights "},
        {"config.json": b"{}", "other.safetensors": b"weights"},
        {"config.json": b"{}"},
        {"config.json": b"{}", "model.safetensors": b"weights", "more": b""},
        {"config.json": b"{}m", "odel.safetensors": b"weights"},
    ],
)
def test_any_change_of_a_base_changes_its_hash(tmp_path: Path, files: dict[str, bytes]) -> None:
    base = {"config.json": b"{}", "model.safetensors": b"weights"}
    one, other = write(tmp_path / "a", base), write(tmp_path / "b", files)
    assert base_hash(one) != base_hash(other)
    assert model_hash(one) != model_hash(other)


@pytest.mark.parametrize("place", [0, 2**20 - 1, -1, -(2**20)])
def test_large_files_are_read_at_both_ends(tmp_path: Path, place: int) -> None:
    content = bytearray(3 * 2**20)
    before = base_hash(write(tmp_path, {"w": bytes(content)}))
    content[place] = 1
    assert base_hash(write(tmp_path, {"w": bytes(content)})) != before


def test_estimators_that_differ_in_the_middle_alone_are_told_apart(tmp_path: Path) -> None:
    content = bytearray(8 * 2**20 + 5)
    ends, whole = base_hash(write(tmp_path, {"w": bytes(content)})), model_hash(write(tmp_path, {"w": bytes(content)}))
    content[3 * 2**20 + 100 : 4 * 2**20 + 100] = b"x" * 2**20  # a layer
    write(tmp_path, {"w": bytes(content)})
    assert base_hash(tmp_path) == ends
    assert model_hash(tmp_path) != whole


def test_the_codes_hash_is_of_what_fits_and_not_of_what_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(identity.__file__).parent
    shutil.copytree(package, tmp_path / "training", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "__file__", str(tmp_path / "training" / "identity.py"))
    code_hash.cache_clear()
    found = []
    for changed in (None, "evaluation/metrics.py", "fit/loss.py"):
        if changed:
            with (tmp_path / "training" / changed).open("a") as file:
                file.write("# changed\n")
        found.append(code_hash())
        code_hash.cache_clear()
    monkeypatch.undo()
    assert found[0] == code_hash() == found[1] != found[2]


@pytest.fixture
def home(tiny_base: Base, tmp_path: Path) -> Path:
    """A folder with a base in `bases` and an estimator that was fitted on it in `models`."""
    folder = tmp_path / "home"
    shutil.copytree(tiny_base.path, folder / "bases" / "tiny")
    chosen = settings(Base(folder / "bases" / "tiny", tiny_base.cache), epochs=1)
    fit(shard_table(8), shard_table(4, start=50), chosen, folder / "cache", folder / "models" / "m")
    return folder


def test_no_absolute_path_is_saved(home: Path) -> None:
    text = (home / "models" / "m" / "estimator.json").read_text()
    assert str(home) not in text
    assert json.loads(text)["base"] == "tiny"
    assert json.loads(text)["base_sha256"] == base_hash(home / "bases" / "tiny")


def test_an_estimator_and_its_base_move_together(home: Path) -> None:
    expected = scores_of(Estimator.load(home / "models" / "m", "cpu", "fp32"))
    there = home.rename(home.with_name("there"))
    assert_same(scores_of(Estimator.load(there / "models" / "m", "cpu", "fp32")), expected)


def test_a_base_that_moved_alone_is_found_where_it_is_now(home: Path, tmp_path: Path) -> None:
    expected = scores_of(Estimator.load(home / "models" / "m", "cpu", "fp32"))
    moved = (home / "bases" / "tiny").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"^tiny: the base of the estimator m is gone") as caught:
        Estimator.load(home / "models" / "m", "cpu", "fp32")
    assert "\n" not in str(caught.value)
    assert_same(scores_of(Estimator.load(home / "models" / "m", "cpu", "fp32", bases=[moved])), expected)


def test_a_base_that_is_another_model_now_is_refused(home: Path) -> None:
    config = home / "bases" / "tiny" / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(InputError, match="tiny is not the base that the estimator m was fitted on") as caught:
        Estimator.load(home / "models" / "m", "cpu", "fp32")
    assert "\n" not in str(caught.value)


def test_the_right_base_is_taken_among_wrong_ones(home: Path, untied_base: Base, tmp_path: Path) -> None:
    right = tmp_path / "right"
    shutil.move(home / "bases" / "tiny", right)
    shutil.copytree(untied_base.path, home / "bases" / "tiny")
    Estimator.load(home / "models" / "m", "cpu", "fp32", bases=[untied_base.path, right])
    with pytest.raises(InputError, match="is not the base"):
        Estimator.load(home / "models" / "m", "cpu", "fp32", bases=[untied_base.path])


def test_the_card_of_an_estimator_may_change_but_nothing_else(tmp_path: Path) -> None:
    for name in ("README.md", "model.safetensors"):
        (tmp_path / name).write_text("first")
    as_model = base_hash(tmp_path)
    (tmp_path / "estimator.json").write_text("{}")
    as_estimator = base_hash(tmp_path)
    (tmp_path / "README.md").write_text("second")
    (tmp_path / SEEN).write_text("told later")
    assert base_hash(tmp_path) == as_estimator
    (tmp_path / "model.safetensors").write_text("second")
    assert base_hash(tmp_path) != as_estimator
    (tmp_path / "estimator.json").unlink()
    (tmp_path / "model.safetensors").write_text("first")
    assert base_hash(tmp_path) != as_model  # the card of a model counts
