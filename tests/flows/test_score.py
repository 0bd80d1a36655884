"""Scoring is a stream: an interrupted run goes on with the rest, and a file keeps its order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import flows.score
from flows.estimators import scoring
from flows.estimators.named import ELSEWHERE, estimator_for
from flows.publish import publish
from flows.score import score
from flows.settings.settings import Settings, load_settings
from tests.fixtures.estimator import Base
from tests.fixtures.store import made_rows
from tests.training.test_estimator import LEVELS, estimator
from training import Estimator
from training.embedded import pretrained_path
from training.levels import cdf, expectation
from training.levels import sd as levels_sd
from training.model.calibration import Calibration, Isotonic, write_calibration
from training.model.scores import ScoredBatch
from warehouse import open_warehouse
from warehouse.catalog.store import merge, merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.records import Dataset, Drop, Model, PropositionText, Score
from warehouse.shards import read_split

ROWS = [(f"The lamp of room {n} is on{', bright' * (n % 3)}.", f"Room {n % 4} is lit.") for n in range(11)]
CALIBRATION = Calibration(
    map=Isotonic(scores=(0, 1), probabilities=(0, 0.5)),
    coverage=0.9,
    interval_of="judgment",
    widths={"judgment": 1.5, "consensus": 0.5},
    n_propositions=100,
    n_judgments=100,
    n_simulated=0,
    mse=0.1,
    mapped_mse=0.09,
)
TOO_LONG = ("The lamp is on.", "word " * 300)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with sixty judged propositions as a training set, and the row of an estimator."""
    folder = tmp_path_factory.mktemp("home") / "first"
    folder.mkdir()
    (folder / "odds.toml").touch()
    settings = load_settings(folder / "odds.toml")
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{n}", "a", n / 60) for n in range(60)]))
        renew_consensus(warehouse, "em")
    publish.fn(settings)
    (settings.home_path / "models" / "m").mkdir(parents=True)
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        (dataset,) = read(warehouse, Dataset)
        model = Model(
            model_id="m",
            name=settings.publish.name,
            dataset_id=dataset.dataset_id,
            base_model="tiny",
            settings="{}",
            code_version="0",
            path="models/m",
            dev_loss=1.0,
            steps=1,
            duration_s=1.0,
        )
        merge(warehouse, [model])
    return folder.rename(folder.with_name("moved"))


@pytest.fixture(scope="module")
def subject(tiny_base: Base) -> Estimator:
    """An estimator that nobody fitted, whose answers differ."""
    return estimator(tiny_base, disturb=True)


@pytest.fixture
def settings(home: Path, subject: Estimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A copy of the home. Scores are kept four by four."""
    shutil.copytree(home, tmp_path / "copy")
    monkeypatch.setattr(Estimator, "load", lambda *_, **__: subject)
    monkeypatch.setattr(scoring, "ROWS_AT_ONCE", 4)
    return load_settings(tmp_path / "copy" / "odds.toml")


def held_out(settings: Settings) -> pa.Table:
    (folder,) = (settings.home_path / "datasets").rglob("manifest.json")
    return read_split(folder.parent, "test", "human")


def stored(settings: Settings) -> dict[str, Score]:
    with open_warehouse(settings.catalog) as warehouse:
        return {row.proposition_id: row for row in read(warehouse, Score)}


def interrupted_after(
    patch: pytest.MonkeyPatch, calls: int, error: type[BaseException] = KeyboardInterrupt
) -> list[str]:
    """Interrupt scoring after so many parts and the first batch of the next one. Returns the ids that it is given."""
    asked: list[str] = []
    real, begun = Estimator.score_stream, iter(range(calls + 1))

    def stream(self: Estimator, propositions: Iterable[PropositionText], _: int | None = None) -> Iterator[ScoredBatch]:
        given = list(propositions)
        asked.extend(each.proposition_id for each in given)
        if next(begun) < calls:
            yield from real(self, given)
            return
        yield from islice(real(self, given, tokens_at_once=1), 1)
        raise error("stopped")

    patch.setattr(Estimator, "score_stream", stream)
    return asked


@pytest.mark.slow
def test_an_interrupted_run_keeps_its_scores_and_the_next_one_scores_the_rest(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = held_out(settings)["proposition_id"].to_pylist()
    assert len(wanted) > 9
    with monkeypatch.context() as patch:
        interrupted_after(patch, 2)
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            score.fn(settings)
    kept = stored(settings)
    assert kept.keys() == set(wanted[:8])
    with monkeypatch.context() as patch:
        asked = interrupted_after(patch, len(wanted))
        assert score.fn(settings).counts == {"new scores": len(wanted) - 8}
    assert asked == wanted[8:]
    found = stored(settings)
    assert {key: found[key] for key in kept} == kept
    assert found.keys() == set(wanted)


@pytest.mark.slow
def test_stored_scores_are_those_of_the_estimator(settings: Settings, subject: Estimator) -> None:
    table = held_out(settings)
    score.fn(settings)
    pairs = zip(*(table[name].to_pylist() for name in ("premise", "hypothesis")), strict=True)
    expected = subject.score(pairs)
    rows = stored(settings)
    found = [rows[key] for key in table["proposition_id"].to_pylist()]
    assert [row.score for row in found] == pytest.approx(expected.scores.tolist(), abs=1e-5)
    for row, levels in zip(found, expected.level_probabilities, strict=True):
        assert row.level_probabilities == pytest.approx(levels.tolist(), abs=1e-5)
    assert len({round(row.score, 5) for row in found}) > 3


def test_with_nothing_left_to_score_no_estimator_is_loaded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    score.fn(settings)
    monkeypatch.setattr(Estimator, "load", None)
    assert score.fn(settings).counts == {"new scores": 0}


def test_what_is_too_long_is_a_drop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = held_out(settings)["proposition_id"].to_pylist()
    monkeypatch.setattr(
        flows.score, "_waiting", lambda *_: iter([text(wanted[0], *TOO_LONG), text(wanted[1], *ROWS[0])])
    )
    assert score.fn(settings).counts == {"new scores": 1}
    with open_warehouse(settings.catalog) as warehouse:
        assert [(row.subject_id, row.stage) for row in read(warehouse, Drop)] == [(wanted[0], "score")]


def text(key: str, premise: str, hypothesis: str) -> PropositionText:
    return PropositionText(proposition_id=key, premise=premise, hypothesis=hypothesis)


def written(folder: Path) -> Path:
    """A file of propositions, of which the third is too long."""
    file = folder / "mine.jsonl"
    rows = [*ROWS[:2], TOO_LONG, *ROWS[2:]]
    file.write_text("".join(json.dumps({"premise": a, "hypothesis": b}) + "\n" for a, b in rows))
    return file


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_file_is_scored_in_its_order(settings: Settings, subject: Estimator, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"scores.{kind}"
    outcome = score.fn(settings, written(tmp_path), output)
    assert outcome.counts == {"scores": 11, "too long": 1}
    assert "no score for what is too long, first the hypothesis '" in outcome.note
    if kind == "jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    else:
        rows = pq.read_table(output).to_pylist()
    assert [(row["premise"], row["hypothesis"]) for row in rows] == ROWS
    assert [row["score"] for row in rows] == pytest.approx(subject.score(ROWS).scores.tolist(), abs=1e-5)
    assert all(len(row["level_probabilities"]) == LEVELS for row in rows)
    assert stored(settings) == {}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"file": Path("mine.jsonl")}, "give both a file to score and --output, or neither"),
        ({"output": Path("scores.jsonl")}, "give both a file to score and --output, or neither"),
        ({"model": "m"}, "--model needs a file"),
    ],
)
def test_a_file_is_never_ignored(settings: Settings, given: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        score.fn(settings, **given)
    assert stored(settings) == {}


def test_premises_that_were_cut_are_counted(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.jsonl"
    rows = [*ROWS[:2], ("The lamp is on. " * 300, "It is lit."), ("It is day. " * 300, "It is lit."), *ROWS[2:]]
    file.write_text("".join(json.dumps({"premise": a, "hypothesis": b}) + "\n" for a, b in rows))
    assert score.fn(settings, file, tmp_path / "scores.jsonl").counts == {"scores": 13, "too long": 0}
    assert "score: premises that do not fit into 256 tokens: 2; only their end was read" in capsys.readouterr().err
    score.fn(settings, written(tmp_path), tmp_path / "scores.jsonl")
    assert "do not fit" not in capsys.readouterr().err


@pytest.mark.parametrize("calibrated", [None, "intervals", "map"])
def test_a_file_has_quantiles_and_the_intervals_of_the_estimator(
    settings: Settings, subject: Estimator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibrated: str | None
) -> None:
    if calibrated:
        calibration = CALIBRATION.model_copy(update={} if calibrated == "map" else {"map": None})
        subject = replace(subject, calibration=calibration)
        write_calibration(calibration, settings.home_path / "models" / "m")
    monkeypatch.setattr(Estimator, "load", lambda *_, **__: subject)
    output = tmp_path / "scores.parquet"
    outcome = score.fn(settings, written(tmp_path), output)
    table = pq.read_table(output)
    levels = np.array(table["level_probabilities"].to_pylist())
    mean, sd = expectation(levels), levels_sd(levels)
    middle = [np.interp(0.5, each, np.linspace(0, 1, LEVELS + 1)) for each in cdf(levels)]
    assert table["q50"].to_pylist() == pytest.approx(middle)
    assert table["sd"].to_pylist() == pytest.approx(sd)
    assert ("raw_score" in table.column_names) is (calibrated == "map")
    if calibrated is None:
        assert table["low"].null_count == table["high"].null_count == 11
        return
    assert "low and high are 90% intervals of a single judgment" in outcome.note
    expected = mean / 2 if calibrated == "map" else mean
    assert table["score"].to_pylist() == pytest.approx(expected)
    assert table["low"].to_pylist() == pytest.approx(np.clip(expected - 1.5 * sd, 0, 1))
    assert table["high"].to_pylist() == pytest.approx(np.clip(expected + 1.5 * sd, 0, 1))
    assert score.fn(settings).counts["new scores"] > 0
    stored_means = [row.score / float(expectation(row.level_probabilities)) for row in stored(settings).values()]
    assert stored_means == pytest.approx([0.5 if calibrated == "map" else 1.0] * len(stored_means))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_the_output_as_it_was(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    file, output = written(tmp_path), tmp_path / "out" / "scores.csv"
    output.parent.mkdir()
    output.write_text("earlier")
    interrupted_after(monkeypatch, 1, error)
    with pytest.raises(error, match="stopped"):
        score.fn(settings, file, output)
    assert output.read_text() == "earlier"
    assert list(output.parent.iterdir()) == [output]


def test_right_after_the_installation_the_pretrained_estimator_scores_a_file(tmp_path: Path) -> None:
    try:
        pretrained_path()
    except InputError as error:
        pytest.skip(str(error))
    (tmp_path / "odds.toml").touch()
    rows = [("A man plays a guitar.", "He makes music."), ("A man plays a guitar.", "He is asleep.")]
    file = tmp_path / "new.jsonl"
    file.write_text("".join(json.dumps({"premise": p, "hypothesis": h}) + "\n" for p, h in rows))
    outcome = score.fn(tmp_path / "odds.toml", file, tmp_path / "scores.jsonl")
    assert "by the pretrained estimator" in outcome.note
    likely, unlikely = (json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines())
    assert likely["score"] > unlikely["score"]
    assert 0 <= likely["low"] < likely["score"] < likely["high"] <= 1
    with pytest.raises(InputError, match="There is no warehouse"):
        score.fn(tmp_path / "odds.toml", file, tmp_path / "scores.jsonl", model="3f2a")


def test_the_estimator_of_a_folder_needs_no_warehouse(tmp_path: Path) -> None:
    (tmp_path / "odds.toml").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "estimator.json").write_text("{}")
    settings = load_settings(tmp_path / "odds.toml")
    found = estimator_for(settings, str(tmp_path / "mine"))
    assert (found.path, found.name, found.dataset_id) == (str(tmp_path / "mine"), "mine", ELSEWHERE)
    for name in ("", "theirs"):
        with pytest.raises(InputError, match="There is no warehouse"):
            estimator_for(settings, name)
