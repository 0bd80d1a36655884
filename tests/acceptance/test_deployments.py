"""The operator's journey: deploy every flow to a Prefect server, and have a worker run one of them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.commands import ODDS, Run, ended_well

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_a_worker_runs_a_deployed_flow(tmp_path: Path, odds: Run, prefect_api: str) -> None:
    rows = [
        {"premise": "It rains.", "hypothesis": "The street is wet.", "annotator": who, "rating": rating}
        for who, rating in (("a", 90), ("b", 80))
    ]
    (tmp_path / "judgments.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "odds.toml").write_text("[agreement]\ndraws = 100\n")
    ended_well(odds("import", "judgments", "judgments.jsonl"))

    environment = os.environ | {"PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(tmp_path / ".prefect")}
    environment["COLUMNS"] = "200"  # Prefect cuts the cells of its tables

    def prefect(*arguments: str, cwd: Path = ROOT, **more: str) -> str:
        command = [str(ODDS.with_name("prefect")), "--no-prompt", *arguments]
        done = subprocess.run(
            command, cwd=cwd, env=environment | more, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    prefect("work-pool", "create", "odds", "--type", "process", "--overwrite")
    prefect("deploy", "--all")
    assert "cycle/nightly" in prefect("deployment", "ls")
    two = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    assert first_scheduled(prefect_api, "nightly") in {two, two + timedelta(days=1)}
    prefect("automation", "create", "--from-file", "zombies.yaml")
    prefect("deployment", "run", "agree/on-demand")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    start = ("worker", "start", "--pool", "odds", "--run-once")
    logged = prefect(*start, cwd=elsewhere, ODDS_CONFIG=str(tmp_path / "odds.toml"), PYTHONPATH=str(ROOT))
    assert "- agree: " in logged
    assert "propositions computed" in logged
    assert "odds-agree" in prefect("artifact", "ls")

    prefect("deployment", "run", "agree/on-demand")
    assert "no settings file: set ODDS_CONFIG" in prefect(*start, cwd=elsewhere, PYTHONPATH=str(ROOT))
    assert not list(elsewhere.iterdir())
    shown = ended_well(odds("sql", "SELECT metric, value FROM agreement WHERE metric = 'within_proposition_sd'"))
    assert "0.0707" in shown  # 0.9 and 0.8 have a sample SD of 0.1 / sqrt(2)


@pytest.mark.long
def test_a_run_that_never_begins_is_crashed(tmp_path: Path, prefect_api: str) -> None:
    """It would keep every later run of its deployment waiting, where one runs at a time."""
    impatient = tmp_path / "zombies.yaml"
    impatient.write_text((ROOT / "zombies.yaml").read_text().replace("within: 600", "within: 10"))
    create = [str(ODDS.with_name("prefect")), "automation", "create", "--from-file", str(impatient)]
    environment = os.environ | {"PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(tmp_path / ".prefect")}
    subprocess.run(create, env=environment, check=True, timeout=120)
    with httpx.Client(base_url=prefect_api, trust_env=False, timeout=30) as client:
        try:
            submitted = {"flow_id": made(client, "/flows/", {"name": "never"}), "state": {"type": "PENDING"}}
            dead, begun = (made(client, "/flow_runs/", submitted) for _ in range(2))
            client.post(f"/flow_runs/{begun}/set_state", json={"state": {"type": "RUNNING"}}).raise_for_status()
            deadline = time.monotonic() + 90
            while (run := client.get(f"/flow_runs/{dead}").json())["state_type"] != "CRASHED":
                assert time.monotonic() < deadline, run
                time.sleep(1)
            assert client.get(f"/flow_runs/{begun}").json()["state_type"] == "RUNNING"
        finally:  # other tests have slow runs on this server
            for each in client.post("/automations/filter", json={}).json():
                client.delete(f"/automations/{each['id']}")


def made(client: httpx.Client, path: str, body: dict[str, Any]) -> str:
    """The id of what the server makes; while its database is busy it answers 503, as Prefect's client knows."""
    deadline = time.monotonic() + 30
    while (answer := client.post(path, json=body)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.5)
    return str(answer.raise_for_status().json()["id"])


def first_scheduled(api: str, deployment: str) -> datetime:
    """When the server will start the first run of a deployment; its scheduler takes a while."""
    wanted = {"deployments": {"name": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
    deadline = time.monotonic() + 90
    while not (runs := httpx.post(f"{api}/flow_runs/filter", json=wanted, trust_env=False).json()):
        assert time.monotonic() < deadline, "the server schedules nothing: see the log that it writes"
        time.sleep(1)
    return datetime.fromisoformat(runs[0]["expected_start_time"])
