"""Pull: fetch the judgments that were made, changed or deleted in Label Studio since the last pull."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import starmap

from annotation.studio.remote import TaskStamp
from annotation.sync.mapping import SOURCE
from annotation.sync.pull import Former
from annotation.sync.pull import pull as pull_from
from flows.outcome import Outcome
from flows.services import writing
from flows.settings.settings import Config, load_settings
from flows.stage import stage
from flows.studio import connecting, project_of, remember
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import mark_deleted, merge, merge_all
from warehouse.queries.stages import authors, known_stamps, orphaned_judgments


@stage("pull", hours=2)
def pull(config: Config = None) -> Outcome:
    """Update the judgments from Label Studio. A deleted judgment keeps its row, with the time of deletion.

    Raises:
        InputError: there is no project yet, or it has vanished.
        ServiceError: Label Studio cannot be reached, or fails.
    """
    settings = load_settings(config)
    done: Counter[str] = Counter()
    connected = connecting(settings)
    with writing(settings) as warehouse:
        client, project = project_of(settings, warehouse, connected())
        remember(warehouse, project, client.url, settings.annotation.project)
        seen = starmap(TaskStamp, known_stamps(warehouse, project.key))
        for piece in pull_from(client, project.id, project.key, seen, _former(warehouse, project.key)):
            done["cut"] += merge(warehouse, piece.bounds).inserted
            # tasks are recorded as read only together with what was read from them
            merged = merge_all(warehouse, [piece.annotators, piece.judgments, piece.drops, piece.tasks])
            done["new"] += merged["judgments"].inserted
            done["changed"] += merged["judgments"].updated
            done["dropped"] += merged["drops"].inserted
        done["deleted"] = mark_deleted(warehouse, SOURCE, orphaned_judgments(warehouse, SOURCE, project.key))
    counts = {"new judgments": done["new"], "changed": done["changed"], "deleted": done["deleted"]}
    note = f"{done['cut']:,} values cut to their bounds: see the table drops" if done["cut"] else ""
    return Outcome(stage="pull", counts={**counts, "dropped": done["dropped"]}, note=note)


def _former(warehouse: Warehouse, project: str) -> Former:
    """Return a function that finds annotators in the warehouse whom Label Studio no longer knows."""
    known = cache(lambda: authors(warehouse, SOURCE, project))

    def former(number: int | None, source_id: str) -> str | None:
        by_number, by_judgment = known()
        return by_judgment.get(source_id) or (by_number.get(number) if number is not None else None)

    return former
