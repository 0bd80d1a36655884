"""Pull: fetch the judgments that were made, changed or deleted in Label Studio since the last time."""

from __future__ import annotations

from pathlib import Path

from annotation.mapping import SOURCE
from annotation.sync import pull as pull_from
from flows.outcome import Outcome
from flows.services import writing
from flows.settings import load_settings
from flows.stage import stage
from flows.studio import project_of
from warehouse.queries import latest_update, live_judgment_sources
from warehouse.store import mark_deleted, merge_all


@stage("pull", hours=2)
def pull(config: Path | None = None) -> Outcome:
    """Bring the warehouse to what Label Studio holds. A deleted judgment keeps its row, with the time of deletion.

    Raises `ServiceError` where Label Studio cannot be reached or refuses.
    """
    settings = load_settings(config)
    client, project = project_of(settings)
    batch = client.project_key(project)
    with writing(settings) as warehouse:
        known = live_judgment_sources(warehouse, SOURCE, batch)
        pulled = pull_from(client, project, since=latest_update(warehouse, SOURCE, batch), known=known)
        merged = merge_all(warehouse, [pulled.annotators, pulled.judgments, pulled.drops])
        deleted = mark_deleted(warehouse, SOURCE, pulled.deleted)
    judgments = merged["judgments"]
    counts = {"new judgments": judgments.inserted, "changed": judgments.updated, "deleted": deleted}
    return Outcome(stage="pull", counts={**counts, "dropped": merged["drops"].inserted})
