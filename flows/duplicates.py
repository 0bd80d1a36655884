"""Duplicate tasks in Label Studio, found and deleted."""

from __future__ import annotations

import os

from annotation.studio import server
from annotation.studio.client import connect
from annotation.sync.push import Duplicates, duplicates
from flows.outcome import Outcome
from flows.services import reading, writing
from flows.settings.settings import Config, Settings, load_settings
from flows.studio import project_of
from flows.terminal.console import note
from synthesis.panel.settings import EMBEDDED
from warehouse.catalog.patience import turn
from warehouse.catalog.store import merge
from warehouse.queries.stages import studio_project


def find_duplicates(settings: Settings) -> Duplicates | None:
    """Return the duplicate tasks of the project, or None if Label Studio or the project is not there to ask."""
    address = server.running(settings.home_path) if settings.annotation.url == EMBEDDED else None
    token = address.token if address else os.environ.get(settings.annotation.token_env, "")
    if not token or (settings.annotation.url == EMBEDDED and address is None):
        return None
    with reading(settings) as warehouse:
        known = studio_project(warehouse, settings.annotation.project)
    if known is None:
        return None
    return duplicates(connect(address.url if address else settings.annotation.url, token), known.number, known.project)


def studio_merge(*, config: Config = None) -> Outcome:
    """Delete duplicate tasks that nobody has judged. Judged ones stay: all their judgments count."""
    settings = load_settings(config)
    with writing(settings) as warehouse, turn(warehouse.push_lock, "pushing", note):
        client, project = project_of(settings, warehouse)
        found = duplicates(client, project.id, project.key)
        merge(warehouse, found.kept)
        for number in found.unjudged:
            client.delete_task(number)
    return Outcome(
        stage="studio merge", counts={"duplicates deleted": len(found.unjudged), "judged and kept": found.judged}
    )
