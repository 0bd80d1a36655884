"""Status: what the warehouse holds, and where everything is."""

from __future__ import annotations

from typing import Any

from rich.console import Group

from annotation.studio import server
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.services import reading, report_path, shown_catalog
from flows.terminal.tables import narrow_table, plain_list
from synthesis.panel.settings import EMBEDDED
from warehouse.places import placed
from warehouse.queries.models import model_in_use
from warehouse.queries.stages import counts, newest_dataset

Status = dict[str, Any]


def status(*, config: Config = None) -> Status:
    """Return the rows of each stage, the newest dataset, the estimator in use, its report, and Label Studio's URL."""
    settings = load_settings(config)
    with reading(settings) as warehouse:
        dataset = newest_dataset(warehouse, settings.publish.name)
        model = model_in_use(warehouse, settings.publish.name)
        stages = counts(warehouse).to_pylist()
        snapshot = warehouse.snapshot_id()
    home = settings.home_path
    places = {"dataset": dataset and str(placed(dataset.path, home)), "model": model and str(placed(model.path, home))}
    report = report_path(settings, model.model_id) if model else None
    return {
        "warehouse": {"catalog": shown_catalog(settings), "snapshot": snapshot},
        "stages": stages,
        "dataset": dataset and {"name": dataset.name, "version": dataset.version, "path": places["dataset"]},
        "estimator": model and {"model_id": model.model_id, "path": places["model"], "dev_loss": model.dev_loss},
        "report": str(report) if report and report.exists() else None,
        "label_studio": _studio(settings),
    }


def as_table(found: Status, *, with_empty: bool = True) -> Group:
    """Return the status for a terminal, optionally without empty stages."""
    stages = narrow_table("stage", "rows", "simulated")
    for row in found["stages"]:
        if not row["n"] and not with_empty:
            continue
        stages.add_row(row["stage"], f"{row['n']:,}", f"{row['n_simulated']:,}" if row["n_simulated"] else "")
    places = plain_list()
    places.add_column(no_wrap=True)
    places.add_column(overflow="fold")
    places.add_row("warehouse", f"{found['warehouse']['catalog']}, snapshot {found['warehouse']['snapshot']}")
    dataset, estimator = found["dataset"], found["estimator"]
    places.add_row("dataset", f"{dataset['name']} v{dataset['version']}, {dataset['path']}" if dataset else "none yet")
    places.add_row("estimator", f"{estimator['model_id']}, {estimator['path']}" if estimator else "none yet")
    places.add_row("report", found["report"] or "none yet")
    places.add_row("Label Studio", found["label_studio"]["url"] or "not running; odds studio start")
    return Group(stages, places)


def _studio(settings: Settings) -> Status:
    if settings.annotation.url != EMBEDDED:
        return {"url": settings.annotation.url, "projects": _titles(settings)}
    address = server.running(settings.home_path)
    return {"url": address.url if address else None, "projects": _titles(settings)}


def _titles(settings: Settings) -> list[str]:
    return [one.title for one in settings.annotation.every_project]
