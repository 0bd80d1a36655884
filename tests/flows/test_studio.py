"""The way between the warehouse and Label Studio as commands go it: the project by its id, two at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from annotation.studio.client import Studio
from annotation.studio.remote import batch_of
from flows.doctor import doctor
from flows.pull import pull
from flows.push import push
from flows.research.query import sql
from flows.settings.settings import load_settings
from flows.stages.outcome import Outcome
from flows.studio.duplicates import studio_merge
from tests.fixtures.llm_runs import install, value
from tests.fixtures.studio import StudioServer, rating
from warehouse import open_warehouse
from warehouse.catalog.patience import turn
from warehouse.catalog.store import merge
from warehouse.errors import InputError, ServiceError
from warehouse.records import Check, Premise, Proposition, Record, premise_id, proposition_id, split_of

HYPOTHESES = ("The street is wet.", "It is Monday.", "A coat is wet.")


@pytest.fixture
def config(tmp_path: Path, study_section: str, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with three propositions whose Label Studio is the one of the tests, in a project of its own."""
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", f" {studio_server.token}\n")
    return install(tmp_path, study_section, hypotheses=HYPOTHESES)


def project(config: Path) -> int:
    return int(value(config, "SELECT number FROM studio_projects WHERE retired_at IS NULL"))


def numbers(studio: Studio, config: Path) -> list[int]:
    return [stamp.id for stamp in studio.stamps(project(config))]


def judge(studio: Studio, tasks: Iterable[int], number: float) -> None:
    result = rating(number)
    for task in tasks:
        studio.annotate(task, result, unique_id=str(uuid4()))


@pytest.mark.slow
def test_a_project_is_known_by_its_id(config: Path, studio: Studio) -> None:
    title = load_settings(config).annotation.project
    with pytest.raises(InputError, match="odds push creates it"):
        pull(config)
    assert studio.projects_called(title) == []
    assert push(config).counts == {"new tasks": 3, "found there": 0}
    first = project(config)
    judge(studio, numbers(studio, config)[:2], 30)

    studio.update_project(first, {"title": "renamed by a person"})
    assert pull(config).counts["new judgments"] == 2
    assert push(config).counts == {"new tasks": 0, "found there": 0}
    assert (studio.projects_called(title), project(config)) == ([], first)

    studio._sdk.projects.delete(first)
    for stage in (pull, push):
        with pytest.raises(InputError, match=rf"project {first} .* has vanished"):
            stage(config)
    assert studio.projects_called(title) == []
    assert value(config, "SELECT count(*) FROM judgments WHERE deleted_at IS NULL") == 2
    assert push(config, new_project=True).counts == {"new tasks": 3, "found there": 0}
    assert project(config) != first
    assert pull(config).counts["deleted"] == 0
    with pytest.raises(InputError, match="has not"):
        push(config, new_project=True)


@pytest.mark.slow
def test_a_task_deleted_by_hand_comes_back_only_when_told(config: Path, studio: Studio) -> None:
    push(config)
    tasks = numbers(studio, config)
    judge(studio, tasks, 60)
    assert pull(config).counts["new judgments"] == 3
    studio.delete_task(tasks[1])
    assert pull(config).counts["deleted"] == 0, "a task was deleted, not a judgment"
    (annotation,) = studio.export(project(config), [tasks[2]])[0]["annotations"]
    studio._sdk.annotations.delete(annotation["id"])
    assert pull(config).counts["deleted"] == 1
    assert value(config, "SELECT count(*) FROM valid_judgments") == 2
    outcome = push(config)
    assert outcome.counts == {"new tasks": 0, "found there": 0}
    assert outcome.note.startswith("tasks deleted in Label Studio: 1;")
    assert push(config, restore=True).counts == {"new tasks": 1, "found there": 0}
    (again,) = set(numbers(studio, config)) - set(tasks)
    assert push(config).note == ""
    judge(studio, [again], 80)
    assert pull(config).counts == {"new judgments": 1, "changed": 0, "deleted": 0, "dropped": 0}
    query = "SELECT probability FROM judgments WHERE deleted_at IS NULL ORDER BY probability"
    assert sql(query, config=config)["probability"].to_pylist() == [0.6, 0.6, 0.8], "before and after the deletion"


LANGUAGES = {"fr": "Il pleut.", "de": "Es regnet."}


@pytest.fixture
def several(tmp_path: Path, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three projects: French, the rest, and a qualification project with one of the three English propositions."""
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", studio_server.token)
    name = uuid4().hex[:12]
    section = f"""
    [annotation]
    url = "{studio_server.url}"
    project = "rest {name}"
    [[annotation.projects]]
    title = "french {name}"
    languages = ["fr"]
    judgments_per_proposition = 2
    [[annotation.projects]]
    title = "entry {name}"
    purpose = "qualification"
    """
    config = install(tmp_path, section, hypotheses=HYPOTHESES)
    rows: list[Record] = []
    for language, text in LANGUAGES.items():
        home = premise_id(text)
        rows.append(Premise(premise_id=home, text=text, source="made-up", language=language))
        rows.append(
            Proposition(
                proposition_id=proposition_id(text, "x"),
                premise_id=home,
                hypothesis="x",
                kind="imported",
                source="made-up",
                split=split_of(home),
            )
        )
    known = proposition_id("It rains.", HYPOTHESES[0])
    rows.append(Check(check_id="1", proposition_id=known, low=0.9, high=1, purpose="qualification"))
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        for row in rows:
            merge(warehouse, [row])
    return config


def tasks_of(config: Path) -> dict[str, list[tuple[str, str]]]:
    """The hypothesis or premise and the purpose of every task, by the first word of the project's title."""
    query = """
        SELECT split_part(title, ' ', 1) AS title, CASE p.hypothesis WHEN 'x' THEN m.text ELSE p.hypothesis END AS said,
          t.purpose
        FROM tasks t JOIN studio_projects USING (project) JOIN propositions p USING (proposition_id)
        JOIN premises m USING (premise_id) ORDER BY said
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for row in sql(query, config=config).to_pylist():
        found.setdefault(row["title"], []).append((row["said"], row["purpose"]))
    return found


@pytest.mark.slow
def test_each_proposition_goes_to_one_project(several: Path, studio: Studio) -> None:
    french, entry, rest = (one.title for one in load_settings(several).annotation.every_project)
    assert push(several, project=french).counts == {"new tasks": 1, "found there": 0}
    assert push(several).counts == {"new tasks": 4, "found there": 0}
    assert push(several).counts == {"new tasks": 0, "found there": 0}
    assert tasks_of(several) == {
        "french": [("Il pleut.", "judge")],
        "entry": [(HYPOTHESES[0], "qualification")],
        "rest": [("A coat is wet.", "judge"), ("Es regnet.", "judge"), ("It is Monday.", "judge")],
    }
    wanted = sql("SELECT title, purpose, number FROM studio_projects ORDER BY title", config=several).to_pylist()
    assert [(row["title"], row["purpose"]) for row in wanted] == [
        (entry, "qualification"),
        (french, "study"),
        (rest, "study"),
    ]
    overlaps = [studio.project_settings(row["number"], ["maximum_annotations"]) for row in wanted]
    assert [one["maximum_annotations"] for one in overlaps] == [3, 2, 3]
    for row in wanted:
        judge(studio, [stamp.id for stamp in studio.stamps(row["number"])], 60)
    studio._sdk.projects.delete(wanted[1]["number"])
    gone = f'project {wanted[1]["number"]} \\("{french}"\\) has vanished'
    with pytest.raises(InputError, match=f"^{gone}[^;]*; its judgments are kept$"):
        pull(several)
    assert value(several, "SELECT count(*) FROM judgments") == 4, "the other projects are pulled"
    assert pull(several, project=rest).counts["new judgments"] == 0
    with pytest.raises(InputError, match="which of the projects has vanished"):
        push(several, new_project=True)
    assert push(several, new_project=True, project=french).counts["new tasks"] == 1
    with pytest.raises(InputError, match=f'^no project of the settings is called "x": name one of {french}, {entry}'):
        pull(several, project="x")


def test_one_process_pushes_at_a_time(config: Path) -> None:
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        began, waited = threading.Event(), threading.Event()

        def other() -> None:
            began.wait(10)
            with turn(warehouse.push_lock, "pushing", lambda _: waited.set()):
                pass

        thread = threading.Thread(target=other)
        thread.start()
        with turn(warehouse.push_lock, "pushing", print):
            began.set()
            assert waited.wait(10)
            assert thread.is_alive()
            with pytest.raises(ServiceError, match="has been pushing"), turn(warehouse.push_lock, "pushing", print, 0):
                pass
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.slow
def test_a_pull_waits_for_another_one_and_a_push_for_none(
    config: Path, studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    push(config)
    judge(studio, numbers(studio, config)[:1], 30)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(pull(config).counts["new judgments"]))
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        with turn(warehouse.pull_lock, "pulling", print):
            thread.start()
            thread.join(5)
            assert thread.is_alive()
            assert "waiting for another process that is pulling" in capsys.readouterr().err
            assert push(config).counts["new tasks"] == 0
            assert value(config, "SELECT count(*) FROM judgments") == 0
        thread.join(60)
    assert found == [1]


def test_two_pushes_at_once_make_each_task_once(config: Path, studio: Studio) -> None:
    both = threading.Barrier(2)

    def begin(_: int) -> Outcome:
        both.wait(60)
        return push(config)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(begin, range(2)))
    title = load_settings(config).annotation.project
    (made,) = studio.projects_called(title)
    there = Counter(task.proposition_id for task in studio.tasks(made))
    assert there == Counter(proposition_id("It rains.", text) for text in HYPOTHESES)
    assert sorted(one.counts["new tasks"] for one in outcomes) == [0, len(HYPOTHESES)]
    assert value(config, "SELECT count(*) FROM tasks") == len(HYPOTHESES)


def test_duplicates_are_found_and_merged_with_their_judgments_kept(config: Path, studio: Studio) -> None:
    push(config)
    first = list(studio.tasks(project(config)))
    data = [{"data": {"proposition_id": task.proposition_id, "premise": "p", "hypothesis": "h"}} for task in first]
    doubled = studio.import_tasks(project(config), batch_of(data))
    judge(studio, [doubled[0], first[1].id, doubled[1]], 40)
    settings = load_settings(config)
    (finding,) = (finding for finding in doctor(config=settings) if finding.what == "tasks")
    assert finding.detail.startswith("2 duplicate tasks")
    assert studio_merge(config=settings).counts == {"duplicates deleted": 2, "judged and kept": 1}
    assert set(numbers(studio, config)) == {doubled[0], first[1].id, doubled[1], first[2].id}
    assert pull(config).counts["new judgments"] == 3
    assert push(config, restore=True).counts == {"new tasks": 0, "found there": 0}
    assert not [finding for finding in doctor(config=settings) if finding.what == "tasks"]
