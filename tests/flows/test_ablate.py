"""Ablations: variants fitted with seeds, resumed, measured on dev and on suites, and never in use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.ablate
from flows.ablate import ablate, ablate_figures, ablate_plan
from flows.cli.app import app
from flows.imports import import_choices
from flows.models import models, models_use
from flows.publish import publish
from flows.settings.settings import Settings, load_settings
from flows.status import status
from flows.suites import import_suite
from flows.train import train, trained
from tests.fixtures.estimator import Base
from tests.fixtures.store import made_rows
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.records import Ablation, Dataset, Model
from warehouse.shards import read_manifest, read_pairs, read_split

PLAN = """
name = "losses"
seeds = [0, 1]
[base]
training.max_steps = 2
[[variants]]
name = "crps"
training.loss = "crps"
"""


def written(settings: Settings, text: str = PLAN) -> Path:
    path = settings.root / "plan.toml"
    path.write_text(text)
    return path


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Base) -> Settings:
    """A home with judged propositions and order pairs as a training set, the estimator in use, and an ablation."""
    folder = tmp_path_factory.mktemp("home") / "first"
    folder.mkdir()
    (folder / "odds.toml").write_text(
        "[agreement]\ndraws = 200\n[publish]\npairs_weight = 0.5\n"
        f'[training]\nbase = "{tiny_encoder.path}"\nkind = "encoder"\nmax_length = 64\nepochs = 1\nbatch_size = 20\n'
        'device = "cpu"\n'
    )
    settings = load_settings(folder / "odds.toml")
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{n}", name, (7 * n % 200) / 200) for n in range(200) for name in "ab"]))
        renew_consensus(warehouse, "em")
    sides = {"alternatives": ["It is bright.", "It is dark."]}
    questions = [{"premise": f"Lamp {n} is on.", "answer": n % 2} | sides for n in range(200)]
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in questions), encoding="utf-8")
    import_choices(file, config=settings, first=0, source="made-up")
    publish.fn(settings)
    train.fn(settings)
    assert ablate.fn(written(settings), settings).counts["fits"] == 4
    # moved, so that copies open: a catalog where it was made only reads its data there
    return load_settings(folder.rename(folder.with_name("moved")) / "odds.toml")


@pytest.fixture
def settings(home: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(home.root, tmp_path / "copy")
    return load_settings(tmp_path / "copy" / "odds.toml")


def test_an_ablation_is_fitted_once_and_changes_nothing_that_is_in_use(settings: Settings) -> None:
    plan = settings.root / "plan.toml"
    rows = ablate_figures(plan, config=settings)
    assert {row.variant for row in rows} == {"default", "crps"}
    assert {row.suite for row in rows} == {"all", "dev:made-up", "dev pairs:made-up"}
    by_key = {(row.suite, row.metric, row.variant): row for row in rows}
    ranks = [by_key["all", "mean_rank", name].value for name in ("default", "crps")]
    assert sum(value or 0 for value in ranks) == pytest.approx(3)
    first, other = (by_key["all", "crps_judgments", name] for name in ("default", "crps"))
    assert first.difference is None
    assert other.difference == pytest.approx((other.value or 0) - (first.value or 0))
    assert json.loads(other.changes) == {"training.loss": "crps"}
    with open_warehouse(settings.catalog) as warehouse:
        fitted = {row.model_id: row for row in read(warehouse, Model)}
    assert [json.loads(fitted[each].settings)["seed"] for each in other.models] == [0, 1]
    assert {json.loads(fitted[each].settings)["loss"] for each in other.models} == {"crps"}
    assert {fitted[each].ablation for each in (*first.models, *other.models)} == {"losses"}
    assert {fitted[each].steps for each in (*first.models, *other.models)} == {2}
    listed = models(config=settings)
    assert [each.state for each in listed] == ["ablation"] * 4 + ["in use"]  # the newest first
    assert status(config=settings)["estimator"]["model_id"] == listed[-1].model_id
    again = ablate.fn(plan, settings)
    assert again.counts == {"fits": 0, "new figures": 0}
    assert ablate_figures(plan, config=settings) == rows


def test_a_killed_ablation_goes_on_with_what_is_not_fitted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = written(settings, PLAN.replace("max_steps = 2", "max_steps = 1"))
    fits: list[object] = []

    def killed(*given: object, **named: object) -> object:
        if len(fits) == 3:
            raise KeyboardInterrupt
        fits.append(given)
        return trained(*given, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(flows.ablate, "trained", killed)
        with pytest.raises(KeyboardInterrupt):
            ablate.fn(plan, settings)
    assert ablate_figures(plan, config=settings) == []
    assert [each.seconds > 0 for each in ablate_plan(plan, config=settings)] == [False, False, False, True]
    capsys.readouterr()
    assert ablate.fn(plan, settings).counts["fits"] == 1
    assert "ablate: 4 of 4: crps, seed 1: dev loss" in capsys.readouterr().err


def test_a_dry_run_lists_the_fits_and_fits_nothing(settings: Settings) -> None:
    more = '[[variants]]\nname = "fewer pairs"\npublish.pairs_weight = 0.25\n'
    plan = written(settings, PLAN.replace("[0, 1]", "[1, 2]") + more)
    found = CliRunner().invoke(app, ["--config", str(settings.root / "odds.toml"), "ablate", str(plan), "--dry-run"])
    assert found.exit_code == 0, found.output
    assert "4 of 6 fits to come, about" in found.output
    listed = [line.split() for line in found.output.splitlines() if line.startswith(("default", "crps", "fewer"))]
    assert [row[-1] == "done" for row in listed] == [True, False, True, False, False, False]
    assert len(models(config=settings)) == 5
    with open_warehouse(settings.catalog) as warehouse:
        assert len(read(warehouse, Dataset)) == 1
    assert ablate.fn(plan, settings, dry_run=True).counts["fits"] == 4


def test_other_weights_make_a_dataset_of_the_same_rows_and_splits(settings: Settings) -> None:
    plan = written(
        settings,
        'name = "pairs"\n[base]\ntraining.max_steps = 1\n[[variants]]\nname = "fewer"\npublish.pairs_weight = 0.25\n'
        '[[variants]]\nname = "without"\npublish.pairs_weight = 0\n',
    )
    with open_warehouse(settings.catalog, read_only=False) as warehouse:  # what came later is not in the variants
        merge_all(warehouse, made_rows([("late", "a", 0.5)]))
        renew_consensus(warehouse, "em")
    assert ablate.fn(plan, settings).counts["fits"] == 3
    with open_warehouse(settings.catalog) as warehouse:
        published = {(row.name, row.version): settings.home_path / row.path for row in read(warehouse, Dataset)}
    assert set(published) == {("odds", 1), ("odds-ablation", 1), ("odds-ablation", 2)}
    base, fewer, without = (published[key] for key in sorted(published))
    for split in ("train", "dev", "test"):
        assert read_split(base, split) == read_split(fewer, split) == read_split(without, split)
    weights = [set(read_pairs(folder, "train")["weight"].to_pylist()) for folder in (base, fewer, without)]
    assert weights == [{0.5}, {0.25}, set()]
    assert read_manifest(fewer).snapshot_id == read_manifest(base).snapshot_id
    assert ablate.fn(plan, settings).counts == {"fits": 0, "new figures": 0}
    assert train.fn(settings).note.endswith("exists already")


def test_it_is_measured_on_suites_without_another_fit(settings: Settings) -> None:
    plan = settings.root / "plan.toml"
    rows = [
        {"premise": f"Boat {n} lies in harbour {n % 3}.", "hypothesis": "It rains.", "annotator": "a", "rating": 5 * n}
        for n in range(20)
    ]
    file = settings.root / "boats.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_suite(file, "boats", config=settings, family="correlation")
    found = CliRunner().invoke(
        app,
        ["--config", str(settings.root / "odds.toml"), "ablate", str(plan), "--suite", "boats"],
        env={"COLUMNS": "80"},
    )
    assert found.exit_code == 0, found.output
    assert "ablate: 0 fits" in found.output
    assert "boats: 20 items; higher is better" in found.output
    table = [line for line in found.output.splitlines() if not line.startswith(("ablate:", "  "))]
    assert max(map(len, table)) <= 80
    figures = ablate_figures(plan, config=settings, suites=["boats"])
    assert {row.suite for row in figures} == {"all", "boats"}
    with pytest.raises(InputError, match="no suite ships; there are: boats"):
        ablate.fn(plan, settings, suites=["ships"])
    with open_warehouse(settings.catalog) as warehouse:
        assert len({row.plan for row in read(warehouse, Ablation)}) == 2


def test_a_person_can_use_one_of_them(settings: Settings) -> None:
    plan = settings.root / "plan.toml"
    (before,) = (each.model_id for each in models(config=settings) if each.state == "in use")
    chosen = ablate_plan(plan, config=settings)[3].model_id
    assert models_use(chosen, config=settings).model_id == chosen
    assert {each.model_id: each.state for each in models(config=settings)}[chosen] == "in use"
    assert models_use("newest", config=settings).model_id == before
    # `odds train` with the settings of one of them takes it as an estimator like any other.
    text = (settings.root / "odds.toml").read_text()
    (settings.root / "odds.toml").write_text(f'{text}max_steps = 2\nloss = "crps"\nseed = 1\n')
    changed = load_settings(settings.root / "odds.toml")
    assert train.fn(changed).note == f"model {chosen} exists already"
    assert {each.model_id: each.state for each in models(config=settings)}[chosen] != "ablation"
