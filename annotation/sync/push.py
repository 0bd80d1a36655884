"""Push propositions to Label Studio: the project, its tasks, and duplicates among them.

A push looks at the tasks that exist, so after a crash it can simply be run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from annotation.interface.page import Page, mark_in, read_mark
from annotation.interface.scales import SCALES
from annotation.studio.client import Studio
from annotation.studio.listing import numbered_from
from annotation.studio.remote import RemoteProject, RemoteTask, batch_of
from annotation.sync.mapping import task_of
from warehouse.errors import InputError
from warehouse.records import Interface, PropositionText, Task, content_id

IMPORT_CHUNK = 2_500
NO_ANSWERS: Mapping[str, str] = {}
EVERYONE = 1000
"""The overlap of tasks that every annotator should meet; no study has so many."""


class Pushed(NamedTuple):
    """The tasks of the given propositions, how many of them are new, and how many existed."""

    tasks: list[Task]
    created: int
    already: int


def project_settings(title: str, overlap: int, page: Page) -> dict[str, Any]:
    """Return our project settings: `overlap` judgments per task, random order, no predictions, no skipping."""
    return {
        "title": title,
        "label_config": page.xml,
        "expert_instruction": page.instruction,
        "show_instruction": True,
        "maximum_annotations": overlap,
        "sampling": "Uniform sampling",
        "show_collab_predictions": False,
        "show_skip_button": False,
        "enable_empty_annotation": False,
    }


def make_project(studio: Studio, title: str, *, overlap: int, page: Page) -> RemoteProject:
    """Create a project with this title. Raises `InputError` if Label Studio does not take the title or the overlap."""
    if not 3 <= len(title) <= 50:
        raise InputError(f'the project title "{title}" must have 3 to 50 characters')
    if overlap < 1:
        raise InputError(f"judgments per proposition must be at least 1, not {overlap}")
    return studio.create_project(project_settings(title, overlap, page))


def project_called(studio: Studio, title: str) -> RemoteProject | None:
    """Return the project with this title, or None. Raises `InputError` if two have it."""
    found = studio.projects_called(title)
    if len(found) > 1:
        raise InputError(f'{len(found)} projects at {studio.url} are called "{title}": rename all but one')
    return studio.project(found[0]) if found else None


def update_settings(
    studio: Studio,
    project_id: int,
    *,
    overlap: int,
    page: Page,
    new_version: bool = False,
) -> str | None:
    """Give a project our settings. Its title stays, since people may rename it.

    A page that has annotations stays as it is unless `new_version` is true: the annotations before and after would be
    taken for answers to the same page.

    Returns:
        The mark of the page that annotators see; None if that page has none.

    Raises:
        InputError: annotations were made on another interface.
    """
    wanted = project_settings("", overlap, page)
    del wanted["title"]
    present = studio.project_settings(project_id, list(wanted))
    shown = mark_in(present["label_config"])
    if shown != page.mark and (annotations := studio.counts(project_id).annotations):
        _check_interface(read_mark(shown), page, f"project {project_id} has {annotations:,} annotations", new_version)
        if not new_version:
            del wanted["label_config"], wanted["expert_instruction"]
    if changed := {name: value for name, value in wanted.items() if present[name] != value}:
        studio.update_project(project_id, changed)
    return page.mark if "label_config" in wanted else shown


def _check_interface(shown: tuple[Interface, str] | None, page: Page, has: str, new_version: bool) -> None:
    """Check that a page may take the place of the one that annotations were made on."""
    before: Interface = shown[0] if shown else "slider"  # the only one before pages had marks
    if SCALES[before].control != SCALES[page.interface].control:
        raise InputError(
            f"{has} on the interface {before}, whose scale is not that of {page.interface}: set it back, or name "
            "another project for it"
        )
    if before != page.interface and not new_version:
        raise InputError(
            f"{has} on the interface {before}: set it back, or change it to {page.interface} with odds push "
            "--new-version; each judgment keeps the interface and version on which it was made"
        )


def push(
    studio: Studio,
    project_id: int,
    propositions: Sequence[PropositionText],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    key: str | None = None,
    after: int | None = 0,
    on_tasks: Callable[[list[Task]], object] = lambda _tasks: None,
    answers: Mapping[str, str] = NO_ANSWERS,
) -> Pushed:
    """Create a task for each proposition that has none in the project.

    Tasks that an earlier push created but did not report are found again, since the project is asked which it has.

    Args:
        studio: The connection.
        project_id: The project.
        propositions: The propositions to push.
        on_progress: Called with the number of tasks created and of all new ones.
        key: The project's key, if known.
        after: The highest task number that was reported; only later tasks are listed. None if the project has no tasks.
        on_tasks: Called with tasks as soon as they exist, while more are imported: first those that were found, even
            if there are none.
        answers: What a page with feedback tells, by proposition id; then all propositions need one.
    """
    key = key or studio.project_key(project_id)
    source_ids: dict[str, int] = {}
    for task in () if after is None else studio.tasks(project_id, *([numbered_from(after + 1)] if after else [])):
        if task.proposition_id is not None:
            source_ids.setdefault(task.proposition_id, task.id)
    wanted = {proposition.proposition_id: proposition for proposition in propositions}
    missing = spread([proposition for name, proposition in wanted.items() if name not in source_ids])
    tasks = {name: _task(key, name, source_ids[name]) for name in wanted if name in source_ids}
    done = 0
    for chunk, ids in _imported(studio, project_id, missing, answers):
        made = [_task(key, one.proposition_id, number) for one, number in zip(chunk, ids, strict=True)]
        on_tasks(made or list(tasks.values()))
        tasks.update((task.proposition_id, task) for task in made)
        if made:
            done += len(made)
            on_progress(done, len(missing))
    return Pushed([tasks[name] for name in wanted], created=len(missing), already=len(wanted) - len(missing))


def push_repeats(
    studio: Studio, project_id: int, propositions: Sequence[PropositionText], key: str, there: Mapping[str | None, int]
) -> list[Task]:
    """Create a second task of propositions, which shows what the first one shows, unless one is `there`."""
    new = [one for one in propositions if one.proposition_id not in there]
    numbers = studio.import_tasks(project_id, batch_of([task_of(one) for one in new])) if new else []
    made = dict(there)
    made.update((one.proposition_id, number) for one, number in zip(new, numbers, strict=True))
    return [
        Task(
            task_id=content_id("task", key, one.proposition_id, "repeat"),
            proposition_id=one.proposition_id,
            project=key,
            source_id=str(made[one.proposition_id]),
            purpose="repeat",
        )
        for one in propositions
    ]


def ask_for_more(
    studio: Studio,
    project_id: int,
    wanted: Mapping[int, int],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Raise how many annotations tasks should get, by their numbers; nothing is lowered.

    Args:
        studio: The connection.
        project_id: The project.
        wanted: How many annotations each task should get; tasks that are not there are left out.
        on_progress: Called with the number of tasks raised and of all to raise.

    Returns:
        How many tasks were raised. Label Studio shows them again, though not to those who annotated them.
    """
    there = list(studio.overlaps(project_id)) if wanted else []
    lower = [task for task in there if task.overlap < wanted.get(task.id, 0)]
    for done, task in enumerate(lower, start=1):
        overlap = wanted[task.id]
        studio.set_overlap(task.id, overlap, done=task.annotations >= overlap)
        on_progress(done, len(lower))
    return len(lower)


def _imported(
    studio: Studio, project_id: int, propositions: Sequence[PropositionText], answers: Mapping[str, str]
) -> Iterator[tuple[Sequence[PropositionText], list[int]]]:
    """Import the propositions chunk by chunk; yield each, and first nothing, while the next is imported.

    Yields:
        A chunk, and the numbers of its tasks.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="import") as thread:
        chunk: Sequence[PropositionText] = ()
        imported: Future[list[int]] = Future()
        imported.set_result([])
        for start in range(0, len(propositions), IMPORT_CHUNK):
            following = propositions[start : start + IMPORT_CHUNK]
            batch = batch_of([task_of(one, answers.get(one.proposition_id)) for one in following])
            before = chunk, imported.result()
            chunk, imported = following, thread.submit(studio.import_tasks, project_id, batch)
            yield before
        yield chunk, imported.result()


def spread(propositions: Sequence[PropositionText]) -> list[PropositionText]:
    """Return the propositions in a random order with those of one premise far apart.

    Label Studio shows tasks ordered by number when somebody opens or filters its list.
    """
    shuffled = sorted(propositions, key=lambda proposition: proposition.proposition_id)  # a hash of the texts
    turns: Counter[str] = Counter()
    placed = []
    for proposition in shuffled:
        placed.append((turns[proposition.premise], proposition))
        turns[proposition.premise] += 1
    return [proposition for _, proposition in sorted(placed, key=lambda pair: pair[0])]


def _task(project_key: str, proposition_id: str, source_id: int) -> Task:
    return Task(
        task_id=content_id("task", project_key, proposition_id),
        proposition_id=proposition_id,
        project=project_key,
        source_id=str(source_id),
    )


class Duplicates(NamedTuple):
    """Duplicate tasks: several of one proposition.

    `unjudged` are the numbers of duplicates that nobody has judged, `judged` is how many others there are, and `kept`
    has the task of each proposition that stays.
    """

    unjudged: list[int]
    kept: list[Task]
    judged: int


def duplicates(studio: Studio, project_id: int, key: str, repeats: Collection[int] = ()) -> Duplicates:
    """Find the duplicate tasks of a project. A judged one is never in `unjudged`, since its judgments count.

    `repeats` are the numbers of tasks that repeat another one on purpose.
    """
    tasks: dict[str, list[RemoteTask]] = {}
    for task in studio.tasks(project_id):
        if task.proposition_id is not None and task.id not in repeats:
            tasks.setdefault(task.proposition_id, []).append(task)
    found = Duplicates([], [], 0)
    judged = 0
    for name, several in tasks.items():
        if len(several) < 2:
            continue
        keep = max(several, key=lambda task: (len(task.annotators), -task.id))
        spare = [task.id for task in several if task is not keep and not task.annotators]
        judged += len(several) - 1 - len(spare)
        found.unjudged.extend(spare)
        found.kept.append(_task(key, name, keep.id))
    return found._replace(judged=judged)
