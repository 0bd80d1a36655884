from __future__ import annotations

import re

import pytest

from flows.terminal.progress import Lines, ShownRun, rate_of
from synthesis.progress import RunProgress
from tests.fixtures.terminal import lines_of, on_a_terminal


class Clock:
    """Time that passes when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_about_requests_say_rate_failures_cost_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    said = Lines("elicit", ShownRun(1000, clock=clock))
    for clock.now, asked in (
        (1.0, RunProgress(done=10, answered=10)),
        (10.0, RunProgress(done=200, answered=195, refused=25, failed=30, cost=0.0042)),
        (20.0, RunProgress(done=1000, answered=925, failed=75, cost=1234.5, handed_in=400, came_back=120)),
        (30.0, RunProgress(done=1000, answered=925, failed=75, cost=1234.5, handed_in=400, came_back=120)),
    ):
        said.show(asked)
    assert capsys.readouterr().err.splitlines() == [
        "  elicit: 200 of 1,000 after 10 s, 25 requests/s, 25 refused, 30 failed, cost 0.0042, 40 s left",
        "  elicit: 1,000 of 1,000 after 20 s, 50 requests/s, 75 failed, 120 of 400 back from batches, cost 1,234.50",
    ]


def test_while_nothing_comes_lines_say_why_ever_less_often_and_no_rate_of_old(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    said = Lines("elicit", ShownRun(100, lambda: "endpoint e is down", clock))
    clock.now = 5.0
    said.show(RunProgress(done=50, answered=50))
    for second in range(6, 200):
        clock.now = float(second)
        said.say()
    lines = capsys.readouterr().err.splitlines()
    seconds = [int(line.split(" s,")[0].rpartition(" ")[2]) for line in lines]
    assert seconds == [*range(5, 66, 5), 75, 95, 135, 195]
    assert lines[2] == "  elicit: 50 of 100 after 15 s, 3.3 requests/s, 15 s left, endpoint e is down"
    assert lines[-1] == "  elicit: 50 of 100 after 195 s, 0 requests/s, endpoint e is down"


def test_what_batches_hold_is_waited_for() -> None:
    run = ShownRun(10, lambda: None)
    run.show(RunProgress(handed_in=10, came_back=4))
    assert run.state().reason == "waiting for batches"
    run.show(RunProgress(handed_in=10, came_back=10))
    assert run.state().reason == ""


def test_a_rate_is_that_of_the_last_minute_and_in_the_end_that_of_all() -> None:
    clock = Clock()
    run = ShownRun(1300, clock=clock)
    for second in range(1, 201):
        clock.now = float(second)
        run.show(
            RunProgress(done=6 * second, answered=6 * second) if second < 100 else RunProgress(done=600, answered=600)
        )
    assert run.state()[3:5] == (0, None)
    clock.now = 210.0
    run.show(RunProgress(done=610, answered=610))
    state = run.state()
    assert state.rate == pytest.approx(10 / 60, rel=0.02)
    assert state.left == pytest.approx(690 / state.rate, rel=0.02)
    clock.now = 260.0
    run.show(RunProgress(done=1300, answered=1300))
    assert run.state().rate == 5


def test_few_requests_are_said_by_the_minute() -> None:
    assert [rate_of(rate) for rate in (0, 0.05, 2.345, 1234.5)] == [
        "0 requests/s",
        "3.0 requests/min",
        "2.3 requests/s",
        "1,234 requests/s",
    ]


SHOW_A_BAR = """
import time
from flows.terminal.activity import activity
from flows.terminal.console import note
from flows.terminal.progress import request_progress
from synthesis.progress import RunProgress
said = [None]
with activity("starting"), request_progress("propose", 1_000_000, lambda: said[0]) as show:
    for done in (1, 250_000):
        time.sleep(0.3)
        show(RunProgress(done=done, answered=done, refused=12_345, failed=678, cost=1234.5))
    note("a word in between")
    time.sleep(0.3)
    said[0] = "endpoint vendor limits the rate and is asked again in 8 s, and more that does not fit"
    time.sleep(2.5)
"""


def test_the_bar_fits_into_eighty_columns_says_why_it_waits_and_leaves_nothing_behind() -> None:
    written = on_a_terminal(SHOW_A_BAR)
    frames = lines_of(written)
    assert max(map(len, frames)) <= 80
    bars = [line.rstrip() for line in frames if line.startswith("propose ") and "250,000" in line]
    whole = re.compile(r"propose   [━╸╺]{20} 250,000 of 1,000,000 0:00:0(\d) left \d:\d\d:(\d\d)")
    found = [whole.fullmatch(bar) for bar in bars]
    assert all(found), bars
    # Nothing comes any more, and yet time passes and what is left grows.
    assert len({match[1] for match in found if match}) >= 3
    assert len({match[2] for match in found if match}) >= 3
    below = re.compile(r" {10}[\d,]+ requests/s, 12,345 refused, 678 failed, cost 1,234.50 *")
    assert any(map(below.fullmatch, frames))
    assert any("          endpoint vendor limits the rate and is asked again in 8 s" in line for line in frames)
    assert "  a word in between" in frames
    assert sum("starting" in line for line in frames) < 5, "one display at a time, but for a moment at either end"
    assert re.search(r"(\x1b\[1A\x1b\[2K){1,3}$", written), "the bar is wiped away"
