from __future__ import annotations

import time

import pytest

from flows.terminal.activity import Activity, activity, duration
from flows.train import watch_of
from tests.fixtures.terminal import lines_of, on_a_terminal
from training.fit.watch import FitProgress


class Clock:
    """Time that passes when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(clock: Clock) -> tuple[Activity, list[str]]:
    lines: list[str] = []
    return Activity("train", clock, lines.append), lines


def test_what_begins_is_said_at_once_and_again_every_five_seconds() -> None:
    clock = Clock()
    stage, lines = shown(clock)
    stage.doing("loading the base model")
    for tenth in range(125):
        clock.now = tenth / 10
        stage.remind()
    assert lines == [
        "train: loading the base model",
        "train: loading the base model, for 5 s",
        "train: loading the base model, for 10 s",
    ]


def test_what_says_nothing_of_itself_is_shown_after_two_seconds_and_then_every_five() -> None:
    clock = Clock()
    stage, lines = shown(clock)
    for tenth in range(125):
        clock.now = tenth / 10
        stage.remind()
    assert lines == ["train, for 2 s", "train, for 7 s", "train, for 12 s"]


def test_of_two_the_inner_one_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.terminal.activity.SECONDS_BETWEEN_LINES", 0.6)
    monkeypatch.setattr("flows.terminal.activity.FIRST_AFTER_S", 0.6)
    with activity("outer"), activity("inner"):
        time.sleep(1.3)
    said = capsys.readouterr().err.splitlines()
    assert said
    assert all(line.startswith("  inner") for line in said)


def test_each_slow_step_is_said_when_it_ends_and_the_time_left_runs_on() -> None:
    clock = Clock()
    stage, lines = shown(clock)
    for clock.now, done in ((19.0, 1), (38.0, 2)):
        stage.at(done, 20, unit="step", detail="loss 2.1000", left_s=19.0 * (20 - done))
    clock.now = 43.0
    stage.remind()
    assert lines == [
        "train: step 1 of 20, loss 2.1000, about 6 min left",
        "train: step 2 of 20, loss 2.1000, about 6 min left",
        "train: step 2 of 20, loss 2.1000, for 5 s, about 6 min left",
    ]


def test_quick_steps_are_said_every_five_seconds() -> None:
    clock = Clock()
    stage, lines = shown(clock)
    for tenth in range(1, 121):
        clock.now = tenth / 10
        stage.at(tenth, 120)
    assert lines == [
        "train: 1 of 120, about 12 s left",
        "train: 51 of 120, about 7 s left",
        "train: 101 of 120, about 2 s left",
    ]


def test_a_log_is_reminded_while_nothing_comes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.terminal.activity.SECONDS_BETWEEN_LINES", 0.6)
    with activity("score") as stage:
        stage.doing("loading the estimator")
        time.sleep(1.3)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "  score: loading the estimator"
    assert len(said) >= 2


@pytest.mark.parametrize(("rate", "read"), [(0.417, "0.42"), (3.68, "3.7"), (1250.4, "1,250")])
def test_a_fit_shows_its_loss_its_rate_and_the_time_left(rate: float, read: str) -> None:
    clock = Clock()
    stage, lines = shown(clock)
    watch_of(stage).step(FitProgress(12, 300, 1, 0.4321, None, 60.0, 300.0, rate))
    assert lines == [f"train: step 12 of 300, epoch 1, loss 0.4321, {read} examples/s, about 5 min left"]


def test_a_terminal_shows_it_and_is_left_clean() -> None:
    code = """
import time
from flows.terminal.activity import activity
with activity("train") as shown:
    shown.doing("loading [the] base model")
    time.sleep(0.5)
    shown.at(3, 20, unit="step", detail="loss 2.3100", left_s=300.0)
    time.sleep(0.5)
"""
    printed = "\n".join(lines_of(on_a_terminal(code)))
    assert "train: loading [the] base model" in printed
    assert "train: step 3 of 20, loss 2.3100, about 5 min left" in printed


@pytest.mark.parametrize(
    ("seconds", "read"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5_900, "98 min"), (7_800, "2 h 10 min")]
)
def test_durations(seconds: float, read: str) -> None:
    assert duration(seconds) == read


def test_the_time_left_of_an_evaluation_is_not_judged_by_what_came_before_it() -> None:
    clock = Clock()
    stage, lines = shown(clock)
    watch = watch_of(stage)
    for start in (1000.0, 3000.0):
        for done in (100, 200, 300):
            clock.now = start + done / 10
            watch.dev(done, 300)
    assert (
        lines
        == [
            "train: evaluating on dev: 200 of 300, about 10 s left",
            "train: evaluating on dev: 300 of 300",
        ]
        * 2
    )
