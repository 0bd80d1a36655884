"""The Label Studio projects of the settings: found, created, gone through one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from annotation.interface.page import Page, page_of, read_mark
from annotation.studio.client import Studio
from annotation.studio.remote import RemoteProject
from annotation.sync.push import make_project, project_called, update_settings
from flows.settings.sections import Project
from flows.settings.settings import Settings
from flows.stages.outcome import Outcome
from flows.studio.mixing import mixes, overlap_of
from flows.terminal.console import note
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge
from warehouse.errors import InputError, OddsError, together
from warehouse.queries.routes import Place
from warehouse.queries.stages import studio_project
from warehouse.records import ProjectPurpose, StudioProject


def projects(settings: Settings, title: str | None = None, purpose: ProjectPurpose | None = None) -> list[Project]:
    """Return the projects of the settings, or only the one with a title, or those of a purpose.

    Raises:
        InputError: no project has this title.
    """
    every = settings.annotation.every_project
    if title is not None and title not in (titles := [one.title for one in every]):
        raise InputError(f'no project of the settings is called "{title}": name one of {", ".join(titles)}')
    return [one for one in every if title in (None, one.title) and purpose in (None, one.purpose)]


def in_each(wanted: Sequence[Project], run: Callable[[Project], Outcome]) -> Outcome:
    """Run a stage for each project and return what came of all. A failure in one doesn't stop the others.

    Raises:
        OddsError: of the project that failed, or one with a line for each, after all have run.
    """
    done: list[tuple[Project, Outcome]] = []
    errors: list[OddsError] = []
    for one in wanted:
        try:
            done.append((one, run(one)))
        except OddsError as error:
            errors.append(error)
    if not errors:
        whole, *later = (_titled(one, outcome) if len(wanted) > 1 else outcome for one, outcome in done)
        for outcome in later:
            whole = whole.and_then(outcome)
        return whole
    for one, outcome in done:
        note(_titled(one, outcome.model_copy(update={"note": outcome.note or "done"})).line())
    raise together(errors)


def _titled(project: Project, outcome: Outcome) -> Outcome:
    said = f'"{project.title}": {outcome.note}' if outcome.note else ""
    return outcome.model_copy(update={"note": said})


def project_of(warehouse: Warehouse, client: Studio, project: Project) -> RemoteProject:
    """Return a project of the settings in Label Studio, where it must exist.

    Raises:
        InputError: there is no project yet, or the one that the warehouse knows has vanished.
    """
    found = _found(client, project.title, warehouse)
    if found is None:
        raise InputError(f'there is no project "{project.title}" at {client.url}: odds push creates it')
    return found


class Ready(NamedTuple):
    """A project to push to: the mark of its page, and whether its tasks are raised one by one to their judgments."""

    project: RemoteProject
    shown: str | None
    one_by_one: bool


def project_for_push(
    warehouse: Warehouse,
    client: Studio,
    settings: Settings,
    project: Project,
    *,
    new: bool = False,
    new_version: bool = False,
) -> Ready:
    """Return a project of the settings in Label Studio, which is created or updated if needed.

    With `new`, a project that has vanished is retired and another one is created. With `new_version`, a page that has
    annotations gives way to a newer one.
    """
    if new:
        known = studio_project(warehouse, project.title)
        if known is None or _found_again(client, known) is not None:
            raise InputError("odds push --new-project is for a project that has vanished, and this one has not")
        merge(warehouse, [known.model_copy(update={"retired_at": datetime.now(UTC)})])
    found = _found(client, project.title, warehouse)
    place = place_of(warehouse, settings, project, found.key if found else "")
    judgments, page = project.judgments_per_proposition, page_for(project)
    overlap = overlap_of(client, found, judgments, mixed=mixes(warehouse, place, settings.annotation))
    if found is None:
        return Ready(make_project(client, project.title, overlap=overlap, page=page), page.mark, overlap < judgments)
    shown = update_settings(client, found.id, overlap=overlap, page=page, new_version=new_version)
    return Ready(found, shown, overlap < judgments)


def page_for(project: Project) -> Page:
    """Return the page that a project's annotators should see."""
    return page_of(project.interface, feedback=project.feedback)


def place_of(warehouse: Warehouse, settings: Settings, project: Project, key: str) -> Place:
    """Return the place of a project among those of the settings: which propositions go there."""
    same = projects(settings, purpose=project.purpose)
    earlier = [one.route for one in same[: same.index(project)]]
    known = [studio_project(warehouse, one.title) for one in same if one != project]
    others = [one.project for one in known if one is not None]
    return Place(key, project.purpose, project.route, earlier, others)


def remember(
    warehouse: Warehouse, found: RemoteProject, url: str, project: Project, shown: str | None = None
) -> StudioProject:
    """Record in the warehouse which project a title in the settings means, and the mark of its page, if given."""
    known = studio_project(warehouse, project.title)
    page = read_mark(shown) or (known and (known.interface, known.interface_version)) or (None, None)
    row = StudioProject(
        project=found.key,
        number=found.id,
        url=url,
        title=project.title,
        purpose=project.purpose,
        interface=page[0],
        interface_version=page[1],
        read_at=known.read_at if known else None,
        clock_ahead_s=known.clock_ahead_s if known else None,
    )
    if known is None or known.model_copy(update={"created_at": row.created_at}) != row:
        merge(warehouse, [row])
    return row


def _found(client: Studio, title: str, warehouse: Warehouse) -> RemoteProject | None:
    """Return the project that the warehouse knows, whatever its title is now, else the one with this title."""
    known = studio_project(warehouse, title)
    if known is None:
        return project_called(client, title)
    found = _found_again(client, known)
    if found is None:
        raise InputError(
            f'project {known.number} ("{known.title}") has vanished from {client.url}, last seen at {known.url}: '
            "restore it, correct annotation.url, or create another with odds push --new-project; its judgments are kept"
        )
    return found


def _found_again(client: Studio, known: StudioProject) -> RemoteProject | None:
    found = client.project(known.number)
    return found if found is not None and found.key == known.project else None
