"""Push: create Label Studio tasks for propositions that have none."""

from __future__ import annotations

from annotation.sync.push import ask_for_more
from annotation.sync.push import push as push_to
from flows.outcome import Outcome
from flows.services import writing
from flows.settings.settings import Config, load_settings
from flows.stage import stage
from flows.studio import connecting, project_for_push, remember
from flows.terminal.console import note
from flows.terminal.progress import progress
from warehouse.catalog.patience import turn
from warehouse.catalog.store import merge, remove
from warehouse.queries.selections import wanted_annotations
from warehouse.queries.stages import pushed_tasks, unpushed_propositions
from warehouse.records import Task


@stage("push")
def push(config: Config = None, again: bool = False, new_project: bool = False, selected: bool = False) -> Outcome:
    """Create a task for each proposition that never had one in the project. Running it again adds nothing.

    One process pushes at a time.

    Args:
        config: The settings, or the file to read them from.
        again: Also restore tasks that were deleted in Label Studio.
        new_project: Create a new project to replace one that has vanished.
        selected: Only push the propositions that `odds select` chose, and have each judged once more.

    Raises:
        InputError: the project has vanished.
        ServiceError: Label Studio cannot be reached, or fails.
    """
    settings = load_settings(config)
    connected = connecting(settings)
    with writing(settings) as warehouse, turn(warehouse.push_lock, "pushing", note):
        client = connected()
        project = project_for_push(settings, warehouse, client, new=new_project)
        known, highest = pushed_tasks(warehouse, project.key)
        if again:
            there = {str(stamp.id) for stamp in client.stamps(project.id)}
            remove(warehouse, Task, "project = ?", [project.key], keeping=("source_id", there))

        def keep(tasks: list[Task]) -> None:
            remember(warehouse, project, client.url, settings.annotation.project)
            merge(warehouse, tasks)

        waiting = unpushed_propositions(warehouse, project.key, chosen=selected)
        with progress("push") as tick:
            pushed = push_to(client, project.id, waiting, tick, key=project.key, after=highest, on_tasks=keep)
        raised = ask_for_more(client, project.id, wanted_annotations(warehouse, project.key)) if selected else 0
    gone = max(0, known + pushed.already - project.tasks)
    left = f"tasks deleted in Label Studio: {gone:,}; odds push --again restores them"
    counts = {"new tasks": pushed.created, "found there": pushed.already}
    counts |= {"to be judged again": raised} if selected else {}
    return Outcome(stage="push", counts=counts, note=left if gone and not again else "")
