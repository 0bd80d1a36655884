"""The pictures of a report with their captions, from its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.evaluation import estimator_pictures, metrics, pictures
from training.evaluation.estimator_pictures import SliceError
from training.evaluation.report_data import CurvePoint, ReportData, ScoredProposition
from training.evaluation.report_tables import BASELINES, is_baseline, number, slice_name, subject_name
from training.evaluation.subjects import kind_of
from training.levels import Floats, one_hot, wasserstein
from warehouse.records import Evaluation

_PER_BIN = 10  # test propositions per bin of the reliability diagram, or it shows noise
_ENOUGH = 5  # judgments, to draw their distribution
_LONGEST = 6  # characters of a name per inch of a picture: a longer one would leave no room
_AGREED = 0.1  # their SD below which people agree, as in the view disagreement
_DIFFER = {
    "camps": ": two groups",
    "outlier": ": a few are far from the rest",
    "spread": ": all over the scale",
}


class Picture(NamedTuple):
    """A picture: its SVG, a description for people who cannot see it, and a caption."""

    svg: str
    alt: str
    caption: str


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
        found["curve"] = _curve(data.curve, learns_levels=data.learns_levels)
    if data.test:
        found["reliability"] = _reliability(data.test, whole)
        found["histogram"] = _histogram(data.test)
    if errors := _slice_errors(data):
        found["slices"] = _slices(errors)
    return found


def _standings(whole: Sequence[Evaluation]) -> Picture | None:
    found = standings(whole, "mse", "mean squared error (lower is better)", highest=False)
    if found is None:
        return None
    ceilings = _ceilings([each for each in whole if each.metric == "mse"])
    human = ", and annotators against the others; dashed lines are what these reach" if ceilings else ""
    told = f"Bars are 95% intervals. Baselines are orange: a constant{human}. {found.caption}"
    return found._replace(caption=told.strip())


def standings(
    evaluations: Sequence[Evaluation], metric: str, label: str, *, highest: bool, width: float = 6.0
) -> Picture | None:
    """Return the picture of everyone's figure of a metric, the best first; None if the estimator has none.

    Args:
        evaluations: The figures of all subjects.
        metric: The metric.
        label: What the axis and the description call it.
        highest: The highest is the best, not the lowest.
        width: In inches.

    Returns:
        The picture. Its caption only says if subjects differ in their n.
    """
    figures = [each for each in evaluations if each.metric == metric and each.value is not None]
    ours = next((each for each in figures if each.subject == "estimator"), None)
    if ours is None:
        return None
    rows = [
        pictures.Standing(
            _short(subject_name(each.subject), width) + ("" if each.n == ours.n else f" (n = {each.n:,})"),
            each.value or 0.0,
            each.low,
            each.high,
            is_baseline(each.subject),
        )
        for each in sorted(figures, key=lambda each: each.value or 0.0, reverse=highest)
    ]
    fewer = any(each.n != ours.n for each in figures)
    return Picture(
        pictures.standings(rows, label, _ceilings(figures), width),
        f"{label[:1].upper()}{label[1:]} of {len(rows)} subjects with 95% intervals; the best is {rows[0].name}.",
        f"Where n is not {ours.n:,}, these are other propositions: compare with care." if fewer else "",
    )


def _short(name: str, width: float) -> str:
    longest = round(_LONGEST * width)
    return name if len(name) <= longest else f"{name[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def _ceilings(figures: Sequence[Evaluation]) -> list[float]:
    """Return what one and several annotators reach."""
    return [each.value for each in figures if kind_of(each.subject) == "annotators" and each.value is not None]


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
    whose = "Annotators who use only a few bars answer coarsely, even if they are right on average."
    if data.labelers:
        whose = "A labeler that uses only a few bars is too coarse, even if it is right on average."
    return Picture(
        pictures.answers(subjects), f"Histograms of the probabilities given by {', '.join(subjects)}.", whose
    )


def _curve(curve: Sequence[CurvePoint], *, learns_levels: bool) -> Picture:
    dev = [(each.step, each.dev_loss) for each in curve if each.dev_loss is not None]
    kept = min(dev, key=lambda each: each[1], default=None)
    said = f"The epoch that ended at step {kept[0]} is kept, with a dev loss of {kept[1]:.3f}." if kept else ""
    first = "At first the loss falls because the model learns to answer with a level." if learns_levels else ""
    return Picture(
        pictures.training_curve([each.step for each in curve], [each.loss for each in curve], dev),
        f"Training and dev loss over {curve[-1].step} steps. {said}".strip(),
        " ".join(filter(None, (said, first))),
    )


def _reliability(test: Sequence[ScoredProposition], whole: Sequence[Evaluation]) -> Picture:
    scores, means = np.array([each.score for each in test]), np.array([each.mean for each in test])
    bins = max(2, min(10, len(test) // _PER_BIN))
    curves = {"estimator": metrics.reliability(scores, means, bins)}
    asked = [(each.panel_mean, each.mean) for each in test if each.panel_mean is not None]
    if asked:
        panel, labels = np.array(asked).T
        curves["mean of the labelers"] = metrics.reliability(panel, labels, bins)
    parts = len(metrics.reliability(scores, means))  # those of the calibration error, which has ten without ties
    gap = number({each.metric: each.value for each in whole if each.subject == "estimator"}.get("calibration_error"))
    return Picture(
        estimator_pictures.reliability(curves),
        f"Reliability diagram; the estimator's mean distance from the diagonal is {gap}.",
        f"{_bins(curves, bins)} Above the diagonal the answers are too low, below it too high; "
        f"in {_counted(parts)} the estimator is off by {gap} on average.",
    )


def _bins(curves: Mapping[str, Sequence[metrics.Bin]], wanted: int) -> str:
    """Return how many bins each curve has: equal answers share one, so a coarse subject has fewer than were wanted."""
    found = {name: len(each) for name, each in curves.items()}
    if set(found.values()) == {wanted}:
        return f"{_counted(wanted)} of about equal size.".capitalize()
    told = ", ".join(f"{_counted(n)} for the {name}" for name, n in found.items())
    return f"{told[0].upper()}{told[1:]}: equal answers share one, so there are fewer than {wanted}."


def _counted(bins: int) -> str:
    return f"{bins} bin{'s' * (bins != 1)}"


def _histogram(test: Sequence[ScoredProposition]) -> Picture:
    scores, means = np.array([each.score for each in test]), np.array([each.mean for each in test])
    said = f"The SD of the scores is {scores.std():.2f}, that of the consensus means {means.std():.2f}."
    return Picture(
        estimator_pictures.histogram(scores, means),
        f"Histogram of the scores beside the consensus means of {len(test):,} test propositions. {said}",
        f"{said} If the scores spread less than the consensus, the estimator avoids the ends.",
    )


def _slice_errors(data: ReportData) -> list[SliceError]:
    found = {(each.slice, each.subject): each for each in data.evaluations if each.metric == "mse" and each.slice}
    rows = []
    for each in data.slices:
        ours = found.get((each.name, "estimator"))
        if ours is None or ours.value is None:
            continue
        values = {told: found.get((each.name, name)) for name, told in BASELINES.items()}
        baselines = {told: None if one is None else one.value for told, one in values.items()}
        rows.append(SliceError(slice_name(each).partition(":")[0], ours.value, ours.low, ours.high, baselines))
    return rows


def _slices(errors: Sequence[SliceError]) -> Picture:
    worst = max(errors, key=lambda each: each.value)
    return Picture(
        estimator_pictures.error_by_slice(errors, "mean squared error (lower is better)"),
        f"Mean squared error of the estimator on {len(errors)} slices; the highest is that of {worst.name}.",
        "Bars are 95% intervals. One annotator is measured only where several judged: the farther these are apart, the "
        "farther is one of them from the others.",
    )


_Heading = Callable[[ScoredProposition], str]


class Single(NamedTuple):
    """A proposition with the picture of the estimator's distribution beside people's, and why it is shown."""

    why: str
    proposition: ScoredProposition
    picture: Picture


def singles(test: Sequence[ScoredProposition]) -> list[Single]:
    """Return up to six propositions: four that people tell apart, then the nearest and the farthest distribution.

    A heading says that people agree, or are split, only where it is so.
    """
    judged = [each for each in test if len(each.judgments) >= _ENOUGH]
    spread = {id(each): float(np.std(each.judgments)) for each in judged}
    apart = {id(each): _apart(each) for each in judged}
    settled = sorted(judged, key=lambda each: (spread[id(each)], -len(each.judgments)))
    wanted: list[tuple[_Heading, list[ScoredProposition]]] = [
        (_agreeing("likely"), [each for each in settled if each.mean >= 0.8]),
        (_agreeing("unlikely"), [each for each in settled if each.mean <= 0.2]),
        (_agreeing("open"), [each for each in settled if 0.4 <= each.mean <= 0.6]),
        (_differing, settled[::-1]),
        (lambda _: "The estimator's distribution is nearest", sorted(judged, key=lambda each: apart[id(each)])),
        (lambda _: "The estimator's distribution is farthest", sorted(judged, key=lambda each: -apart[id(each)])),
    ]
    found: list[Single] = []
    for heading, ranked in wanted:
        taken = {id(each.proposition) for each in found}
        chosen = next((each for each in ranked if id(each) not in taken), None)
        if chosen is not None:
            found.append(Single(heading(chosen), chosen, _single(chosen, apart[id(chosen)])))
    return found


def _agreeing(that: str) -> _Heading:
    """Return the heading of the least disputed of the propositions with such a mean: people need not agree on it."""

    def heading(each: ScoredProposition) -> str:
        agreed = np.std(each.judgments) < _AGREED
        return f"People agree that it is {that}" if agreed else f"On average {that}, where people differ least"

    return heading


def _differing(each: ScoredProposition) -> str:
    """Return the heading of the most disputed proposition."""
    return "Where people differ most" + _DIFFER.get(each.kind or "", "")


def _apart(each: ScoredProposition) -> float:
    levels = np.array(each.levels)
    return float(wasserstein(levels, one_hot(each.judgments, len(levels)).mean(axis=0)))


def _single(each: ScoredProposition, apart: float) -> Picture:
    said = f"score {each.score:.2f}, consensus {each.mean:.2f} from {len(each.judgments)} judgments"
    return Picture(
        estimator_pictures.single(np.array(each.levels), np.array(each.judgments)),
        f"The estimator's level distribution beside people's judgments: {said}.",
        f"{said[0].upper()}{said[1:]}; Wasserstein distance {apart:.2f}.",
    )
