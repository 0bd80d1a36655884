"""Adaptive redundancy: after a push, ask for one more judgment where it helps most, while the budget lasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from annotation.studio.client import Studio
from annotation.studio.remote import TaskOverlap
from annotation.sync.push import EVERYONE, ask_for_more
from flows.outcome import Outcome
from flows.settings.redundancy import RedundancySettings
from warehouse.catalog.connect import Warehouse
from warehouse.consensus.redundancy import Judged, asked, spread
from warehouse.queries.redundancy import study_tasks

There = Mapping[int, Mapping[int, TaskOverlap]]
"""The tasks in Label Studio, by the numbers of project and task."""


class _Subject(NamedTuple):
    """A judged proposition, with the task that would be shown again."""

    judged: tuple[float, float, float]
    n_annotations: int
    waits: bool
    project: int
    number: int


def with_more(pushed: Outcome, redundancy: RedundancySettings, warehouse: Warehouse, client: Studio) -> Outcome:
    """Return the outcome of a push after asking for more judgments, if redundancy is adaptive.

    A proposition whose posterior SD is above `target_sd`, and that does not wait for a judgment already, gets one more;
    those with the largest expected gain come first. What exists and what is waited for counts towards the budget.
    """
    if redundancy.redundancy == "fixed":
        return pushed
    tasks = study_tasks(warehouse)
    there = {project: {each.id: each for each in client.overlaps(project)} for project in set(_list(tasks, "project"))}
    spent = sum(_planned(each) for tasks_there in there.values() for each in tasks_there.values())
    left = redundancy.judgments_left(spent)
    subjects = _subjects(tasks, there)
    found = spread(Judged(*np.array([each.judged for each in subjects]).T)) if subjects else None
    if found is None:
        return _told(pushed, {"asked for once more": 0}, "no proposition has two judgments yet, so none gets more")
    waits, given = (np.array([getattr(each, name) for each in subjects]) for name in ("waits", "n_annotations"))
    places = asked(found, given, waits, redundancy.target_sd, redundancy.most_judgments)
    wanted: dict[int, dict[int, int]] = defaultdict(dict)
    for subject in (subjects[place] for place in places[:left]):
        wanted[subject.project][subject.number] = there[subject.project][subject.number].annotations + 1
    raised = sum(ask_for_more(client, project, each) for project, each in wanted.items())
    settled = found.sd <= redundancy.target_sd
    counts = {
        "asked for once more": raised,
        "settled": int(settled.sum()),
        "still waiting": int((waits & ~settled).sum()),
    }
    ended = left is not None and len(places) > left
    return _told(pushed, counts, f"the budget leaves {len(places) - (left or 0):,} unsettled" if ended else "")


def _planned(task: TaskOverlap) -> int:
    """How many judgments a task has or waits for; one that everyone meets waits for no certain number."""
    return task.annotations if task.overlap >= EVERYONE else max(task.annotations, task.overlap)


def _subjects(tasks: pa.Table, there: There) -> list[_Subject]:
    """Return the judged propositions. One waits if any of its tasks does, or has judgments that were not pulled yet."""
    found: dict[str, _Subject] = {}
    for row in tasks.to_pylist():
        task = there[row["project"]].get(row["number"])
        if task is None or not row["is_judged"] or not row["n"]:
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
