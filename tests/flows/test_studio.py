"""The way between the warehouse and Label Studio as commands go it: the project by its id, two at once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import pytest

from annotation.studio.client import Studio
from flows.doctor import doctor
from flows.duplicates import studio_merge
from flows.pull import pull
from flows.push import push
from flows.settings.settings import load_settings
from tests.fixtures.llm_runs import install, value
from tests.fixtures.studio import StudioServer
from warehouse import open_warehouse
from warehouse.catalog.patience import turn
from warehouse.errors import InputError, ServiceError

HYPOTHESES = ("The street is wet.", "It is Monday.", "A coat is wet.")


@pytest.fixture
def config(tmp_path: Path, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with three propositions whose Label Studio is the one of the tests, in a project of its own."""
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", f" {studio_server.token}\n")
    section = f'[annotation]\nurl = "{studio_server.url}"\nproject = "flow {uuid4().hex[:12]}"'
    return install(tmp_path, section, hypotheses=HYPOTHESES)


def project(config: Path) -> int:
    return int(value(config, "SELECT number FROM studio_projects WHERE retired_at IS NULL"))


def numbers(studio: Studio, config: Path) -> list[int]:
    return [stamp.id for stamp in studio.stamps(project(config))]


def judge(studio: Studio, tasks: Iterable[int], number: float) -> None:
    result = [{"from_name": "probability", "to_name": "hypothesis", "type": "number", "value": {"number": number}}]
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


def test_a_task_deleted_by_hand_comes_back_only_when_told(config: Path, studio: Studio) -> None:
    push(config)
    tasks = numbers(studio, config)
    judge(studio, tasks, 60)
    assert pull(config).counts["new judgments"] == 3
    studio.delete_task(tasks[1])
    assert pull(config).counts["deleted"] == 1
    outcome = push(config)
    assert outcome.counts == {"new tasks": 0, "found there": 0}
    assert outcome.note.startswith("tasks deleted in Label Studio: 1;")
    assert push(config, again=True).counts == {"new tasks": 1, "found there": 0}
    assert len(numbers(studio, config)) == 3
    assert push(config).note == ""


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


def test_duplicates_are_found_and_merged_with_their_judgments_kept(config: Path, studio: Studio) -> None:
    push(config)
    first = list(studio.tasks(project(config)))
    data = [{"data": {"proposition_id": task.proposition_id, "premise": "p", "hypothesis": "h"}} for task in first]
    doubled = studio.import_tasks(project(config), data)
    judge(studio, [doubled[0], first[1].id, doubled[1]], 40)
    settings = load_settings(config)
    (finding,) = (finding for finding in doctor(config=settings) if finding.what == "tasks")
    assert finding.detail.startswith("2 duplicate tasks")
    assert studio_merge(config=settings).counts == {"duplicates deleted": 2, "judged and kept": 1}
    assert set(numbers(studio, config)) == {doubled[0], first[1].id, doubled[1], first[2].id}
    assert pull(config).counts["new judgments"] == 3
    assert push(config, again=True).counts == {"new tasks": 0, "found there": 0}
    assert not [finding for finding in doctor(config=settings) if finding.what == "tasks"]
