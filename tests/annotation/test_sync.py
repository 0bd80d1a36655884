from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest

from annotation.interface import page as pages
from annotation.interface.instruction import instruction
from annotation.interface.page import page_of
from annotation.people.users import add_annotator
from annotation.studio.client import Studio, connect
from annotation.studio.remote import RemoteTask, TaskBatch
from annotation.sync import push as sync
from annotation.sync.push import make_project, project_called, push, spread, update_settings
from tests.fixtures.studio import StudioServer, new_project, rating
from warehouse.errors import InputError, ServiceError
from warehouse.records import PropositionText, Task, proposition_id

PAIRS = (("It rains & <b>pours</b>.", "The street is wet."), ("It rains.", "It is Monday."), ("A $5 note.", "A coin."))


def propositions(pairs: Sequence[tuple[str, str]] = PAIRS) -> list[PropositionText]:
    return [PropositionText(proposition_id=proposition_id(p, h), premise=p, hypothesis=h) for p, h in pairs]


class Judge(NamedTuple):
    """Judges through plain HTTP, as a browser would: independent of the code under test."""

    url: str
    token: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Token {self.token}"}
        reply = httpx.request(method, f"{self.url}/api/{path}", headers=headers, json=body, timeout=60)
        return reply.raise_for_status().json() if reply.content else None

    def judge(self, task: str, number: float, **more: object) -> int:
        return int(self.ask("POST", f"tasks/{task}/annotations/", {"result": rating(number), **more})["id"])


@pytest.fixture(scope="module")
def people(studio_server: StudioServer) -> tuple[Judge, Judge]:
    studio = connect(studio_server.url, studio_server.token)
    tokens = [add_annotator(studio, f"{name}@example.org", "a-long-password-1") for name in ("Ada", "bob")]
    return Judge(studio_server.url, tokens[0]), Judge(studio_server.url, tokens[1])


@pytest.fixture
def project(studio: Studio) -> int:
    return new_project(studio)


def test_pushing_twice_creates_nothing_twice(studio: Studio, project: int) -> None:
    ticks: list[tuple[int, int]] = []
    first = push(studio, project, propositions()[:2], on_progress=lambda done, total: ticks.append((done, total)))
    assert (first.created, first.already, ticks) == (2, 0, [(2, 2)])
    second = push(studio, project, [*propositions(), *propositions()])
    assert (second.created, second.already) == (1, 2)
    assert len({task.task_id for task in second.tasks}) == 3
    assert second.tasks[:2] == [
        t.model_copy(update={"created_at": s.created_at}) for t, s in zip(first.tasks, second.tasks, strict=False)
    ]
    assert push(studio, project, propositions()).created == 0
    assert studio.counts(project).tasks == 3


def test_a_push_that_breaks_off_is_healed_by_the_next(
    studio: Studio, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "IMPORT_CHUNK", 1)
    real = studio.import_tasks

    def break_after_the_second(project_id: int, tasks: TaskBatch) -> list[int]:
        ids = real(project_id, tasks)
        if studio.counts(project_id).tasks == 2:
            raise ServiceError("injected: the connection broke after the server had done it")
        return ids

    with monkeypatch.context() as broken:
        broken.setattr(studio, "import_tasks", break_after_the_second)
        with pytest.raises(ServiceError, match="injected"):
            push(studio, project, propositions())
    healed = push(studio, project, propositions())
    assert (healed.created, healed.already) == (1, 2)
    assert {task.proposition_id for task in studio.tasks(project)} == {p.proposition_id for p in propositions()}


def test_tasks_are_reported_while_more_are_imported(
    studio: Studio, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(studio, project, propositions()[:1])
    monkeypatch.setattr(sync, "IMPORT_CHUNK", 1)
    real, reported = studio.import_tasks, list[list[str]]()
    began = [threading.Event(), threading.Event()]
    waiting = iter(began)

    def import_tasks(project_id: int, tasks: TaskBatch) -> list[int]:
        next(waiting).set()
        return real(project_id, tasks)

    def report(tasks: list[Task]) -> None:
        if len(reported) < len(began):
            assert began[len(reported)].wait(10), "nothing is imported meanwhile"
        reported.append([task.proposition_id for task in tasks])

    monkeypatch.setattr(studio, "import_tasks", import_tasks)
    pushed = push(studio, project, propositions(), on_tasks=report)
    assert [len(names) for names in reported] == [1, 1, 1]
    assert reported[0] == [propositions()[0].proposition_id]
    assert {name for names in reported for name in names} == {task.proposition_id for task in pushed.tasks}


def test_more_tasks_than_a_page_are_all_found(studio: Studio, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    many = propositions([("premise", f"hypothesis {i}") for i in range(25)])
    push(studio, project, many)
    monkeypatch.setattr("annotation.studio.client.PAGE", 10)
    assert {task.proposition_id for task in studio.tasks(project)} == {p.proposition_id for p in many}
    assert push(studio, project, many).already == 25


def test_the_order_of_the_tasks_keeps_those_of_a_premise_apart(studio: Studio, project: int) -> None:
    pairs = [(f"premise {i}", f"hypothesis {j}") for i in range(8) for j in range(3)]
    push(studio, project, propositions(pairs))
    of = {p.proposition_id: p.premise for p in propositions(pairs)}
    premises = [of[task.proposition_id or ""] for task in studio.tasks(project)]
    assert all(first != second for first, second in pairwise(premises))
    assert premises[:8] != sorted(premises[:8])
    assert spread(propositions(pairs)) == spread(propositions(pairs[::-1]))


def test_only_tasks_after_the_last_known_one_are_looked_through(
    studio: Studio, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = push(studio, project, propositions()[:2])
    highest = max(int(task.source_id) for task in first.tasks)
    push(studio, project, propositions()[2:])  # as if it had broken off before the warehouse knew
    read: list[str] = []
    real = studio.tasks

    def tasks(*given: Any) -> Iterator[RemoteTask]:
        for task in real(*given):
            read.append(task.proposition_id or "")
            yield task

    monkeypatch.setattr(studio, "tasks", tasks)
    third = push(studio, project, propositions()[2:], after=highest)
    assert (third.created, third.already) == (0, 1)
    assert read == [propositions()[2].proposition_id]


def test_progress_counts_what_people_did(studio: Studio, people: tuple[Judge, Judge], project: int) -> None:
    tasks = [task.source_id for task in push(studio, project, propositions()).tasks]
    assert studio.counts(project) == (3, 0, 0)
    people[0].judge(tasks[0], 1)
    people[1].judge(tasks[0], 2)
    people[1].judge(tasks[1], 3)
    assert studio.counts(project) == (3, 2, 3)


def test_a_project_is_found_by_its_title_and_set_right(studio: Studio) -> None:
    title, page = f"test {uuid4().hex[:12]}", page_of("slider")
    assert project_called(studio, title) is None
    made = make_project(studio, title, overlap=2, page=page).id
    found = project_called(studio, title)
    assert found is not None
    assert found.id == made
    studio.update_project(made, {"show_collab_predictions": True})
    update_settings(studio, made, overlap=3, page=page)
    settings = studio.project_settings(made, ["maximum_annotations", "show_collab_predictions", "label_config"])
    assert settings == {
        "maximum_annotations": 3,
        "show_collab_predictions": False,
        "label_config": page.xml,
    }
    studio.create_project({"title": title})
    with pytest.raises(InputError, match="2 projects"):
        project_called(studio, title)


def test_a_project_that_is_right_is_not_touched(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_project(studio)
    monkeypatch.setattr(studio, "update_project", lambda *given: pytest.fail(f"changed {given[1].keys()}"))
    assert update_settings(studio, made, overlap=2, page=page_of("slider")) == page_of("slider").mark


def test_a_page_that_was_judged_on_changes_only_when_told(
    studio: Studio, people: tuple[Judge, Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = new_project(studio)
    old = page_of("slider")
    monkeypatch.setattr(pages, "instruction", lambda interface: instruction(interface) + "<br>Thank you.")
    page_of.cache_clear()
    try:
        new = page_of("slider")
        assert update_settings(studio, made, overlap=2, page=new) == new.mark, "nobody has judged yet"
        assert studio.project_settings(made, ["expert_instruction"])["expert_instruction"].endswith("Thank you.")
        (task,) = (task.source_id for task in push(studio, made, propositions()[:1]).tasks)
        people[0].judge(task, 20)
        monkeypatch.setattr(pages, "instruction", instruction)
        page_of.cache_clear()
        assert page_of("slider") == old != new
        kept_page = update_settings(studio, made, overlap=5, page=old)
        assert kept_page == new.mark, "the page stays, with the rest of the settings new"
        kept = studio.project_settings(made, ["label_config", "expert_instruction", "maximum_annotations"])
        assert kept == {
            "label_config": new.xml,
            "expert_instruction": new.instruction,
            "maximum_annotations": 5,
        }
        with pytest.raises(InputError, match=r"1 annotations on the interface slider: .* --new-version"):
            update_settings(studio, made, overlap=5, page=page_of("number"))
        number = page_of("number")
        assert update_settings(studio, made, overlap=5, page=number, new_version=True) == number.mark
        with pytest.raises(InputError, match=r"whose scale is not that of unli: .* another project"):
            update_settings(studio, made, overlap=5, page=page_of("unli"), new_version=True)
    finally:
        page_of.cache_clear()


def test_titles_and_overlaps_that_make_no_project_are_refused(studio: Studio) -> None:
    page = page_of("slider")
    for title in ("x", "x" * 51):
        with pytest.raises(InputError, match="3 to 50"):
            make_project(studio, title, overlap=2, page=page)
    with pytest.raises(InputError, match="at least 1"):
        make_project(studio, "a title", overlap=0, page=page)


def test_an_annotator_is_added_once_and_known_by_the_password(studio: Studio, studio_server: StudioServer) -> None:
    token = add_annotator(studio, "Carol@example.org", "a-long-password-1")
    assert connect(studio_server.url, token).whoami().email == "carol@example.org"
    assert add_annotator(studio, "carol@example.org", "a-long-password-1") == token
    with pytest.raises(InputError, match="another password"):
        add_annotator(studio, "carol@example.org", "a-long-password-2")
    with pytest.raises(InputError, match="refuses the annotator not-an-address"):
        add_annotator(studio, "not-an-address", "a-long-password-1")
    with pytest.raises(InputError, match="refuses the annotator dave"):
        add_annotator(studio, "dave@example.org", "short")
