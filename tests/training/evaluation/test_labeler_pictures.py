from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from training.evaluation.labeler_pictures import LabelerCurve, labels_of, most_frequent, write_labelers
from training.evaluation.metrics import reliability


def test_the_most_frequent_values_are_those_that_occur_more_than_once() -> None:
    values = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.3, 0.5, 0.5, 0.7, 0.7])
    assert most_frequent(values) == [(0.1, 0.2), (0.5, 0.2), (0.9, 0.3)]
    assert most_frequent(np.array([0.1, 0.2, 0.3])) == []


@pytest.mark.parametrize("seed", range(20))
def test_no_label_lies_on_another_or_outside(seed: int) -> None:
    drawn = np.random.default_rng(seed).choice(101, size=3, replace=False)
    values = sorted(float(value) / 100 for value in drawn)
    labels = labels_of([(value, 0.25) for value in values])
    assert "\n".join(text for _, text, _ in labels).count("25%") == 3
    width, ends = 0.14, []  # of the widest label, as a share of the axis
    for place, _, align in labels:
        low = place - {"left": 0.0, "center": width / 2, "right": width}[align]
        ends.append((low, low + width))
    assert all(high <= low for (_, high), (low, _) in pairwise(ends))
    assert ends[0][0] > -0.03
    assert ends[-1][1] < 1.03


@pytest.mark.parametrize("count", [1, 3])
def test_a_row_a_labeler_and_a_legend_once(tmp_path: Path, count: int) -> None:
    values = np.linspace(0, 1, 40).astype(np.float64)
    bins = reliability(values, values**2)
    curves = [LabelerCurve(f"labeler {i}", values, bins, bins if i else [], 80, 80 * i) for i in range(count)]
    write_labelers(curves, tmp_path / "a.svg")
    text = "".join(ET.parse(tmp_path / "a.svg").getroot().itertext())
    assert text.count("(n = 40)") == count
    assert text.count("as given") == text.count("recalibrated") == (1 if count > 1 else 0)
    assert ("80 judgments, all simulated" in text) == (count > 1)
    assert text.count("no value occurs twice") == count


def test_long_names_are_whole_and_who_has_no_values_has_a_row_of_text(tmp_path: Path) -> None:
    name = "a-labeler-of-which-the-name-says-the-model-the-prompt-and-the-temperature-too"
    figures = [("refused", "100.0%"), ("paid in all", "1.20")]
    nothing = LabelerCurve(name, np.array([]), [], [], 0, 0, figures, "nothing")
    values = np.linspace(0, 1, 40).astype(np.float64)
    some = LabelerCurve("b", values, [], [], 0, 0, [(f"figure {i}", f"{i}.25") for i in range(10)])
    write_labelers([nothing, some], tmp_path / "a.svg")
    root = ET.parse(tmp_path / "a.svg").getroot()
    text = "".join(part.strip() for part in root.itertext())
    assert all(part in text for part in (name, "nothing", "100.0%", "paid in all", "figure 9", "9.25"))
    write_labelers([some, some], tmp_path / "b.svg")
    assert height(root) < height(ET.parse(tmp_path / "b.svg").getroot())


def height(root: ET.Element) -> float:
    """Of a picture, in points."""
    return float(root.attrib["height"].removesuffix("pt"))
