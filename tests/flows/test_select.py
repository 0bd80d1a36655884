"""Choosing propositions for more judgments, from the consensus to the tasks in Label Studio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

import flows.select
from annotation.studio.client import Studio
from flows.estimators.scoring import Scored
from flows.pull import pull
from flows.push import push
from flows.select import MEANING, select, selected, selected_parts
from flows.settings.settings import load_settings
from tests.fixtures.commands import Run
from tests.fixtures.llm_runs import rows, settings_file, value
from tests.fixtures.store import made_rows
from tests.fixtures.studio import rating, somebody
from training.embedded import pretrained_path
from warehouse import open_warehouse
from warehouse.catalog.store import merge, merge_all
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.records import Estimate, Model, PropositionText, Score

WITH_JUDGMENTS = [("p0", (0.5,)), ("p1", (0.1, 0.1)), ("p2", (0.2, 0.3, 0.1)), ("p3", (0.9, 0.8, 0.9, 0.9))]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Four propositions with one to four judgments, all in the training split, and their consensus."""
    return installed(tmp_path, "")


def installed(folder: Path, more: str) -> Path:
    file = settings_file(folder, "[splits]\ntrain = 0.98\ndev = 0.01\n" + more)
    made = [(name, f"annotator {n}", value) for name, values in WITH_JUDGMENTS for n, value in enumerate(values)]
    with open_warehouse(load_settings(file).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows(made))
        warehouse.connection.execute("UPDATE propositions SET split = 'train'")
        renew_consensus(warehouse, "em")
    return file


def chosen(config: Path) -> list[str]:
    found: list[str] = selected(config=config)["hypothesis"].to_pylist()
    return found


def judge_again(config: Path, name: str) -> None:
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(name, "another", 0.4)]))
        renew_consensus(warehouse, "em")


@pytest.mark.slow
def test_the_least_sure_consensus_is_chosen_until_it_is_judged_again(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "chosen.parquet"
    hypotheses = rows(config, "SELECT hypothesis FROM proposition_overview ORDER BY n_judgments")
    fewest = [row["hypothesis"] for row in hypotheses]
    outcome = select(config, limit=2, output=file)
    assert outcome.counts == {"chosen": 2, "in less doubt": 2, "unknown": 0}
    assert chosen(config) == fewest[:2]
    assert pq.read_table(file)["hypothesis"].to_pylist() == fewest[:2]
    assert select(config, limit=2).counts == outcome.counts
    assert value(config, "SELECT count(*) FROM selections") == 2

    judge_again(config, "p0")
    assert chosen(config) == fewest[1:2]
    select(config, limit=2)
    assert value(config, "SELECT count(*) FROM selections WHERE n_judgments = 2") == 2


@pytest.mark.slow
def test_test_propositions_are_chosen_only_when_told(config: Path) -> None:
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        warehouse.connection.execute("UPDATE propositions SET split = 'test' WHERE hypothesis LIKE '%p0%'")
        moved = warehouse.sql("SELECT count(*) AS n FROM splits WHERE split = 'test'")["n"][0].as_py()
    counts = select(config).counts
    assert counts["chosen"] == 4 - moved
    assert select(config, with_test=True).counts["chosen"] == 4
    assert moved >= 1


@pytest.fixture
def estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimator that is sure of 0.95 for all propositions, except that it knows nothing of the last one."""

    @contextmanager
    def scored(_: Any, model: Model, propositions: Iterable[PropositionText], total: int) -> Iterator[Any]:
        texts = list(propositions)
        assert len(texts) == total
        flat, sure = [0.1] * 10, [0.0] * 9 + [1.0]
        scores = {}
        for each in texts:
            levels = flat if "p3" in each.hypothesis else sure
            scores[each.proposition_id] = Score(
                score_id=each.proposition_id,
                model_id=model.model_id,
                proposition_id=each.proposition_id,
                score=0.5 if levels is flat else 0.95,
                level_probabilities=levels,
            )
        yield iter([Scored(texts, scores, [])])

    monkeypatch.setattr(flows.select, "scored", scored)


@pytest.mark.slow
@pytest.mark.usefixtures("estimator")
def test_rules_that_use_the_estimator_choose_by_its_scores(config: Path) -> None:
    select(config, by="uncertainty", limit=1)
    (row,) = selected("uncertainty", config=config).to_pylist()
    assert "p3" in row["hypothesis"]
    assert row["value"] == pytest.approx((1 / 12) ** 0.5)  # of a uniform distribution
    assert row["model_id"]

    select(config, by="disagreement")
    for row in rows(
        config,
        "SELECT value, abs(0.95 - mean) / sd AS expected FROM chosen JOIN consensus USING (proposition_id) "
        "WHERE rule = 'disagreement' AND hypothesis NOT LIKE '%p3%'",
    ):
        assert row["value"] == pytest.approx(row["expected"])

    with pytest.raises(InputError, match="run odds elicit"):
        select(config, by="panel")
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        (judged,) = warehouse.sql("SELECT proposition_id FROM propositions WHERE hypothesis LIKE '%p1%'").to_pylist()
        estimate = Estimate(
            estimate_id="e",
            proposition_id=judged["proposition_id"],
            labeler="a",
            labeler_version="1",
            method="token",
            probability=0.25,
        )
        merge(warehouse, [estimate])
    assert select(config, by="panel").counts == {"chosen": 1, "in less doubt": 0, "unknown": 3}
    assert selected("panel", config=config)["value"].to_pylist() == pytest.approx([0.7])


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    config = installed(tmp_path, '[agreement]\nconsensus = "median"\n')
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        renew_consensus(warehouse, "median")
    with pytest.raises(InputError, match=r"set agreement\.consensus to em"):
        select(config)
    with pytest.raises(InputError, match="at least 1"):
        select(config, limit=0)


@pytest.mark.slow
def test_the_command_prints_what_waits_in_eighty_columns(config: Path, odds: Run) -> None:
    done = odds("--config", str(config), "select", "--limit", "3", env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("select: 3 chosen, 1 in less doubt, 0 unknown (by consensus")
    assert lines[1] == f"waiting for a judgment: 3; doubt: {MEANING['consensus']}"
    assert max(map(len, lines[2:])) <= 80
    (most,) = rows(config, "SELECT value, hypothesis FROM chosen ORDER BY value DESC LIMIT 1")
    assert lines[4].split()[:3] == [f"{most['value']:.3f}", "1", "train"]
    assert most["hypothesis"] in lines[4]
    assert selected_parts(selected(config=config), "consensus")


def test_the_model_of_a_rule_without_one_is_refused(odds: Run) -> None:
    done = odds("select", "--model", str(pretrained_path()))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--model needs --by" in done.stderr


@pytest.mark.slow
def test_chosen_propositions_are_judged_once_more(tmp_path: Path, studio: Studio, study_section: str) -> None:
    config = installed(tmp_path, study_section + "judgments_per_proposition = 1\n")
    select(config, limit=1)
    pushed = push(config, selected=True)  # only the chosen one, which has no task yet
    assert pushed.counts == {"new tasks": 1, "found there": 0, "to be judged again": 0}
    assert push(config).counts == {"new tasks": 3, "found there": 0}

    project = int(value(config, "SELECT number FROM studio_projects"))
    for task in studio.tasks(project):
        studio.annotate(task.id, rating(40), unique_id=str(uuid4()))
    assert pull(config).counts["new judgments"] == 4
    assert chosen(config) == []
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        renew_consensus(warehouse, "em")

    other = somebody(studio)
    path = f"api/projects/{project}/next"
    with pytest.raises(InputError, match="404"):  # every task has its judgment
        other._get("asking for a task", path, {})
    select(config, limit=2)
    again = {"new tasks": 0, "found there": 0, "to be judged again": 2}
    assert push(config, selected=True).counts == again
    assert push(config, selected=True).counts == again | {"to be judged again": 0}
    assert sorted(task.overlap for task in studio.overlaps(project)) == [1, 1, 2, 2]
    shown = other._get("asking for a task", path, {})
    assert shown["data"]["proposition_id"] in selected(config=config)["proposition_id"].to_pylist()
    assert push(config).counts == {"new tasks": 0, "found there": 0}  # leaves it so
    assert sorted(task.overlap for task in studio.overlaps(project)) == [1, 1, 2, 2]
