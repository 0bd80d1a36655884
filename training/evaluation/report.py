"""The report: one HTML file that shows what was made, how well people agree, and how good the estimator is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.evaluation import metrics, pictures
from training.evaluation.finding import finding
from training.evaluation.report_data import CurvePoint, ReportData, ScoredProposition
from training.levels import Floats
from warehouse.atomic import write_atomically
from warehouse.records import Evaluation

_BEST_AND_WORST = 10
_PER_BIN = 10  # test propositions per bin of the reliability diagram, or it shows noise
_NONE, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_TABLE = {
    "pearson": ("Pearson r", "higher is better"),
    "spearman": ("Spearman rho", "higher is better"),
    "mse": ("MSE", "lower is better"),
    "mae": ("MAE", "lower is better"),
    "crps_judgments": ("CRPS, each judgment", "lower is better"),
    "crps": ("CRPS, mean", "lower is better"),
    "calibration_error": ("Calibration error", "lower is better"),
}
_PARTS = {"miscalibration": "Miscalibration", "discrimination": "Discrimination", "uncertainty": "Uncertainty"}
_SUBJECTS = {
    "estimator": "Estimator",
    "panel-mean": "Mean of the labelers",
    "one-annotator": "One annotator against the others",
    "constant": "Constant: the training mean",
}
_AGREEMENT = {
    "interval_alpha": "Interval alpha",
    "ordinal_alpha": "Ordinal alpha",
    "nominal_alpha": "Nominal alpha",
    "icc_1": "ICC(1)",
    "reliability_of_mean": "Reliability of the mean",
    "leave_one_out_r_mean": "Leave-one-out r, mean",
    "judgments_for_reliability_0.7": "Judgments needed for reliability 0.7",
    "judgments_for_reliability_0.8": "Judgments needed for reliability 0.8",
    "judgments_for_reliability_0.9": "Judgments needed for reliability 0.9",
    "leave_one_out_r_median": "Leave-one-out r, median",
    "leave_one_out_r_negative": "Annotators with a negative leave-one-out r",
    "median_judgments": "Judgments, median",
    "share_at_0": "Share at 0%",
    "share_at_half": "Share at 50%",
    "share_at_1": "Share at 100%",
    "share_at_twentieths": "Share at multiples of 5%",
    "within_proposition_sd": "SD within a proposition",
    "pearson_with_mean_judgment": "Pearson r with the mean judgment",
}


class Cell(NamedTuple):
    """A figure with its interval as text, and whether it is the best in its column."""

    value: str
    interval: str
    best: bool


class Row(NamedTuple):
    """One subject's row of the evaluation table."""

    subject: str
    n: int
    cells: list[Cell]


class Picture(NamedTuple):
    """A picture: its SVG, a description for people who cannot see it, and a caption."""

    svg: str
    alt: str
    caption: str


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
    ranked = sorted(data.test, key=lambda each: abs(each.score - each.mean))
    return environment.get_template("report.html").render(
        data=data,
        finding=finding(whole),
        columns=list(_TABLE.values()),
        rows=table(whole),
        parts=parts(whole),
        part_names=list(_PARTS.values()),
        agreement=[
            (each, _figure_name(each.metric), _number(each.value), _interval(each.low, each.high))
            for each in data.agreement
        ],
        labelers=[(each, metrics.coarseness(np.array(each.probabilities))) for each in data.labelers],
        drawn=pictures_of(data),
        best=ranked[:_BEST_AND_WORST],
        worst=ranked[_BEST_AND_WORST:][::-1][:_BEST_AND_WORST],
        simulated=data.n_simulated > 0 or data.n_simulated_annotators > 0,
    )


def table(evaluations: Sequence[Evaluation]) -> list[Row]:
    """Return the evaluation table: one row per subject, the estimator first, and one cell per metric."""
    found = {(each.subject, each.metric): each for each in evaluations}
    subjects = list(dict.fromkeys(each.subject for each in evaluations))
    best = {metric: _best(metric, evaluations) for metric in _TABLE}
    return [
        Row(
            _subject(subject),
            max(each.n for each in evaluations if each.subject == subject),
            [_cell(found.get((subject, metric)), best[metric]) for metric in _TABLE],
        )
        for subject in sorted(subjects, key=lambda each: each != "estimator")
    ]


def _subject(name: str) -> str:
    return _SUBJECTS.get(name, name.replace("labeler:", "Labeler ").replace("-annotators", " annotators"))


def parts(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[str]]]:
    """Return the decomposition of the MSE, one row per subject that has it."""
    found = {(each.subject, each.metric): each.value for each in evaluations}
    subjects = dict.fromkeys(each.subject for each in evaluations if each.metric in _PARTS)
    return [(_subject(each), [_number(found.get((each, m))) for m in _PARTS]) for each in subjects]


def pictures_of(data: ReportData) -> dict[str, Picture]:
    """Return the pictures that have data, by name."""
    found: dict[str, Picture] = {}
    whole = [each for each in data.evaluations if each.slice is None]
    if standing := _standings(whole):
        found["standings"] = standing
    spread = [(each.mean, each.sd) for each in data.consensus if each.sd is not None]
    if spread:
        means, deviations = np.array(spread).T
        found["spread"] = _spread(means, deviations)
    if len(data.measured) > 1 or len(data.weeks) > 1:
        found["time"] = _over_time(data)
    if data.labelers or data.judgments:
        found["answers"] = _answers(data)
    if data.curve:
        found["curve"] = _curve(data.curve)
    if data.test:
        found |= _test_pictures(data.test, whole)
    return found


def _standings(evaluations: Sequence[Evaluation]) -> Picture | None:
    figures = [each for each in evaluations if each.metric == "mse" and each.value is not None]
    if not any(each.subject == "estimator" for each in figures):
        return None
    baselines = ("constant", "annotator")
    rows = [
        pictures.Standing(
            _subject(each.subject),
            each.value or 0.0,
            each.low,
            each.high,
            any(name in each.subject for name in baselines),
        )
        for each in sorted(figures, key=lambda each: each.value or 0.0)
    ]
    return Picture(
        pictures.standings(rows, "mean squared error (lower is better)"),
        f"Mean squared error of {len(rows)} subjects with 95% intervals; the best is {rows[0].name}.",
        "Bars are 95% intervals. Baselines are orange: a constant, and annotators against the others.",
    )


def _spread(means: Floats, deviations: Floats) -> Picture:
    middle = float(np.median(deviations))
    return Picture(
        pictures.spread(means, deviations),
        f"Scatter of {len(means)} propositions: SD of the judgments over their mean; the median SD is {middle:.2f}.",
        f"Each dot is a proposition. Half of them have an SD above {middle:.2f}: near the dashed line "
        "the annotators split into two camps, near 0 they agree.",
    )


def _over_time(data: ReportData) -> Picture:
    measured, weeks = (points if len(points) > 1 else [] for points in (data.measured, data.weeks))
    return Picture(
        pictures.agreement_over_time(measured, weeks),
        f"Interval alpha with its 95% interval, measured {len(measured)} times and for {len(weeks)} weeks.",
        "Bars are 95% intervals. If alpha falls from week to week, annotators tire, or newer propositions are harder.",
    )


def _answers(data: ReportData) -> Picture:
    subjects = {"annotators": np.array(data.judgments)} if data.judgments else {}
    subjects |= {each.name: np.array(each.probabilities) for each in data.labelers}
    return Picture(
        pictures.answers(subjects),
        f"Histograms of the probabilities given by {', '.join(subjects)}.",
        "A labeler that uses only a few bars is too coarse, even if it is right on average.",
    )


def _curve(curve: Sequence[CurvePoint]) -> Picture:
    dev = [(each.step, each.dev_loss) for each in curve if each.dev_loss is not None]
    kept = min(dev, key=lambda each: each[1], default=None)
    said = f"The epoch that ended at step {kept[0]} is kept, with a dev loss of {kept[1]:.3f}." if kept else ""
    return Picture(
        pictures.training_curve([each.step for each in curve], [each.loss for each in curve], dev),
        f"Training and dev loss over {curve[-1].step} steps. {said}",
        f"{said} At first the loss falls because the model learns to answer with a level.",
    )


def _test_pictures(test: Sequence[ScoredProposition], whole: Sequence[Evaluation]) -> dict[str, Picture]:
    scores, means = np.array([each.score for each in test]), np.array([each.mean for each in test])
    bins = max(2, min(10, len(test) // _PER_BIN))
    curves = {"estimator": metrics.reliability(scores, means, bins)}
    asked = [(each.panel_mean, each.mean) for each in test if each.panel_mean is not None]
    if asked:
        panel, labels = np.array(asked).T
        curves["mean of the labelers"] = metrics.reliability(panel, labels, bins)
    ours = {each.metric: each.value for each in whole if each.subject == "estimator"}
    gap, r = _number(ours.get("calibration_error")), _number(ours.get("pearson"))
    return {
        "reliability": Picture(
            pictures.reliability(curves),
            f"Reliability diagram; the estimator's mean distance from the diagonal is {gap}.",
            f"{bins} bins of about equal size. Above the diagonal the answers are too low, below it too high; "
            f"in ten bins the estimator is off by {gap} on average.",
        ),
        "scatter": Picture(
            pictures.scatter(scores, means),
            f"Scatter of the score over the consensus mean for {len(test)} test propositions.",
            f"Each dot is a test proposition (n = {len(test)}, Pearson r {r}). "
            "On the dashed line the estimator agrees with the annotators.",
        ),
    }


def _best(metric: str, evaluations: Sequence[Evaluation]) -> float | None:
    """Return the best figure of the estimator and labelers; the constant and annotators don't compete."""
    rivals = [each for each in evaluations if each.subject != "constant" and "annotator" not in each.subject]
    values = [each.value for each in rivals if each.metric == metric and each.value is not None]
    if not values:
        return None
    return max(values) if _TABLE[metric][1].startswith("higher") else min(values)


def _cell(record: Evaluation | None, best: float | None) -> Cell:
    if record is None or record.value is None:
        return Cell(_NONE, "", best=False)
    return Cell(_number(record.value), _interval(record.low, record.high), best=record.value == best)


def _figure_name(metric: str) -> str:
    return _AGREEMENT.get(metric, metric.replace("_", " "))


def _number(value: Any) -> str:
    return _NONE if value is None or not math.isfinite(value) else f"{value:.3f}".replace("-", _MINUS)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{_number(low)} to {_number(high)}"
