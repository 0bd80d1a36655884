"""Inviting people: the sign-up link of Label Studio, and where to go from there."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from flows.settings.people import CrowdSettings
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.services import reading
from flows.studio.connection import connecting
from flows.studio.projects import projects
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.errors import InputError
from warehouse.queries.people import annotator_named, count_checks, statuses_of
from warehouse.records import ProjectPurpose, StudioProject

COMPLETE = "https://app.prolific.com/submissions/complete?cc="
WARNING = (
    "The link is a secret: whoever has it can join your Label Studio and see every answer and e-mail address there."
)


class Invitation(BaseModel):
    """What to send to a person: a link, the project to judge in, and the steps. `link` is a secret if it signs up.

    `codes` is what to tell people of a crowd platform about the codes to come back with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    link: str
    project: str
    steps: tuple[str, ...]
    secret: bool = True
    codes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return it as lines to print."""
        numbered = [f"{number}. {step}" for number, step in enumerate(self.steps, start=1)]
        return [*([WARNING, ""] if self.secret else []), *numbered, *([""] if self.codes else []), *self.codes]


def annotators_invite(*, study: str | None = None, project: str | None = None, config: Config = None) -> Invitation:
    """Return the invitation to sign up; with `study`, the link to the study's project for a qualified annotator.

    Without `project`, it leads to the project `annotation.project` if people are to judge for the study, else to the
    oldest one of its purpose. Label Studio cannot keep a member out of a project: who is not qualified is only not told
    the link.

    Args:
        study: The annotator to invite on: the pseudonym, the id or a unique beginning of either.
        project: The title of the project of the settings to lead to.
        config: The settings, or the file to read them from.

    Raises:
        InputError: there is no such project yet, it has another purpose, or the annotator is not qualified.
        ServiceError: Label Studio cannot be reached, or gives no invitation.
    """
    settings = load_settings(config)
    wanted = projects(settings, project)
    if study is not None:
        with reading(settings) as warehouse:
            return _to_the_study(warehouse, settings, study, project)
    connected = connecting(settings)
    with reading(settings) as warehouse:
        qualifying = _in_use(warehouse, "qualification") or all(one.purpose == "qualification" for one in wanted)
        first = _needed(warehouse, settings, "qualification" if qualifying else "study", project)
    studio = connected()
    link = f"{studio.url}{studio.invite_path()}"
    steps = (
        f"Open {link} and sign up with an e-mail address and a password of your own.",
        f"Open {_address(first)} (the project {first.title}).",
        "Read the instruction, then press Label All Tasks.",
    )
    return Invitation(link=link, project=first.title, steps=steps, codes=_codes(settings.annotation.crowd))


def _codes(crowd: CrowdSettings) -> tuple[str, ...]:
    """Return what to tell people of a crowd platform. Whoever reads it can use a code at once, so it proves nothing."""
    told = (("Finished", crowd.completion_code), ("Did not qualify", crowd.screen_out_code))
    return tuple(f"{when}: code {code}, at Prolific {COMPLETE}{code}" for when, code in told if code is not None)


def _to_the_study(warehouse: Warehouse, settings: Settings, name: str, title: str | None) -> Invitation:
    annotator = annotator_named(warehouse, name)
    rows = statuses_of(warehouse, annotator.annotator_id)
    status = rows[0].status if rows else "active"
    if status in ("invited", "excluded"):
        hint = "odds annotators review decides" if status == "invited" else "odds annotators exclude --undo takes back"
        raise InputError(f"{annotator.pseudonym} is {status} ({rows[0].reason}), not qualified: {hint}")
    if not rows and count_checks(warehouse, "qualification"):
        raise InputError(f"{annotator.pseudonym} has not qualified yet: odds pull and odds annotators review decide")
    project = _needed(warehouse, settings, "study", title)
    steps = (f"Open {_address(project)} (the project {project.title}).", "Press Label All Tasks.")
    return Invitation(link=_address(project), project=project.title, steps=steps, secret=False)


def _needed(warehouse: Warehouse, settings: Settings, purpose: ProjectPurpose, title: str | None) -> StudioProject:
    """Return the project of a purpose to lead to: the one with the title, the main one, or the first one made."""
    found = _in_use(warehouse, purpose)
    if title is not None:
        if chosen := found.get(title):
            return chosen
        if any(one.title == title for one in projects(settings, purpose=purpose)):
            raise InputError(f'there is no project "{title}" to invite to yet: odds push creates it')
        on = "invite to qualification first, then on with --study ANNOTATOR"
        hint = on if purpose == "qualification" else "leave out --study to invite to it"
        raise InputError(f'"{title}" is no {purpose} project: {hint}')
    if not found:
        raise InputError("there is no project to invite to yet: odds push creates it")
    return found.get(settings.annotation.project) or min(found.values(), key=lambda one: one.created_at)


def _in_use(warehouse: Warehouse, purpose: ProjectPurpose) -> dict[str, StudioProject]:
    """Return the projects of a purpose that are in use, by title."""
    found = read(warehouse, StudioProject, "purpose = ? AND retired_at IS NULL", [purpose])
    return {one.title: one for one in found}


def _address(project: StudioProject) -> str:
    return f"{project.url.rstrip('/')}/projects/{project.number}/data"
