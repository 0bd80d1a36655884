from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest

from annotation import sync
from annotation.interface import interface_xml
from annotation.studio import Studio, connect
from annotation.sync import ensure_project, progress, pull, push
from annotation.users import add_annotator
from tests.fixtures.studio import StudioServer
from warehouse.errors import InputError, ServiceError
from warehouse.records import Judgment, PropositionText, annotator_id, proposition_id

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


def rating(number: float) -> list[dict[str, Any]]:
    return [{"from_name": "probability", "to_name": "hypothesis", "type": "number", "value": {"number": number}}]


@pytest.fixture(scope="module")
def people(studio_server: StudioServer) -> tuple[Judge, Judge]:
    studio = connect(studio_server.url, studio_server.token)
    tokens = [add_annotator(studio, f"{name}@example.org", "a-long-password-1") for name in ("Ada", "bob")]
    return Judge(studio_server.url, tokens[0]), Judge(studio_server.url, tokens[1])


@pytest.fixture
def project(studio: Studio) -> int:
    return ensure_project(studio, f"test {uuid4().hex[:12]}", overlap=2)


def values(judgments: Sequence[Judgment]) -> list[tuple[str, str, float | None]]:
    return sorted((j.proposition_id, j.annotator_id, j.probability) for j in judgments)


def test_judgments_are_created_changed_and_deleted(studio: Studio, people: tuple[Judge, Judge], project: int) -> None:
    ada, bob = people
    wet, monday, coin = (task.source_id for task in push(studio, project, propositions()).tasks)
    ids = [p.proposition_id for p in propositions()]
    ada_id, bob_id = (annotator_id("label-studio", f"{name}@example.org") for name in ("ada", "bob"))

    changed, deleted = ada.judge(wet, 90.5, lead_time=4.5), ada.judge(monday, 14.3)
    bob.judge(wet, 70)
    bob.judge(coin, 9999)
    first = pull(studio, project, None, ())
    assert values(first.judgments) == sorted([(ids[0], ada_id, 0.905), (ids[1], ada_id, 0.143), (ids[0], bob_id, 0.7)])
    assert {(a.annotator_id, a.kind) for a in first.annotators} == {(ada_id, "human"), (bob_id, "human")}
    assert [(drop.reason, drop.detail) for drop in first.drops] == [("out_of_range", "9999")]
    assert first.deleted == []
    assert next(j for j in first.judgments if j.probability == 0.905).lead_time_s == 4.5

    known = {j.source_id for j in first.judgments}
    since = max(j.updated_at for j in first.judgments if j.updated_at)
    again = pull(studio, project, since, known)
    assert [j.judgment_id for j in again.judgments] == [j.judgment_id for j in first.judgments]
    assert again.deleted == []

    ada.ask("PATCH", f"annotations/{changed}/", {"result": rating(88)})
    ada.ask("DELETE", f"annotations/{deleted}/")
    for moment in (since, None):
        later = pull(studio, project, moment, known)
        assert values(later.judgments) == sorted([(ids[0], ada_id, 0.88), (ids[0], bob_id, 0.7)])
        assert later.deleted == [j.source_id for j in first.judgments if j.probability == 0.143]
    one = next(j for j in later.judgments if j.annotator_id == ada_id)
    before = next(j for j in first.judgments if j.judgment_id == one.judgment_id)
    assert one.updated_at is not None
    assert before.updated_at is not None
    assert one.updated_at > before.updated_at
    assert one.submitted_at == before.submitted_at


def test_a_deletion_long_after_the_last_change_is_found_by_the_counts(
    studio: Studio, people: tuple[Judge, Judge], project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wet, monday, _ = (task.source_id for task in push(studio, project, propositions()).tasks)
    people[0].judge(wet, 1)
    people[0].judge(monday, 2)
    first = pull(studio, project, None, ())
    people[0].ask("DELETE", f"tasks/{monday}/")
    exports: list[object] = []
    real = studio.export

    def watched(*given: Any) -> list[dict[str, Any]]:
        exports.append(given)
        return real(*given)

    monkeypatch.setattr(studio, "export", watched)
    known = {j.source_id for j in first.judgments}
    pulled = pull(studio, project, sync.OVERLAP + max(j.updated_at for j in first.judgments if j.updated_at), known)
    assert pulled.deleted == [j.source_id for j in first.judgments if j.probability == 0.02]
    assert (project,) in exports


def test_an_unchanged_project_is_not_exported_again(
    studio: Studio, people: tuple[Judge, Judge], project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = push(studio, project, propositions()).tasks[0].source_id
    people[0].judge(task, 1)
    first = pull(studio, project, None, ())
    later = sync.OVERLAP * 2 + max(j.updated_at for j in first.judgments if j.updated_at)
    monkeypatch.setattr(studio, "export", lambda *_: pytest.fail("exported"))
    assert pull(studio, project, later, {j.source_id for j in first.judgments}) == sync.Pulled([], [], [], [])


def test_a_judgment_that_became_unusable_is_reported_deleted(
    studio: Studio, people: tuple[Judge, Judge], project: int
) -> None:
    task = push(studio, project, propositions()).tasks[0].source_id
    annotation = people[0].judge(task, 50)
    first = pull(studio, project, None, ())
    people[0].ask("PATCH", f"annotations/{annotation}/", {"result": rating(-3)})
    since = first.judgments[0].updated_at
    later = pull(studio, project, since, {first.judgments[0].source_id})
    assert later.judgments == []
    assert later.deleted == [first.judgments[0].source_id] == [drop.subject_id for drop in later.drops]


def test_repeats_and_judgments_beyond_the_overlap_are_kept(
    studio: Studio, people: tuple[Judge, Judge], project: int
) -> None:
    task = push(studio, project, propositions()).tasks[0].source_id
    for number in (10, 20, 30):
        people[0].judge(task, number)
    people[1].judge(task, 40)
    pulled = pull(studio, project, None, ())
    assert sorted(j.probability or 0 for j in pulled.judgments) == [0.1, 0.2, 0.3, 0.4]
    assert len({j.judgment_id for j in pulled.judgments}) == 4


def test_skipped_and_foreign_tasks_are_dropped_with_a_reason(
    studio: Studio, people: tuple[Judge, Judge], project: int
) -> None:
    task = push(studio, project, propositions()).tasks[0].source_id
    people[0].judge(task, 50, was_cancelled=True)
    foreign = people[0].ask("POST", "tasks/", {"project": project, "data": {"premise": "a", "hypothesis": "b"}})
    people[0].judge(str(foreign["id"]), 50)
    pulled = pull(studio, project, None, ())
    assert pulled.judgments == []
    assert sorted(drop.reason for drop in pulled.drops) == ["no_proposition", "skipped"]


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
    assert progress(studio, project).tasks == 3


def test_a_push_that_breaks_off_is_healed_by_the_next(
    studio: Studio, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "IMPORT_CHUNK", 1)
    real = studio.import_tasks

    def break_after_the_second(project_id: int, tasks: Sequence[Any]) -> list[int]:
        ids = real(project_id, tasks)
        if progress(studio, project_id).tasks == 2:
            raise ServiceError("injected: the connection broke after the server had done it")
        return ids

    with monkeypatch.context() as broken:
        broken.setattr(studio, "import_tasks", break_after_the_second)
        with pytest.raises(ServiceError, match="injected"):
            push(studio, project, propositions())
    healed = push(studio, project, propositions())
    assert (healed.created, healed.already) == (1, 2)
    assert [task.proposition_id for task in studio.tasks(project)] == [p.proposition_id for p in propositions()]


def test_more_tasks_than_a_page_are_all_found(studio: Studio, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    many = propositions([("premise", f"hypothesis {i}") for i in range(25)])
    push(studio, project, many)
    monkeypatch.setattr("annotation.studio.PAGE", 10)
    assert [task.proposition_id for task in studio.tasks(project)] == [p.proposition_id for p in many]
    assert push(studio, project, many).already == 25


def test_progress_counts_what_people_did(studio: Studio, people: tuple[Judge, Judge], project: int) -> None:
    tasks = [task.source_id for task in push(studio, project, propositions()).tasks]
    assert progress(studio, project) == (3, 0, 0)
    people[0].judge(tasks[0], 1)
    people[1].judge(tasks[0], 2)
    people[1].judge(tasks[1], 3)
    assert progress(studio, project) == (3, 2, 3)


def test_a_project_is_found_by_its_title_and_set_right(studio: Studio) -> None:
    title = f"test {uuid4().hex[:12]}"
    made = ensure_project(studio, title, overlap=2)
    studio.update_project(made, {"show_collab_predictions": True})
    assert ensure_project(studio, title, overlap=3) == made
    settings = studio.project_settings(made, ["maximum_annotations", "show_collab_predictions", "label_config"])
    assert settings == {
        "maximum_annotations": 3,
        "show_collab_predictions": False,
        "label_config": interface_xml(),
    }
    studio.create_project({"title": title})
    with pytest.raises(InputError, match="2 projects"):
        ensure_project(studio, title, overlap=3)


def test_a_project_that_is_right_is_not_touched(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    title = f"test {uuid4().hex[:12]}"
    made = ensure_project(studio, title, overlap=2)
    monkeypatch.setattr(studio, "update_project", lambda *given: pytest.fail(f"changed {given[1].keys()}"))
    assert ensure_project(studio, title, overlap=2) == made


def test_titles_and_overlaps_that_make_no_project_are_refused(studio: Studio) -> None:
    with pytest.raises(InputError, match="3 to 50"):
        ensure_project(studio, "x", overlap=2)
    with pytest.raises(InputError, match="3 to 50"):
        ensure_project(studio, "x" * 51, overlap=2)
    with pytest.raises(InputError, match="1 or more"):
        ensure_project(studio, "a title", overlap=0)


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
