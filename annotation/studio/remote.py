"""What Label Studio tells about tasks, users and projects."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class RemoteTask(NamedTuple):
    """A task in a list. `proposition_id` is None if it was not pushed from here; annotators are user ids."""

    id: int
    proposition_id: str | None
    annotators: frozenset[int]


class RemoteUser(NamedTuple):
    """A member of the organisation."""

    id: int
    email: str


class TaskStamp(NamedTuple):
    """When a task last changed, and how many annotations it has, not counting skipped ones."""

    id: int
    changed_at: datetime
    annotations: int


class TaskOverlap(NamedTuple):
    """How many annotations a task has, not counting skipped ones, and how many it should get."""

    id: int
    annotations: int
    overlap: int


class RemoteProject(NamedTuple):
    """A project and its number of tasks. `key` identifies it on any address: its id and when it was created."""

    id: int
    key: str
    title: str
    tasks: int


class ProjectCounts(NamedTuple):
    """How many tasks a project has, how many are annotated, and all annotations, including skipped ones."""

    tasks: int
    annotated: int
    annotations: int
