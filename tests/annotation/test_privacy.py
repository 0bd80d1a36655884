"""What the open-source Label Studio lets every member do: why docs/studies.md recommends what it does."""

from __future__ import annotations

from uuid import uuid4

from annotation.people.users import add_annotator
from annotation.studio.client import Studio
from annotation.sync.push import push
from tests.annotation.test_sync import Judge, propositions
from tests.fixtures.studio import new_project


def test_every_member_sees_all_answers_and_addresses_and_can_delete_everything(studio: Studio) -> None:
    project = new_project(studio)
    tasks = [task.source_id for task in push(studio, project, propositions()).tasks]
    names = [f"{uuid4().hex[:12]}@example.org" for _ in range(2)]
    one, other = (Judge(studio.url, add_annotator(studio, name, "a-long-password-1")) for name in names)
    one.judge(tasks[0], 12)
    seen = other.ask("GET", f"tasks/{tasks[0]}/")["annotations"]
    assert [item["value"] for each in seen for item in each["result"]] == [{"number": 12}]
    assert set(names) <= {user["email"] for user in other.ask("GET", "users/")}
    other.ask("DELETE", f"tasks/{tasks[0]}/")
    assert len(list(studio.stamps(project))) == len(tasks) - 1
    other.ask("DELETE", f"projects/{project}/")
    assert studio.project(project) is None


def test_the_label_stream_shows_no_predictions_and_nobody_elses_answers(studio: Studio) -> None:
    project = new_project(studio)
    assert studio.project_settings(project, ["show_collab_predictions"]) == {"show_collab_predictions": False}
    (task,) = (task.source_id for task in push(studio, project, propositions()[:1]).tasks)
    name = f"{uuid4().hex[:12]}@example.org"
    Judge(studio.url, studio._token).judge(task, 12)
    shown = Judge(studio.url, add_annotator(studio, name, "a-long-password-1")).ask("GET", f"projects/{project}/next")
    assert shown["annotations"] == []
    assert set(shown["data"]) == {"proposition_id", "premise", "hypothesis"}
