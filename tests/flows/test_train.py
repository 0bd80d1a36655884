"""What becomes of an estimator whose run was killed, and of a home that was moved. No server runs here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import flows.train
from flows.merge import merge as written_whole
from flows.publish import publish, verify_dataset
from flows.research.trace import trace
from flows.score import score
from flows.settings.settings import Settings, load_settings
from flows.status import status
from flows.train import train
from tests.fixtures.estimator import Base
from tests.fixtures.store import made_rows
from warehouse import open_warehouse
from warehouse.catalog.store import merge, merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.records import Dataset, Model

pytestmark = pytest.mark.slow


def config_of(folder: Path) -> Path:
    return folder / "odds.toml"


@pytest.fixture
def published(tmp_path: Path, tiny_base: Base) -> Settings:
    """A home in a folder of its own, with forty judged propositions as a training set."""
    folder = tmp_path / "here"
    folder.mkdir()
    text = f'[training]\nbase = "{tiny_base.path}"\nepochs = 1\nbatch_size = 40\ndevice = "cpu"\nlora_rank = 2\n'
    config_of(folder).write_text(text)
    settings = load_settings(config_of(folder))
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{n}", name, n / 40) for n in range(40) for name in "ab"]))
        renew_consensus(warehouse, "em")
    publish.fn(config_of(folder))
    return settings


def test_an_estimator_whose_run_was_killed_before_it_was_recorded_is_recorded_and_not_fitted_again(
    published: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flows.train, "merge_all", killed)
        with pytest.raises(KeyboardInterrupt):
            train.fn(config_of(published.root))
    (folder,) = (published.home_path / "models").iterdir()
    weights = (folder / "adapter_model.safetensors").stat()
    left = folder.with_name(f"{folder.name}.fit")  # it was killed before it could remove its checkpoints
    left.mkdir()
    outcome = train.fn(config_of(published.root))
    assert outcome.counts["steps"] == 1
    assert "recording it" in capsys.readouterr().err
    assert (folder / "adapter_model.safetensors").stat() == weights
    assert not left.exists()
    with open_warehouse(published.catalog) as warehouse:
        (model,) = read(warehouse, Model)
    assert model.path == f"models/{model.model_id}"
    assert model.dev_loss is not None
    assert model.dev_loss > 0
    assert "exists already" in train.fn(config_of(published.root)).note
    (folder / "training.json").write_text("{")
    with pytest.raises(InputError, match="has no complete estimator"):
        train.fn(config_of(published.root))


@pytest.mark.parametrize("fresh", [False, True])
def test_an_interrupted_fit_goes_on_unless_it_is_to_start_anew(
    published: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fresh: bool
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.fit.loop.summary_of", killed)
        with pytest.raises(KeyboardInterrupt):
            train.fn(config_of(published.root))
    capsys.readouterr()
    assert train.fn(config_of(published.root), fresh=fresh).counts["steps"] == 1
    assert ("going on after step 1" in capsys.readouterr().err) is not fresh


def test_a_dry_run_says_what_a_fit_takes_and_leaves_nothing(published: Settings) -> None:
    outcome = train.fn(config_of(published.root), dry_run=True)
    assert outcome.counts["steps"] == 1
    assert outcome.counts["tokens"] > 100
    assert "GiB of memory" in outcome.note
    assert not (published.home_path / "models").exists()
    assert train.fn(config_of(published.root)).counts["steps"] == 1


def moved(settings: Settings) -> Settings:
    folder = settings.root.with_name("there")
    settings.root.rename(folder)
    return load_settings(config_of(folder))


@pytest.mark.parametrize("written", ["now", "earlier"])
def test_a_moved_home_works(published: Settings, written: str) -> None:
    train.fn(config_of(published.root))
    if written == "earlier":  # rows had whole paths
        with open_warehouse(published.catalog, read_only=False) as warehouse:
            rows: list[Dataset | Model] = [*read(warehouse, Dataset), *read(warehouse, Model)]
            for row in rows:
                merge(warehouse, [row.model_copy(update={"path": str(published.home_path / row.path)})])
    there = moved(published)
    config = config_of(there.root)
    assert verify_dataset(there).startswith("odds v1: ")
    assert "nothing new" in publish.fn(config).line()
    assert "exists already" in train.fn(config).note
    assert score.fn(config).counts["new scores"] > 0
    state = status(config=there)
    assert Path(state["dataset"]["path"]).is_relative_to(there.home_path)
    assert Path(state["estimator"]["path"]).is_dir()
    with open_warehouse(there.catalog) as warehouse:
        (shard, *_) = warehouse.sql("SELECT shard_id FROM shards")["shard_id"].to_pylist()
    assert not trace(shard, "both", 3, config=there).subject.notes
    assert not published.root.exists()


def test_a_training_set_whose_files_are_gone_is_written_again(published: Settings) -> None:
    before = verify_dataset(published)
    shutil.rmtree(published.home_path / "datasets")
    with pytest.raises(InputError, match="run `odds publish`"):
        train.fn(config_of(published.root))
    assert "odds v1" in publish.fn(config_of(published.root)).line()
    assert verify_dataset(published) == before


def test_a_training_set_that_was_changed_is_refused_before_the_fit(published: Settings) -> None:
    (shard,) = (published.home_path / "datasets").rglob("train-00000.parquet")
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(bytes(raw))
    with pytest.raises(InputError, match=r"train-00000\.parquet has changed since it was published"):
        train.fn(config_of(published.root))
    assert not (published.home_path / "models").exists()


def taught(settings: Settings, teacher: str) -> Settings:
    text = config_of(settings.root).read_text()
    config_of(settings.root).write_text(f'{text}teacher = "{teacher}"\nteacher_weight = 0.25\n')
    return load_settings(config_of(settings.root))


def test_an_estimator_learns_from_another_one_and_its_card_says_so(published: Settings) -> None:
    train.fn(config_of(published.root))
    (first,) = (published.home_path / "models").iterdir()
    first.rename(published.root / "teacher")
    settings = taught(published, "teacher")  # a folder beside the settings
    assert train.fn(settings).counts["steps"] == 1
    with open_warehouse(published.catalog) as warehouse:
        before, model = sorted(read(warehouse, Model), key=lambda one: one.created_at)
    assert before.model_id != model.model_id
    folder = written_whole(published.root / "merged", model.model_id, config=settings)
    told = (folder / "README.md").read_text()
    assert "It also learned what the estimator `teacher` answers (weight 0.25)" in told


def test_a_teacher_that_is_not_there_is_refused_before_anything_else(published: Settings) -> None:
    with pytest.raises(
        InputError, match=r'training\.teacher = "away" is not the folder of an estimator; name one, or pretrained'
    ):
        train.fn(taught(published, "away"))
    assert not (published.home_path / "models").exists()
