from __future__ import annotations

import re

import pytest

from flows.progress import lines, request_lines
from synthesis.progress import Progress as Asked
from tests.fixtures.terminal import lines_of, on_a_terminal


def test_lines_come_every_few_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter([0.0, 1.0, 4.0, 6.0, 7.0, 8.0])
    tick = lines("elicit", clock=lambda: next(moments))
    for done in (10, 40, 60, 70, 80):
        tick(done, 80)
    assert capsys.readouterr().err.splitlines() == [
        "  elicit: 60 of 80 after 6 s, 2 s left",
        "  elicit: 80 of 80 after 8 s",
    ]


def test_lines_about_requests_say_rate_failures_cost_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter([0.0, 1.0, 10.0, 20.0])
    show = request_lines("elicit", 1000, clock=lambda: next(moments))
    show(Asked(done=10, answered=10))
    show(Asked(done=200, answered=195, refused=25, failed=30, cost=0.0042))
    show(Asked(done=1000, answered=925, failed=75, cost=1234.5, handed_in=400, came_back=120))
    assert capsys.readouterr().err.splitlines() == [
        "  elicit: 200 of 1,000 after 10 s, 25 requests/s, 25 refused, 30 failed, cost 0.0042, 40 s left",
        "  elicit: 1,000 of 1,000 after 20 s, 50 requests/s, 75 failed, 120 of 400 back from batches, cost 1,234.50",
    ]


SHOW_A_BAR = """
import time
from flows.progress import note, request_progress
from synthesis.progress import Progress
with request_progress("propose", 1_000_000) as show:
    for done in (1, 250_000):
        time.sleep(0.3)
        show(Progress(done=done, answered=done, refused=12_345, failed=678, cost=1234.5))
    note("a word in between")
    time.sleep(0.3)
"""


def test_the_bar_fits_into_eighty_columns_and_leaves_nothing_behind() -> None:
    written = on_a_terminal(SHOW_A_BAR)
    frames = lines_of(written)
    assert max(map(len, frames)) <= 80
    bars = [line for line in frames if line.startswith("propose ") and "250,000" in line]
    assert re.fullmatch(r"propose   [━╸╺]{20} 250,000 of 1,000,000 \d:\d\d:\d\d left [-\d]+:[-\d]+:[-\d]+", bars[-1])
    below = re.compile(r" {10}[\d,]+ requests/s, 12,345 refused, 678 failed, cost 1,234.50")
    assert any(map(below.fullmatch, frames))
    assert "  a word in between" in frames
    assert written.endswith("\x1b[1A\x1b[2K"), "the bar is wiped away"
