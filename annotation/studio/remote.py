"""What Label Studio is told about tasks, and tells about tasks, users and projects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple


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


class TaskBatch(NamedTuple):
    """Tasks to import: how many, and the body of the request."""

    size: int
    content: bytes


def batch_of(tasks: Sequence[Mapping[str, Any]]) -> TaskBatch:
    """Encode tasks for their import."""
    return TaskBatch(len(tasks), json.dumps(tasks).encode())
