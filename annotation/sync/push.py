"""Bringing propositions to Label Studio: the project, its tasks, how far the annotators are.

Everything can be done twice: a push looks at the tasks that are there. So a crash anywhere is healed by doing it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from annotation.interface.page import INSTRUCTION, interface_xml
from annotation.studio.client import Studio, StudioCounts, StudioProject, StudioTask
from annotation.studio.listing import numbered_from
from annotation.sync.mapping import task_of
from warehouse.errors import InputError
from warehouse.records import PropositionText, Task, content_id

T = TypeVar("T")

IMPORT_CHUNK = 2_500


class Pushed(NamedTuple):
    """The tasks of the given propositions, how many of them are new, and how many were there."""

    tasks: list[Task]
    created: int
    already: int


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
    found = project_called(studio, title)
    if found is None:
        return make_project(studio, title, overlap=overlap)
    set_right(studio, found.id, overlap=overlap)
    return found.id


def make_project(studio: Studio, title: str, *, overlap: int) -> int:
    """Create a project with this title and give its id. Raises `InputError` like `ensure_project`."""
    _check(title, overlap)
    return studio.create_project(project_settings(title, overlap))


def project_called(studio: Studio, title: str) -> StudioProject | None:
    """The project with this title, or None. Raises `InputError` where two have it."""
    found = studio.projects_called(title)
    if len(found) > 1:
        raise InputError(f'{len(found)} projects at {studio.url} are called "{title}": rename all but one')
    return studio.project(found[0]) if found else None


def set_right(studio: Studio, project_id: int, *, overlap: int) -> None:
    """Give a project the settings that it lacks. Its title stays as it is: people may rename it."""
    wanted = project_settings("", overlap)
    del wanted["title"]
    present = studio.project_settings(project_id, list(wanted))
    if changed := {name: value for name, value in wanted.items() if present[name] != value}:
        studio.update_project(project_id, changed)


def _check(title: str, overlap: int) -> None:
    if not 3 <= len(title) <= 50:
        raise InputError(f'the project title "{title}" must have 3 to 50 characters')
    if overlap < 1:
        raise InputError(f"judgments per proposition must be at least 1, not {overlap}")


def push(
    studio: Studio,
    project_id: int,
    propositions: Sequence[PropositionText],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    key: str | None = None,
    after: int = 0,
) -> Pushed:
    """Give the project a task for each proposition that has none there. `on_progress` gets (done, total) of the new.

    The project itself says which tasks it has: tasks that an earlier push made but did not report are found again.
    `after` is the highest number of a task that was reported: only later ones are looked through.
    """
    key = key or studio.project_key(project_id)
    source_ids: dict[str, int] = {}
    for task in studio.tasks(project_id, *([numbered_from(after + 1)] if after else [])):
        if task.proposition_id is not None:
            source_ids.setdefault(task.proposition_id, task.id)
    wanted = {proposition.proposition_id: proposition for proposition in propositions}
    missing = spread([proposition for name, proposition in wanted.items() if name not in source_ids])
    done = 0
    for chunk in _chunks(missing, IMPORT_CHUNK):
        ids = studio.import_tasks(project_id, [task_of(proposition) for proposition in chunk])
        source_ids.update(zip((proposition.proposition_id for proposition in chunk), ids, strict=True))
        done += len(chunk)
        on_progress(done, len(missing))
    tasks = [_task(key, name, source_ids[name]) for name in wanted]
    return Pushed(tasks, created=len(missing), already=len(wanted) - len(missing))


def spread(propositions: Sequence[PropositionText]) -> list[PropositionText]:
    """The propositions in an order in which those of one premise are far apart, and that tells nothing of them.

    Label Studio shows tasks in the order of their numbers where somebody opens its list, or filters it.
    """
    shuffled = sorted(propositions, key=lambda proposition: content_id("order", proposition.proposition_id))
    turns: Counter[str] = Counter()
    placed = []
    for proposition in shuffled:
        placed.append((turns[proposition.premise], proposition))
        turns[proposition.premise] += 1
    return [proposition for _, proposition in sorted(placed, key=lambda pair: pair[0])]


def progress(studio: Studio, project_id: int) -> StudioCounts:
    """How far the annotators are: tasks, annotated tasks, annotations."""
    return studio.counts(project_id)


def _task(project_key: str, proposition_id: str, source_id: int) -> Task:
    return Task(
        task_id=content_id("task", project_key, proposition_id),
        proposition_id=proposition_id,
        project=project_key,
        source_id=str(source_id),
    )


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


class Doubles(NamedTuple):
    """Tasks beside another one of their proposition: those nobody has judged, by number, and how many others there are.

    `kept` are the tasks that stay in place of the first.
    """

    spare: list[int]
    kept: list[Task]
    judged: int


def doubles(studio: Studio, project_id: int, key: str) -> Doubles:
    """The doubled tasks of a project. One that somebody has judged is never spare: its judgments count all the same."""
    tasks: dict[str, list[StudioTask]] = {}
    for task in studio.tasks(project_id):
        if task.proposition_id is not None:
            tasks.setdefault(task.proposition_id, []).append(task)
    found = Doubles([], [], 0)
    judged = 0
    for name, several in tasks.items():
        if len(several) < 2:
            continue
        keep = max(several, key=lambda task: (len(task.annotators), -task.id))
        spare = [task.id for task in several if task is not keep and not task.annotators]
        judged += len(several) - 1 - len(spare)
        found.spare.extend(spare)
        found.kept.append(_task(key, name, keep.id))
    return found._replace(judged=judged)
