"""Adaptive redundancy, from the judgments in the warehouse to the tasks in a real Label Studio."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from annotation.people.users import add_annotator
from annotation.studio.client import Studio, connect
from flows.pull import pull
from flows.push import push
from flows.settings.redundancy import RedundancySettings
from flows.settings.settings import load_settings
from tests.fixtures.llm_runs import settings_file, value
from tests.fixtures.store import made_rows
from tests.fixtures.studio import StudioServer
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all

ANSWERS = {"calm": (60, 61), "contested": (10, 95), "wide": (20, 70), "even": (40, 42)}


def test_a_budget_is_of_judgments_or_of_money_and_the_smaller_one_holds() -> None:
    none = RedundancySettings(redundancy="adaptive")
    assert none.judgments_left(1000) is None
    both = RedundancySettings(redundancy="adaptive", budget_judgments=50, budget=0.3, cost_per_judgment=0.1)
    assert [both.judgments_left(spent) for spent in (0, 1, 9)] == [3, 2, 0]
    for wrong in ({"budget": 5.0, "redundancy": "adaptive"}, {"budget_judgments": 5}):
        with pytest.raises(ValidationError, match=r"needs cost_per_judgment|set redundancy"):
            RedundancySettings.model_validate(wrong)


@pytest.mark.slow
def test_contested_propositions_are_judged_once_more_while_the_budget_lasts(
    tmp_path: Path, studio: Studio, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", studio_server.token)
    section = f'[annotation]\nurl = "{studio_server.url}"\nproject = "adaptive {uuid4().hex[:12]}"\n'
    section += "judgments_per_proposition = 2\n"
    config = settings_file(tmp_path, section)
    made = made_rows([(name, "nobody", 0.5) for name in ANSWERS])
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made)
        warehouse.connection.execute("DELETE FROM judgments")
    settings_file(tmp_path, section + 'redundancy = "adaptive"\ntarget_sd = 0.23\nbudget_judgments = 9\n')
    first = push(config)
    assert first.counts == {"new tasks": 4, "found there": 0, "asked for once more": 0}
    assert "no proposition has two judgments" in first.note

    project = int(value(config, "SELECT number FROM studio_projects"))
    other = connect(studio.url, add_annotator(studio, f"{uuid4().hex}@example.org", "a-long-password-1"))
    names = {}
    for task in studio.tasks(project):
        hypothesis = value(
            config, f"SELECT hypothesis FROM propositions WHERE proposition_id = '{task.proposition_id}'"
        )
        names[task.id] = next(name for name in ANSWERS if name in hypothesis)
        for person, percent in zip((studio, other), ANSWERS[names[task.id]], strict=True):
            answer = {"from_name": "probability", "to_name": "hypothesis", "type": "number"}
            person.annotate(task.id, [answer | {"value": {"number": percent}}], unique_id=str(uuid4()))
    unread = push(config)  # what was not pulled yet asks for nothing
    assert unread.counts["asked for once more"] == 0
    assert pull(config).counts["new judgments"] == 8

    asked = push(config)  # eight of nine judgments are there
    assert asked.counts == {
        "new tasks": 0,
        "found there": 0,
        "asked for once more": 1,
        "settled": 2,
        "still waiting": 0,
    }
    assert asked.note == "the budget leaves 1 unsettled"
    again = push(config)
    assert again.counts == asked.counts | {"asked for once more": 0, "still waiting": 1}

    settings_file(tmp_path, section + 'redundancy = "adaptive"\ntarget_sd = 0.23\nbudget_judgments = 90\n')
    assert push(config).counts == asked.counts | {"still waiting": 1}
    wanted = {names[task.id]: task.overlap for task in studio.overlaps(project)}
    assert wanted == {"calm": 2, "contested": 3, "wide": 3, "even": 2}
