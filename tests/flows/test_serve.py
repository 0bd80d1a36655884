"""`odds serve` with a real estimator, asked over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from flows.terminal.stopping import LINE
from tests.fixtures.estimator import Base, in_use
from tests.flows.test_score import CALIBRATION
from tests.training.test_estimator import LEVELS, estimator
from training import Estimator

TOKEN = "a token"
Pair = tuple[str, str]
ROWS = [(f"The lamp of room {n} is on{', bright' * (n % 3)}.", f"Room {n % 4} is lit.") for n in range(60)]
TOO_LONG = ("The lamp is on.", "word " * 300)
LONG = "The lamp is on. " * 100


@pytest.fixture(scope="module")
def subject(tiny_base: Base) -> Estimator:
    """An estimator that nobody fitted, whose answers differ."""
    return replace(estimator(tiny_base, disturb=True), calibration=CALIBRATION)


@pytest.fixture(scope="module")
def config(subject: Estimator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings with an estimator in the warehouse."""
    folder = tmp_path_factory.mktemp("estimator")
    subject.save(folder)
    return in_use(tmp_path_factory.mktemp("served") / "home", folder)


@pytest.fixture(scope="module")
def client(config: Path) -> Iterator[httpx.Client]:
    """A client of a running server. At the end, the server must end in one line and have told no text."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "--config", str(config), "serve", "--model", "m", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"ODDS_SERVE_TOKEN": TOKEN},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving m1 at http://127.0.0.1:"), line or process.communicate()
        address = line.removeprefix("serving m1 at ").partition(";")[0]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=60) as asking:
            yield asking
            process.send_signal(signal.SIGTERM)
            printed, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert printed == ""
    assert [each for each in said.splitlines() if not each.startswith("  serve: loading")] == [f"odds: {LINE}"]
    assert process.returncode == 128 + signal.SIGTERM


def body(pairs: list[Pair]) -> dict[str, Any]:
    return {"propositions": [{"premise": premise, "hypothesis": hypothesis} for premise, hypothesis in pairs]}


def answers(client: httpx.Client, pairs: list[Pair]) -> list[dict[str, Any]]:
    answer = client.post("/score", json=body(pairs)).raise_for_status().json()
    assert {name: answer[name] for name in answer if name != "scores"} == {"model": "m1", "intervals": CALIBRATION.told}
    return list(answer["scores"])


@pytest.mark.slow
def test_scores_are_those_of_the_estimator_and_what_is_too_long_has_a_reason(
    client: httpx.Client, subject: Estimator
) -> None:
    found = answers(client, [*ROWS[:3], TOO_LONG, *ROWS[3:]])
    missing = found.pop(3)
    assert missing.pop("reason") == "question too long: the hypothesis leaves no room for a premise in 256 tokens"
    assert missing.keys() == found[0].keys()
    assert set(missing.values()) == {None}
    expected = subject.score(ROWS)
    wanted = {"score": expected.scores, "sd": expected.sd, "low": expected.low, "high": expected.high}
    for name, values in (wanted | expected.quantiles | {"level_probabilities": expected.level_probabilities}).items():
        assert np.array([each[name] for each in found]) == pytest.approx(values, abs=1e-4), name
    assert len({round(each["score"], 5) for each in found}) > LEVELS
    assert not any(each["premise_cut"] for each in found)
    assert [each["premise_cut"] for each in answers(client, [(LONG, "It rains."), ROWS[0]])] == [True, False]
    assert answers(client, []) == []
    assert answers(client, [TOO_LONG])[0]["score"] is None


def test_clients_at_once_get_their_own_answers(client: httpx.Client, subject: Estimator) -> None:
    parts = [ROWS[start::20] for start in range(20)]
    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda part: answers(client, part), parts))
    for part, each in zip(parts, found, strict=True):
        assert [one["score"] for one in each] == pytest.approx(subject.score(part).scores.tolist(), abs=1e-5)


def test_health_is_answered_while_it_scores(client: httpx.Client) -> None:
    many = [(f"{premise} Day {day}.", hypothesis) for day in range(16) for premise, hypothesis in ROWS]
    with ThreadPoolExecutor(1) as threads:
        request = threads.submit(answers, client, many)
        seen, slowest = 0, 0.0
        while not request.done():
            began = time.monotonic()
            health = httpx.get(client.base_url.join("/health"), trust_env=False).json()
            slowest = max(slowest, time.monotonic() - began)
            seen += health["waiting"] > 0
            time.sleep(0.02)
    assert len(request.result()) == len(many)
    assert seen > 0
    assert slowest < 2.0


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer another"}])
def test_a_client_without_the_token_gets_no_score(client: httpx.Client, headers: dict[str, str]) -> None:
    address = client.base_url.join("/score")
    answer = httpx.post(address, json=body(ROWS[:1]), headers=headers, trust_env=False)
    assert (answer.status_code, set(answer.json())) == (401, {"error"})
