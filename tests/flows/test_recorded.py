"""Stages as flows of a real Prefect server: a sub-flow gets the settings of its parent, and the server never does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import httpx, os
from flows.settings import Settings, load_settings
from flows.settings.settings import Config
from flows.outcome import Outcome
from flows.stage import stage

@stage("child")
def child(config: Config = None, full: bool = False) -> Outcome:
    return Outcome(stage=load_settings(config).publish.name, counts={})

@stage("parent")
def parent(config: Config = None) -> list[Outcome]:
    settings = load_settings(config)
    open("odds.toml", "w").write("[publish]\\nname = 'later'\\n")
    return [child(settings, full=True), child(config)]

print(*(outcome.stage for outcome in parent("odds.toml")))
runs = httpx.post(os.environ["PREFECT_API_URL"] + "/flow_runs/filter", json={}).json()
print(*sorted(str(run["parameters"]) for run in runs), sep="\\n")
"""


@pytest.mark.slow
def test_a_sub_flow_gets_the_settings_that_its_parent_read(tmp_path: Path, prefect_api: str) -> None:
    (tmp_path / "odds.toml").write_text("[publish]\nname = 'now'\n")
    environment = os.environ | {
        "PREFECT_API_URL": prefect_api,
        "PREFECT_HOME": str(tmp_path / ".prefect"),
        "PYTHONPATH": str(ROOT),
        "ODDS_LEDGER": "postgresql://odds:hunter2@127.0.0.1/odds",
    }
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names, *parameters = done.stdout.splitlines()
    assert names == "now later"
    assert "{'config': 'odds.toml'}" in parameters
    assert "{'config': None, 'full': True}" in parameters
    assert "hunter2" not in done.stdout + done.stderr
