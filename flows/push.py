"""Push: give every proposition that has no task yet to the annotators' Label Studio project."""

from __future__ import annotations

from pathlib import Path

from annotation.sync import push as push_to
from flows.outcome import Outcome
from flows.progress import progress
from flows.services import writing
from flows.settings import load_settings
from flows.stage import stage
from flows.studio import project_of
from warehouse.queries import unpushed_propositions
from warehouse.store import merge_all


@stage("push")
def push(config: Path | None = None) -> Outcome:
    """Create a task for each proposition that the project does not have. Pushing twice creates nothing twice.

    Raises `ServiceError` where Label Studio cannot be reached or refuses.
    """
    settings = load_settings(config)
    client, project = project_of(settings)
    with writing(settings) as warehouse:
        waiting = unpushed_propositions(warehouse, client.project_key(project))
        with progress("push") as tick:
            pushed = push_to(client, project, waiting, on_progress=tick)
        merge_all(warehouse, [pushed.tasks])
    return Outcome(stage="push", counts={"new tasks": pushed.created, "found there": pushed.already})
