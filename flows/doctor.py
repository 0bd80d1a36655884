"""Doctor: what is missing on this machine, and how to fix it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.table import Table
from rich.text import Text

from annotation.studio import server
from flows.rooms import HERE, ROOMS, hidden_room
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.services import estimator_base, has_warehouse, reading, shown_catalog
from flows.terminal.tables import plain_list
from synthesis.llm.embedded import weights_path
from synthesis.panel.settings import EMBEDDED, Endpoint, ModelConfig
from warehouse.errors import OddsError

GIB = 2**30
DISK_NEEDED_GIB = 2


class Finding(BaseModel):
    """One thing that was checked. `needed` tells whether the main job needs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    fine: bool
    detail: str
    needed: bool = True


def doctor(*, config: Config = None) -> list[Finding]:
    """Check everything that the main job needs. Starts nothing and changes nothing."""
    settings = load_settings(config)
    findings = [
        Finding(what="Python 3.11 or later", fine=sys.version_info >= (3, 11), detail=sys.version.split()[0]),
        _checked("packages", _packages),
        _checked("packages of Odds", _rooms),
        _disk(settings.home_path),
        _checked("warehouse", lambda: _warehouse(settings), needed=has_warehouse(settings)),
    ]
    findings += [_endpoint(endpoint) for endpoint in settings.endpoints]
    asked = (*settings.llms, settings.proposer, settings.judge)
    findings += filter(lambda each: not each.fine, (_asked(settings, config) for config in asked))
    findings.append(_checked("base of the estimator", lambda: estimator_base(settings)))
    findings.append(_studio(settings))
    findings += _duplicates(settings)
    findings.append(_prefect())
    return findings


def as_table(findings: list[Finding]) -> Table:
    """Return a table of the findings for a terminal."""
    table = plain_list()
    for finding in findings:
        missing = Text("missing", "red") if finding.needed else Text("not yet", "yellow")
        mark = Text("ok", "green") if finding.fine else missing
        table.add_row(mark, finding.what, finding.detail)
    return table


def _checked(what: str, examine_one: Callable[[], str], *, needed: bool = True) -> Finding:
    try:
        return Finding(what=what, fine=True, detail=examine_one(), needed=needed)
    except OddsError as error:
        detail = str(error).removesuffix(" (see `odds doctor`)")  # this is what it shows
        return Finding(what=what, fine=False, detail=detail, needed=needed)


def _packages() -> str:
    names = ("odds", "duckdb", "prefect", "torch", "transformers", "label-studio-sdk")
    try:
        return ", ".join(f"{name} {version(name)}" for name in names)
    except PackageNotFoundError as error:
        raise OddsError(f"{error.name} is not installed: make setup") from error


def _rooms() -> str:
    if (hidden := hidden_room()) is not None:
        raise OddsError(hidden)
    return f"{', '.join(ROOMS)} in {HERE}"


def _disk(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / GIB
    writable = os.access(existing, os.W_OK)
    detail = f"{free:.1f} GiB free at {existing}" + ("" if writable else ", but the folder is not writable")
    return Finding(what="disk", fine=writable and free >= DISK_NEEDED_GIB, detail=detail)


def _warehouse(settings: Settings) -> str:
    with reading(settings) as warehouse:
        return f"{shown_catalog(settings)}, snapshot {warehouse.snapshot_id()}"


def _endpoint(endpoint: Endpoint) -> Finding:
    what = f"endpoint {endpoint.name}"
    if endpoint.base_url == EMBEDDED:
        return _checked(what, lambda: f"embedded model, weights at {weights_path()}")
    if endpoint.api_key_env and not os.environ.get(endpoint.api_key_env):
        return Finding(what=what, fine=False, detail=f"environment variable {endpoint.api_key_env} is empty")
    return Finding(what=what, fine=True, detail=f"{endpoint.base_url} (checked when it is used)")


def _asked(settings: Settings, config: ModelConfig) -> Finding:
    return _checked(config.name, lambda: settings.endpoint_of(config).name, needed=False)


def _studio(settings: Settings) -> Finding:
    annotation = settings.annotation
    if annotation.url == EMBEDDED:
        named = annotation.command and settings.path(annotation.command)
        return _checked("Label Studio", lambda: f"embedded, {server.find_command(named)}")
    present = bool(os.environ.get(annotation.token_env))
    detail = annotation.url if present else f"environment variable {annotation.token_env} is empty"
    return Finding(what="Label Studio", fine=present, detail=detail)


def _duplicates(settings: Settings) -> list[Finding]:
    """Report duplicate tasks in the project, if Label Studio answers."""
    from flows.studio.duplicates import find_duplicates

    try:
        found = find_duplicates(settings)
    except OddsError:
        return []  # the findings on the warehouse and on Label Studio say what is wrong
    if found is None or not found.unjudged:
        return []
    detail = f"{len(found.unjudged):,} duplicate tasks that nobody has judged: odds studio merge deletes them"
    return [Finding(what="tasks", fine=False, detail=detail, needed=False)]


def _prefect() -> Finding:
    address = os.environ.get("PREFECT_API_URL")
    detail = f"server at {address}" if address else "not used (PREFECT_API_URL is not set)"
    return Finding(what="Prefect", fine=True, detail=detail)
