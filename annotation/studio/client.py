"""The client of Label Studio: the only place, with `calls`, that uses its SDK."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from annotation.studio.calls import answer, is_loopback, repeated, translated
from annotation.studio.clock import Moment, moment_of
from annotation.studio.listing import Condition
from annotation.studio.remote import (
    ProjectCounts,
    RemoteProject,
    RemoteTask,
    RemoteUser,
    TaskBatch,
    TaskOverlap,
    TaskStamp,
)
from annotation.studio.signing import Renewing
from warehouse.errors import InputError, ServiceError

TIMEOUT_S = 120.0
PAGE = 1000

T = TypeVar("T")


class Studio:
    """A connection with the rights of one user. Every method raises `InputError` or `ServiceError` with one line."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.moment: Moment | None = None
        """When the last answer was given; None if the server does not tell its time."""
        self._token = token
        local = is_loopback(url)
        # The embedded server sends an answer in two packets; on a connection that is kept, the second one waits 40 ms
        # for the delayed acknowledgement of the first.
        limits = httpx.Limits(max_keepalive_connections=0 if local else 20)
        # A proxy would not find a server on this machine.
        client = httpx.Client(
            timeout=TIMEOUT_S,
            follow_redirects=True,
            trust_env=not local,
            limits=limits,
            auth=Renewing(url, token),
            event_hooks={"response": [self._heard]},
        )
        arguments = {"base_url": url, "api_key": token, "timeout": TIMEOUT_S, "max_retries": 0, "httpx_client": client}
        self._sdk: LabelStudio = translated(url, "signing in", lambda: LabelStudio(**arguments))  # type: ignore[no-untyped-call]

    def _heard(self, response: httpx.Response) -> None:
        self.moment = moment_of(response)

    def derived_secret(self, purpose: str) -> str:
        """Derive a secret that only the holder of this connection's token can derive; it does not reveal the token."""
        return hmac.new(self._token.encode(), purpose.encode(), "sha256").hexdigest()

    def whoami(self) -> RemoteUser:
        """Return the user of the token."""
        try:
            user = self._call("signing in", self._sdk.users.whoami)
            if isinstance(user.id, int) and isinstance(user.email, str):
                return RemoteUser(user.id, user.email)
        except (AttributeError, TypeError):
            pass  # the SDK builds objects from any JSON; that of another server fails like this
        raise ServiceError(f"what answers at {self.url} is not Label Studio: check the URL")

    def users(self) -> dict[int, RemoteUser]:
        """Return the members of the organisation by id."""
        listed = self._call("listing the users", lambda: list(self._sdk.users.list()))
        return {user.id: RemoteUser(user.id, user.email or "") for user in listed}

    def invite_path(self) -> str:
        """Return the path of the sign-up form. It holds the organisation's invitation, which is a secret."""
        link = self._call("reading the invite link", self._sdk.organizations.invites.get_invite_link)
        if not link.invite_url:
            raise ServiceError(f"Label Studio at {self.url} gives no invite link: add annotators there manually")
        parts = urlsplit(link.invite_url)
        return f"{parts.path}?{parts.query}"

    def projects_called(self, title: str) -> list[int]:
        """Return the ids of the projects with exactly this title."""
        # the other fields of a project, such as its counts, take seconds once there are many tasks
        page: Mapping[str, Any] = {"next": True, "results": []}
        found: list[int] = []
        number = 0
        while page["next"]:
            number += 1
            wanted = {"title": title, "include": "id,title", "page": number, "page_size": PAGE}
            page = self._get("listing the projects", "api/projects/", wanted, {"next", "results"})
            found.extend(project["id"] for project in page["results"] if project["title"] == title)
        return found

    def create_project(self, settings: Mapping[str, Any]) -> RemoteProject:
        """Create a project. Not retried, since that could create two."""
        made = self._post("creating the project", "api/projects/", settings)
        if not isinstance(made, dict) or made.get("id") is None:
            raise ServiceError(f"Label Studio at {self.url} created a project without an id")
        return self._project(made["id"], made)

    def project_settings(self, project_id: int, names: Sequence[str]) -> dict[str, Any]:
        """Return the named settings of a project."""
        wanted = {"include": ",".join(names)}
        found = self._get(f"reading project {project_id}", f"api/projects/{project_id}/", wanted, set(names))
        return {name: found[name] for name in names}

    def update_project(self, project_id: int, settings: Mapping[str, Any]) -> None:
        """Change the given settings of a project."""
        self._call(f"changing project {project_id}", lambda: self._sdk.projects.update(project_id, **settings))

    def project(self, project_id: int) -> RemoteProject | None:
        """Return a project, or None if no project has this id."""
        wanted = {"include": "created_at,title,task_number"}
        try:
            found = self._get(f"reading project {project_id}", f"api/projects/{project_id}/", wanted)
        except InputError as error:
            if isinstance(error.__cause__, ApiError) and error.__cause__.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        return self._project(project_id, found)

    def project_key(self, project_id: int) -> str:
        """Return the key of a project, which identifies it whatever the server's address is."""
        found = self.project(project_id)
        if found is None:
            raise InputError(f"there is no project {project_id} at {self.url}: check the project and the URL")
        return found.key

    def counts(self, project_id: int) -> ProjectCounts:
        """Return what a project holds."""
        names = ("task_number", "num_tasks_with_annotations", "total_annotations_number", "skipped_annotations_number")
        doing = f"counting the tasks of project {project_id}"
        found = self._get(doing, f"api/projects/{project_id}/", {"include": ",".join(names)}, set(names))
        tasks, annotated, annotations, skipped = (int(found[name] or 0) for name in names)
        return ProjectCounts(tasks, annotated, annotations + skipped)

    def _project(self, project_id: int, found: Mapping[str, Any]) -> RemoteProject:
        if not found.get("created_at"):
            raise ServiceError(f"Label Studio at {self.url} does not tell when project {project_id} was created")
        created = datetime.fromisoformat(found["created_at"]).astimezone(UTC)
        key = f"{project_id}@{created:%Y%m%dT%H%M%S.%fZ}"
        return RemoteProject(project_id, key, found.get("title") or "", found.get("task_number") or 0)

    def tasks(self, project_id: int, *conditions: Condition) -> Iterator[RemoteTask]:
        """Yield the tasks of a project that meet the conditions, ordered by id, with one page in memory at a time."""
        return map(_task, self._listed(project_id, conditions, "id,data,annotators"))

    def stamps(self, project_id: int, *conditions: Condition) -> Iterator[TaskStamp]:
        """Yield the stamps of the tasks that meet the conditions: the same tasks without their data."""
        listed = self._listed(project_id, conditions, "id,updated_at,total_annotations")
        return (
            TaskStamp(item["id"], datetime.fromisoformat(item["updated_at"]), item["total_annotations"] or 0)
            for item in listed
        )

    def overlaps(self, project_id: int) -> Iterator[TaskOverlap]:
        """Yield how many annotations each task of a project has and should get."""
        listed = self._listed(project_id, (), "id,overlap,total_annotations")
        return (TaskOverlap(item["id"], item["total_annotations"] or 0, item["overlap"]) for item in listed)

    def set_overlap(self, task_id: int, overlap: int, *, done: bool) -> None:
        """Set how many annotations a task should get; it is shown to annotators until it is `done`."""
        body = json.dumps({"overlap": overlap, "is_labeled": done}).encode()
        doing = f"changing task {task_id}"
        self._call(doing, lambda: answer(self._sdk, "PATCH", f"api/tasks/{task_id}/", {}, body))

    def delete_task(self, task_id: int) -> None:
        """Delete a task with its annotations."""
        self._call(f"deleting task {task_id}", lambda: self._sdk.tasks.delete(str(task_id)))

    def count_annotations(self, project_id: int, *conditions: Condition) -> int:
        """Count the annotations of the tasks that meet the conditions, except skipped ones."""
        return int(self._task_page(project_id, 1, conditions, "id", size=1)["total_annotations"])

    def _listed(self, project_id: int, conditions: Sequence[Condition], include: str) -> Iterator[Any]:
        seen, page, total = 0, 0, 1
        while seen < total:
            page += 1
            found = self._task_page(project_id, page, conditions, include, size=PAGE)
            items, total = found["tasks"], found["total"]
            if not items and seen < total:
                raise ServiceError(f"project {project_id} at {self.url} changed while it was read: try again")
            seen += len(items)
            yield from items

    def _task_page(self, project_id: int, page: int, conditions: Sequence[Condition], include: str, size: int) -> Any:
        query = json.dumps({"filters": {"conjunction": "and", "items": list(conditions)}}) if conditions else None
        wanted = {"project": project_id, "page": page, "page_size": size, "query": query, "include": include}
        # the server computes annotators and more for `all`, which takes twice the time of a count
        fields = {"fields": "all"} if "annotators" in include else {}
        doing = f"listing the tasks of project {project_id}"
        keys = {"tasks", "total", "total_annotations"}
        return self._get(doing, "api/tasks/", {**wanted, **fields, "resolve_uri": False}, keys)

    def import_tasks(self, project_id: int, tasks: TaskBatch) -> list[int]:
        """Add tasks and return their ids in the same order. Not retried, since Label Studio would add them twice."""
        doing, path = f"importing tasks into project {project_id}", f"api/projects/{project_id}/import"
        reply = self._send(doing, path, tasks.content, {"return_task_ids": True})
        ids: list[int] = (reply.get("task_ids") if isinstance(reply, dict) else None) or []
        if len(ids) != tasks.size:
            raise ServiceError(f"Label Studio at {self.url} took {len(ids)} of {tasks.size} tasks: push again")
        return ids

    def export(self, project_id: int, task_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Export annotated tasks, the given ones or all, with their annotations.

        Only an export has the `unique_id` of an annotation.
        """
        if task_ids is not None and not task_ids:
            return []
        # The SDK sends its parameter `ids` under a name that the server ignores, which would export everything.
        chosen = {"ids[]": [str(task_id) for task_id in task_ids]} if task_ids is not None else {}
        exported = self._call(
            f"exporting project {project_id}",
            lambda: json.loads(
                b"".join(
                    self._sdk.projects.exports.download_sync(
                        project_id, export_type="JSON", request_options={"additional_query_parameters": chosen}
                    )
                )
            ),
        )
        if not isinstance(exported, list):
            raise ServiceError(f"Label Studio at {self.url} exports project {project_id} in an unknown format")
        return exported

    def annotate(
        self, task_id: int, result: Sequence[dict[str, Any]], *, unique_id: str, lead_time_s: float | None = None
    ) -> bool:
        """Post an annotation of the connection's user. Returns False if one with this `unique_id` (a UUID) exists."""
        try:
            self._call(
                f"annotating task {task_id}",
                lambda: self._sdk.annotations.create(
                    task_id, result=result, unique_id=unique_id, lead_time=lead_time_s
                ),
            )
        except ServiceError as error:
            if isinstance(error.__cause__, ApiError) and error.__cause__.status_code == httpx.codes.CONFLICT:
                return False
            raise
        return True

    def webhooks(self, project_id: int) -> list[dict[str, Any]]:
        """Return the webhooks of a project."""
        doing = f"listing the webhooks of project {project_id}"
        found = self._call(doing, lambda: answer(self._sdk, "GET", "api/webhooks/", {"project": project_id}))
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def save_webhook(self, settings: Mapping[str, Any], webhook_id: int | None) -> None:
        """Create a webhook, or change the one with this id."""
        if webhook_id is None:
            self._post("creating a webhook", "api/webhooks/", settings)
            return
        doing, content = f"changing webhook {webhook_id}", json.dumps(settings).encode()
        self._call(doing, lambda: answer(self._sdk, "PATCH", f"api/webhooks/{webhook_id}/", {}, content))

    def _get(self, doing: str, path: str, params: Mapping[str, Any], keys: Collection[str] = ()) -> dict[str, Any]:
        """Return the object of an answer, which must have the keys."""
        found = self._call(doing, lambda: answer(self._sdk, "GET", path, params))
        if not isinstance(found, dict) or not set(keys) <= found.keys():
            raise ServiceError(f"{doing}: Label Studio at {self.url} gave an unreadable answer: check its version")
        return found

    def _post(self, doing: str, path: str, body: object) -> Any:
        """Return the JSON of an answer. Not retried."""
        return self._send(doing, path, json.dumps(body).encode(), {})

    def _send(self, doing: str, path: str, content: bytes, params: Mapping[str, Any]) -> Any:
        return self._call(doing, lambda: answer(self._sdk, "POST", path, params, content), repeat=False)

    def _call(self, doing: str, call: Callable[[], T], *, repeat: bool = True) -> T:
        return repeated(self.url, doing, call, repeat=repeat)


def connect(url: str, token: str) -> Studio:
    """Connect, and check that the server answers, is Label Studio and accepts the token.

    Raises:
        InputError: the URL is malformed, or the token is refused.
        ServiceError: nothing answers, or something else does.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(f"{url} is not the URL of a Label Studio: use one such as http://127.0.0.1:8080")
    token = token.strip()
    if not token:
        raise InputError(f"no token for Label Studio at {url}: copy yours from your account page there")
    if not token.isascii() or any(character.isspace() for character in token):
        raise InputError(f"the token for Label Studio at {url} is malformed: copy it again from your account page")
    studio = Studio(url.rstrip("/"), token)
    studio.whoami()
    return studio


def _task(item: Any) -> RemoteTask:
    data = item.get("data")
    proposition_id = data.get("proposition_id") if isinstance(data, dict) else None
    annotators = frozenset(user for user in item.get("annotators") or [] if isinstance(user, int))
    return RemoteTask(item["id"], proposition_id if isinstance(proposition_id, str) else None, annotators)
