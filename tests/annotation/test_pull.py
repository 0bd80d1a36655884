from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from annotation.people.users import add_annotator
from annotation.studio.client import Studio, connect
from annotation.sync import pull as pulling
from annotation.sync.push import push
from tests.annotation.test_sync import Judge, propositions
from tests.fixtures.studio import Home, StudioServer, new_project, rating
from warehouse.records import Judgment, annotator_id


@pytest.fixture(scope="module")
def people(studio_server: StudioServer) -> tuple[Judge, Judge]:
    studio = connect(studio_server.url, studio_server.token)
    tokens = [add_annotator(studio, f"{name}@example.org", "a-long-password-1") for name in ("Ada", "bob")]
    return Judge(studio_server.url, tokens[0]), Judge(studio_server.url, tokens[1])


@pytest.fixture
def project(studio: Studio) -> int:
    return new_project(studio)


@pytest.fixture
def home(studio: Studio, project: int) -> Home:
    return Home(studio, project)


@pytest.fixture
def exported(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tasks that were exported, in their order."""
    asked: list[int] = []
    real = studio.export

    def watched(project: int, ids: Sequence[int]) -> list[dict[str, Any]]:
        asked.extend(ids)
        return real(project, ids)

    monkeypatch.setattr(studio, "export", watched)
    return asked


def values(judgments: Sequence[Judgment]) -> list[tuple[str, str, float | None]]:
    return sorted((j.proposition_id, j.annotator_id, j.probability) for j in judgments)


def pushed(studio: Studio, project: int, pairs: int = 3) -> list[str]:
    """Tasks for so many propositions, by their numbers, in the order of the propositions."""
    made = propositions() if pairs == 3 else propositions([(f"premise {i}", "hypothesis") for i in range(pairs)])
    return [task.source_id for task in push(studio, project, made).tasks]


def test_judgments_are_created_changed_and_deleted(
    studio: Studio, people: tuple[Judge, Judge], project: int, home: Home
) -> None:
    ada, bob = people
    wet, monday, coin = pushed(studio, project)
    ids = [p.proposition_id for p in propositions()]
    ada_id, bob_id = (annotator_id("label-studio", f"{name}@example.org") for name in ("ada", "bob"))
    changed, deleted = ada.judge(wet, 90.5, lead_time=4.5), ada.judge(monday, 14.3)
    bob.judge(wet, 70)
    bob.judge(coin, 9999)
    first = home.pull()
    assert values(home.live()) == sorted([(ids[0], ada_id, 0.905), (ids[1], ada_id, 0.143), (ids[0], bob_id, 0.7)])
    assert {(a.annotator_id, a.kind) for a in first.annotators} == {(ada_id, "human"), (bob_id, "human")}
    assert [(drop.reason, drop.detail) for drop in first.drops] == [("out_of_range", "9999")]
    assert next(j for j in first.judgments if j.probability == 0.905).lead_time_s == 4.5
    before = next(j for j in first.judgments if j.probability == 0.905)

    ada.ask("PATCH", f"annotations/{changed}/", {"result": rating(88)})
    ada.ask("DELETE", f"annotations/{deleted}/")
    later = home.pull()
    assert values(home.live()) == sorted([(ids[0], ada_id, 0.88), (ids[0], bob_id, 0.7)])
    after = next(j for j in later.judgments if j.judgment_id == before.judgment_id)
    assert after.updated_at is not None
    assert before.updated_at is not None
    assert after.updated_at > before.updated_at
    assert after.submitted_at == before.submitted_at


def test_nothing_that_is_known_is_exported_again(
    studio: Studio, people: tuple[Judge, Judge], project: int, home: Home, exported: list[int]
) -> None:
    tasks = pushed(studio, project)
    people[0].judge(tasks[0], 50)
    people[0].judge(tasks[1], 9999)
    people[0].judge(tasks[2], 50, was_cancelled=True)
    foreign = people[0].ask("POST", "tasks/", {"project": project, "data": {"premise": "a", "hypothesis": "b"}})
    people[0].judge(str(foreign["id"]), 50)
    first = home.pull()
    assert sorted(drop.reason for drop in first.drops) == ["no_proposition", "out_of_range", "skipped"]
    assert sorted(exported) == sorted([*map(int, tasks), foreign["id"]])
    exported.clear()
    assert home.pull() == pulling.Pulled([], [], [], [], [])
    assert exported == []
    people[1].judge(tasks[1], 20)
    home.pull()
    assert exported == [int(tasks[1])]


def test_deleted_tasks_are_found_by_halving(
    studio: Studio,
    people: tuple[Judge, Judge],
    project: int,
    home: Home,
    exported: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulling, "LEAF", 2)
    monkeypatch.setattr(pulling, "OVERLAP", timedelta(0))
    tasks = pushed(studio, project, 16)
    for number, task in enumerate(tasks):
        people[0].judge(task, number)
    time.sleep(1)  # the server tells its time in whole seconds, and what it dated in the last one is listed again
    home.pull()
    exported.clear()
    listed: list[int] = []
    real = studio.stamps

    def stamps(*given: Any) -> Iterator[Any]:
        for stamp in real(*given):
            listed.append(stamp.id)
            yield stamp

    monkeypatch.setattr(studio, "stamps", stamps)
    people[0].ask("DELETE", f"tasks/{tasks[3]}/")
    people[0].judge(tasks[9], 70)
    home.pull()
    assert sorted(j.probability or 0 for j in home.live()) == sorted([i / 100 for i in range(16)] + [0.7])
    assert set(exported) == {int(tasks[3]), int(tasks[9])}
    assert len(set(listed)) <= 3, "more is listed than what changed and a leaf"
    assert home.tasks[int(tasks[3])].n_annotations == 0
    exported.clear()
    home.pull()
    assert exported == []


def test_a_deleted_annotation_is_found_without_halving(
    studio: Studio,
    people: tuple[Judge, Judge],
    project: int,
    home: Home,
    exported: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulling, "OVERLAP", timedelta(0))
    tasks = pushed(studio, project)
    deleted = people[0].judge(tasks[0], 40)
    people[0].judge(tasks[1], 60)
    home.pull()
    exported.clear()
    people[0].ask("DELETE", f"annotations/{deleted}/")
    monkeypatch.setattr(pulling, "_differing", lambda *_: [])
    home.pull()
    assert [judgment.probability for judgment in home.live()] == [0.6]
    assert exported == [int(tasks[0])]
    assert home.tasks[int(tasks[0])].n_annotations == 0


def test_a_task_whose_annotations_the_server_miscounts_is_read_once(
    studio: Studio, people: tuple[Judge, Judge], project: int, home: Home, exported: list[int]
) -> None:
    task, *_ = pushed(studio, project)
    people[0].judge(task, 40)
    people[1].judge(task, 60)
    people[0].ask("PATCH", f"tasks/{task}/", {"total_annotations": 1})  # as after two that arrived at the same moment
    home.pull()
    assert sorted(judgment.probability or 0 for judgment in home.live()) == [0.4, 0.6]
    exported.clear()
    home.pull()
    assert exported == []


def test_a_pull_that_was_cut_off_goes_on_and_says_nothing_deleted(
    studio: Studio,
    people: tuple[Judge, Judge],
    project: int,
    home: Home,
    exported: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulling, "PIECE", 2)
    monkeypatch.setattr(pulling, "URL_ROOM", 1)
    tasks = pushed(studio, project, 5)
    for number, task in enumerate(reversed(tasks)):
        people[0].judge(task, number)
    first = next(pulling.pull(studio, project, studio.project_key(project)))
    assert exported == [int(tasks[4]), int(tasks[3])], "the oldest changes come first"
    home.tasks = {task.number: task for task in first.tasks}
    exported.clear()
    home.pull()
    assert exported == [int(tasks[2]), int(tasks[1]), int(tasks[0])]


def test_a_judgment_that_became_unusable_no_longer_stands(
    studio: Studio, people: tuple[Judge, Judge], project: int, home: Home
) -> None:
    task = pushed(studio, project)[0]
    annotation = people[0].judge(task, 50)
    home.pull()
    people[0].ask("PATCH", f"annotations/{annotation}/", {"result": rating(-3)})
    later = home.pull()
    assert [drop.reason for drop in later.drops] == ["out_of_range"]
    assert home.live() == []


def test_repeats_and_judgments_beyond_the_overlap_are_kept(
    studio: Studio, people: tuple[Judge, Judge], project: int, home: Home
) -> None:
    task = pushed(studio, project)[0]
    for number in (10, 20, 30):
        people[0].judge(task, number)
    people[1].judge(task, 40)
    pulled = home.pull()
    assert sorted(j.probability or 0 for j in pulled.judgments) == [0.1, 0.2, 0.3, 0.4]
    assert len({j.judgment_id for j in pulled.judgments}) == 4


def test_judgments_of_a_removed_annotator_stand(
    studio: Studio, people: tuple[Judge, Judge], project: int, home: Home
) -> None:
    address = f"gone-{uuid4().hex[:8]}@example.org"
    leaver = Judge(studio.url, add_annotator(studio, address, "a-long-password-1"))
    tasks = pushed(studio, project)
    leaver.judge(tasks[0], 30)
    leaver.judge(tasks[1], 40)
    home.pull()
    (number,) = (user.id for user in studio.users().values() if user.email == address)
    admin = Judge(studio.url, studio._token)
    admin.ask("DELETE", f"users/{number}/")
    assert number not in studio.users()
    people[0].judge(tasks[0], 50)  # so that the task is read again
    author = {j.source_id: j.annotator_id for j in home.judgments.values()}
    home.pull(lambda _number, source_id: author.get(source_id))
    gone, ada = (annotator_id("label-studio", name) for name in (address, "ada@example.org"))
    stand = sorted((j.probability or 0, j.annotator_id) for j in home.live())
    assert stand == [(0.3, gone), (0.4, gone), (0.5, ada)]


def test_what_no_page_sends_is_bounded_and_said(
    studio: Studio, people: tuple[Judge, Judge], project: int, home: Home
) -> None:
    task = pushed(studio, project)[0]
    words = {"from_name": "comment", "to_name": "hypothesis", "type": "textarea", "value": {"text": ["x" * 100_000]}}
    people[0].ask("POST", f"tasks/{task}/annotations/", {"result": [*rating(33.33333), words], "lead_time": 1e9})
    pulled = home.pull()
    (judgment,) = pulled.judgments
    assert (judgment.probability, judgment.lead_time_s, len(judgment.comment or "")) == (0.333, None, 10_000)
    assert {(drop.reason, drop.subject_id) for drop in pulled.bounds} == {
        (reason, judgment.source_id) for reason in ("lead_time_too_long", "comment_too_long", "between_steps")
    }
