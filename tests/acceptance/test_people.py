"""The demo with people: it stops at the annotation step, and goes on when somebody has judged.

The person is the test, judging through the same API that the page uses.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from annotation.studio.client import Studio
from tests.fixtures.commands import ODDS
from tests.fixtures.estimator import Base
from tests.fixtures.studio import StudioServer
from warehouse import open_warehouse

ENOUGH = 24
PROJECT = "People"
SETTINGS = """
[annotation]
url = "{studio}"
project = "{project}"

[agreement]
draws = 100

[[endpoints]]
name = "embedded"
base_url = "{llm}"
timeout_s = 180

[proposer]
name = "short"
endpoint = "embedded"
model = "SmolLM2-135M-Instruct"
targets = [0.5]
per_target = 1
max_tokens = 64

[[labelers]]
name = "token"
endpoint = "embedded"
model = "SmolLM2-135M-Instruct"
prompt = "token"
method = "token"
max_tokens = 1

[training]
base = "{base}"
epochs = 1
precision = "fp32"
"""


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_the_demo_waits_for_people(
    tmp_path: Path, studio_server: StudioServer, studio: Studio, tiny_base: Base, llm_url: str
) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "odds.toml").write_text(
        SETTINGS.format(studio=studio_server.url, project=PROJECT, llm=llm_url, base=tiny_base.path)
    )
    environment = os.environ | {
        "LABEL_STUDIO_TOKEN": studio_server.token,
    }
    command = [str(ODDS), "demo", "--folder", str(folder), "--wait-for-people", "--enough", str(ENOUGH)]
    log = tmp_path / "demo.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        wait_until(lambda: "Please judge now" in log.read_text(), process, log)
        assert "publish:" not in log.read_text()
        assert judge_everything(studio) > ENOUGH
        assert process.wait(timeout=600) == 0, log.read_text()
    finally:
        process.kill()
    said = log.read_text()
    assert "Traceback" not in said
    assert "simulated annotators" not in said
    with open_warehouse(folder / ".odds/warehouse/catalog.sqlite") as warehouse:
        kinds = warehouse.sql("SELECT DISTINCT annotator_kind AS kind FROM valid_judgments")["kind"].to_pylist()
        (dataset,) = warehouse.sql("SELECT n_judgments, n_simulated FROM datasets").to_pylist()
    assert kinds == ["human"]
    assert dataset["n_judgments"] >= ENOUGH
    assert dataset["n_simulated"] == 0
    (report,) = (folder / ".odds/reports").glob("*.html")
    assert "Simulated annotators" not in report.read_text()


def wait_until(done: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)


def judge_everything(studio: Studio) -> int:
    """Move the slider of every task to a place of its own, and submit; gives how many tasks there were."""
    (project,) = studio.projects_called(PROJECT)
    tasks = list(studio.tasks(project))
    for number, task in enumerate(tasks):
        rating = {"number": round(100 * number / len(tasks), 1)}
        result = {"from_name": "probability", "to_name": "hypothesis", "type": "number", "value": rating}
        studio.annotate(task.id, [result], unique_id=str(uuid.uuid4()), lead_time_s=2.0)
    return len(tasks)
