"""Stages as flows of a real Prefect server: a sub-flow gets the settings of its parent, and the server never does.

A stage that fails on a worker runs again, except those that asked models, took too long, or ran the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from flows import deployments
from flows.stages.on_prefect import PARAMETERS, reached
from warehouse.errors import ServiceError

ROOT = Path(__file__).parents[2]
SCRIPT = """
import httpx, os
from flows.settings.settings import Settings, load_settings
from flows.settings.settings import Config
from flows.stages.outcome import Outcome
from flows.stages.stage import stage

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

ON_A_WORKER = """
import os, time
from collections import Counter
import httpx
import flows.cycle, flows.stages.on_prefect
from flows.stages.outcome import Outcome
from flows.settings.settings import load_settings
from flows.settings.settings import Config
from flows.stages.stage import stage
from warehouse.errors import ServiceError

os.environ["PREFECT__FLOW_RUN_ID"] = "00000000-0000-4000-8000-000000000000"  # as a worker does
flows.stages.on_prefect.SECONDS_BETWEEN_ATTEMPTS = 0.0
ran, limits = Counter(), []

def failing(name, spent=0.0, attempts=9, **options):
    @stage(name, **options)
    def run(config: Config = None, max_cost: float | None = None, batch: bool = False) -> Outcome:
        ran[name] += 1
        limits.append(max_cost)
        if ran[name] <= attempts:
            error = ServiceError(f"{name} fails")
            error.spent = spent
            raise error
        return Outcome(stage=name, counts={})
    return run

@stage("pull", hours=1 / 3600)
def late(config: Config = None) -> Outcome:
    ran["pull"] += 1
    for _ in range(1000):
        time.sleep(0.02)
    return Outcome(stage="pull", counts={})

@stage("agree")
def agree(config: Config = None) -> Outcome:
    ran["agree"] += 1
    return Outcome(stage="agree", counts={})

flows.cycle.propose = failing("propose", spent=3.0, asks=True)
flows.cycle.elicit = failing("elicit", spent=1.5, asks=True)
flows.cycle.push = failing("push")
flows.cycle.recalibrate = failing("recalibrate", attempts=2)
flows.cycle.pull, flows.cycle.agree = late, agree
flows.cycle.judged_splits = lambda settings: {}
try:
    flows.cycle.cycle(load_settings("odds.toml"), max_cost=5.0)
except ServiceError as error:
    print(error)
print(dict(sorted(ran.items())))
print(limits[:2])
found = httpx.get(os.environ["PREFECT_API_URL"] + "/artifacts/odds-cycle/latest").json()
print(found["data"].strip())
"""


def run_script(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    # A command that another test ran in this process has kept Prefect quiet in the environment.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_LOGGING_")}
    more = {"PREFECT_HOME": str(folder / ".prefect"), "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=folder, env=kept | more, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_cycle_on_a_worker_spends_its_limit_once_and_outlives_a_late_stage(tmp_path: Path, prefect_api: str) -> None:
    (tmp_path / "odds.toml").write_text("")
    done = run_script(ON_A_WORKER, tmp_path, PREFECT_API_URL=prefect_api)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    said = (
        "propose fails; elicit fails; push fails; "
        "pull took longer than 0.000277778 hours; finished work is kept; run it again to continue"
    )
    assert said in lines
    assert "{'agree': 1, 'elicit': 1, 'propose': 1, 'pull': 1, 'push': 3, 'recalibrate': 3}" in lines
    assert "[5.0, 2.0]" in lines, "elicit may spend what propose left"
    assert lines[-1] == f"## cycle: failed: {said}"
    assert f"cycle: failed: {said}" in done.stderr, "the log of the run has it too"
    assert done.stderr.count("push: failed: push fails") == 1
    assert "Traceback" not in done.stderr, "an error that is told in one line is told once"


@pytest.mark.slow
def test_a_sub_flow_gets_the_settings_that_its_parent_read(tmp_path: Path, prefect_api: str) -> None:
    (tmp_path / "odds.toml").write_text("[publish]\nname = 'now'\n")
    secret = {"ODDS_LEDGER": "postgresql://odds:hunter2@127.0.0.1/odds"}
    done = run_script(SCRIPT, tmp_path, PREFECT_API_URL=prefect_api, **secret)
    assert done.returncode == 0, done.stderr
    names, *parameters = done.stdout.splitlines()
    assert names == "now later"
    assert "{'config': 'odds.toml'}" in parameters
    assert "{'config': None, 'full': True}" in parameters
    assert "hunter2" not in done.stdout + done.stderr


def test_a_deployment_shows_our_texts_of_its_parameters() -> None:
    flows = [each for each in vars(deployments).values() if isinstance(each, Flow)]
    assert len(flows) == 15
    for flow in flows:
        # what `prefect deploy` registers, which is not what the flow knows of its parameters
        shown = {name: each.get("description") for name, each in parameter_schema(flow).properties.items()}
        assert shown == {name: PARAMETERS[name] for name in shown}
        assert "Raises:" not in str(flow.description)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_a_proxy_of_any_kind_leaves_loopback_to_one_line(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with (
        pytest.raises(ServiceError, match=r"^The Prefect server at http://127\.0\.0\.1:9/api does not answer"),
        reached(),
    ):
        pass
