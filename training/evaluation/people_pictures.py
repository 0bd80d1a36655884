"""A picture of people's judgments: one panel per proposition, one dot per judgment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten, wrap
from typing import Any

from training.evaluation.pictures import FIRST, INK, SECOND, write_drawing

COLUMNS = 3
STEPS = 40
"""Judgments closer than 1 / 40 are drawn on top of one another."""
PANEL_WIDTH, PANEL_HEIGHT = 3.9, 2.3  # inches
LINE_LENGTH = 52  # characters


@dataclass(frozen=True)
class People:
    """The judgments of a proposition in ascending order, each in [0, 1], and whether each is simulated.

    `kind` is how they differ, if known. With `share_upper`, that share of them is drawn as a group of its own.
    """

    probabilities: Sequence[float]
    simulated: Sequence[bool]
    premise: str
    hypothesis: str
    kind: str | None
    sd: float
    share_upper: float | None = None


def write_people(propositions: Sequence[People], path: Path) -> None:
    """Write an SVG file with a panel for each proposition, atomically."""
    rows = -(-len(propositions) // COLUMNS)
    highest = max(map(_height, propositions))

    def draw(axes: Any) -> None:
        for place, axis in enumerate(axes.flat):
            if place < len(propositions):
                _panel(axis, propositions[place], highest)
            else:
                axis.set_visible(False)

    size = (COLUMNS * PANEL_WIDTH, 0.3 + rows * PANEL_HEIGHT)
    write_drawing(draw, size, path, heights=[1] * rows, widths=[1] * COLUMNS)


def stacked(probabilities: Sequence[float]) -> list[tuple[float, int]]:
    """Return where the dot of each judgment lies: its probability, rounded to a step, and its height from 1."""
    heights: Counter[int] = Counter()
    places = []
    for probability in probabilities:
        step = round(probability * STEPS)
        heights[step] += 1
        places.append((step / STEPS, heights[step]))
    return places


def _height(people: People) -> int:
    return max(height for _, height in stacked(people.probabilities))


def _panel(axis: Any, people: People, highest: int) -> None:
    count = len(people.probabilities)
    upper = 0 if people.share_upper is None else round(people.share_upper * count)
    size = max(1.5, min(6.0, 110 / highest))
    for place, (x, y) in enumerate(stacked(people.probabilities)):
        colour = SECOND if place >= count - upper else FIRST
        face = "none" if people.simulated[place] else colour
        axis.plot(x, y, "o", markersize=size, markeredgecolor=colour, markerfacecolor=face)
    mean = sum(people.probabilities) / count
    axis.axvline(mean, color=INK, linewidth=1, linestyle=":")
    axis.set_xlim(-0.03, 1.03)
    axis.set_ylim(0, highest + 1)
    axis.set_yticks([])
    axis.grid(visible=False)
    axis.set_title(_title(people), loc="left", fontsize=8)
    simulated = sum(people.simulated)
    told = [f"{count} judgments" + (f", {simulated} simulated" if simulated else ""), f"SD {people.sd:.2f}"]
    axis.set_xlabel(", ".join([*told, people.kind] if people.kind else told), fontsize=8)


def _title(people: People) -> str:
    """Return the hypothesis and, in parentheses, the premise; a dollar sign must not start a formula."""
    hypothesis = wrap(shorten(people.hypothesis, 2 * LINE_LENGTH, placeholder=" …"), LINE_LENGTH)
    premise = wrap(f"({shorten(people.premise, 2 * LINE_LENGTH, placeholder=' …')})", LINE_LENGTH)
    return "\n".join([*hypothesis, *premise]).replace("$", r"\$")
