"""The pictures of an estimator beside people: calibration, histograms, single propositions, and error by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from training.evaluation.metrics import Bin
from training.evaluation.pictures import FIRST, INK, SECOND, svg
from training.levels import Floats, level_of

_BINS = 10


class SliceError(NamedTuple):
    """The errors on a slice: of the estimator with its interval, and of baselines by name, None where unknown."""

    name: str
    value: float
    low: float | None
    high: float | None
    baselines: Mapping[str, float | None]


def reliability(curves: Mapping[str, Sequence[Bin]]) -> str:
    """Draw the mean label over the mean score of each bin; the diagonal is perfect calibration."""

    def draw(axis: Any) -> None:
        axis.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
        looks = [(FIRST, "o"), (SECOND, "s")]
        for (name, bins), (colour, marker) in zip(curves.items(), looks, strict=False):
            axis.plot(
                [each.score for each in bins],
                [each.label for each in bins],
                color=colour,
                marker=marker,
                markersize=6,
                label=name,
            )
        axis.set(xlabel="mean answer in the bin", ylabel="mean consensus in the bin", xlim=(0, 1), ylim=(0, 1))
        axis.set_aspect("equal")
        axis.legend(loc="upper left")

    return svg(draw, (4.4, 4.2))


def histogram(scores: Floats, means: Floats) -> str:
    """Draw how often the estimator's scores, and people's consensus, fall into each tenth: two bars side by side."""

    def draw(axis: Any) -> None:
        looks = (("scores", scores, FIRST, 0.005), ("consensus", means, SECOND, 0.051))
        for name, values, colour, shift in looks:
            share = np.bincount(level_of(values, _BINS), minlength=_BINS) / len(values) * 100
            axis.bar(np.arange(_BINS) / _BINS + shift, share, width=0.044, align="edge", color=colour, label=name)
        axis.set(xlabel="probability", ylabel="share of the propositions (%)", xlim=(0, 1))
        axis.margins(y=0.18)  # room for the legend
        axis.legend(loc="upper right", ncols=2)

    return svg(draw, (4.4, 4.2))


def single(levels: Floats, judgments: Floats) -> str:
    """Draw the estimator's distribution over K levels [K] beside that of people's judgments."""
    k = len(levels)
    theirs = np.bincount(level_of(judgments, k), minlength=k) / len(judgments)

    def draw(axis: Any) -> None:
        width = 0.44 / k
        for values, colour, shift in ((levels, FIRST, 0.05), (theirs, SECOND, 0.51)):
            axis.bar((np.arange(k) + shift) / k, values * 100, width=width, align="edge", color=colour)
        axis.set(xlim=(0, 1), ylim=(0, None))
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axis.yaxis.get_major_locator().set_params(nbins=3, integer=True)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")

    return svg(draw, (3.8, 1.7))


def error_by_slice(rows: Sequence[SliceError], label: str) -> str:
    """Draw the estimator's error on each slice with its interval, and the baselines as marks beside it."""
    names = list(dict.fromkeys(name for row in rows for name in row.baselines))
    looks = dict(zip(names, ("s", "D", "^"), strict=False))

    def draw(axis: Any) -> None:
        for place, row in enumerate(reversed(rows)):
            if row.low is not None and row.high is not None:
                axis.plot([row.low, row.high], [place, place], color=FIRST, linewidth=2.2, alpha=0.5)
            axis.plot([row.value], [place], "o", color=FIRST, markersize=6, label="estimator" if not place else None)
            for name, value in row.baselines.items():
                if value is not None:
                    axis.plot([value], [place], looks[name], color=SECOND, markersize=5, fillstyle="none")
        for name, marker in looks.items():
            axis.plot([], [], marker, color=SECOND, markersize=5, fillstyle="none", label=name)
        axis.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
        axis.set(xlabel=label, ylim=(-0.6, len(rows) - 0.4))
        axis.set_xlim(left=0)
        axis.figure.legend(loc="outside upper center", ncols=1 + len(looks), fontsize=9)

    return svg(draw, (6.0, 1.1 + 0.29 * len(rows)))
