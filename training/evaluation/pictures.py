"""The pictures of a report as inline SVG with the colours and font of the page, in light and dark mode."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.levels import Floats, level_of
from warehouse.atomic import write_atomically

# placeholders that are replaced by the colours of the page; nothing else may use them
INK, SOFT = "#010203", "#040506"
FIRST, SECOND = "#070809", "#0a0b0c"
_PAGE_COLOURS = {INK: "currentColor", SOFT: "var(--rule)", FIRST: "var(--first)", SECOND: "var(--second)"}
_ON_WHITE = {INK: "#1c1c1e", SOFT: "#c9c9ce", FIRST: "#1f5fae", SECOND: "#b4541a"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": SOFT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def answers(subjects: Mapping[str, Floats]) -> str:
    """Draw how often each subject gives each probability: one row of 20 bars per subject, on one scale."""

    def draw(axes: Any) -> None:
        rows = axes if isinstance(axes, np.ndarray) else np.array([axes])
        shares = [np.bincount(level_of(each, 20), minlength=20) / max(len(each), 1) * 100 for each in subjects.values()]
        top = 20 * np.ceil(max(float(np.max(shares)), 1) / 20)
        for index, (axis, (name, values), share) in enumerate(zip(rows, subjects.items(), shares, strict=True)):
            axis.bar(np.arange(20) / 20, share, width=0.044, align="edge", color=SECOND if index else FIRST)
            axis.set_title(f"{name} (n = {len(values):,})", loc="left", fontsize=10)
            axis.set_yticks([0, top / 2, top])
            axis.set_ylim(0, top)
            axis.set_xlim(0, 1)
        rows[-1].set_xlabel("probability")
        rows[0].figure.supylabel("share of answers (%)", fontsize=10, color=INK)

    return svg(draw, (6.0, 0.9 + 1.05 * len(subjects)), rows=len(subjects))


class Standing(NamedTuple):
    """A subject's figure with its 95% interval; a baseline is drawn in the second colour."""

    name: str
    value: float
    low: float | None
    high: float | None
    is_baseline: bool


def standings(subjects: Sequence[Standing], label: str, ceilings: Sequence[float] = (), width: float = 6.0) -> str:
    """Draw the figure of each subject with its interval, one below the other, and lines at what people reach."""

    def draw(axis: Any) -> None:
        for ceiling in ceilings:  # without names: lines may be close, and each goes through the dot of who reaches it
            axis.axvline(ceiling, color=SECOND, linewidth=1, linestyle=(0, (4, 3)))
        for place, each in enumerate(reversed(subjects)):
            colour = SECOND if each.is_baseline else FIRST
            if each.low is not None and each.high is not None:
                axis.plot([each.low, each.high], [place, place], color=colour, linewidth=2.2, alpha=0.5)
            axis.plot([each.value], [place], "o", color=colour, markersize=6, clip_on=False)
        names = [each.name for each in reversed(subjects)]
        axis.set_yticks(range(len(subjects)), names, parse_math=False)  # a name may have dollar signs
        axis.set(xlabel=label, ylim=(-0.6, len(subjects) - 0.4))
        if all(each.value >= 0 and (each.low is None or each.low >= 0) for each in subjects):
            axis.set_xlim(left=0)

    return svg(draw, (width, 0.7 + 0.32 * len(subjects)))


def spread(means: Floats, deviations: Floats) -> str:
    """Draw the SD of each proposition's judgments over their mean, with the largest SD that the mean allows."""

    def draw(axis: Any) -> None:
        line = np.linspace(0, 1, 201)
        axis.plot(line, np.sqrt(line * (1 - line)), color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axis.annotate(
            "largest possible SD of many judgments", (0.5, 0.5), (0, 5), textcoords="offset points", ha="center"
        )
        axis.scatter(means, deviations, s=14, color=FIRST, alpha=0.55, linewidths=0)
        axis.set(xlabel="mean judgment", ylabel="SD of the judgments", xlim=(0, 1), ylim=(0, 0.56))

    return svg(draw, (6.0, 3.6))


class Measurement(NamedTuple):
    """A figure at a time, with its 95% interval (None if it has none) and the number of judgments behind it."""

    time: datetime
    value: float
    low: float | None
    high: float | None
    n_judgments: int
    n_simulated: int


def agreement_over_time(measured: Sequence[Measurement], weeks: Sequence[Measurement]) -> str:
    """Draw interval alpha each time it was measured, and of the judgments of each week; either may be empty."""
    return _inline(_agreement_document(measured, weeks))


def write_agreement_over_time(measured: Sequence[Measurement], weeks: Sequence[Measurement], path: Path) -> None:
    """Write the same as an SVG file on white, atomically."""
    _write_on_white(_agreement_document(measured, weeks), path)


def write_drawing(
    draw: Callable[[Any], None],
    size: tuple[float, float],
    path: Path,
    *,
    heights: Sequence[float],
    widths: Sequence[float],
) -> None:
    """Write an SVG file on white, in the style of all pictures.

    Args:
        draw: Draws on the axes [len(heights), len(widths)].
        size: Width and height in inches.
        path: The file.
        heights: The relative heights of the rows.
        widths: The relative widths of the columns.
    """
    _write_on_white(_document(draw, size, len(heights), share_x=False, widths=widths, heights=heights), path)


def _write_on_white(document: str, path: Path) -> None:
    for stand_in, colour in _ON_WHITE.items():
        document = document.replace(stand_in, colour)
    write_atomically(
        path, re.sub(r"(<svg[^>]*>)", r'\1<rect width="100%" height="100%" fill="#ffffff"/>', document, count=1)
    )


def _agreement_document(measured: Sequence[Measurement], weeks: Sequence[Measurement]) -> str:
    panels = [
        (title, label, points)
        for title, label, points in (
            ("all judgments, each time they were measured", "measured at (UTC)", measured),
            ("the judgments of each week", "week (its Monday)", weeks),
        )
        if points
    ]

    def draw(axes: Any) -> None:
        rows = axes if isinstance(axes, np.ndarray) else np.array([axes])
        for axis, (title, label, points) in zip(rows, panels, strict=True):
            _timeline(axis, points)
            simulated = any(each.n_simulated for each in points)
            axis.set_title(title + (", some simulated" if simulated else ""), loc="left", fontsize=10)
            axis.set(xlabel=f"{label}; below it the number of judgments", ylabel="interval alpha")

    return _document(draw, (6.0, 0.3 + 2.6 * len(panels)), rows=len(panels), share_x=False)


def _timeline(axis: Any, points: Sequence[Measurement]) -> None:
    """Draw evenly spaced points with their intervals, so that measurements within minutes don't overlap."""
    positions = range(len(points))
    low, high = (
        [abs(each.value - (end if end is not None else each.value)) for each, end in ends]
        for ends in ([(e, e.low) for e in points], [(e, e.high) for e in points])
    )
    values = [each.value for each in points]
    axis.errorbar(positions, values, yerr=[low, high], color=FIRST, marker="o", markersize=5, capsize=3, elinewidth=1.2)
    days = {each.time.date() for each in points}
    shown = [f"{e.time:%Y-%m-%d}" if len(days) == len(points) else f"{e.time:%m-%d %H:%M}" for e in points]
    every = max(1, -(-len(points) // 8))
    ticks = list(positions)[::every]
    axis.set_xticks(ticks, [f"{shown[tick]}\n{points[tick].n_judgments:,}" for tick in ticks])
    axis.set_xlim(-0.5, max(len(points) - 0.5, 0.5))


def training_curve(steps: Sequence[int], losses: Sequence[float], dev: Sequence[tuple[int, float]]) -> str:
    """Draw the training loss over the steps and the dev loss at the end of each epoch; a ring marks the lowest."""

    def draw(axis: Any) -> None:
        marker = "o" if len(steps) < 3 else ""  # one point makes no line
        axis.plot(steps, losses, color=SECOND, linewidth=1.4, marker=marker, markersize=5, label="train")
        if dev:
            axis.plot(*zip(*dev, strict=True), color=FIRST, marker="o", markersize=5, label="dev")
            best = min(dev, key=lambda each: each[1])
            axis.plot(*best, marker="o", markersize=11, fillstyle="none", color=INK, linestyle="none", label="kept")
        values = [*losses, *(loss for _, loss in dev)]
        axis.set_xlim(left=0, right=max([*steps, 1]) * 1.05)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if values and max(values) < 3 * min(values):  # a log scale would have no ticks
            axis.set(xlabel="training step", ylabel="loss")
        else:
            axis.set(xlabel="training step", ylabel="loss (log scale)", yscale="log")
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
        axis.legend(loc="best")

    return svg(draw, (6.0, 3.2))


def svg(draw: Callable[[Any], None], size: tuple[float, float], rows: int = 1) -> str:
    """Draw on the axes (an array of them for several rows) and return the SVG element."""
    return _inline(_document(draw, size, rows))


def _document(
    draw: Callable[[Any], None],
    size: tuple[float, float],
    rows: int,
    *,
    share_x: bool = True,
    widths: Sequence[float] | None = None,
    heights: Sequence[float] | None = None,
) -> str:
    """Return the SVG document, with placeholder colours; with `widths` the axes are an array."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        columns, squeeze = (1, True) if widths is None else (len(widths), False)
        draw(
            figure.subplots(rows, columns, sharex=share_x, squeeze=squeeze, width_ratios=widths, height_ratios=heights)
        )
        target = StringIO()
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    return target.getvalue()


def _inline(document: str) -> str:
    """Return the svg element of a document with the size, colours and font of the page; screen readers skip it."""
    element = document[document.index("<svg") :]
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1)
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", element)
    for stand_in, colour in _PAGE_COLOURS.items():
        element = element.replace(stand_in, colour)
    return element.replace("<svg ", '<svg aria-hidden="true" ', 1)
