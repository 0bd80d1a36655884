from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from training.evaluation.people_pictures import People, stacked, write_people


def test_judgments_close_to_one_another_are_stacked() -> None:
    assert stacked([0.0, 0.01, 0.5, 1.0, 1.0]) == [(0.0, 1), (0.0, 2), (0.5, 1), (1.0, 1), (1.0, 2)]


@pytest.mark.parametrize("count", [1, 4])
def test_each_proposition_has_a_panel_with_its_texts_and_a_dot_per_judgment(tmp_path: Path, count: int) -> None:
    shown = [
        People(
            [0.1, 0.2, 0.9],
            [False, False, i == 1],
            "It costs $5 or $6.",
            f"It is cheap, case {i}.",
            "camps",
            0.4,
            1 / 3,
        )
        for i in range(count)
    ]
    write_people(shown, tmp_path / "people.svg")
    text = "".join(ET.parse(tmp_path / "people.svg").getroot().itertext())
    assert text.count("It is cheap") == text.count("It costs $5 or $6.") == count
    assert text.count("3 judgments") == count
    assert text.count("1 simulated") == (count > 1)
    drawing = (tmp_path / "people.svg").read_text()
    assert drawing.count("fill: #b4541a") >= count - 1  # the upper group, without the hollow dot of the simulated one
    assert "fill: #1f5fae" in drawing
