"""The report: one HTML file that opens with what was found, and shows what that rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.evaluation import metrics
from training.evaluation.families import p_values
from training.evaluation.finding import finding
from training.evaluation.report_data import ReportData
from training.evaluation.report_pictures import pictures_of, singles
from training.evaluation.report_suites import shown_suites
from training.evaluation.report_tables import (
    BASELINES,
    PARTS,
    TABLE,
    agreement_rows,
    distribution_columns,
    interval_rows,
    parts,
    slice_rows,
    table,
)
from training.evaluation.report_words import answers_heading, distributions_note, intervals_note, opening, unmapped
from warehouse.atomic import write_atomically

_WORST = 20


def write_report(data: ReportData, path: Path) -> None:
    """Write the report to `path` atomically: one HTML file without scripts that loads nothing."""
    write_atomically(path, render(data))


def render(data: ReportData) -> str:
    """Return the report as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("training.evaluation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    whole = [each for each in data.evaluations if each.slice is None]
    fits = distribution_columns(whole)
    return environment.get_template("report.html").render(
        data=data,
        opening=opening(data),
        finding=finding(whole, data.differences),
        columns=list(TABLE.values()),
        rows=table(whole, p_values=p_values(data.differences, "pearson")),
        fit_columns=list(fits.values()),
        fits=table(whole, fits),
        fits_note=distributions_note(fits, data.calibration),
        intervals=interval_rows(whole),
        intervals_note="" if data.calibration is None else intervals_note(data.calibration),
        unmapped=unmapped(data.calibration),
        parts=parts(whole),
        part_names=list(PARTS.values()),
        suites=shown_suites(data.suites),
        slices=slice_rows(data.evaluations, data.slices),
        baselines=list(BASELINES.values()),
        agreement=agreement_rows(data.agreement),
        labelers=[(each, metrics.coarseness(np.array(each.probabilities))) for each in data.labelers],
        answers_heading=answers_heading(data),
        drawn=pictures_of(data),
        singles=singles(data.test),
        worst=sorted(data.test, key=lambda each: -abs(each.score - each.mean))[:_WORST],
        simulated=data.n_simulated > 0 or data.n_simulated_annotators > 0,
    )
