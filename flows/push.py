"""Push: create Label Studio tasks for propositions that have none."""

from __future__ import annotations

from functools import cache

from annotation.interface.feedback import answer_of
from annotation.studio.client import Studio
from annotation.sync.push import ask_for_more
from annotation.sync.push import push as push_to
from flows.settings.sections import Project
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from flows.stages.stage import stage
from flows.studio.connection import connecting
from flows.studio.mixing import repeat_some, show_to_enough, with_checks
from flows.studio.projects import in_each, page_for, place_of, project_for_push, projects, remember
from flows.studio.redundancy import with_more
from flows.terminal.console import note
from flows.terminal.progress import progress
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.patience import turn
from warehouse.catalog.store import merge, read, remove
from warehouse.errors import InputError
from warehouse.queries.mixing import task_purposes
from warehouse.queries.routes import check_purposes, unpushed_propositions
from warehouse.queries.selections import wanted_annotations
from warehouse.queries.stages import pushed_tasks
from warehouse.records import Check, Purpose, Task


@stage("push")
def push(
    config: Config = None,
    *,
    restore: bool = False,
    new_project: bool = False,
    selected: bool = False,
    project: str | None = None,
    new_version: bool = False,
) -> Outcome:
    """Create a task for each proposition that never had one in its project. Running it again adds nothing.

    Each proposition goes to one project of the settings. If redundancy is adaptive, propositions that are not settled
    get one more judgment once all projects have their tasks. One process pushes at a time.

    Args:
        config: The settings, or the file to read them from.
        restore: Also create the tasks again that were deleted in Label Studio.
        new_project: Create a new project to replace one that has vanished.
        selected: Only push the propositions that `odds select` chose, and have each judged once more.
        project: The title of the only project to push to; by default all.
        new_version: Show the present page and instruction in projects whose annotations were made on older ones.

    Raises:
        InputError: a project has vanished, or the settings have no project of this title.
        ServiceError: Label Studio cannot be reached, or fails.
    """
    settings = load_settings(config)
    wanted = projects(settings, project)
    if new_project and len(wanted) > 1:
        raise InputError("odds push --new-project: say with --project which of the projects has vanished")
    connected = connecting(settings)
    with writing(settings) as warehouse, turn(warehouse.push_lock, "pushing", note):
        client = connected()
        outcome = in_each(
            wanted,
            lambda one: _push(
                warehouse,
                client,
                settings,
                one,
                restore=restore,
                new=new_project,
                selected=selected,
                new_version=new_version,
            ),
        )
        more = not selected and len(wanted) == len(projects(settings))
        return with_more(outcome, settings.annotation, warehouse, client) if more else outcome


def _push(
    warehouse: Warehouse,
    client: Studio,
    settings: Settings,
    project: Project,
    *,
    restore: bool,
    new: bool,
    selected: bool,
    new_version: bool,
) -> Outcome:
    """Push to one project."""
    ready = project_for_push(warehouse, client, settings, project, new=new, new_version=new_version)
    found, shown = ready.project, ready.shown
    known, highest = pushed_tasks(warehouse, found.key)
    if restore:
        there = {str(stamp.id) for stamp in client.stamps(found.id)}
        remove(warehouse, Task, "project = ?", [found.key], keeping=("source_id", there))
    purposes = check_purposes(warehouse, project.purpose)

    remembered = cache(lambda: remember(warehouse, found, client.url, project, shown))

    def keep(tasks: list[Task]) -> None:
        remembered()  # here rather than before, so that the first tasks are imported meanwhile
        merge(warehouse, [_with_purpose(task, purposes.get(task.proposition_id, "judge")) for task in tasks])

    answers = _answers(warehouse) if project.feedback else {}
    annotation = settings.annotation
    waiting = unpushed_propositions(warehouse, place_of(warehouse, settings, project, found.key), chosen=selected)
    if project.purpose == "study":
        present = {} if annotation.check_rate is None else task_purposes(warehouse, found.key)
        waiting = with_checks(waiting, purposes, present, annotation.check_rate)
    with progress("push") as tick:
        after = highest if found.tasks else None
        pushed = push_to(client, found.id, waiting, tick, key=found.key, after=after, on_tasks=keep, answers=answers)
    repeated = project.purpose == "study" and annotation.repeat_rate > 0
    repeats = repeat_some(warehouse, client, found, annotation.repeat_rate) if repeated else 0
    with progress("overlap") as tick:
        each = project.judgments_per_proposition if ready.one_by_one else 1
        show_to_enough(warehouse, client, found, each, tick)
    raised = ask_for_more(client, found.id, wanted_annotations(warehouse, found.key)) if selected else 0
    gone = max(0, known + pushed.already - found.tasks)
    notes = [f"tasks deleted in Label Studio: {gone:,}; odds push --restore creates them again"] * bool(
        gone and not restore
    )
    if shown != page_for(project).mark:
        notes.append(
            "annotators see an older page, on which they have judged; odds push --new-version shows the new one"
        )
    counts = {"new tasks": pushed.created, "found there": pushed.already}
    counts |= {"repeats": repeats} if repeated else {}
    counts |= {"to be judged again": raised} if selected else {}
    return Outcome(stage="push", counts=counts, note="; ".join(notes))


def _answers(warehouse: Warehouse) -> dict[str, str]:
    """Return what the page of a qualification project tells of each check."""
    return {each.proposition_id: answer_of(each) for each in read(warehouse, Check, "purpose <> 'attention'")}


def _with_purpose(task: Task, purpose: Purpose) -> Task:
    return task if task.purpose == purpose else task.model_copy(update={"purpose": purpose})
