"""Pull judgments from Label Studio as records, in pieces that can be stored one by one.

A pull lists the tasks that changed since the last pull. Then it compares the number of annotations with what it knows;
if they differ, it halves the tasks until it finds where. What it found it exports, oldest change first. So the project
is never exported as a whole, and a pull that was interrupted continues from what was stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from annotation.studio.client import Studio
from annotation.studio.clock import Moment, was_set_back
from annotation.studio.listing import (
    Condition,
    annotated,
    changed_after,
    numbered_among,
    numbered_below,
    numbered_from,
    skipped,
    unannotated,
)
from annotation.studio.remote import RemoteUser, TaskStamp
from annotation.sync.mapping import annotator_of, bounded, judgment_of
from warehouse.records import Annotator, Drop, Judgment, StudioTask, content_id

URL_ROOM = 7_000
"""Characters for the numbers of tasks in a URL, which servers limit to about 8,000. An export takes long to begin."""
PER_NUMBER = 11
"""Characters around each number."""
PIECE = 1000
"""Tasks per piece to store."""
LEAF = 200
"""This many tasks per missing annotation are listed instead of halved: that takes as long as two to three counts."""
OVERLAP = timedelta(minutes=5)
"""How far a pull reaches back, for transactions that were committed late."""

Former = Callable[[int | None, str], str | None]
"""Returns the known `annotator_id` of a user's number or of a judgment's `source_id`."""


class Pulled(NamedTuple):
    """The records of some tasks. `drops` tell why annotations are not judgments, `bounds` what judgments lost."""

    judgments: list[Judgment]
    annotators: list[Annotator]
    drops: list[Drop]
    bounds: list[Drop]
    tasks: list[StudioTask]


Held = Callable[[Sequence[int]], Mapping[int, list[str]]]
"""Returns the `source_id` of the judgments of tasks, by the tasks' numbers, as they were last read."""


def nothing(_numbers: Sequence[int]) -> Mapping[int, list[str]]:
    """Know no judgments."""
    return {}


def nobody(_number: int | None, _source_id: str) -> None:
    """Know no former annotator."""


def pull(
    studio: Studio,
    project_id: int,
    key: str,
    seen: Iterable[TaskStamp] = (),
    former: Former = nobody,
    *,
    held: Held = nothing,
    last: Moment | None = None,
) -> Iterator[Pulled]:
    """Yield what was judged in a project since the last pull, piece by piece.

    A judgment is valid as long as a task of its project, as last read, lists it. A task that was deleted still lists
    the judgments that it had: anybody on the server can delete tasks, and nobody's work may get lost like that. A
    judgment is deleted by deleting its annotation.

    Args:
        studio: The connection.
        project_id: The project.
        key: The key of the project.
        seen: The tasks as they were last read.
        former: Finds annotators whose accounts were removed; their judgments stay valid.
        held: Finds the judgments of tasks that were deleted.
        last: When the last pull began. Without it, all annotated tasks are listed.
    """
    known = {stamp.id: stamp for stamp in seen}
    since = listed_from(known.values(), last, studio.moment)
    found = {stamp.id: stamp for stamp in _changed(studio, project_id, known, since)}
    found.update((stamp.id, stamp) for stamp in _differing(studio, project_id, {**known, **found}))
    stamps = sorted(found.values(), key=lambda stamp: (stamp.changed_at, stamp.id))
    reader = _Reader(studio, project_id, key, former, held)
    for start in range(0, len(stamps), PIECE):
        yield reader.read(stamps[start : start + PIECE])


def listed_from(seen: Iterable[TaskStamp], last: Moment | None, now: Moment | None) -> datetime | None:
    """Return the time on the server's clock from which on changes are listed; None: list all.

    All are listed if that clock was set back since the last pull, since a change may then be dated before it.
    """
    newest = max((stamp.changed_at for stamp in seen), default=None)
    if newest is None or last is None or now is None or was_set_back(last, now):
        return None
    # what was dated by a clock ahead of its present time tells nothing about what was read
    return min(newest, last.theirs) - OVERLAP


def read_tasks(
    exported: Iterable[Mapping[str, Any]], users: Mapping[int, RemoteUser], key: str, former: Former = nobody
) -> tuple[Pulled, dict[int, list[str]]]:
    """Return the records in exported tasks and, by task, its judgments."""
    pulled = Pulled([], [], [], [], [])
    annotators: dict[str, Annotator] = {}
    held: dict[int, list[str]] = {}
    for task in exported:
        name = (task.get("data") or {}).get("proposition_id")
        proposition_id = name if isinstance(name, str) else None
        judged = held[int(task["id"])] = []
        for annotation in task.get("annotations") or []:
            annotator_id = _annotator(annotation, users, annotators, former)
            read = judgment_of(annotation, proposition_id, annotator_id, key)
            if isinstance(read, Drop):
                pulled.drops.append(read)
                continue
            judged.append(read.source_id)
            pulled.judgments.append(read)
            pulled.bounds.extend(bounded(annotation, read.source_id))
    used = {judgment.annotator_id for judgment in pulled.judgments}
    pulled.annotators.extend(annotator for name, annotator in annotators.items() if name in used)
    return pulled, held


def in_urls(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield the numbers of tasks in parts that fit into a URL."""
    size = max(1, URL_ROOM // (len(str(max(numbers, default=0))) + PER_NUMBER))
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


class _Reader:
    """Reads tasks by their stamps. The users are listed once, and only if there is something to read."""

    def __init__(self, studio: Studio, project_id: int, key: str, former: Former, held: Held) -> None:
        self._studio, self._project_id, self._key = studio, project_id, key
        self._former, self._held = former, held
        self._users: dict[int, RemoteUser] | None = None

    def read(self, stamps: Sequence[TaskStamp]) -> Pulled:
        if self._users is None:
            self._users = self._studio.users()
        ids = [stamp.id for stamp in stamps]
        exported = (task for some in in_urls(ids) for task in self._studio.export(self._project_id, some))
        pulled, held = read_tasks(exported, self._users, self._key, self._former)
        gone = _gone(self._studio, self._project_id, [number for number in ids if number not in held])
        kept = self._held(gone) if gone else {}
        for stamp in stamps:
            pulled.tasks.append(
                StudioTask(
                    studio_task_id=content_id("studio task", self._key, str(stamp.id)),
                    project=self._key,
                    number=stamp.id,
                    changed_at=stamp.changed_at,
                    # the server's own count, which may be wrong, is what the next pull compares
                    n_annotations=stamp.annotations if stamp.id in held else 0,
                    judgments=held.get(stamp.id, kept.get(stamp.id, [])),
                )
            )
        return pulled


def _gone(studio: Studio, project_id: int, numbers: Sequence[int]) -> list[int]:
    """Return which of these tasks do not exist; one without annotations may."""
    there = {stamp.id for some in in_urls(numbers) for stamp in studio.stamps(project_id, numbered_among(some))}
    return [number for number in numbers if number not in there]


def _changed(
    studio: Studio, project_id: int, known: Mapping[int, TaskStamp], since: datetime | None
) -> list[TaskStamp]:
    """Return the annotated tasks that changed since they were last read, and those that lost their last annotation."""
    changed = [changed_after(since)] if since else []
    # A skipped task has no judgment but counts as a drop.
    listed = {
        stamp.id: stamp for kind in (annotated(), skipped()) for stamp in studio.stamps(project_id, kind, *changed)
    }
    if since:  # the tasks of a later push are unannotated too, and many
        emptied = studio.stamps(project_id, unannotated(), numbered_below(max(known) + 1), *changed)
        listed.update((stamp.id, stamp) for stamp in emptied if stamp.id in known)
    return [each for each in listed.values() if each.id not in known or each.changed_at != known[each.id].changed_at]


def _differing(studio: Studio, project_id: int, known: Mapping[int, TaskStamp]) -> list[TaskStamp]:
    """Return the tasks whose number of annotations differs from what is known; deleted tasks have zero."""
    tasks = sorted((stamp for stamp in known.values() if stamp.annotations), key=lambda stamp: stamp.id)
    sums = [0, *accumulate(stamp.annotations for stamp in tasks)]
    found: list[TaskStamp] = []

    def bounds(start: int, end: int) -> list[Condition]:
        lower = [numbered_from(tasks[start].id)] if start else []
        return lower + ([numbered_below(tasks[end].id)] if end < len(tasks) else [])

    def look(start: int, end: int, there: int) -> None:
        missing = abs(sums[end] - sums[start] - there)
        if not missing:
            return
        if end - start <= LEAF * missing:
            listed = {stamp.id: stamp for stamp in studio.stamps(project_id, annotated(), *bounds(start, end))}
            here = {stamp.id: stamp for stamp in tasks[start:end]}
            found.extend(stamp._replace(annotations=0) for stamp in here.values() if stamp.id not in listed)
            found.extend(
                stamp
                for stamp in listed.values()
                if stamp.id not in here or here[stamp.id].annotations != stamp.annotations
            )
            return
        middle = (start + end) // 2
        left = studio.count_annotations(project_id, *bounds(start, middle))
        look(start, middle, left)
        look(middle, end, there - left)

    look(0, len(tasks), studio.count_annotations(project_id))
    return found


def _annotator(
    annotation: Mapping[str, Any],
    users: Mapping[int, RemoteUser],
    annotators: dict[str, Annotator],
    former: Former,
) -> str | None:
    number = annotation.get("completed_by")
    number = number if isinstance(number, int) else None
    user = users.get(number) if number is not None else None
    if user is None or not user.email:
        return former(number, str(annotation.get("unique_id")))
    annotator = annotator_of(*user)
    annotators[annotator.annotator_id] = annotator
    return annotator.annotator_id
