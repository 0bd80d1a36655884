"""The Python API: every command is a function, and docs/api.md lists every public name."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import typer

from flows import api
from flows.cli.app import app
from tests.flows.test_cli import commands

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
MODULES = ("flows.api", "training", "warehouse", "warehouse.consensus", "warehouse.agreement", "warehouse.records")


def test_every_command_is_a_documented_function_of_the_same_name() -> None:
    for command in commands(typer.main.get_command(app)):
        name = command.removeprefix("odds ").replace(" ", "_")
        assert name in api.__all__, f"{command} has no function in flows.api"
        function = getattr(api, name)
        assert inspect.getdoc(function)
        taken = inspect.signature(getattr(function, "fn", function)).parameters
        assert "config" in taken or name in ("init", "demo")


@pytest.mark.parametrize("module", MODULES)
def test_the_page_has_a_line_for_every_public_name(module: str) -> None:
    section = PAGE.read_text(encoding="utf-8").split(f": `{module}`\n")[1].split("\n## ")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert set(listed) == set(importlib.import_module(module).__all__)


@pytest.mark.slow
def test_functions_take_plain_arguments_and_return_data(tmp_path: Path) -> None:
    config = api.init(tmp_path)
    file = tmp_path / "propositions.jsonl"
    file.write_text('{"premise": "It rains.", "hypothesis": "The street is wet."}\n')
    assert api.import_propositions(str(file), config=str(config)).counts["new propositions"] == 1
    (row,) = api.sql("SELECT * FROM propositions", config=config).to_pylist()
    assert row["hypothesis"] == "The street is wet."
    settings = api.load_settings(config)
    newest, *_ = api.snapshots(config=settings)
    assert api.sql("SELECT 1 AS one", at=str(newest.number), config=settings)["one"].to_pylist() == [1]
    assert api.export("propositions", str(tmp_path / "rows.csv"), config=settings).rows == 1
    assert {"propositions", "judgments"} <= {table.name for table in api.tables(config=settings)}
    assert api.trace(row["proposition_id"], config=settings).subject.kind == "proposition"
    assert api.status(config=settings)["dataset"] is None
    assert api.attach("python", config=settings).lines["python"].startswith("import duckdb")
    assert all(finding.fine for finding in api.doctor(config=settings) if finding.what == "packages of Odds")
    assert api.maintain(settings, dry_run=True).stage == "maintain"
    assert (api.labelers(config=settings), api.studio_stop(config=settings)) == ([], False)
