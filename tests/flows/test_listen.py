"""`odds listen` with the webhooks of a real Label Studio."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from annotation.studio.client import Studio
from annotation.studio.webhooks import ACTIONS, register
from flows.listen import listen, secret_of
from flows.push import push
from flows.settings.settings import load_settings
from tests.fixtures.llm_runs import rows, settings_file, value
from tests.fixtures.store import made_rows
from tests.fixtures.studio import StudioServer, rating
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError

SOON_S = 10.0  # on a busy machine


def test_impossible_options_are_refused() -> None:
    with pytest.raises(InputError, match="--url"):
        listen(url="odds.example.org")
    with pytest.raises(InputError, match="--every"):
        listen(every_minutes=0)


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "::"])
def test_webhooks_need_an_address_that_label_studio_can_call(host: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^odds listen: --register needs --url with \S+, such as \S+/webhook: "):
        listen(host=host, port=0, register=True, config=settings_file(tmp_path, ""))


def test_the_secret_is_derived_from_the_token_or_set(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = secret_of(studio)
    assert derived == studio.derived_secret("webhooks")
    monkeypatch.setenv("ODDS_LISTEN_SECRET", " one of ours\n")
    assert secret_of(studio) == "one of ours"


@pytest.mark.slow
def test_a_judgment_in_label_studio_is_in_the_warehouse_within_seconds(
    tmp_path: Path, studio: Studio, studio_server: StudioServer, study_section: str
) -> None:
    config = settings_file(tmp_path, study_section)
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", "a", 0.5)]))
    push(config)
    project = int(value(config, "SELECT number FROM studio_projects"))
    (task,) = studio.tasks(project)

    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "--config", str(config), "listen", "--register", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PREFECT_API_URL": ""},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening for webhooks at http://127.0.0.1:"), line or process.communicate()
        assert line.endswith("/webhook; webhooks created or corrected: 1; Ctrl-C ends it\n")
        url = line.split()[4].rstrip(";")
        metrics = url.replace("webhook", "metrics")

        (hook,) = studio.webhooks(project)
        assert (hook["url"], sorted(hook["actions"]), hook["send_payload"]) == (url, sorted(ACTIONS), False)
        assert register(studio, project, url, hook["headers"]) is False
        assert register(studio, project, url, {"X-Odds-Secret": "wrong"}) is True
        assert register(studio, project, url, hook["headers"]) is True
        assert len(studio.webhooks(project)) == 1

        deadline = time.monotonic() + 60
        while "odds_last_pull_seconds 0" in httpx.get(metrics, trust_env=False).text:  # the pull at the start
            assert time.monotonic() < deadline
            time.sleep(0.1)
        studio.annotate(task.id, rating(40), unique_id=str(uuid4()))
        made = time.monotonic()
        query = "SELECT probability FROM judgments WHERE source = 'label-studio'"
        while not (found := rows(config, query)):
            assert time.monotonic() < made + SOON_S
            time.sleep(0.1)
        assert [row["probability"] for row in found] == [0.4]
        assert "odds_hints_total 1" in httpx.get(metrics, trust_env=False).text.splitlines()

        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "pull: 1 new judgments" in said
    assert studio_server.token not in line + said
