from __future__ import annotations

import importlib
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from prefect import Flow
from prefect._internal.analytics.ci_detection import CI_ENV_VARS
from rich.console import Console
from typer.testing import CliRunner

from flows.__main__ import main
from flows.cli import app as cli
from flows.cycle import announced, cycle, llm_stages
from flows.research.query import shown
from flows.settings.settings import Settings, load_settings
from flows.stages.outcome import Outcome
from flows.terminal import console, stopping
from tests.fixtures.terminal import on_a_terminal
from warehouse.errors import InputError, OddsError, ServiceError

ROOT = Path(__file__).parents[2]


def commands(group: object, prefix: str = "odds") -> Iterator[str]:
    """Every command that a person can give, such as `odds import premises`."""
    for name, command in getattr(group, "commands", {}).items():
        if getattr(command, "commands", None):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}"


def test_every_command_has_a_help_and_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    found = list(commands(typer.main.get_command(cli.app)))
    assert len(found) >= 20
    assert [name for name in found if f"`{name}" not in readme] == []


def test_every_deployment_names_a_flow() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert {"nightly", "hourly", "weekly", "on-demand"} == {each["name"] for each in deployments}
    for each in deployments:
        module, _, name = each["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        assert isinstance(flow, Flow)
        assert flow.timeout_seconds
        known = flow.parameters.properties
        assert [choice.get("format", choice["type"]) for choice in known["config"]["anyOf"]] == ["path", "null"]
        assert [parameter for parameter, schema in known.items() if "description" not in schema] == []
        given = each.get("parameters", {})
        assert set(given) <= set(known)
        if "max_cost" in known:
            assert 0 < given["max_cost"] < 100, f"{each['entrypoint']} has no limit"


def test_the_stages_of_a_cycle_share_one_limit_of_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[float | None, bool]] = {}
    settings = Settings(root=tmp_path)

    def stub(stage: str, cost: float, error: OddsError | None = None) -> None:
        def run(config: Settings, max_cost: float | None = None, batch: bool = False) -> Outcome:
            assert config is settings
            given[stage] = (max_cost, batch)
            if error is not None:
                error.spent = cost
                raise error
            return Outcome(stage=stage, counts={}, cost=cost)

        monkeypatch.setattr(f"flows.cycle.{stage}", run)

    for stage, cost in (("propose", 0.5), ("elicit", 1.5 + 1e-15), ("judge", 0.0)):
        stub(stage, cost)
    announced(*llm_stages(settings, 2.0, batch=True))
    assert given == {"propose": (2.0, True), "elicit": (1.5, True), "judge": (0.0, True)}
    announced(*llm_stages(settings))
    assert given["judge"] == (None, False)
    for spent, left in ((0.5, 1.5), (math.inf, 0.0)):
        stub("propose", spent, ServiceError("the proposer does not answer"))
        with pytest.raises(ServiceError, match="the proposer"):
            announced(*llm_stages(settings, 2.0))
        assert given["elicit"] == (left, False), "what a stage spent before it failed counts as well"


@pytest.mark.parametrize(
    ("fails", "left_out"),
    [
        ("propose", ()),
        ("elicit", ("judge",)),
        ("judge", ()),
        ("push", ()),
        ("simulate", ()),
        ("pull", ()),
        ("recalibrate", ()),
        ("agree", ("publish", "train", "evaluate")),
        ("publish", ("train", "evaluate")),
    ],
)
def test_only_the_stages_that_need_a_failed_one_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, left_out: tuple[str, ...]
) -> None:
    asking, judging = ("propose", "elicit", "judge"), ("push", "simulate", "pull")
    stages = (*asking, *judging, "recalibrate", "agree", "publish", "train", "evaluate")
    ran: list[str] = []

    def stub(stage: str) -> None:
        def run(config: Settings, **_: object) -> Outcome:
            ran.append(stage)
            if stage == fails:
                raise ServiceError(f"{stage} fails")
            return Outcome(stage=stage, counts={})

        monkeypatch.setattr(f"flows.cycle.{stage}", run)

    for each in stages:
        stub(each)
    monkeypatch.setattr("flows.cycle.judged_splits", lambda _: {"train": 1, "dev": 1, "test": 1})
    (tmp_path / "odds.toml").write_text("[annotation]\nsimulated_annotators = 1\n")
    with pytest.raises(ServiceError, match=f"^{fails} fails$"):
        cycle(load_settings(tmp_path / "odds.toml"))
    assert ran == [each for each in stages if each not in left_out]


def test_a_stage_that_fails_does_not_keep_the_others_from_running(capsys: pytest.CaptureFixture[str]) -> None:
    def group(*stages: Outcome | Exception) -> Iterator[Outcome]:
        for each in stages:
            if isinstance(each, Exception):
                raise each
            yield each

    ran = [Outcome(stage=name, counts={}) for name in ("propose", "pull", "agree")]
    gone, refused = ServiceError("Label Studio does not answer"), InputError("no token")
    gone.__cause__ = reason = ConnectionError()
    done = announced(group(ran[0]), group(ran[1], ran[2]))
    assert [each.model_copy(update={"seconds": 0.0}) for each in done] == ran
    with pytest.raises(ServiceError, match=r"^Label Studio does not answer$"):
        announced(group(ran[0], gone, ran[0]), group(gone), group(ran[1], ran[2]))
    assert gone.__cause__ is reason
    printed = capsys.readouterr()
    assert [line.partition(":")[0] for line in printed.out.splitlines()] == ["propose", "pull", "agree"] * 2
    assert printed.err.count("failed: Label Studio does not answer") == 2
    with pytest.raises(InputError, match=r"^no token; Label Studio does not answer$"):
        announced(group(refused), group(gone))
    with pytest.raises(ValueError, match="a defect"):  # nobody knows what it left
        announced(group(ValueError("a defect")), group(ran[1]))


def test_a_cycle_reads_its_settings_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "odds.toml"
    config.write_text("[publish]\nname = 'before'\n")
    settings = load_settings(config)
    config.write_text("[publish]\nname = 'after'\n")
    given: list[object] = []

    def run(config: Settings, **_: object) -> Outcome:
        given.append(config)
        return Outcome(stage="a stage", counts={})

    for each in ("propose", "elicit", "judge", "push", "simulate", "pull", "recalibrate", "agree"):
        monkeypatch.setattr(f"flows.cycle.{each}", run)
    monkeypatch.setattr("flows.cycle.judged_splits", lambda _: {})
    cycle(settings)
    assert len(given) == 7  # nobody is simulated, and nothing is judged yet
    assert all(each is settings for each in given)
    assert load_settings(str(config)).publish.name == "after"


def test_the_command_hands_the_limit_of_the_cycle_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr("flows.cycle.cycle", lambda **arguments: given.update(arguments))
    monkeypatch.setattr("flows.cli.stages.quiet_prefect", lambda: None)
    monkeypatch.setattr(console.Chosen, "config", None)
    (tmp_path / "odds.toml").write_text("")
    command = ["--config", str(tmp_path / "odds.toml"), "cycle", "--max-cost", "2.5", "--batch"]
    done = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert given["config"] == load_settings(tmp_path / "odds.toml")
    assert given == {"config": given["config"], "max_cost": 2.5, "batch": True}


@pytest.mark.parametrize(("own", "printed"), [({}, False), ({"DO_NOT_TRACK": "0"}, True)])
def test_the_first_run_prints_no_notice_of_prefect_unless_asked_for(
    tmp_path: Path, own: dict[str, str], printed: bool
) -> None:
    code = "from flows.terminal.console import quiet_prefect\nquiet_prefect()\nimport prefect\n"
    # Its analytics have nobody to talk to: the proxy that they would go through does not exist.
    home = {"PREFECT_HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    written = on_a_terminal(code, home | own, without=("DO_NOT_TRACK", *CI_ENV_VARS))
    assert ("anonymous usage data" in written) is printed


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("file.csv, row 2:\n no rating"), 2),
        (ServiceError("nobody answers"), 1),
        (ValueError("a defect"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_is_one_line(
    error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(stopping, "install", lambda: None)
    monkeypatch.setattr(stopping, "leave", lambda: None)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == status
    assert re.fullmatch(r"odds: [^\n]+\n", capsys.readouterr().err)


def test_an_outcome_is_one_line() -> None:
    outcome = Outcome(stage="push", counts={"new tasks": 1234, "found there": 0}, note="project 3")
    assert outcome.line() == "push: 1,234 new tasks, 0 found there (project 3)"
    paid = Outcome(stage="elicit", counts={"requests": 9}, cost=12345.678, stopped="interrupted")
    assert paid.line() == "elicit: 9 requests (cost 12,345.68, stopped early: interrupted)"


def test_values_as_a_person_reads_them() -> None:
    assert [shown(value) for value in (None, 0.123456, 3, "a", [0.5] * 8)] == [
        "",
        "0.1235",
        "3",
        "a",
        "[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, …]",
    ]


def test_the_console_writes_results_to_the_standard_output() -> None:
    assert isinstance(console.out, Console)
    assert not console.out.stderr


def test_a_package_that_hides_one_of_odds_is_named(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").touch()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-c", "from flows.__main__ import main; main()", "status"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"the package training is found at {tmp_path / 'training'}, not at {ROOT / 'training'}" in done.stderr
