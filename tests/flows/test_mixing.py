"""Checks, repeats and qualification in a real Label Studio, from the invitation to the link of the study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from annotation.people.users import add_annotator
from annotation.studio.client import Studio, connect
from annotation.sync.push import EVERYONE
from flows.api import (
    annotators_invite,
    annotators_list,
    annotators_review,
    doctor,
    import_checks,
    pull,
    push,
    sql,
    studio_merge,
)
from flows.settings.settings import Settings, load_settings
from flows.studio.mixing import allowed, with_checks
from tests.fixtures.llm_runs import install, settings_file, value
from tests.fixtures.studio import StudioServer, rating
from warehouse import records
from warehouse.errors import InputError, ServiceError
from warehouse.records import PropositionText, Purpose

HYPOTHESES = ("The street is wet.", "It is Monday.", "A coat is wet.", "A dog barks.", "It is cold.", "It is night.")
CHECKS = """premise,hypothesis,low,high,purpose
It rains.,It rains.,90,100,attention
It snows.,It is 30 degrees.,0,10,attention
One is less than two.,Two is more than one.,95,100,qualification
One is less than two.,One is more than two.,0,5,qualification
"""


def text(name: str) -> PropositionText:
    return PropositionText(proposition_id=name, premise="P", hypothesis=name)


def test_the_share_of_other_tasks_is_never_above_the_rate() -> None:
    for n in range(40):
        for rate in (0.0, 0.1, 0.25, 0.4):
            most = allowed(n, rate)
            assert most <= rate * (most + n) + 1e-9
            assert most + 1 > rate * (most + 1 + n)
    assert allowed(9, 0.1) == 1


def test_checks_are_pushed_up_to_their_rate() -> None:
    waiting = [text("a"), text("check 1"), text("b"), text("check 2"), text("c")]
    purposes: dict[str, Purpose] = {"check 1": "check", "check 2": "check"}
    assert with_checks(waiting, purposes, {}, None) == waiting
    there: dict[int, Purpose] = dict.fromkeys(range(6), "judge")
    names = [one.proposition_id for one in with_checks(waiting, purposes, there, 0.1)]
    assert names == ["a", "b", "c", "check 1"]  # one check to nine
    assert len(with_checks(waiting, purposes, there | {7: "check"}, 0.1)) == 3
    assert len(with_checks(waiting, purposes, there, 0.0)) == 3


@pytest.fixture
def study(tmp_path: Path, study_section: str) -> Settings:
    """Six propositions, a third of the tasks repeats, two attention and two qualification checks."""
    section = (
        f"{study_section}repeat_rate = 0.34\nqualify_checks = 2\n"
        f'[[annotation.projects]]\ntitle = "qualify {uuid4().hex[:12]}"\npurpose = "qualification"'
    )
    settings = load_settings(install(tmp_path, section, hypotheses=HYPOTHESES))
    (tmp_path / "checks.csv").write_text(CHECKS)
    import_checks(tmp_path / "checks.csv", scale="0:100", config=settings)
    return settings


def judge(server: StudioServer, token: str, settings: Settings, purpose: str, answer: dict[str, float]) -> None:
    """Judge the tasks of a purpose of project as somebody does, by hypothesis; 40 where none is given."""
    person = connect(server.url, token)
    query = (
        "SELECT t.source_id, p.hypothesis FROM tasks t JOIN studio_projects s ON s.project = t.project "
        f"JOIN propositions p USING (proposition_id) WHERE s.purpose = '{purpose}'"
    )
    for row in sql(query, config=settings).to_pylist():
        given = rating(answer.get(row["hypothesis"], 40.0))
        person.annotate(int(row["source_id"]), given, unique_id=str(uuid4()), lead_time_s=9.0)


@pytest.mark.slow
def test_people_sign_up_qualify_judge_and_are_seen(
    study: Settings, studio_server: StudioServer, studio: Studio
) -> None:
    assert push(study).counts["repeats"] == 3
    assert push(study).counts == {"new tasks": 0, "found there": 0, "repeats": 0}
    purposes = dict(
        sql("SELECT purpose, count(*)::INTEGER FROM tasks GROUP BY ALL", config=study).to_pandas().values.tolist()
    )
    assert purposes == {"judge": 6, "check": 2, "repeat": 3, "qualification": 2}

    # everyone meets checks, and both tasks of what is repeated; their data tell nothing
    numbers = sql("SELECT number FROM studio_projects ORDER BY purpose = 'study'", config=study)["number"].to_pylist()
    overlaps = [sorted(task.overlap for task in studio.overlaps(number)) for number in numbers]
    assert overlaps == [[EVERYONE] * 2, [3] * 3 + [EVERYONE] * 8]
    # the same proposition twice on purpose is no duplicate
    assert not [one for one in doctor(config=study) if one.what == "tasks"]
    assert studio_merge(config=study).counts["duplicates deleted"] == 0

    invitation = annotators_invite(config=study)
    assert invitation.secret
    assert "token=" in invitation.link
    assert "a secret" in invitation.lines()[0]
    good, bad = (f"{name}-{uuid4().hex[:8]}@example.org" for name in ("good", "bad"))
    tokens = {email: add_annotator(studio, email, "a-long-password") for email in (good, bad)}
    ids = {email: records.annotator_id("label-studio", email) for email in (good, bad)}
    annotators_review(config=study)
    with pytest.raises(InputError, match=r"is invited \(signed up\), not qualified"):
        annotators_invite(study=ids[good], config=study)

    judge(
        studio_server, tokens[good], study, "qualification", {"Two is more than one.": 99, "One is more than two.": 1}
    )
    judge(studio_server, tokens[bad], study, "qualification", {"Two is more than one.": 99})
    pull(study)
    annotators_review(config=study)
    rows = {row["annotator_id"]: row for row in annotators_list(emails=True, config=study)}
    assert (rows[ids[good]]["status"], rows[ids[good]]["reason"]) == ("qualified", "2 of 2 qualification checks passed")
    assert (rows[ids[bad]]["status"], rows[ids[bad]]["check_rate"]) == ("invited", 0.5)
    assert rows[ids[good]]["email"] == good
    assert not annotators_invite(study=ids[good], config=study).secret
    with pytest.raises(InputError, match="1 of 2 qualification checks passed, and it takes 80%"):
        annotators_invite(study=ids[bad], config=study)

    judge(studio_server, tokens[good], study, "study", {"It rains.": 95})
    pull(study)
    annotators_review(config=study)
    (found,) = [row for row in annotators_list(config=study) if row["annotator_id"] == ids[good]]
    assert (found["status"], found["n_judgments"], found["n_repeats"]) == ("active", 6, 3)
    assert (found["n_checks"], found["n_checks_passed"], found["repeat_difference"]) == (4, 3, 0.0)
    assert sql("SELECT DISTINCT proposition_id FROM valid_judgments", config=study).num_rows == 6
    # addresses are nowhere in the warehouse
    assert good not in str(sql("SELECT * FROM annotators", config=study).to_pylist())


@pytest.mark.slow
def test_repeats_that_a_killed_push_did_not_record_are_taken_up(
    study: Settings, studio: Studio, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt  # as far as the warehouse can tell

    monkeypatch.setattr("flows.studio.mixing.merge", killed)
    with pytest.raises(KeyboardInterrupt):
        push(study)
    monkeypatch.undo()
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", studio_server.token)
    number = value(study.root / "odds.toml", "SELECT number FROM studio_projects WHERE purpose = 'study'")
    there = {task.id: task.proposition_id for task in studio.tasks(number)}
    assert len(there) == 11  # six, two checks, and three repeats that nobody knows of
    recorded = {int(each) for each in sql("SELECT source_id FROM tasks", config=study)["source_id"].to_pylist()}
    lost = {task: name for task, name in there.items() if task not in recorded}
    assert len(lost) == 3

    assert push(study).counts["repeats"] == 3
    assert {task.id: task.proposition_id for task in studio.tasks(number)} == there
    rows = sql("SELECT source_id, proposition_id FROM tasks WHERE purpose = 'repeat'", config=study).to_pylist()
    assert {int(row["source_id"]): row["proposition_id"] for row in rows} == lost
    assert push(study).counts["repeats"] == 0


def answer(person: Studio, tasks: Iterable[int]) -> None:
    result = rating(40.0)
    for task in tasks:
        person.annotate(task, result, unique_id=str(uuid4()))


def served(person: Studio, token: str, project: int) -> list[int]:
    """Judges what Label All Tasks shows somebody until nothing is left; gives the tasks in their order."""
    found: list[int] = []
    url, headers = f"{person.url}/api/projects/{project}/next/", {"Authorization": f"Token {token}"}
    while (reply := httpx.get(url, headers=headers, timeout=60, trust_env=False)).status_code != httpx.codes.NOT_FOUND:
        found.append(int(reply.raise_for_status().json()["id"]))
        answer(person, found[-1:])
    return found


def overlaps(studio: Studio, project: int) -> list[int]:
    return sorted(task.overlap for task in studio.overlaps(project))


def most(studio: Studio, project: int) -> int:
    return int(studio.project_settings(project, ["maximum_annotations"])["maximum_annotations"])


def attention(folder: Path, number: int) -> Path:
    rows = [f"It snows.,It is {n} degrees.,0,10,attention" for n in range(30, 30 + number)]
    file = folder / "attention.csv"
    file.write_text("\n".join(["premise,hypothesis,low,high,purpose", *rows, ""]))
    return file


@pytest.mark.slow
def test_whoever_comes_late_meets_checks_among_the_other_tasks(
    tmp_path: Path, studio: Studio, study_section: str
) -> None:
    section = study_section + "judgments_per_proposition = 2\n"
    config = install(tmp_path, section, hypotheses=[f"It is {n} o'clock." for n in range(30)])
    import_checks(attention(tmp_path, 6), scale="0:100", config=config)
    push(config)
    project = int(value(config, "SELECT number FROM studio_projects"))
    by_purpose = sql("SELECT purpose, CAST(source_id AS BIGINT) AS number FROM tasks", config=config).to_pylist()
    checks = {row["number"] for row in by_purpose if row["purpose"] == "check"}
    judged = [row["number"] for row in by_purpose if row["purpose"] == "judge"]
    assert (most(studio, project), overlaps(studio, project)) == (1, [2] * 30 + [EVERYONE] * 6)

    tokens = [add_annotator(studio, f"{uuid4().hex}@example.org", "a-long-password-1") for _ in range(4)]
    people = [connect(studio.url, token) for token in tokens]
    for person in people[:2]:
        answer(person, [*checks, *judged[:12]])
    order = served(people[2], tokens[2], project)
    assert set(order) == {*checks, *judged[12:]}
    assert set(order[:6]) != checks, "one time in 134,596 if the order is random"
    assert set(served(people[0], tokens[0], project)) == set(judged[12:])
    assert set(served(people[3], tokens[3], project)) == checks, "the others have their two judgments"


@pytest.mark.slow
def test_a_running_study_takes_checks_and_keeps_its_number_of_judgments(
    tmp_path: Path, studio: Studio, study_section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = install(tmp_path, study_section, hypotheses=HYPOTHESES)
    push(config)
    project = int(value(config, "SELECT number FROM studio_projects"))
    assert (most(studio, project), overlaps(studio, project)) == (3, [3] * 6)
    import_checks(attention(tmp_path, 2), scale="0:100", config=config)

    changed: list[int] = []
    real = Studio.set_overlap

    def break_after_two(self: Studio, task_id: int, overlap: int, *, done: bool) -> None:
        if len(changed) == 2:
            raise ServiceError("injected: the connection broke")
        changed.append(task_id)
        real(self, task_id, overlap, done=done)

    with monkeypatch.context() as broken:
        broken.setattr(Studio, "set_overlap", break_after_two)
        with pytest.raises(ServiceError, match="injected"):
            push(config)
    push(config)
    assert (most(studio, project), overlaps(studio, project)) == (1, [3] * 6 + [EVERYONE] * 2)
    with monkeypatch.context() as untouched:
        for name in ("set_overlap", "update_project"):
            untouched.setattr(Studio, name, lambda *_, **__: pytest.fail("changed again"))
        push(config)
    settings_file(tmp_path, study_section + "judgments_per_proposition = 4\n")
    push(config)
    assert (most(studio, project), overlaps(studio, project)) == (1, [4] * 6 + [EVERYONE] * 2)


@pytest.mark.slow
def test_more_judgments_than_one_are_asked_of_every_task(tmp_path: Path, studio: Studio, study_section: str) -> None:
    one, two, three = (f"{study_section}judgments_per_proposition = {number}\n" for number in (1, 2, 3))
    config = install(tmp_path, one, hypotheses=HYPOTHESES[:3])
    push(config)
    project = int(value(config, "SELECT number FROM studio_projects"))
    settings_file(tmp_path, two)
    push(config)
    assert (most(studio, project), overlaps(studio, project)) == (2, [2] * 3)
    settings_file(tmp_path, one)
    push(config)
    studio.set_overlap(next(studio.overlaps(project)).id, 4, done=False)  # as by odds push --selected
    settings_file(tmp_path, three)
    push(config)
    assert (most(studio, project), overlaps(studio, project)) == (1, [3, 3, 4])
