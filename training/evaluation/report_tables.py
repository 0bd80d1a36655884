"""The tables of a report: the figures of every subject, of slices, and of agreement, as text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from training.evaluation.report_data import Slice
from training.evaluation.subjects import LABELER, kind_of, order_of
from training.model.calibration import TOLD
from warehouse.records import Agreement, Evaluation

NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
TABLE = {
    "pearson": ("Pearson r", "higher is better"),
    "spearman": ("Spearman rho", "higher is better"),
    "mse": ("MSE", "lower is better"),
    "mae": ("MAE", "lower is better"),
    "crps_judgments": ("CRPS, each judgment", "lower is better"),
    "crps": ("CRPS, mean", "lower is better"),
    "calibration_error": ("Calibration error", "lower is better"),
}
PARTS = {"miscalibration": "Miscalibration", "discrimination": "Discrimination", "uncertainty": "Uncertainty"}
DISTRIBUTIONS = {
    "wasserstein": ("Wasserstein-1", "lower is better"),
    "spread_correlation": ("Correlation of entropies", "higher is better"),
}
SUITE_FIGURES = TABLE | {
    "accuracy": ("Accuracy", "higher is better"),
    "signed_update_rate": ("Signed update rate", "higher is better"),
    "negation_gap": ("Negation gap", "lower is better"),
    "conjunction_excess": ("Conjunction excess", "lower is better"),
    "paraphrase_sd": ("SD over paraphrases", "lower is better"),
}
_SUBJECTS = {
    "estimator": "Estimator",
    "base-yes-no": "Base before the fit: P(Yes)",
    "panel-mean": "Mean of the labelers",
    "one-annotator": "One annotator",
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
_WHOLE = (
    "median_judgments",
    "judgments_for_reliability_0.7",
    "judgments_for_reliability_0.8",
    "judgments_for_reliability_0.9",
    "leave_one_out_r_negative",
)


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
    p: str = ""


def table(
    evaluations: Sequence[Evaluation],
    columns: Mapping[str, tuple[str, str]] = TABLE,
    p_values: Mapping[str, float] | None = None,
) -> list[Row]:
    """Return a table: one row per subject that has a figure of the columns, the estimator first.

    Args:
        evaluations: The figures of all subjects.
        columns: The name and the hint of each metric. If the hint starts with "higher", the highest is the best.
        p_values: The p-value of no difference to the estimator by subject; others have none.
    """
    known = p_values or {}
    figures = [each for each in evaluations if each.metric in columns]
    found = {(each.subject, each.metric): each for each in figures}
    best = {metric: _best(metric, figures, highest=columns[metric][1].startswith("higher")) for metric in columns}
    return [
        Row(
            subject_name(subject),
            max(each.n for each in figures if each.subject == subject),
            [_cell(found.get((subject, metric)), best[metric]) for metric in columns],
            number(known[subject]) if subject in known else "",
        )
        for subject in sorted({each.subject for each in figures}, key=order_of)
    ]


def distribution_columns(evaluations: Sequence[Evaluation]) -> dict[str, tuple[str, str]]:
    """Return the columns of the table of distributions that were measured, even if a figure is undefined."""
    measured = {each.metric for each in evaluations}
    return {metric: told for metric, told in DISTRIBUTIONS.items() if metric in measured}


class IntervalRow(NamedTuple):
    """How many truths the intervals of one kind hold on the test split, and how wide they are."""

    of: str
    n: int
    coverage: Cell
    width: Cell


def interval_rows(evaluations: Sequence[Evaluation]) -> list[IntervalRow]:
    """Return the coverage and the mean width of the estimator's intervals, of single judgments and of the consensus."""
    found = {each.metric: each for each in evaluations if each.subject == "estimator"}
    return [
        IntervalRow(told, held.n, _percent(held), _cell(found.get(f"interval_width_{of}"), None))
        for of, told in TOLD.items()
        if (held := found.get(f"coverage_{of}")) is not None and held.value is not None
    ]


def _percent(record: Evaluation) -> Cell:
    value, low, high = ("" if each is None else f"{each:.1%}" for each in (record.value, record.low, record.high))
    return Cell(value or NONE, f"{low} to {high}" if low and high else "", best=False)


def subject_name(name: str) -> str:
    """Return what a subject is called."""
    kind = kind_of(name)
    if kind == "labeler":
        return f"Labeler {name.removeprefix(LABELER)}"
    if kind == "annotators":
        return _SUBJECTS.get(name, name.replace("-annotators", " annotators"))
    return _SUBJECTS.get(name, re.sub("^estimator ", "Estimator ", name))


def is_baseline(subject: str) -> bool:
    """Whether a subject does not compete: a constant, or annotators against the others."""
    return kind_of(subject) in ("constant", "annotators")


def parts(evaluations: Sequence[Evaluation]) -> list[tuple[str, int, list[str]]]:
    """Return the decomposition of the MSE with its n, one row per subject that has it."""
    found = {(each.subject, each.metric): each.value for each in evaluations}
    n = {each.subject: each.n for each in evaluations if each.metric in PARTS}
    subjects = sorted(n, key=order_of)
    return [(subject_name(each), n[each], [number(found.get((each, m))) for m in PARTS]) for each in subjects]


def _best(metric: str, evaluations: Sequence[Evaluation], *, highest: bool) -> float | None:
    """Return the best figure of all that compete, which the constant and annotators don't; None for a single one."""
    rivals = [each for each in evaluations if not is_baseline(each.subject)]
    values = [each.value for each in rivals if each.metric == metric and each.value is not None]
    if len(values) < 2:
        return None
    return max(values) if highest else min(values)


def _cell(record: Evaluation | None, best: float | None) -> Cell:
    if record is None or record.value is None:
        return Cell(NONE, "", best=False)
    return Cell(number(record.value), interval(record.low, record.high), best=record.value == best)


def figure_name(metric: str) -> str:
    """Return what a figure of agreement is called."""
    return _AGREEMENT.get(metric, metric.replace("_", " "))


def number(value: Any) -> str:
    """Return a number with three decimals, or a dash."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.3f}".replace("-", MINUS)


def interval(low: float | None, high: float | None) -> str:
    """Return an interval as text; empty if there is none."""
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


class SliceRow(NamedTuple):
    """The mean squared errors of the estimator and baselines on a slice, each baseline with its n if it differs."""

    name: str
    n: int
    cell: Cell
    baselines: list[tuple[str, str]]


BASELINES = {"one-annotator": "one annotator", "constant": "constant"}
_BIN_UNITS = {"length": ("words", ".0f"), "spread": ("SD", ".2f")}


def slice_rows(evaluations: Sequence[Evaluation], slices: Sequence[Slice]) -> list[SliceRow]:
    """Return a row for each slice that the estimator was measured on."""
    found = {(each.slice, each.subject): each for each in evaluations if each.metric == "mse" and each.slice}
    return [
        SliceRow(
            slice_name(each),
            ours.n,
            _cell(ours, None),
            [_baseline(found.get((each.name, name)), ours.n) for name in BASELINES],
        )
        for each in slices
        if (ours := found.get((each.name, "estimator"))) is not None
    ]


def _baseline(record: Evaluation | None, n: int) -> tuple[str, str]:
    if record is None:
        return NONE, ""
    return number(record.value), "" if record.n == n else f"n = {record.n:,}"


def slice_name(each: Slice) -> str:
    """Return the name of a slice as text, such as "length short, 3 to 14 words"."""
    dimension, _, value = each.name.partition("=")
    if each.low is None or each.high is None or dimension not in _BIN_UNITS:
        return f"{dimension} {value}"
    unit, decimals = _BIN_UNITS[dimension]
    return f"{dimension} {value}: {each.low:{decimals}} to {each.high:{decimals}} {unit}"


def agreement_rows(agreement: Sequence[Agreement]) -> list[tuple[Agreement, str, str, str]]:
    """Return each figure of agreement with its name, value and interval."""
    return [(each, figure_name(each.metric), _shown(each, each.value), _between(each)) for each in agreement]


def _shown(each: Agreement, value: float | None) -> str:
    whole = each.metric in _WHOLE and value is not None
    return f"{value:,g}" if whole else number(value)


def _between(each: Agreement) -> str:
    if each.low is None or each.high is None:
        return ""
    return f"{_shown(each, each.low)} to {_shown(each, each.high)}"
