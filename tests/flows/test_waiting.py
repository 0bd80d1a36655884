"""What a log says while a run waits, and why; no model answers here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from flows.elicit import elicit
from tests.fixtures.llm_runs import endpoint, install, labeler, others
from tests.synthesis.faulty_endpoint import answers, fails, faulty

GOOD = answers('{"reasoning": "r", "probability": 0.25}')
HYPOTHESES = [f"The hypothesis is number {number} of them." for number in range(8)]


@pytest.fixture(autouse=True)
def _lines_as_often_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECONDS_BETWEEN_LINES", "LONGEST_BETWEEN_LINES"):
        monkeypatch.setattr(f"flows.terminal.progress.{name}", 0.0)


def test_an_endpoint_that_wants_a_rest_is_named_while_it_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with faulty(*[GOOD] * 4, fails(429, retry_after="3"), GOOD) as server:
        place = endpoint("vendor", server).replace("max_attempts = 1", "max_attempts = 4")
        elicit.fn(install(tmp_path, place, labeler("a", "vendor"), others("vendor"), hypotheses=HYPOTHESES))
    said = capsys.readouterr().err.splitlines()
    resting = [line for line in said if "endpoint vendor limits the rate, next try in" in line]
    assert len(resting) >= 2
    assert len({line.rpartition("after ")[2].partition(" s")[0] for line in resting}) >= 2, "time goes on meanwhile"
    assert "limits the rate" not in said[-1]


@pytest.mark.slow
def test_an_endpoint_that_is_down_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked, up_at = 0, 0.0

    def play(handler: Any) -> None:
        nonlocal asked, up_at
        asked += 1
        up_at = time.monotonic() + 5 if asked == 5 else up_at
        (fails(503) if time.monotonic() < up_at else GOOD)(handler)

    with faulty(play) as server:
        place = endpoint("vendor", server).replace("max_attempts = 1", "max_attempts = 9")
        elicit.fn(install(tmp_path, place, labeler("a", "vendor"), others("vendor"), hypotheses=HYPOTHESES))
    assert "endpoint vendor is down, next try in" in capsys.readouterr().err


def test_a_limit_of_ones_own_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty(GOOD) as server:
        slow = labeler("a", "vendor", more="requests_per_minute = 4")
        config = install(tmp_path, endpoint("vendor", server), slow, others("vendor"), hypotheses=HYPOTHESES[:5])
        monkeypatch.setattr("synthesis.llm.rate.MINUTE_S", 3.0)
        elicit.fn(config)
    assert "a is at its requests_per_minute" in capsys.readouterr().err
