"""Agreement figures for people: tables for a terminal, and a chart of agreement over time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from pathlib import Path

from rich.table import Table

from flows.settings.settings import Settings
from flows.stages.services import reading
from flows.terminal.tables import narrow_table, with_room_for_names
from training.evaluation.pictures import Measurement, write_agreement_over_time
from warehouse.agreement.selection import Selection
from warehouse.agreement.sql import COMPARED
from warehouse.catalog.connect import Warehouse
from warehouse.errors import InputError
from warehouse.queries.stages import agreement_history, current_agreement
from warehouse.records import Agreement

SLICES_SHOWN = 12
SLICE_WIDTH = 17
"""What the other columns leave for the name of a slice in 80 characters."""
INTERVAL = "95% interval"
NO_JUDGMENT = "no judgment counts yet"
NO_TWO = "no proposition has two judgments"
NO_SPREAD = "all judgments that could be compared are the same"
COUNTS = ("judgments_for_", "median_judgments", "leave_one_out_r_negative")

# The order in which to show metrics; others come last.
ORDER = (
    "interval_alpha",
    "ordinal_alpha",
    "nominal_alpha",
    "icc_1",
    "median_judgments",
    "reliability_of_mean",
    "judgments_for_reliability_0.7",
    "judgments_for_reliability_0.8",
    "judgments_for_reliability_0.9",
    "leave_one_out_r_mean",
    "leave_one_out_r_median",
    "leave_one_out_r_negative",
    "within_proposition_sd",
    "share_at_0",
    "share_at_half",
    "share_at_1",
    "share_at_twentieths",
)


def shown_figures(figures: list[Agreement], scope: str) -> list[Agreement]:
    """Return the figures of a scope over all its judgments, in reading order."""
    own = [each for each in figures if (each.scope, each.slice) == (scope, "all")]
    return sorted(own, key=lambda each: ORDER.index(each.metric) if each.metric in ORDER else len(ORDER))


def telling_slices(figures: list[Agreement], scope: str) -> list[Agreement]:
    """Return interval alpha by slice, for kinds of slices with more than one slice."""
    own = [each for each in figures if (each.scope, each.metric) == (scope, "interval_alpha") and each.slice != "all"]
    kinds = [each.slice.partition("=")[0] for each in own]
    return sorted((e for e, kind in zip(own, kinds, strict=True) if kinds.count(kind) > 1), key=lambda e: e.slice)


def figure_tables(settings: Settings, selection: Selection) -> list[Table | str]:
    """Return the latest figures of a selection for a terminal: counts, all figures, interval alpha by slice."""
    with reading(settings) as warehouse:
        figures = current_agreement(warehouse)
    shown, slices = shown_figures(figures, selection.scope), telling_slices(figures, selection.scope)
    caption = _caption(shown, selection)
    main = narrow_table("metric", "value", INTERVAL, texts=[INTERVAL])
    own = {each.metric: each for each in shown}
    for each in shown:
        told = _interval(each) if each.value is not None else why_no_value(each.metric, own)
        main.add_row(each.metric, _value(each, each.value), told)
    if not slices:
        return [caption, main]
    title = "interval alpha by slice"
    if len(slices) > SLICES_SHOWN:
        title += f", {SLICES_SHOWN} of {len(slices)} with the most judgments; the table agreement holds all"
        most = sorted(slices, key=lambda each: -each.n_judgments)[:SLICES_SHOWN]
        slices = sorted(most, key=lambda each: each.slice)
    by_slice = narrow_table("slice", "value", INTERVAL, "judgments", "annotators", "propositions", texts=[INTERVAL])
    for each in slices:
        counts = (each.n_judgments, each.n_annotators, each.n_propositions)
        # a long name breaks between the kind and the value
        name = each.slice.replace("=", "=\n", 1) if len(each.slice) > SLICE_WIDTH else each.slice
        value = "" if each.value is None else f"{each.value:.4f}"
        by_slice.add_row(name, value, _interval(each), *(f"{count:,}" for count in counts))
    return [caption, main, title, with_room_for_names(by_slice)]


def why_no_value(metric: str, own: Mapping[str, Agreement]) -> str:
    """Return why a figure has no value, given the others of its scope and slice, by metric."""
    if not own:
        return NO_JUDGMENT
    # Every proposition with two judgments has a spread, possibly 0.
    spread = own.get("within_proposition_sd")
    if spread is None or spread.value is None:
        return NO_TWO
    alpha = own.get("interval_alpha")
    if alpha is None or alpha.value is None:
        return NO_SPREAD
    if metric.startswith("leave_one_out"):
        return f"no annotator has {COMPARED} judgments with spread on propositions that others judged too"
    if metric.startswith(("judgments_for_", "reliability_")) and alpha.value <= 0:
        return "alpha is not above 0, so no number of judgments is enough"
    return "undefined for these judgments"


def check_picture(path: Path) -> None:
    """Raise `InputError` if a picture cannot be written to this file."""
    if path.suffix.lower() != ".svg":
        raise InputError(f"{path}: pictures are SVG, which every browser shows; name a .svg file")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be written; name a .svg file in an existing folder")


def write_picture(settings: Settings, selection: Selection, path: Path) -> None:
    """Draw interval alpha over time to an SVG file. Raises `InputError` if there is nothing to draw."""
    check_picture(path)
    with reading(settings) as warehouse:
        measured, weeks = over_time(warehouse, selection.scope)
    if not (measured or weeks):
        raise InputError(f"{path}: {selection.scope} have no interval alpha yet; run odds agree with judgments there")
    write_agreement_over_time(measured, weeks, path)


def over_time(warehouse: Warehouse, scope: str) -> tuple[list[Measurement], list[Measurement]]:
    """Return interval alpha as measured over time, and for the judgments of each week."""
    history = [each for each in agreement_history(warehouse, "interval_alpha", scope) if each.value is not None]
    measured = [_measurement(each, each.created_at) for each in history if each.slice == "all"]
    newest = {each.slice: each for each in history if each.slice.startswith("week=")}
    weeks = [_measurement(each, datetime.fromisoformat(f"{name[5:]}T00:00:00Z")) for name, each in newest.items()]
    return measured, sorted(weeks, key=attrgetter("time"))


def _measurement(figure: Agreement, time: datetime) -> Measurement:
    value = figure.value if figure.value is not None else float("nan")
    return Measurement(time, value, figure.low, figure.high, figure.n_judgments, figure.n_simulated)


def _value(figure: Agreement, value: float | None) -> str:
    if value is None:
        return ""
    if figure.metric.startswith(COUNTS):
        return f"{value:.0f}" if value == round(value) else f"{value:.1f}"
    return f"{value:.6f}" if figure.metric == "interval_alpha" else f"{value:.4f}"


def _interval(figure: Agreement) -> str:
    if figure.low is None and figure.high is None:
        return ""
    if figure.metric.startswith(COUNTS):
        return f"{_value(figure, figure.low)} to {_value(figure, figure.high) or 'any number'}"
    return f"{figure.low:.4f} to {figure.high:.4f}" if None not in (figure.low, figure.high) else ""


def _caption(figures: list[Agreement], selection: Selection) -> str:
    """The counts behind the figures."""
    if not figures:
        return f"{selection.scope}: no figures yet"
    base = figures[0]
    simulated = f", {base.n_simulated:,} of them simulated" if base.n_simulated else ""
    return (
        f"{selection.scope}: {base.n_judgments:,} judgments{simulated}, {base.n_annotators:,} annotators, "
        f"{base.n_propositions:,} propositions"
    )
