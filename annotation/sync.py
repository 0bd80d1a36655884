"""Bringing the project in Label Studio and the warehouse's records together: push, pull, progress.

Everything can be done twice: a push looks at the tasks that are there, a pull gives the same records for the same
annotations. So a crash anywhere is healed by doing it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from annotation.interface import INSTRUCTION, interface_xml
from annotation.mapping import annotator_of, judgment_of, task_of
from annotation.studio import Studio, StudioCounts, StudioUser
from warehouse.errors import InputError
from warehouse.records import Annotator, Drop, Judgment, PropositionText, Task, content_id

T = TypeVar("T")

IMPORT_CHUNK = 500
EXPORT_CHUNK = 200
"""Tasks an export: their ids stand in the URL, which servers cut at about 8,000 characters."""
FEW = 1000
"""Up to so many changed tasks are exported by their ids; beyond, one export of everything is faster."""
OVERLAP = timedelta(minutes=5)
"""How far an incremental pull reaches back, for clocks that differ and transactions that end late."""


class Pushed(NamedTuple):
    """The tasks of the given propositions, how many of them are new, and how many were there."""

    tasks: list[Task]
    created: int
    already: int


class Pulled(NamedTuple):
    """The records behind a project's annotations; `deleted` are the `source_id`s of known judgments that are gone."""

    judgments: list[Judgment]
    annotators: list[Annotator]
    drops: list[Drop]
    deleted: list[str]


def project_settings(title: str, overlap: int) -> dict[str, Any]:
    """What a project of ours looks like: `overlap` judgments a task, in random order, no predictions, no skipping."""
    return {
        "title": title,
        "label_config": interface_xml(),
        "expert_instruction": INSTRUCTION,
        "show_instruction": True,
        "maximum_annotations": overlap,
        "sampling": "Uniform sampling",
        "show_collab_predictions": False,
        "show_skip_button": False,
        "enable_empty_annotation": False,
    }


def ensure_project(studio: Studio, title: str, *, overlap: int) -> int:
    """The id of the project with this title; made, or set right, where that is needed.

    Raises `InputError` for a title that Label Studio refuses (3 to 50 characters) or that two projects have.
    """
    if not 3 <= len(title) <= 50:
        raise InputError(f'the project title "{title}" must have 3 to 50 characters')
    if overlap < 1:
        raise InputError(f"{overlap} judgments a proposition make no project: ask for 1 or more")
    wanted = project_settings(title, overlap)
    found = studio.projects_called(title)
    if len(found) > 1:
        raise InputError(f'{len(found)} projects at {studio.url} are called "{title}": rename all but one')
    if not found:
        return studio.create_project(wanted)
    present = studio.project_settings(found[0], list(wanted))
    if changed := {name: value for name, value in wanted.items() if present[name] != value}:
        studio.update_project(found[0], changed)
    return found[0]


def push(
    studio: Studio,
    project_id: int,
    propositions: Sequence[PropositionText],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Pushed:
    """Give the project a task for each proposition that has none there. `on_progress` gets (done, total) of the new.

    The project itself says which tasks it has: tasks that an earlier push made but did not report are found again.
    """
    key = studio.project_key(project_id)
    source_ids: dict[str, int] = {}
    for task in studio.tasks(project_id):
        if task.proposition_id is not None:
            source_ids.setdefault(task.proposition_id, task.id)
    wanted = {proposition.proposition_id: proposition for proposition in propositions}
    missing = [proposition for name, proposition in wanted.items() if name not in source_ids]
    done = 0
    for chunk in _chunks(missing, IMPORT_CHUNK):
        ids = studio.import_tasks(project_id, [task_of(proposition) for proposition in chunk])
        source_ids.update(zip((proposition.proposition_id for proposition in chunk), ids, strict=True))
        done += len(chunk)
        on_progress(done, len(missing))
    tasks = [_task(key, name, source_ids[name]) for name in wanted]
    return Pushed(tasks, created=len(missing), already=len(wanted) - len(missing))


def pull(studio: Studio, project_id: int, since: datetime | None, known: Collection[str]) -> Pulled:
    """What was judged in a project. `known` are the `source_id`s of the live judgments that came from this project.

    With `since` only tasks that changed after it are read, and everything only where the counts show that something
    else was deleted. Records of unchanged annotations are the same each time. A known judgment whose annotation is
    gone, or was changed into one that cannot be used, is in `deleted`. `batch` of a judgment is the project's key.
    """
    key = studio.project_key(project_id)
    users = studio.users()
    if since is not None:
        changed = [task.id for task in islice(studio.tasks(project_id, since - OVERLAP), FEW + 1)]
        if len(changed) <= FEW:
            exported = [task for ids in _chunks(changed, EXPORT_CHUNK) for task in studio.export(project_id, ids)]
            pulled, seen = read_export(exported, users, key, known, complete=False)
            # All new annotations are in `seen`: the counts differ exactly where a known one is gone.
            if len(seen | set(known)) == studio.counts(project_id).annotations:
                return pulled
    return read_export(studio.export(project_id), users, key, known, complete=True)[0]


def progress(studio: Studio, project_id: int) -> StudioCounts:
    """How far the annotators are: tasks, annotated tasks, annotations."""
    return studio.counts(project_id)


def read_export(
    tasks: Iterable[Mapping[str, Any]],
    users: Mapping[int, StudioUser],
    batch: str,
    known: Collection[str],
    *,
    complete: bool,
) -> tuple[Pulled, set[str]]:
    """The records in exported tasks, and the ids of all their annotations. `complete` exports tell what is deleted."""
    judgments: list[Judgment] = []
    drops: list[Drop] = []
    annotators: dict[str, Annotator] = {}
    for task in tasks:
        proposition_id = _text((task.get("data") or {}).get("proposition_id"))
        for annotation in task.get("annotations") or []:
            user_id = annotation.get("completed_by")
            user = users.get(user_id) if isinstance(user_id, int) else None
            annotator = annotator_of(*user) if user and user.email else None
            read = judgment_of(annotation, proposition_id, annotator.annotator_id if annotator else None, batch)
            if isinstance(read, Drop):
                drops.append(read)
                continue
            judgments.append(read)
            if annotator:
                annotators[annotator.annotator_id] = annotator
    live = {judgment.source_id for judgment in judgments}
    unusable = {drop.subject_id for drop in drops}
    gone = set(known) - live if complete else set(known) & unusable
    return Pulled(judgments, list(annotators.values()), drops, sorted(gone)), live | unusable


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _task(project_key: str, proposition_id: str, source_id: int) -> Task:
    return Task(
        task_id=content_id("task", project_key, proposition_id),
        proposition_id=proposition_id,
        project=project_key,
        source_id=str(source_id),
    )


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
