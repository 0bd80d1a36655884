"""Pull: fetch the judgments that were made, changed or deleted in Label Studio since the last time."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from annotation.mapping import SOURCE
from annotation.sync import ensure_project
from annotation.sync import pull as pull_from
from flows.outcome import Outcome
from flows.services import studio, writing
from flows.settings import load_settings
from warehouse.connect import Warehouse
from warehouse.queries import latest_update, live_judgment_sources
from warehouse.records import Judgment, judgment_id, now
from warehouse.store import Merged, merge_all, read


@flow(name="pull")
def pull(config: Path | None = None) -> Outcome:
    """Bring the warehouse to what Label Studio holds. A deleted judgment keeps its row, with the time of deletion.

    Raises `ServiceError` where Label Studio cannot be reached or refuses.
    """
    settings = load_settings(config)
    client = studio(settings)
    project = ensure_project(client, settings.annotation.project, overlap=settings.annotation.judgments_per_proposition)
    batch = client.project_key(project)
    with writing(settings) as warehouse:
        known = live_judgment_sources(warehouse, SOURCE, batch)
        pulled = pull_from(client, project, since=latest_update(warehouse, SOURCE, batch), known=known)
        gone = _deleted(warehouse, pulled.deleted)
        merged = merge_all(warehouse, [*pulled.annotators, *pulled.judgments, *pulled.drops, *gone])
    judgments = merged.get("judgments", Merged())
    counts = {"new judgments": judgments.inserted, "changed": judgments.updated - len(gone), "deleted": len(gone)}
    return Outcome(stage="pull", counts={**counts, "dropped": merged.get("drops", Merged()).inserted})


def _deleted(warehouse: Warehouse, source_ids: list[str]) -> list[Judgment]:
    """The judgments with these ids, marked as deleted now."""
    ids = [judgment_id(SOURCE, source_id) for source_id in source_ids]
    found = read(warehouse, Judgment, "judgment_id IN (SELECT unnest(?))", [ids]) if ids else []
    return [judgment.model_copy(update={"deleted_at": now()}) for judgment in found]
