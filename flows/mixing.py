"""Checks and repeats among the tasks of a study: how many, and that everyone meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor

from annotation.studio.client import Studio
from annotation.studio.remote import RemoteProject
from annotation.sync.push import EVERYONE, ask_for_more, push_repeats
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge
from warehouse.queries.mixing import met_by_everyone, task_purposes, unrepeated
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

    Nothing in a task tells that it is a repeat.
    """
    known = list(task_purposes(warehouse, project.key).values())
    wanted = allowed(known.count("judge"), rate) - known.count("repeat")
    chosen = unrepeated(warehouse, project.key, wanted) if wanted > 0 else []
    if chosen:
        merge(warehouse, push_repeats(client, project.id, chosen, project.key))
    return len(chosen)


def show_to_everyone(warehouse: Warehouse, client: Studio, project: RemoteProject) -> int:
    """Have every annotator shown the tasks that are not only to be judged, and those that are repeated.

    Label Studio shows a task to everyone until it has its number of annotations, so theirs is never reached.

    Returns:
        How many tasks were changed.
    """
    return ask_for_more(client, project.id, dict.fromkeys(met_by_everyone(warehouse, project.key), EVERYONE))
