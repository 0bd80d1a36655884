"""The annotators as a table: pseudonym, status and quality; e-mail addresses only live from Label Studio."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from annotation.studio.client import Studio
from annotation.sync.mapping import annotator_id_of
from flows.settings.settings import Config, load_settings
from flows.stages.services import reading
from flows.studio.connection import connecting
from flows.studio.projects import projects
from flows.terminal.tables import narrow_table, with_room_for_names
from warehouse.queries.people import judged_in, quality_of_annotators

SHOWN = {
    "annotator": "pseudonym",
    "status": "status",
    "judged": "n_judgments",
    "r with rest": "pearson_with_rest",
    "bias": "mean_difference",
    "error SD": "error_sd",
    "checks passed": "check_rate",
    "repeats differ": "repeat_difference",
    "too fast": "share_too_fast",
    "longest run": "longest_run",
}
BESIDE_EMAILS = ("annotator", "status", "judged", "checks passed")
LEN_OF_PSEUDONYM = len("A-1f3c09ab")
SHARES = ("check_rate", "share_too_fast")


def annotators_list(*, emails: bool = False, project: str | None = None, config: Config = None) -> list[dict[str, Any]]:
    """Return each annotator with status, reason and the figures of `annotator_quality`, by pseudonym.

    Args:
        emails: Add `email`, looked up in Label Studio now and stored nowhere; None if the account is gone.
        project: The title of a project of the settings: only those who judged there, with `n_in_project`, the number of
            their judgments there. The other figures are over all projects.
        config: The settings, or the file to read them from.

    Raises:
        InputError: no project has this title.
        ServiceError: `emails`, and Label Studio cannot be reached.
    """
    settings = load_settings(config)
    if project is not None:
        projects(settings, project)
    addresses = emails_of(connecting(settings)()) if emails else {}
    with reading(settings) as warehouse:
        rows = quality_of_annotators(warehouse)
        if project is not None:
            here = judged_in(warehouse, project)
            rows = [row | {"n_in_project": here[name]} for row in rows if (name := row["annotator_id"]) in here]
    return [row | {"email": addresses.get(row["annotator_id"])} for row in rows] if emails else rows


def emails_of(studio: Studio) -> dict[str, str]:
    """Return the e-mail address of each member of Label Studio by annotator id."""
    found = (user.email.strip().lower() for user in studio.users().values())
    return {annotator_id_of(address): address for address in found}


def as_table(rows: list[dict[str, Any]]) -> Table:
    """Return the annotators for a terminal of 80 columns. Beside e-mail addresses there is room for fewer figures."""
    emails = bool(rows) and "email" in rows[0]
    columns = {heading: name for heading, name in SHOWN.items() if not emails or heading in BESIDE_EMAILS}
    if rows and "n_in_project" in rows[0]:
        columns["judged"] = "n_in_project"
    table = narrow_table(*columns, *(["e-mail"] if emails else []), texts=("status", "e-mail"), tight=True)
    table.columns[0].min_width = LEN_OF_PSEUDONYM
    for row in rows:
        marked = row["pseudonym"] + (" (simulated)" if row["kind"] == "simulated" else "")
        cells = [marked, *(shown(name, row[name]) for name in list(columns.values())[1:])]
        table.add_row(*cells, *([row["email"] or "account removed"] if emails else []))
    return with_room_for_names(table)


def shown(name: str, value: Any) -> str:
    """Return a figure as text; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0%}" if name in SHARES else f"{value:z.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
