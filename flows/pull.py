"""Pull: fetch the judgments that were made, changed or deleted in Label Studio since the last pull."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import cache, partial
from itertools import starmap

from annotation.studio.client import Studio
from annotation.studio.clock import Moment, was_set
from annotation.studio.remote import TaskStamp
from annotation.sync.mapping import SOURCE
from annotation.sync.pull import Former
from annotation.sync.pull import pull as pull_from
from flows.settings.sections import Project
from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from flows.stages.stage import stage
from flows.studio.connection import connecting
from flows.studio.projects import in_each, project_of, projects, remember
from flows.terminal.console import note
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.patience import turn
from warehouse.catalog.store import mark_deleted, merge, merge_all
from warehouse.queries.stages import authors, held_judgments, known_stamps, orphaned_judgments
from warehouse.records import StudioProject


@stage("pull", hours=2)
def pull(config: Config = None, project: str | None = None) -> Outcome:
    """Update the judgments from Label Studio. A deleted judgment keeps its row, with the time of deletion.

    If a whole task was deleted, its judgments stay valid: `odds push --restore` creates the task again. One process
    pulls at a time: an older state of a task must not replace a newer one.

    Args:
        config: The settings, or the file to read them from.
        project: The title of the only project to pull from; by default all.

    Raises:
        InputError: a project does not exist yet, or has vanished; the others are pulled all the same.
        ServiceError: Label Studio cannot be reached, or fails.
    """
    settings = load_settings(config)
    wanted = projects(settings, project)
    connected = connecting(settings)
    with writing(settings) as warehouse, turn(warehouse.pull_lock, "pulling", note):
        client = connected()
        return in_each(wanted, lambda one: _pull(warehouse, client, one))


def _pull(warehouse: Warehouse, client: Studio, project: Project) -> Outcome:
    """Pull from one project."""
    done: Counter[str] = Counter()
    found = project_of(warehouse, client, project)
    row, now = remember(warehouse, found, client.url, project), client.moment
    last = _last_read(row)
    seen = starmap(TaskStamp, known_stamps(warehouse, found.key))
    former, held = _former(warehouse, found.key), partial(held_judgments, warehouse, found.key)
    for piece in pull_from(client, found.id, found.key, seen, former, held=held, last=last):
        done["cut"] += merge(warehouse, piece.bounds).inserted
        # tasks are recorded as read only together with what was read from them
        merged = merge_all(warehouse, [piece.annotators, piece.judgments, piece.drops, piece.tasks])
        done["new"] += merged["judgments"].inserted
        done["changed"] += merged["judgments"].updated
        done["dropped"] += merged["drops"].inserted
        done["tasks"] += len(piece.tasks)
    done["deleted"] = mark_deleted(warehouse, SOURCE, orphaned_judgments(warehouse, SOURCE, found.key))
    if now is not None and (done["tasks"] or last is None or was_set(last, now)):
        merge(warehouse, [row.model_copy(update={"read_at": now.ours, "clock_ahead_s": now.ahead_s})])
    counts = {"new judgments": done["new"], "changed": done["changed"], "deleted": done["deleted"]}
    cut = f"{done['cut']:,} values cut to their bounds: see the table drops" if done["cut"] else ""
    return Outcome(stage="pull", counts={**counts, "dropped": done["dropped"]}, note=cut)


def _last_read(row: StudioProject) -> Moment | None:
    """Return when the last pull that read something of a project began."""
    if row.read_at is None or row.clock_ahead_s is None:
        return None
    return Moment(row.read_at, row.read_at + timedelta(seconds=row.clock_ahead_s))


def _former(warehouse: Warehouse, project: str) -> Former:
    """Return a function that finds annotators in the warehouse whom Label Studio no longer knows."""
    known = cache(lambda: authors(warehouse, SOURCE, project))

    def former(number: int | None, source_id: str) -> str | None:
        by_number, by_judgment = known()
        return by_judgment.get(source_id) or (by_number.get(number) if number is not None else None)

    return former
