"""A fit as a job on a published dataset: in this process, in two, and planned."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.fixtures.estimator import Base, pair_table, shard_table, with_column
from tests.fixtures.shards import HEAD, made_pair
from tests.training.test_fit import settings, weights_in
from training.fit.job import Job, _pass_on
from training.fit.record import workplace_of
from training.fit.watch import FitProgress, Watch
from training.fit.workplace import workplace
from training.settings import FitSettings
from warehouse.datasets.write import write_dataset
from warehouse.errors import InputError, OddsError
from warehouse.shards import PAIR_SCHEMA, SHARD_SCHEMA

CARRIED = Path(__file__).parents[2] / "examples" / "accelerate"
TWO, SPLIT = CARRIED / "two-processes.yaml", CARRIED / "split.yaml"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training set of 20 and 7 propositions with 6 order pairs. Of every third proposition, two values are labels."""
    folder = tmp_path_factory.mktemp("sets") / "v1"
    train, dev = shard_table(20), with_column(shard_table(7, start=50), "split", ["dev"] * 7)
    labels = {"widths": [0.0, 0.2, 0.2], "sources": ["", "five", "five"]}
    rows = [
        pa.RecordBatch.from_pylist(
            sorted(
                (row | (labels if n % 3 == 0 else {}) for n, row in enumerate(table.to_pylist())),
                key=lambda row: row["premise_id"],
            ),
            SHARD_SCHEMA,
        )
        for table in (dev, train)
    ]
    pairs = [made_pair("train", n) | row for n, row in enumerate(pair_table(6, 60).to_pylist())]
    pairs.sort(key=lambda row: str(row["premise_id"]))
    write_dataset(rows, folder, HEAD, pairs=[pa.RecordBatch.from_pylist(pairs, PAIR_SCHEMA)])
    return folder


def job(dataset: Path, how: FitSettings, cache: Path, folder: Path) -> Job:
    return Job(dataset=dataset, settings=how, cache=cache, folder=folder)


def curve(folder: Path) -> list[float]:
    record: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return [each["loss"] for each in record["history"]] + [each["dev_loss"] or 0 for each in record["history"]]


def test_a_job_fits_on_the_shards(dataset: Path, tiny_base: Base, tmp_path: Path) -> None:
    how, seen = settings(tiny_base, epochs=1), list[int]()
    job(dataset, how, tiny_base.cache, tmp_path / "m").run(Watch(step=lambda now: seen.append(now.step)))
    record = json.loads((tmp_path / "m" / "training.json").read_text())
    assert (record["n_train"], record["n_dev"], record["n_pairs"], record["steps"]) == (20, 7, 6, 4)
    assert seen == [1, 2, 3, 4]


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(dataset: Path, tiny_base: Base, tmp_path: Path) -> None:
    # 26 examples in batches of 5: the last step has one, so that the second process has nothing to read.
    how = settings(tiny_base, epochs=2, lora_dropout=0, batch_size=5, ordinal="cut-points")
    job(dataset, how, tiny_base.cache, tmp_path / "one").run(Watch())
    seen: list[FitProgress] = []
    notes: list[str] = []
    launched = how.model_copy(update={"launch": str(TWO)})
    stale = workplace_of(tmp_path / "two") / "stale"
    stale.mkdir(parents=True)
    job(dataset, launched, tiny_base.cache, tmp_path / "two").run(
        Watch(step=seen.append, note=notes.append), fresh=True
    )
    records = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two")]
    assert [record["processes"] for record in records] == [1, 2]
    np.testing.assert_allclose(curve(tmp_path / "two"), curve(tmp_path / "one"), rtol=1e-3, atol=1e-4)
    assert [each.step for each in seen] == list(range(1, 13))
    one, two = weights_in(tmp_path / "one"), weights_in(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, weights in one.items():
        np.testing.assert_allclose(two[name], weights, rtol=0.05, atol=2e-3)
    cuts = [
        json.loads((tmp_path / name / "estimator.json").read_text())["cut_points"]["five"]["5"]
        for name in ("one", "two")
    ]
    assert cuts[1] == pytest.approx(cuts[0], abs=2e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_a_teacher(dataset: Path, tiny_base: Base, tmp_path: Path) -> None:
    job(dataset, settings(tiny_base, epochs=1, seed=1), tiny_base.cache, tmp_path / "teacher").run(Watch())
    how = settings(tiny_base, epochs=1, lora_dropout=0, batch_size=5, teacher=str(tmp_path / "teacher"))
    job(dataset, how, tiny_base.cache, tmp_path / "one").run(Watch())
    launched = how.model_copy(update={"launch": str(TWO)})
    job(dataset, launched, tmp_path / "cache", tmp_path / "two").run(Watch())
    # One process asks about the 20 propositions and both sides of the 6 pairs; the other waits and knows the answers.
    kept = {path.name: path.stat().st_size for path in tmp_path.glob("cache/teachers/*/*")}
    assert kept == {"values": 32 * 40, "keys": 32 * 12}
    np.testing.assert_allclose(curve(tmp_path / "two"), curve(tmp_path / "one"), rtol=1e-3, atol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "one", "teacher", "two"]


@pytest.mark.slow
def test_a_failure_in_another_process_is_its_one_line(dataset: Path, tiny_base: Base, tmp_path: Path) -> None:
    how = settings(tiny_base, max_length=20, launch=str(TWO))
    with pytest.raises(OddsError, match="no train proposition fits into 20 tokens"):
        job(dataset, how, tiny_base.cache, tmp_path / "m").run(Watch())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_second_launch_is_refused_while_the_first_one_runs(dataset: Path, tiny_base: Base, tmp_path: Path) -> None:
    again = job(dataset, settings(tiny_base, launch=str(TWO)), tiny_base.cache, tmp_path / "m")
    with workplace(tmp_path / "m", main=True):
        for fresh in (False, True):
            with pytest.raises(OddsError, match=f"process {os.getpid()} on .* is fitting the estimator"):
                again.run(Watch(), fresh=fresh)
        assert workplace_of(tmp_path / "m").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_configuration_is_one_line(dataset: Path, tiny_base: Base, tmp_path: Path) -> None:
    how = settings(tiny_base, launch=str(tmp_path / "missing.yaml"))
    with pytest.raises(InputError, match=r"missing\.yaml: no such file; training\.launch"):
        job(dataset, how, tiny_base.cache, tmp_path / "m").run(Watch())


@pytest.mark.slow
def test_a_model_is_split_as_the_configuration_says(dataset: Path, tiny_base: Base, tmp_path: Path) -> None:
    (tmp_path / "split.yaml").write_text(SPLIT.read_text().replace("use_cpu: false", "use_cpu: true"))
    how = settings(tiny_base, epochs=2, batch_size=5)
    job(dataset, how, tiny_base.cache, tmp_path / "one").run(Watch())
    launched = how.model_copy(update={"launch": str(tmp_path / "split.yaml")})
    job(dataset, launched, tiny_base.cache, tmp_path / "two").run(Watch())
    np.testing.assert_allclose(curve(tmp_path / "two"), curve(tmp_path / "one"), rtol=1e-4, atol=1e-5)
    records = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two")]
    assert [(record["processes"], record["split"]) for record in records] == [(1, False), (2, True)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "split.yaml", "two"]


@pytest.mark.parametrize("changes", [{"kind": "encoder"}, {"tuning": "upper"}, {"ordinal": "cut-points"}])
def test_what_a_split_model_cannot_do_is_refused_before_anything_is_removed(
    changes: dict[str, str], dataset: Path, tiny_base: Base, tmp_path: Path
) -> None:
    how = settings(tiny_base, launch=str(SPLIT), **changes)
    kept = workplace_of(tmp_path / "m") / "kept"
    kept.mkdir(parents=True)
    ((name, value),) = changes.items()
    with pytest.raises(
        InputError, match=f'^training.{name} = "{value}" does not work with a model that is split .*split.yaml$'
    ):
        job(dataset, how, tiny_base.cache, tmp_path / "m").run(Watch(), fresh=True)
    assert kept.exists()


def test_what_a_process_prints_reaches_the_watch() -> None:
    said: list[object] = []
    watch = Watch(step=said.append, dev=lambda *each: said.append(each), doing=said.append, note=said.append)
    lines = [
        "a warning of some library\n",
        '{"doing": "loading"}\n',
        '{"step": {"step": 1, "steps": 2, "epoch": 1, "loss": 0.5, "dev_loss": null, "elapsed_s": 1, "left_s": 2}}\n',
        '{"dev": [3, 4]}\n',
        "[1]\n",
        '{"note": "so"}\n',
        '{"failure": "no"}\n',
    ]
    assert _pass_on(lines, watch) == "no"
    assert said == ["loading", FitProgress(1, 2, 1, 0.5, None, 1, 2), (3, 4), "so"]


def test_a_plan_has_the_steps_and_tokens_of_the_fit(dataset: Path, tiny_base: Base, tmp_path: Path) -> None:
    how, steps = settings(tiny_base, epochs=3, pair_rate=0.5), list[int]()
    one = job(dataset, how, tiny_base.cache, tmp_path / "m")
    plan = one.plan(Watch())
    assert list(tmp_path.iterdir()) == []
    one.run(Watch(step=lambda now: steps.append(now.steps)))
    assert plan.steps == len(steps) == steps[0] == 9
    assert 0 < plan.seconds < 600
    assert 50e6 < plan.memory < 20e9
    single = job(dataset, how.model_copy(update={"epochs": 1}), tiny_base.cache, tmp_path / "n").plan(Watch())
    assert single.steps == 3
    assert plan.tokens % 3 == 0
    assert plan.tokens == pytest.approx(3 * single.tokens)
    short = job(dataset, how.model_copy(update={"max_steps": 2}), tiny_base.cache, tmp_path / "o").plan(Watch())
    assert short.steps == 2
    assert short.tokens == pytest.approx(2 / 3 * single.tokens, abs=1)
