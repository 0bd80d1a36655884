"""The client of Label Studio: the only module that uses its SDK, translates its errors and repeats its calls.

The SDK's own repetition is switched off: it also repeats calls that are not idempotent, such as an import of tasks.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.parse_error import ParsingError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from annotation.studio.listing import Condition
from warehouse.errors import InputError, OddsError, ServiceError

ATTEMPTS = 5
TIMEOUT_S = 120.0
PAGE = 1000
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_FAILURES = (ApiError, ParsingError, httpx.HTTPError, ValueError)

T = TypeVar("T")


class StudioTask(NamedTuple):
    """A task as it is listed; `proposition_id` is None where somebody else made it. Annotators are user ids."""

    id: int
    proposition_id: str | None
    annotators: frozenset[int]


class StudioUser(NamedTuple):
    """A member of the organisation."""

    id: int
    email: str
    name: str


class TaskStamp(NamedTuple):
    """A task without its data: when it was last changed, and how many annotations it has, skipped ones not counted."""

    id: int
    changed_at: datetime
    annotations: int


class StudioProject(NamedTuple):
    """A project. `key` names it at whichever address the server stands: its id and when it was made."""

    id: int
    key: str
    title: str
    counts: StudioCounts


class StudioCounts(NamedTuple):
    """How many tasks a project has, how many of them were annotated, and all annotations, skipped ones included."""

    tasks: int
    annotated: int
    annotations: int


class Studio:
    """A connection with the rights of one user. Every method raises `InputError` or `ServiceError`, in one line."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token
        # Through a proxy a server on this machine would not be found.
        client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, trust_env=not is_loopback(url))
        arguments = {"base_url": url, "api_key": token, "timeout": TIMEOUT_S, "max_retries": 0, "httpx_client": client}
        self._sdk: LabelStudio = translated(url, "signing in", lambda: LabelStudio(**arguments))  # type: ignore[no-untyped-call]

    def derived_secret(self, purpose: str) -> str:
        """A secret that only the holder of this connection's token can make again; it does not tell the token."""
        return hmac.new(self._token.encode(), purpose.encode(), "sha256").hexdigest()

    def whoami(self) -> StudioUser:
        """The user whose token this is."""
        try:
            user = self._call("signing in", self._sdk.users.whoami)
            if isinstance(user.id, int) and isinstance(user.email, str):
                return StudioUser(user.id, user.email, "")
        except (AttributeError, TypeError):
            pass  # The SDK builds its objects from whatever it gets: another server's JSON breaks it like this.
        raise ServiceError(f"what answers at {self.url} is not Label Studio: check the URL")

    def users(self) -> dict[int, StudioUser]:
        """The members of the organisation by their ids."""
        listed = self._call("listing the users", lambda: list(self._sdk.users.list()))
        return {
            user.id: StudioUser(user.id, user.email or "", f"{user.first_name or ''} {user.last_name or ''}".strip())
            for user in listed
        }

    def invite_path(self) -> str:
        """The path of the sign-up form, with the organisation's invitation in it: a secret of the organisation."""
        link = self._call("reading the invite link", self._sdk.organizations.invites.get_invite_link)
        if not link.invite_url:
            raise ServiceError(f"Label Studio at {self.url} gives no invite link: add annotators there by hand")
        parts = urlsplit(link.invite_url)
        return f"{parts.path}?{parts.query}"

    def projects_called(self, title: str) -> list[int]:
        """The ids of the projects with exactly this title."""
        listed: list[Any] = self._call("listing the projects", self._projects)
        return [project.id for project in listed if project.title == title]

    def _projects(self) -> list[Any]:
        """All projects. The SDK asks for one page more than there are."""
        page: Any = self._sdk.projects.list(page_size=PAGE)
        listed = list(page.items)
        while len(page.items) == PAGE and (page := page.next_page()) and page.items:
            listed += page.items
        return listed

    def create_project(self, settings: Mapping[str, Any]) -> int:
        """Make a project and give its id. Not repeated on failure: it could make two."""
        made = self._call("creating the project", lambda: self._sdk.projects.create(**settings), repeat=False)
        if made.id is None:
            raise ServiceError(f"Label Studio at {self.url} made a project without an id")
        return made.id

    def project_settings(self, project_id: int, names: Sequence[str]) -> dict[str, Any]:
        """The named settings of a project."""
        project = self._call(f"reading project {project_id}", lambda: self._sdk.projects.get(project_id))
        return {name: getattr(project, name) for name in names}

    def update_project(self, project_id: int, settings: Mapping[str, Any]) -> None:
        """Change the given settings of a project."""
        self._call(f"changing project {project_id}", lambda: self._sdk.projects.update(project_id, **settings))

    def project(self, project_id: int) -> StudioProject | None:
        """What there is to know about a project, or None where there is none with this id."""
        try:
            found = self._call(f"reading project {project_id}", lambda: self._sdk.projects.get(project_id))
        except InputError as error:
            if isinstance(error.__cause__, ApiError) and error.__cause__.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        if found.created_at is None:
            raise ServiceError(f"Label Studio at {self.url} does not say when project {project_id} was made")
        key = f"{project_id}@{found.created_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
        annotations = (found.total_annotations_number or 0) + int(found.skipped_annotations_number or 0)
        counts = StudioCounts(found.task_number or 0, found.num_tasks_with_annotations or 0, annotations)
        return StudioProject(project_id, key, found.title or "", counts)

    def project_key(self, project_id: int) -> str:
        """A name of the project that holds at whichever address the server stands: its id and when it was made."""
        return self._standing(project_id).key

    def counts(self, project_id: int) -> StudioCounts:
        """What a project holds."""
        return self._standing(project_id).counts

    def _standing(self, project_id: int) -> StudioProject:
        found = self.project(project_id)
        if found is None:
            raise InputError(f"there is no project {project_id} at {self.url}: check the project and the URL")
        return found

    def tasks(self, project_id: int, *conditions: Condition) -> Iterator[StudioTask]:
        """The tasks of a project for which the conditions hold, by their ids in order; a page in memory at a time."""
        return map(_task, self._listed(project_id, conditions, "id,data,annotators"))

    def stamps(self, project_id: int, *conditions: Condition) -> Iterator[TaskStamp]:
        """The same tasks without their data."""
        listed = self._listed(project_id, conditions, "id,updated_at,total_annotations")
        return (TaskStamp(item.id, item.updated_at, item.total_annotations or 0) for item in listed)

    def delete_task(self, task_id: int) -> None:
        """Delete a task with all that was annotated on it."""
        self._call(f"deleting task {task_id}", lambda: self._sdk.tasks.delete(str(task_id)))

    def count_annotations(self, project_id: int, *conditions: Condition) -> int:
        """How many annotations the tasks have for which the conditions hold; skipped ones are not counted."""
        return int(self._task_page(project_id, 1, conditions, "id", size=1).total_annotations)

    def _listed(self, project_id: int, conditions: Sequence[Condition], include: str) -> Iterator[Any]:
        seen, page, total = 0, 0, 1
        while seen < total:
            page += 1
            answer = self._task_page(project_id, page, conditions, include, size=PAGE)
            items, total = answer.tasks or [], answer.total
            if not items and seen < total:
                raise ServiceError(f"project {project_id} at {self.url} changed while it was read: do it again")
            seen += len(items)
            yield from items

    def _task_page(self, project_id: int, page: int, conditions: Sequence[Condition], include: str, size: int) -> Any:
        query = json.dumps({"filters": {"conjunction": "and", "items": list(conditions)}}) if conditions else None
        found: Any = self._call(
            f"listing the tasks of project {project_id}",
            lambda: self._sdk.tasks.list(
                project=project_id, page=page, page_size=size, query=query, include=include, resolve_uri=False
            ),
        )
        return found.response

    def import_tasks(self, project_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add tasks and give their ids in the same order. Not repeated on failure: Label Studio takes a task twice."""
        reply = self._call(
            f"importing tasks into project {project_id}",
            lambda: self._sdk.projects.import_tasks(project_id, request=list(tasks), return_task_ids=True),  # type: ignore[arg-type]
            repeat=False,
        )
        ids: list[int] = getattr(reply, "task_ids", None) or []
        if len(ids) != len(tasks):
            raise ServiceError(f"Label Studio at {self.url} took {len(ids)} of {len(tasks)} tasks: push again")
        return ids

    def export(self, project_id: int, task_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """The annotated tasks with all their annotations, as Label Studio exports them; of the given tasks or of all.

        Only here an annotation carries its `unique_id`.
        """
        if task_ids is not None and not task_ids:
            return []
        # The SDK's parameter `ids` is sent under a name that the server does not read: it would export everything.
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
            raise ServiceError(f"Label Studio at {self.url} exports project {project_id} in an unknown form")
        return exported

    def annotate(
        self, task_id: int, result: Sequence[dict[str, Any]], *, unique_id: str, lead_time_s: float | None = None
    ) -> bool:
        """Post an annotation of the connection's user. False where one with this `unique_id` (a UUID) is there."""
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

    def _call(self, doing: str, call: Callable[[], T], *, repeat: bool = True) -> T:
        attempts = Retrying(
            stop=stop_after_attempt(ATTEMPTS if repeat else 1),
            wait=wait_exponential_jitter(multiplier=0.25, max=4, jitter=0.25),
            retry=retry_if_exception(_is_transient),
            reraise=True,
        )
        return translated(self.url, doing, lambda: attempts(call))


def connect(url: str, token: str) -> Studio:
    """A connection that was tried: the server answers, is Label Studio and takes the token.

    Raises `InputError` for a malformed URL or a refused token, `ServiceError` where nothing or something else answers.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(f"{url} is no URL of a Label Studio: give one such as http://127.0.0.1:8080")
    token = token.strip()
    if not token:
        raise InputError(f"no token for Label Studio at {url}: set the one of your account page there")
    if not token.isascii() or any(character.isspace() for character in token):
        raise InputError(f"the token for Label Studio at {url} is no token: copy it anew from your account page there")
    studio = Studio(url.rstrip("/"), token)
    studio.whoami()
    return studio


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _task(item: Any) -> StudioTask:
    proposition_id = (item.data or {}).get("proposition_id") if isinstance(item.data, dict) else None
    annotators = frozenset(user for user in item.annotators or [] if isinstance(user, int))
    return StudioTask(item.id, proposition_id if isinstance(proposition_id, str) else None, annotators)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError) or (isinstance(error, ApiError) and error.status_code in _TRANSIENT)


def translated(url: str, doing: str, call: Callable[[], T]) -> T:
    """What the call gives; a failure of the SDK or of HTTP becomes an `InputError` or `ServiceError` in one line."""
    try:
        return call()
    except _FAILURES as error:
        raise _translation(url, doing, error) from error


def _translation(url: str, doing: str, error: Exception) -> OddsError:
    where = f"{doing}: Label Studio at {url}"
    if isinstance(error, httpx.TimeoutException):
        return ServiceError(f"{where} did not answer in time: try again, or look at its log")
    if isinstance(error, httpx.TransportError):
        return ServiceError(f"{where} does not answer: start it, or correct the URL")
    if not isinstance(error, ApiError) or error.status_code is None:
        return ServiceError(f"{where} gave an unreadable answer: check that the URL is a Label Studio's")
    if error.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return InputError(f"{where} refused the token: set a valid one of your account page there")
    if error.status_code == httpx.codes.NOT_FOUND:
        return InputError(f"{where} has no such thing (404): check the project and the URL")
    return ServiceError(f"{where} answered {error.status_code}: {_detail(error.body)}")


def _detail(body: object) -> str:
    """What the server says, in one line of at most 200 characters."""
    said = body.get("detail", body) if isinstance(body, dict) else body
    return " ".join(str(said).split())[:200]
