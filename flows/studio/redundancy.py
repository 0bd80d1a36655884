"""Adaptive redundancy: after a push, ask for one more judgment where it helps most, while the budget lasts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from annotation.studio.client import Studio
from annotation.studio.remote import TaskOverlap
from annotation.sync.push import EVERYONE, ask_for_more
from flows.settings.sections import AnnotationSettings, Project
from flows.stages.outcome import Outcome
from warehouse.catalog.connect import Warehouse
from warehouse.consensus.random_effects import Floats
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


def with_more(pushed: Outcome, annotation: AnnotationSettings, warehouse: Warehouse, client: Studio) -> Outcome:
    """Return the outcome of a push after asking for more judgments in the projects whose redundancy is adaptive.

    A proposition that does not wait for a judgment already gets one more if none of its judgments counts (any longer),
    or if its posterior SD is above `target_sd`. The former come first, then those with the largest expected gain. What
    exists, what is waited for, and what was judged on tasks that are gone counts towards the budget.
    """
    rules = {one.title: one for one in annotation.every_project if one.purpose == "study"}
    if not any(_is_adaptive(one) for one in rules.values()):
        return pushed
    tasks = study_tasks(warehouse)
    titles: dict[int, str] = dict(zip(tasks["project"].to_pylist(), tasks["title"].to_pylist(), strict=True))
    # one whose title left the settings goes by those of the project that takes the rest
    projects = {number: rules.get(title, rules[annotation.project]) for number, title in titles.items()}
    there = {project: {each.id: each for each in client.overlaps(project)} for project in projects}
    subjects = [each for each in _subjects(tasks, there) if _is_adaptive(projects[each.project])]
    known, bare = ([each for each in subjects if bool(each.judged[0]) is has] for has in (True, False))
    found = spread(Judged(*np.array([each.judged for each in known]).T)) if known else None
    most = {number: one.redundancy.most_judgments for number, one in projects.items()}
    again = [each for each in bare if not each.waits and each.n_annotations < most[each.project]]
    targets = np.array([projects[each.project].redundancy.target_sd for each in known])
    open_ = again if found is None else [*again, *_unsettled(known, found, targets, most)]
    purses = {number: one.title if one.has_budget else "" for number, one in projects.items()}
    paid = _affordable(open_, purses, _left(annotation, rules, warehouse, there, purses))
    wanted: dict[int, dict[int, int]] = defaultdict(dict)
    for each in paid:
        wanted[each.project][each.number] = there[each.project][each.number].annotations + 1
    counts = {"asked for once more": sum(ask_for_more(client, project, each) for project, each in wanted.items())}
    if found is not None:
        settled = (found.sd <= targets).tolist()
        others = [*bare, *(each for each, done in zip(known, settled, strict=True) if not done)]
        counts |= {"settled": sum(settled), "still waiting": sum(each.waits for each in others)}
    if not open_ and found is None:
        return _told(pushed, counts, "no proposition has two judgments yet, so none gets more")
    unpaid = len(open_) - len(paid)
    return _told(pushed, counts, f"the budget leaves {unpaid:,} unsettled" if unpaid else "")


def _is_adaptive(project: Project) -> bool:
    return project.redundancy.redundancy == "adaptive"


def _left(
    annotation: AnnotationSettings,
    rules: Mapping[str, Project],
    warehouse: Warehouse,
    there: There,
    purses: Mapping[int, str],
) -> dict[str, int | None]:
    """Return how many judgments each budget has left; None without one. That of all projects has no title."""
    spent: Counter[str] = Counter()
    for project, tasks in there.items():
        spent[purses[project]] += sum(_planned(each) for each in tasks.values())
    own = {title for title, one in rules.items() if one.has_budget}
    for title, gone in _on_tasks_gone(study_judgments(warehouse), there).items():
        spent[title if title in own else ""] += gone
    budgets = {title: rules[title].redundancy for title in own}
    return {purse: each.judgments_left(spent[purse]) for purse, each in {**budgets, "": annotation}.items()}


def _affordable(
    wanted: Sequence[_Subject], purses: Mapping[int, str], left: Mapping[str, int | None]
) -> list[_Subject]:
    """Return those that the budgets of their projects pay for, first come first served."""
    spent: Counter[str] = Counter()
    paid = []
    for each in wanted:
        purse = purses[each.project]
        limit = left[purse]
        if limit is None or spent[purse] < limit:
            spent[purse] += 1
            paid.append(each)
    return paid


def _unsettled(known: Sequence[_Subject], found: Spread, targets: Floats, most: Mapping[int, int]) -> list[_Subject]:
    """Return the judged propositions that should get one more judgment, the largest gain first."""
    waits, given = (np.array([getattr(each, name) for each in known]) for name in ("waits", "n_annotations"))
    places = asked(found, given, waits, targets, np.array([most[each.project] for each in known]))
    return [known[place] for place in places]


def _on_tasks_gone(judgments: pa.Table, there: There) -> Counter[str]:
    """Count the judgments on tasks that are no longer in Label Studio, deleted or of an earlier project, by title."""
    gone: Counter[str] = Counter()
    for row in judgments.to_pylist():
        if row["number"] not in there.get(row["project"], {}):
            gone[row["title"]] += row["n"]
    return gone


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
