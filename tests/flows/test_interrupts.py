"""What a real `odds elicit` does when it is interrupted, killed, planned or bound in cost; no model answers here."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from prefect.utilities.timeout import timeout

from flows.elicit import elicit, jobs
from flows.llm_runs.dry_run import plan_table
from flows.settings.settings import load_settings
from flows.terminal.signals import ending, stops_on_signals
from synthesis.ledger.ledger import Ledger
from synthesis.llm.client import Caller
from tests.fixtures.commands import ODDS, Run
from tests.fixtures.llm_runs import COST, PRICED, endpoint, install, labeler, others, value
from tests.synthesis.faulty_endpoint import FaultyEndpoint, answers, faulty

SLOW = answers('{"reasoning": "r", "probability": 0.25}', after_s=0.1)
UNDER_WAY = 12
HYPOTHESES = [f"The hypothesis is number {number} of many." for number in range(120)]
ESTIMATES = "SELECT count(*) FROM estimates WHERE probability = 0.25"


def installed(folder: Path, server: FaultyEndpoint, more: str = "") -> Path:
    parts = (endpoint("e", server, more), labeler("a", "e"), others("e"))
    return install(folder, *parts, hypotheses=HYPOTHESES)


def started(config: Path, server: FaultyEndpoint) -> subprocess.Popen[str]:
    """`odds elicit`, under way: some requests are answered, many are still to come."""
    process = subprocess.Popen(
        [str(ODDS), "--config", str(config), "elicit"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while server.requests < UNDER_WAY:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_finishes_and_keeps_what_is_under_way(tmp_path: Path, number: signal.Signals) -> None:
    with faulty(SLOW) as server:
        config = installed(tmp_path, server)
        process = started(config, server)
        process.send_signal(number)
        printed, said = process.communicate(timeout=60)
        assert process.returncode == 128 + number, said
        assert said.strip().splitlines()[-1].startswith("odds: interrupted")
        assert "Traceback" not in said
        sent = server.requests
        assert printed.startswith(f"elicit: {sent} requests, {sent} answered")
        assert printed.endswith("(stopped early: interrupted)\n")
        assert sent < len(HYPOTHESES)
        assert value(config, ESTIMATES) == sent
        elicit.fn(config)
        assert server.requests == len(HYPOTHESES)
    assert value(config, ESTIMATES) == len(HYPOTHESES)


def test_a_run_that_is_interrupted_twice_ends_at_once_in_one_line(tmp_path: Path) -> None:
    quick = answers('{"reasoning": "r", "probability": 0.25}')
    with faulty(*[quick] * 10, answers("0.25", after_s=20)) as server:
        config = installed(tmp_path, server, PRICED)
        process = started(config, server)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
        assert time.monotonic() - began < 15
        assert process.returncode == 130, said
        assert said.strip().splitlines()[-1].startswith("odds: interrupted")
        assert "Traceback" not in said
        assert printed.count("\n") == 1
        # What was on the way may be billed, and nobody will know.
        assert "more may have been billed, stopped early: interrupted" in printed
        # What had not been written when it ended is not counted as though it were there.
        assert value(config, ESTIMATES) == int((re.findall(r"([\d,]+) estimates,", printed) or ["0"])[0])
        elicit.fn(config, max_cost=0.0)
    assert value(config, ESTIMATES) == 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("before", [None, "the next request could exceed the limit of 1"])
def test_a_second_signal_ends_a_run_at_once_though_it_had_stopped_before(
    tmp_path: Path, number: signal.Signals, before: str | None
) -> None:
    presses = 0

    async def run(caller: Caller) -> None:
        nonlocal presses
        if before:
            caller.stop.set(before)
        with stops_on_signals(caller):
            while presses < 4:
                presses += 1
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.05)

    async def ended() -> BaseException | None:
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([], kept) as caller:
                task = asyncio.ensure_future(run(caller))
                (error,) = await asyncio.gather(task, return_exceptions=True)
                assert caller.stop.reason == (before or "interrupted")
                return ending(error, caller)

    assert isinstance(asyncio.run(ended()), KeyboardInterrupt)
    assert presses == 2


def test_a_model_on_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    async def ended() -> BaseException | None:
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([], kept) as caller:
                with stops_on_signals(caller, finishes=False):
                    os.kill(os.getpid(), signal.SIGTERM)
                    (error,) = await asyncio.gather(asyncio.sleep(30), return_exceptions=True)
                return ending(error, caller)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ended())


def test_a_time_limit_of_prefect_is_no_interruption(tmp_path: Path) -> None:
    async def run() -> None:
        while True:
            await asyncio.sleep(0.01)

    def ended() -> None:
        with Ledger.open(tmp_path / "l") as kept, timeout(0.2):
            try:
                asyncio.run(run())
            except BaseException as error:
                raise ending(error, Caller([], kept)) or AssertionError from None

    with pytest.raises(TimeoutError, match="timed out after"):
        ended()


def test_a_killed_run_is_taken_up_where_it_was(tmp_path: Path) -> None:
    with faulty(SLOW) as server:
        config = installed(tmp_path, server, PRICED)
        process = started(config, server)
        process.kill()
        process.communicate()
        outcome = elicit.fn(config)
        # Four were on the way, and as many replies had come but were not kept yet.
        assert len(HYPOTHESES) <= server.requests <= len(HYPOTHESES) + 8
    assert outcome.counts["from the ledger"] >= UNDER_WAY - 8
    assert value(config, ESTIMATES) == len(HYPOTHESES)
    assert value(config, "SELECT sum(cost) FROM labeler_cost") == pytest.approx(len(HYPOTHESES) * COST)


def test_the_cost_stays_below_its_limit_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with faulty(SLOW) as server:
        config = installed(tmp_path, server, PRICED)
        table, _ = plan_table(load_settings(config), jobs, batch=False).renderables
        most_of_one = float(str(next(iter(table.columns[-1].cells)))) / len(HYPOTHESES)  # type: ignore[union-attr]
        limit = 1.1 * most_of_one + 20 * COST
        first = elicit.fn(config, max_cost=limit)
        sent = server.requests
        assert first.stopped
        # One more is sent while the most that it can cost still fits, which it costs only a small part of.
        assert 20 <= sent <= limit / COST
        assert first.cost == pytest.approx(sent * COST)
        assert first.cost <= limit
        assert value(config, ESTIMATES) == sent
        second = elicit.fn(config)
        assert not second.stopped
        assert server.requests == len(HYPOTHESES)


def test_a_plan_sends_nothing_and_bounds_what_the_run_takes(tmp_path: Path) -> None:
    with faulty(SLOW) as server:
        config = installed(tmp_path, server, PRICED)
        settings = load_settings(config)
        table, _ = plan_table(settings, jobs, batch=False).renderables
        assert server.requests == 0
        cells = [list(column.cells) for column in table.columns]  # type: ignore[union-attr]
        assert [str(column[0]) for column in cells[:3]] == ["a", "0", "120"]
        outcome = elicit.fn(config)
        assert outcome.cost <= float(str(cells[-1][0]))
        again, _ = plan_table(settings, jobs, batch=False).renderables
        assert [str(next(iter(column.cells))) for column in again.columns[:3]] == ["a", "0", "0"]  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_run_leaves_an_artifact_with_its_numbers(tmp_path: Path, prefect_api: str, odds: Run) -> None:
    with faulty(answers('{"reasoning": "r", "probability": 0.25}')) as server:
        installed(tmp_path, server, PRICED)
        recorded = {"PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(tmp_path / ".prefect")}
        assert odds("elicit", env=recorded).returncode == 0

    async def artifact() -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            found = await client.get(f"{prefect_api}/artifacts/odds-elicit/latest")
            return str(found.raise_for_status().json()["data"])

    text = asyncio.run(artifact())
    assert "| requests | 120 |" in text
    assert "| answered | 120 |" in text
    assert f"| cost | {120 * COST:.4g} |" in text
