"""Adaptive redundancy, from the judgments in the warehouse to the tasks in a real Label Studio."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from annotation.studio.client import Studio
from flows.api import annotators_exclude, pull, push
from flows.settings.redundancy import RedundancySettings
from flows.settings.sections import AnnotationSettings
from flows.settings.settings import load_settings
from flows.studio.redundancy import _on_tasks_gone
from tests.fixtures.llm_runs import rows, settings_file, value
from tests.fixtures.store import made_rows
from tests.fixtures.studio import rating, somebody
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError
from warehouse.queries.redundancy import study_judgments
from warehouse.records import annotator_id

ANSWERS = {"calm": (60, 61), "contested": (10, 95), "wide": (20, 70), "even": (40, 42)}


def test_a_budget_is_of_judgments_or_of_money_and_the_smaller_one_holds() -> None:
    none = RedundancySettings(redundancy="adaptive")
    assert none.judgments_left(1000) is None
    both = RedundancySettings(redundancy="adaptive", budget_judgments=50, budget=0.3, cost_per_judgment=0.1)
    assert [both.judgments_left(spent) for spent in (0, 1, 9)] == [3, 2, 0]
    for wrong in ({"budget": 5.0, "redundancy": "adaptive"}, {"budget_judgments": 5}):
        with pytest.raises(ValidationError, match=r"needs cost_per_judgment|set redundancy"):
            RedundancySettings.model_validate(wrong)


def test_a_first_round_of_one_judgment_cannot_be_adaptive(tmp_path: Path) -> None:
    one = '[annotation]\nredundancy = "adaptive"\njudgments_per_proposition = 1\n'
    with pytest.raises(InputError, match=r"set judgments_per_proposition = 2 or more, or redundancy = \"fixed\"$"):
        load_settings(settings_file(tmp_path, one))
    load_settings(
        settings_file(tmp_path, one, '[[annotation.projects]]\ntitle = "two each"\njudgments_per_proposition = 2')
    )


def test_a_project_has_a_redundancy_and_a_budget_of_its_own() -> None:
    shared: dict[str, object] = {"redundancy": "adaptive", "budget_judgments": 50, "cost_per_judgment": 0.1}
    own = [
        {"title": "fixed", "redundancy": "fixed"},
        {"title": "dear", "budget": 0.7, "target_sd": 0.2},
        {"title": "like the rest", "most_judgments": 5},
    ]
    fixed, dear, like, rest = AnnotationSettings.model_validate(shared | {"projects": own}).every_project
    assert fixed.redundancy.redundancy == "fixed"
    assert (dear.redundancy.judgments_left(0), dear.redundancy.target_sd, dear.has_budget) == (7, 0.2, True)
    assert (like.redundancy.judgments_left(0), like.redundancy.most_judgments, like.has_budget) == (50, 5, False)
    assert (rest.redundancy.judgments_left(0), rest.redundancy.target_sd, rest.has_budget) == (50, 0.12, False)
    for wrong in ({"budget": 5.0, "redundancy": "adaptive"}, {"budget_judgments": 5}):
        with pytest.raises(ValidationError, match=r'project "one": budget.* (needs cost_per_judgment|set redundancy)'):
            AnnotationSettings.model_validate({"projects": [{"title": "one", **wrong}]})


@pytest.mark.slow
def test_projects_ask_by_their_own_rules_and_budgets(tmp_path: Path, studio: Studio, study_section: str) -> None:
    """Two contested propositions in each of three projects: one may ask for one, one for none, one for all."""
    name = uuid4().hex[:12]
    section = study_section + 'judgments_per_proposition = 2\nredundancy = "adaptive"\ntarget_sd = 0.1\n'
    section += f'[[annotation.projects]]\ntitle = "one {name}"\nsources = ["one"]\nbudget_judgments = 5\n'
    section += f'[[annotation.projects]]\ntitle = "none {name}"\nsources = ["none"]\nredundancy = "fixed"\n'
    config = settings_file(tmp_path, section)
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        for source in ("one", "none", "rest"):
            made = made_rows([(f"{source} {n}", "nobody", 0.5) for n in (1, 2)])
            premises = [each.model_copy(update={"source": source}) for each in made[0]]
            merge_all(warehouse, [premises, *made[1:]])
        warehouse.connection.execute("DELETE FROM judgments")
    push(config)

    other = somebody(studio)
    found = rows(config, "SELECT split_part(title, ' ', 1) AS title, number FROM studio_projects")
    numbers = {each["title"]: each["number"] for each in found}
    for number in numbers.values():
        for task in studio.tasks(number):
            for person, percent in ((studio, 10), (other, 95)):
                person.annotate(task.id, rating(percent), unique_id=str(uuid4()))
    pull(config)

    asked = push(config)
    assert asked.counts["asked for once more"] == 3
    assert asked.note == "the budget leaves 1 unsettled"
    overlaps = {title: sorted(task.overlap for task in studio.overlaps(number)) for title, number in numbers.items()}
    assert overlaps == {"one": [2, 3], "none": [2, 2], "study": [3, 3]}


@pytest.mark.slow
def test_contested_propositions_are_judged_once_more_while_the_budget_lasts(
    tmp_path: Path, studio: Studio, study_section: str
) -> None:
    section = study_section + "judgments_per_proposition = 2\n"
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
    other = somebody(studio)
    names = {}
    for task in studio.tasks(project):
        hypothesis = value(
            config, f"SELECT hypothesis FROM propositions WHERE proposition_id = '{task.proposition_id}'"
        )
        names[task.id] = next(name for name in ANSWERS if name in hypothesis)
        for person, percent in zip((studio, other), ANSWERS[names[task.id]], strict=True):
            person.annotate(task.id, rating(percent), unique_id=str(uuid4()))
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


@pytest.mark.slow
def test_what_lost_its_judgments_is_asked_again_and_the_budget_counts_what_is_gone(
    tmp_path: Path, studio: Studio, study_section: str
) -> None:
    section = study_section + 'judgments_per_proposition = 2\nredundancy = "adaptive"\ntarget_sd = 0.49\n'
    config = settings_file(tmp_path, section)
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(name, "nobody", 0.5) for name in ("settled", "lost", "unread")]))
        warehouse.connection.execute("DELETE FROM judgments")
    push(config)
    project = int(value(config, "SELECT number FROM studio_projects"))
    emails = [f"{uuid4().hex}@example.org" for _ in range(4)]
    people = [somebody(studio, email) for email in emails]
    number = {}
    for name in ("settled", "lost", "unread"):
        query = "SELECT t.source_id FROM tasks t JOIN propositions p USING (proposition_id)"
        number[name] = int(value(config, f"{query} WHERE contains(p.hypothesis, '{name}')"))
    for person, name in zip(people, ("settled", "settled", "lost", "lost"), strict=True):
        person.annotate(number[name], rating(40), unique_id=str(uuid4()))
    pull(config)
    assert push(config).counts["asked for once more"] == 0
    for email in emails[2:]:
        annotators_exclude(annotator_id("label-studio", email), reason="random clicks", config=config)
    assert push(config).counts == {
        "new tasks": 0,
        "found there": 0,
        "asked for once more": 1,
        "settled": 1,
        "still waiting": 1,  # of the first round
    }
    assert push(config).counts["still waiting"] == 2
    wanted = {task.id: task.overlap for task in studio.overlaps(project)}
    assert {name: wanted[number[name]] for name in number} == {"settled": 2, "lost": 3, "unread": 2}

    # 7 judgments are there or waited for; what was judged on a task that is deleted still counts
    def on_tasks_gone() -> int:
        now = int(value(config, "SELECT number FROM studio_projects WHERE retired_at IS NULL"))
        with open_warehouse(load_settings(config).catalog) as warehouse:
            there = {now: {task.id: task for task in studio.overlaps(now)}}
            return _on_tasks_gone(study_judgments(warehouse), there).total()

    assert on_tasks_gone() == 0
    studio.delete_task(number["settled"])
    assert on_tasks_gone() == 2
    pull(config)
    assert on_tasks_gone() == 2
    studio._sdk.projects.delete(project)
    push(config, new_project=True)
    assert on_tasks_gone() == 4
