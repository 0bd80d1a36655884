"""A picture of labelers: the distribution of each one's values, its calibration, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from training.evaluation.metrics import Bin
from training.evaluation.pictures import FIRST, INK, SECOND, write_drawing
from training.levels import Floats

ROW_HEIGHT = 2.65  # inches
AROUND = 0.55  # inches of a row for its titles
LINE_HEIGHT = 0.21  # inches per figure
NARROWEST = 0.28  # marked values closer than this share one label, which is half as wide
LONGEST_LINE = 46  # characters of a title
AS_GIVEN: dict[str, Any] = {"color": FIRST, "marker": "o", "markersize": 5, "linewidth": 1.4}
RECALIBRATED: dict[str, Any] = {"color": SECOND, "marker": "s", "markersize": 5, "linewidth": 1.4}


@dataclass(frozen=True)
class LabelerCurve:
    """A labeler's values [n] in [0, 1], and the bins of its reliability diagrams, empty without judgments.

    `raw` are bins of all judged propositions, `recalibrated` only of held-out ones. `n_simulated` of the `n_judgments`
    behind them come from simulated annotators. `figures` are names and values to print; `remark` replaces the drawing
    of a labeler without values.
    """

    name: str
    values: Floats
    raw: Sequence[Bin]
    recalibrated: Sequence[Bin]
    n_judgments: int
    n_simulated: int
    figures: Sequence[tuple[str, str]] = ()
    remark: str = ""


def write_labelers(labelers: Sequence[LabelerCurve], path: Path) -> None:
    """Write an SVG file with one row per labeler, atomically."""

    def draw(axes: Any) -> None:
        for (values, curve, figures), labeler in zip(axes, labelers, strict=True):
            if len(labeler.values):
                _values(values, labeler)
                _calibration(curve, labeler)
            else:
                _nothing(values, curve, labeler)
            _figures(figures, labeler)
        if any(each.recalibrated for each in labelers):
            _legend(axes[0][0].figure)

    heights = [
        ROW_HEIGHT if len(each.values) else AROUND + LINE_HEIGHT * max(len(each.figures), 2) for each in labelers
    ]
    write_drawing(draw, (11.2, 0.35 + sum(heights)), path, heights=heights, widths=(1.6, 0.92, 0.75))


def _values(axis: Any, labeler: LabelerCurve) -> None:
    """Draw a bar at each multiple of 5%, and a line with value and share at the three most frequent values."""
    nearest = np.floor(labeler.values * 20 + 0.5).astype(int)
    share = np.bincount(nearest, minlength=21) / max(len(labeler.values), 1) * 100
    axis.bar(np.arange(21) / 20, share, width=0.044, color=FIRST)
    top = max(20.0, float(20 * np.ceil(share.max() / 20)))
    axis.set_ylim(0, top * 1.55)  # room above the bars for the labels
    axis.set_yticks([0, top / 2, top])
    axis.set_xlim(-0.03, 1.03)
    found = most_frequent(labeler.values)
    for value, _ in found:
        axis.plot([value, value], [0, top * 1.08], color=SECOND, linewidth=1.1)
    for place, text, align in labels_of(found):
        axis.annotate(text, (place, top * 1.11), ha=align, va="bottom", fontsize=8, color=SECOND)
    axis.set_title(_title(f"{labeler.name} (n = {len(labeler.values):,})"), loc="left", fontsize=10)
    marked = "the most frequent values are marked" if found else "no value occurs twice"
    axis.set(xlabel=f"estimate; {marked}", ylabel="share (%)")


def most_frequent(values: Floats, most: int = 3) -> list[tuple[float, float]]:
    """Return the most frequent values that occur more than once, to six digits, ascending, with their shares."""
    distinct, counts = np.unique(np.round(values, 6), return_counts=True)
    order = np.lexsort((distinct, -counts))[:most]
    return sorted((float(distinct[i]), counts[i] / len(values)) for i in order if counts[i] > 1)


def labels_of(found: Sequence[tuple[float, float]]) -> list[tuple[float, str, str]]:
    """Return the position, text and alignment of the labels of marked values, without overlaps.

    Close values share a label, one above the other, to keep it narrow.
    """
    groups: list[list[tuple[float, float]]] = []
    for value in found:
        if groups and value[0] - groups[-1][-1][0] < NARROWEST:
            groups[-1].append(value)
        else:
            groups.append([value])
    placed = []
    for group in groups:
        place = sum(value for value, _ in group) / len(group)
        text = "\n".join(f"{value:.3g}: {share * 100:.0f}%" for value, share in group)
        placed.append((place, text, "left" if place < 0.06 else "right" if place > 0.94 else "center"))
    return placed


def _calibration(axis: Any, labeler: LabelerCurve) -> None:
    axis.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    for bins, look in ((labeler.raw, AS_GIVEN), (labeler.recalibrated, RECALIBRATED)):
        axis.plot([each.score for each in bins], [each.label for each in bins], **look)
    axis.set(xlabel="mean estimate of the bin", ylabel="mean judgment", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axis.set_aspect("equal")
    axis.set_xticks([0, 0.5, 1])
    axis.set_yticks([0, 0.5, 1])
    axis.set_title(_basis(labeler), loc="left", fontsize=10)


def _nothing(left: Any, right: Any, labeler: LabelerCurve) -> None:
    """Write the name of a labeler without values, and why it has none."""
    for axis in (left, right):
        axis.set_axis_off()
    left.set_title(_title(labeler.name), loc="left", fontsize=10)
    left.text(0, 0.9, labeler.remark, va="top", fontsize=9, transform=left.transAxes)
    if labeler.n_judgments:
        right.set_title(_basis(labeler), loc="left", fontsize=10)


def _figures(axis: Any, labeler: LabelerCurve) -> None:
    """Names on the left and values on the right, one below the other."""
    axis.set_axis_off()
    for line, figure in enumerate(labeler.figures):
        for place, text, align in zip((0, 1), figure, ("left", "right"), strict=True):
            below = (0, -line * LINE_HEIGHT * 72)  # in points
            where = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": align, "va": "top"}
            axis.annotate(text, (place, 1), below, fontsize=8.5, **where)


def _title(name: str) -> str:
    """Return a name, over several lines if it is long."""
    return "\n".join(wrap(name, LONGEST_LINE, break_on_hyphens=True))


def _legend(figure: Any) -> None:
    """Put the legend outside the axes, where it cannot cover points."""
    from matplotlib.lines import Line2D

    looks = {"as given": AS_GIVEN, "recalibrated, test split": RECALIBRATED}
    handles = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=9)


def _basis(labeler: LabelerCurve) -> str:
    """Return what a curve is based on."""
    if not labeler.n_judgments:
        return "no judgments"
    every = labeler.n_simulated == labeler.n_judgments
    simulated = f", {'all' if every else f'{labeler.n_simulated:,}'} simulated" if labeler.n_simulated else ""
    return f"{labeler.n_judgments:,} judgments{simulated}"
