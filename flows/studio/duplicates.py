"""Duplicate tasks in Label Studio, found and deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain

from annotation.studio import server
from annotation.studio.client import Studio, connect
from annotation.studio.remote import RemoteProject
from annotation.sync.push import Duplicates, duplicates
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import reading, writing
from flows.studio.connection import connecting
from flows.studio.projects import in_each, project_of, projects
from flows.terminal.console import note
from synthesis.panel.settings import EMBEDDED
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.patience import turn
from warehouse.catalog.store import merge
from warehouse.queries.mixing import repeated_tasks, task_purposes
from warehouse.queries.stages import studio_project


def find_duplicates(settings: Settings) -> Duplicates | None:
    """Return the duplicate tasks of all projects, or None if Label Studio or every project is not there to ask."""
    address = server.running(settings.home_path) if settings.annotation.url == EMBEDDED else None
    token = address.token if address else os.environ.get(settings.annotation.token_env, "")
    if not token or (settings.annotation.url == EMBEDDED and address is None):
        return None
    with reading(settings) as warehouse:
        known = [studio_project(warehouse, one.title) for one in projects(settings)]
        repeats = {one.project: set(repeated_tasks(warehouse, one.project)) for one in known if one}
    if not any(known):
        return None
    client = connect(address.url if address else settings.annotation.url, token)
    return _together(duplicates(client, one.number, one.project, repeats[one.project]) for one in known if one)


def _together(found: Iterable[Duplicates]) -> Duplicates:
    """Return the duplicates of several projects as one."""
    unjudged, kept, judged = zip(*found, strict=True)
    return Duplicates([*chain(*unjudged)], [*chain(*kept)], sum(judged))


def studio_merge(*, config: Config = None) -> Outcome:
    """Delete duplicate tasks that nobody has judged. Judged ones stay: all their judgments count."""
    settings = load_settings(config)
    connected = connecting(settings)
    with writing(settings) as warehouse, turn(warehouse.push_lock, "pushing", note):
        client = connected()
        return in_each(projects(settings), lambda one: _merge(warehouse, client, project_of(warehouse, client, one)))


def _merge(warehouse: Warehouse, client: Studio, project: RemoteProject) -> Outcome:
    """Merge the duplicates of one project."""
    found = duplicates(client, project.id, project.key, set(repeated_tasks(warehouse, project.key)))
    known = task_purposes(warehouse, project.key)
    merge(warehouse, [one.model_copy(update={"purpose": known.get(int(one.source_id), "judge")}) for one in found.kept])
    for number in found.unjudged:
        client.delete_task(number)
    counts = {"duplicates deleted": len(found.unjudged), "judged and kept": found.judged}
    return Outcome(stage="studio merge", counts=counts)
