"""`odds disagreement` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.research.disagreement import disagreement
from flows.settings.settings import load_settings
from tests.fixtures.commands import Inside
from tests.fixtures.llm_runs import settings_file
from tests.fixtures.store import made_rows
from tests.warehouse.test_disagreement import KINDS
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError


def test_the_command_lists_and_draws_what_people_disagree_on(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    config, picture = settings_file(tmp_path, ""), tmp_path / "people.svg"
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        rows = [(name, f"a{n}", value) for name, values in KINDS.items() for n, value in enumerate(values)]
        merge_all(warehouse, made_rows(rows))
    status, printed, _ = inside("--config", str(config), "disagreement", "--kind", "camps", "--picture", str(picture))
    assert status == 0
    assert "0.12 (4), 0.90 (4)" in printed
    assert "spread" not in printed
    assert "premise camps" in picture.read_text()
    assert disagreement(limit=3, config=config).num_rows == 3
    with pytest.raises(InputError, match=r"name a \.svg file"):
        disagreement(picture=tmp_path / "people.png", config=config)


def test_without_disagreement_it_says_so(tmp_path: Path) -> None:
    config = settings_file(tmp_path, "")
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", "a", 0.5)]))
    with pytest.raises(InputError, match="no proposition has two judgments"):
        disagreement(config=config)
    with pytest.raises(InputError, match="of the kind camps, which takes five"):
        disagreement("camps", config=config)
