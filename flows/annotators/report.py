"""The manager's page: progress and quality of each annotator, as one HTML file that loads nothing."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from itertools import groupby
from math import ceil, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from flows.annotators.listing import shown
from flows.research.query import check_apart
from flows.settings.settings import Config, load_settings
from flows.stages.services import reading
from warehouse.atomic import write_atomically
from warehouse.errors import InputError
from warehouse.queries.people import judged_by_day, progress_of_study, quality_of_annotators
from warehouse.records import now

DAYS = 28
"""How many of the last days the bars show."""
COLUMNS = {
    "judged": ("n_judgments", "Judgments that count; of an excluded annotator, those that would."),
    "r": ("pearson_with_rest", "Correlation with the mean of the others, from ten propositions on."),
    "bias": ("mean_difference", "The mean of judgment minus the others' mean."),
    "checks": ("check_rate", "The share of attention and qualification checks passed."),
    "repeats": ("repeat_difference", "The mean difference between first and later judgment of a proposition."),
    "seconds": ("median_lead_time_s", "The median time for a judgment."),
    "too fast": ("share_too_fast", "The share of judgments faster than one can read."),
    "run": ("longest_run", "The most judgments in a row with the same value."),
    "at 50%": ("share_at_half", "The share of judgments at exactly 50%."),
    "at 0 or 100%": ("share_at_ends", "The share of judgments at exactly 0% or 100%."),
}
PERCENT = ("share_at_half", "share_at_ends")


class Whisker(NamedTuple):
    """An annotator's error SD with its 95% interval."""

    name: str
    sd: float
    low: float
    high: float


def annotators_report(output: Path | str, *, config: Config = None) -> Path:
    """Write one HTML page with the progress and quality of each annotator. Returns its path.

    It names people by pseudonym only, has no scripts and loads nothing.

    Raises:
        InputError: the file is not .html, or cannot be written.
    """
    settings, path = load_settings(config), Path(output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path} is a page: give it the extension .html")
    check_apart(settings, path)
    with reading(settings) as warehouse:
        rows = [row for row in quality_of_annotators(warehouse) if row["kind"] in ("human", "simulated")]
        days = judged_by_day(warehouse)
        progress = progress_of_study(warehouse)
    write_atomically(path, render(rows, days, progress))
    return path


def render(rows: list[dict[str, Any]], days: list[dict[str, Any]], progress: dict[str, int]) -> str:
    """Return the page for rows of `quality_of_annotators`, judgments by annotator and day, and counts."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("flows.annotators", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    last = max((row["day"] for row in days), default=now().date())
    whiskers = whiskers_of(rows)
    return environment.get_template("report.html").render(
        rows=rows,
        columns=COLUMNS,
        cell=_cell,
        bars=bars_of(days, last),
        last=last,
        n_days=DAYS,
        statuses=Counter(row["status"] for row in rows),
        progress=progress,
        whiskers=whiskers,
        axis=axis_of(whiskers),
        simulated=any(row["kind"] == "simulated" for row in rows),
        written=now().strftime("%Y-%m-%d %H:%M"),
    )


def whiskers_of(rows: list[dict[str, Any]]) -> list[Whisker]:
    """Return the error SDs, the most precise first. The interval of the SD follows from that of the precision."""
    known = [row for row in rows if row["precision"]]
    found = [
        Whisker(row["pseudonym"], row["error_sd"], 1 / sqrt(row["precision_high"]), 1 / sqrt(row["precision_low"]))
        for row in known
    ]
    return sorted(found, key=lambda one: one.sd)


def axis_of(whiskers: list[Whisker]) -> list[float]:
    """Return ticks in tenths from 0 to beyond the largest interval."""
    return [tick / 10 for tick in range(ceil(max((one.high for one in whiskers), default=0.1) * 10) + 1)]


def bars_of(days: list[dict[str, Any]], last: date) -> dict[str, list[int]]:
    """Return the judgments of each annotator on each of the last DAYS days, the oldest first."""
    first = last - timedelta(days=DAYS - 1)
    found: dict[str, list[int]] = {}
    for name, own in groupby(days, key=lambda row: row["annotator_id"]):
        counted = {(row["day"] - first).days: row["n"] for row in own}
        found[name] = [counted.get(place, 0) for place in range(DAYS)]
    return found


def _cell(name: str, value: Any) -> str:
    if value is not None and name in PERCENT:
        return f"{value:.0%}"
    return f"{value:.0f}" if value is not None and name == "median_lead_time_s" else shown(name, value)
