"""Checks and repeats among the tasks of a study: how many, and that everyone meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor

from annotation.studio.client import Studio
from annotation.studio.remote import RemoteProject
from annotation.sync.push import EVERYONE, ask_for_more, push_repeats
from flows.settings.sections import AnnotationSettings
from flows.terminal.progress import Tick
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge
from warehouse.queries.mixing import has_mixed_in, met_by_everyone, task_purposes, unrepeated
from warehouse.queries.routes import Place
from warehouse.records import PropositionText, Purpose


def allowed(n_judge: int, rate: float) -> int:
    """Return how many tasks of another kind make up at most the share `rate` beside `n_judge` tasks."""
    return floor(rate * n_judge / (1 - rate) + 1e-9)


def with_checks(
    waiting: Sequence[PropositionText],
    purposes: Mapping[str, Purpose],
    there: Mapping[int, Purpose],
    rate: float | None,
) -> list[PropositionText]:
    """Return what to push of what waits: all propositions to judge, and attention checks up to a share of all tasks.

    Args:
        waiting: The propositions without a task.
        purposes: The purpose of the tasks of those that are checks.
        there: The purpose of each task that exists, by its number.
        rate: The largest share of checks among tasks to judge and checks; None for no limit.
    """
    if rate is None:
        return list(waiting)
    is_check = [purposes.get(one.proposition_id) == "check" for one in waiting]
    known = list(there.values())
    n_judge = known.count("judge") + is_check.count(False)
    left = max(0, allowed(n_judge, rate) - known.count("check"))
    checks = [one for one, check in zip(waiting, is_check, strict=True) if check][:left]
    return [*(one for one, check in zip(waiting, is_check, strict=True) if not check), *checks]


def repeat_some(warehouse: Warehouse, client: Studio, project: RemoteProject, rate: float) -> int:
    """Create a second task of some propositions, up to a share of a study's tasks. Returns how many are new.

    Nothing in a task tells that it is a repeat. A second task that an earlier push created and could not record, since
    it was killed, is taken up instead of creating a third.
    """
    known = task_purposes(warehouse, project.key)
    purposes = list(known.values())
    wanted = allowed(purposes.count("judge"), rate) - purposes.count("repeat")
    if wanted <= 0:
        return 0
    there = {task.proposition_id: task.id for task in client.tasks(project.id) if task.id not in known}
    chosen = unrepeated(warehouse, project.key, wanted, first=[name for name in there if name])
    merge(warehouse, push_repeats(client, project.id, chosen, project.key, there))
    return len(chosen)


def mixes(warehouse: Warehouse, place: Place, annotation: AnnotationSettings) -> bool:
    """Return whether a study has or may get checks or repeats among its tasks."""
    if place.purpose != "study":
        return False
    return annotation.check_rate is not None or annotation.repeat_rate > 0 or has_mixed_in(warehouse, place)


def overlap_of(client: Studio, project: RemoteProject | None, judgments: int, *, mixed: bool) -> int:
    """Return the number of annotations that Label Studio should want of a project's tasks when they are imported.

    That is the number of judgments, or 1 where tasks are raised one by one. Above 1, Label Studio first serves those of
    the unfinished tasks that have the most annotations. Tasks that everyone meets are never finished, so whoever comes
    late would get all of them at the start; at 1 it serves unfinished tasks at random.

    A project whose tasks were raised one by one stays at 1, since Label Studio would set all that are above 1 to the
    new number, and lower some.
    """
    if mixed or project is None or judgments == 1:
        return 1 if mixed else judgments
    present = client.project_settings(project.id, ["maximum_annotations"])["maximum_annotations"]
    return 1 if present == 1 and any(task.overlap > 1 for task in client.overlaps(project.id)) else judgments


def show_to_enough(warehouse: Warehouse, client: Studio, project: RemoteProject, judgments: int, tick: Tick) -> int:
    """Have every task of a project shown to `judgments` people at least, and to everyone where they should meet it.

    Everyone meets the tasks that are not only to be judged, and those that are repeated: Label Studio shows a task
    until it has its number of annotations, and theirs is never reached. What was raised already is left alone, so a
    push that was interrupted here is finished by the next one.

    When a project changes to `maximum_annotations` 1, Label Studio sets all its tasks back to 1 and they are raised
    here. One that waited for more than `judgments` no longer does: the adaptive rule, or `odds push --selected`, asks
    again.

    Returns:
        How many tasks were changed.
    """
    wanted = dict.fromkeys(task_purposes(warehouse, project.key), judgments) if judgments > 1 else {}
    wanted |= dict.fromkeys(met_by_everyone(warehouse, project.key), EVERYONE)
    return ask_for_more(client, project.id, wanted, tick)
