from __future__ import annotations

import json
import re
import sys
import webbrowser
from pathlib import Path

import pytest

from flows import demo
from flows.demo import CHANGED, EXAMPLES, prepare
from flows.settings.settings import load_settings
from flows.settings.template import template_text
from warehouse.errors import InputError
from warehouse.files.texts import read_propositions


def test_the_demo_settings_differ_from_the_defaults_where_they_say(tmp_path: Path) -> None:
    for default in CHANGED:
        assert len(re.findall(rf"(?m)^{re.escape(default)}$|^{re.escape(default)} ", template_text())) == 1, default
    path = prepare(tmp_path / "demo", simulated=5)
    assert path.read_text().count("# set for the demo") == len(CHANGED) + 1
    settings = load_settings(path)
    assert settings.annotation.simulated_annotators == 5
    assert settings.training.max_minutes is not None
    assert settings.endpoints[0].max_in_flight == 1
    people = load_settings(prepare(tmp_path / "people", simulated=0))
    assert people.annotation.simulated_annotators == 0


def test_people_and_simulated_annotators_are_never_mixed(tmp_path: Path) -> None:
    path = prepare(tmp_path, simulated=5)
    path.write_text(path.read_text() + "\n# mine\n")
    assert prepare(tmp_path, simulated=5).read_text().endswith("# mine\n"), "the settings of a person were overwritten"
    with pytest.raises(InputError, match="simulated annotators; use another folder"):
        prepare(tmp_path, simulated=0)


def test_the_examples_of_the_demo_are_short_and_differ_in_probability() -> None:
    """Long texts cost the embedded model seconds each on a slow core."""
    rows = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    premises = {row["premise"] for row in rows}
    assert len(premises) == 10
    assert max(len(premise.split()) for premise in premises) <= 15
    for premise in premises:
        probabilities = [row["probability"] for row in rows if row["premise"] == premise]
        assert max(probabilities) - min(probabilities) > 0.5


def test_every_split_of_the_demo_has_propositions_to_judge(tmp_path: Path) -> None:
    splits = load_settings(prepare(tmp_path, simulated=5)).splits
    propositions = read_propositions(EXAMPLES, split_shares=(splits.train, splits.dev)).propositions
    counts = {each["values"]: each["counts"] for each in propositions["split"].value_counts().to_pylist()}
    assert counts == {"train": 15, "dev": 6, "test": 9}
    assert None not in propositions["target_probability"].to_pylist()


def test_a_report_is_opened_where_there_is_a_display_and_else_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert "no browser" in demo._opened(tmp_path / "report.html")
    assert not opened
    monkeypatch.setenv("DISPLAY", ":0")
    assert "open in your browser" in demo._opened(tmp_path / "report.html")
    assert opened == [(tmp_path / "report.html").as_uri()]
