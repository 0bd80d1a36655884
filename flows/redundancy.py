"""Adaptive redundancy: after a push, ask for one more judgment where it helps most, while the budget lasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from annotation.studio.client import Studio
from annotation.studio.remote import TaskOverlap
from annotation.sync.push import EVERYONE, ask_for_more
from flows.outcome import Outcome
from flows.settings.redundancy import RedundancySettings
from warehouse.catalog.connect import Warehouse
from warehouse.consensus.redundancy import Judged, Spread, asked, spread
from warehouse.queries.redundancy import study_judgments, study_tasks

There = Mapping[int, Mapping[int, TaskOverlap]]
"""The tasks in Label Studio, by the numbers of project and task."""


class _Subject(NamedTuple):
    """A proposition to be judged, with the task that would be shown again; `judged` is number, sum, sum of squares."""

    judged: tuple[float, float, float]
    n_annotations: int
    waits: bool
    project: int
    number: int


def with_more(pushed: Outcome, redundancy: RedundancySettings, warehouse: Warehouse, client: Studio) -> Outcome:
    """Return the outcome of a push after asking for more judgments, if redundancy is adaptive.

    A proposition that does not wait for a judgment already gets one more if none of its judgments counts (any longer),
    or if its posterior SD is above `target_sd`. The former come first, then those with the largest expected gain. What
    exists, what is waited for, and what was judged on tasks that are gone counts towards the budget.
    """
    if redundancy.redundancy == "fixed":
        return pushed
    tasks = study_tasks(warehouse)
    there = {project: {each.id: each for each in client.overlaps(project)} for project in set(_list(tasks, "project"))}
    spent = sum(_planned(each) for tasks_there in there.values() for each in tasks_there.values())
    left = redundancy.judgments_left(spent + _on_tasks_gone(study_judgments(warehouse), there))
    subjects = _subjects(tasks, there)
    known, bare = ([each for each in subjects if bool(each.judged[0]) is has] for has in (True, False))
    found = spread(Judged(*np.array([each.judged for each in known]).T)) if known else None
    again = [each for each in bare if not each.waits and each.n_annotations < redundancy.most_judgments]
    open_ = again if found is None else [*again, *_unsettled(known, found, redundancy)]
    wanted: dict[int, dict[int, int]] = defaultdict(dict)
    for subject in open_[:left]:
        wanted[subject.project][subject.number] = there[subject.project][subject.number].annotations + 1
    counts = {"asked for once more": sum(ask_for_more(client, project, each) for project, each in wanted.items())}
    if found is not None:
        settled = (found.sd <= redundancy.target_sd).tolist()
        others = [*bare, *(each for each, done in zip(known, settled, strict=True) if not done)]
        counts |= {"settled": sum(settled), "still waiting": sum(each.waits for each in others)}
    if not open_ and found is None:
        return _told(pushed, counts, "no proposition has two judgments yet, so none gets more")
    unpaid = 0 if left is None else max(len(open_) - left, 0)
    return _told(pushed, counts, f"the budget leaves {unpaid:,} unsettled" if unpaid else "")


def _unsettled(known: Sequence[_Subject], found: Spread, redundancy: RedundancySettings) -> list[_Subject]:
    """Return the judged propositions that should get one more judgment, the largest gain first."""
    waits, given = (np.array([getattr(each, name) for each in known]) for name in ("waits", "n_annotations"))
    places = asked(found, given, waits, redundancy.target_sd, redundancy.most_judgments)
    return [known[place] for place in places]


def _on_tasks_gone(judgments: pa.Table, there: There) -> int:
    """Count the judgments on tasks that are no longer in Label Studio: deleted, or those of an earlier project."""
    return sum(int(row["n"]) for row in judgments.to_pylist() if row["number"] not in there.get(row["project"], {}))


def _planned(task: TaskOverlap) -> int:
    """How many judgments a task has or waits for; one that everyone meets waits for no certain number."""
    return task.annotations if task.overlap >= EVERYONE else max(task.annotations, task.overlap)


def _subjects(tasks: pa.Table, there: There) -> list[_Subject]:
    """Return the propositions to be judged. One waits if any of its tasks does, or has judgments not pulled yet."""
    found: dict[str, _Subject] = {}
    for row in tasks.to_pylist():
        task = there[row["project"]].get(row["number"])
        if task is None or not row["is_judged"]:
            continue
        waits = task.annotations < task.overlap or task.annotations != row["n_annotations"]
        subject = _Subject(
            (row["n"], row["sum"], row["squares"]), task.annotations, waits, row["project"], row["number"]
        )
        if before := found.get(row["proposition_id"]):  # in several projects: the newest one asks
            subject = subject._replace(
                n_annotations=subject.n_annotations + before.n_annotations, waits=waits or before.waits
            )
        found[row["proposition_id"]] = subject
    return list(found.values())


def _told(pushed: Outcome, counts: Mapping[str, int], note: str) -> Outcome:
    return pushed.model_copy(
        update={"counts": {**pushed.counts, **counts}, "note": "; ".join(filter(None, (pushed.note, note)))}
    )


def _list(table: pa.Table, name: str) -> list[int]:
    values: list[int] = table[name].to_pylist()
    return values
