from __future__ import annotations

from pathlib import Path

import pytest

from flows.demo import EXAMPLES, prepare
from flows.settings import load_settings
from warehouse.errors import InputError
from warehouse.files.texts import read_premises, read_propositions


def test_the_demo_settings_differ_from_the_defaults_where_they_say(tmp_path: Path) -> None:
    settings = load_settings(prepare(tmp_path / "demo", simulated=5))
    assert settings.annotation.simulated_annotators == 5
    assert settings.training.epochs == 2
    people = load_settings(prepare(tmp_path / "people", simulated=0))
    assert people.annotation.simulated_annotators == 0


def test_people_and_simulated_annotators_are_never_mixed(tmp_path: Path) -> None:
    path = prepare(tmp_path, simulated=5)
    path.write_text(path.read_text() + "\n# mine\n")
    assert prepare(tmp_path, simulated=5).read_text().endswith("# mine\n"), "the settings of a person were overwritten"
    with pytest.raises(InputError, match="simulated annotators; name another one"):
        prepare(tmp_path, simulated=0)


def test_the_examples_are_there() -> None:
    assert len(read_premises(EXAMPLES / "premises.jsonl")) == 40
    assert read_propositions(EXAMPLES / "propositions.jsonl").propositions.num_rows == 96
