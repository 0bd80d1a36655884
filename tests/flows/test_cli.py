from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from prefect import Flow
from rich.console import Console

from flows import cli, console
from flows.outcome import Outcome
from flows.query import shown
from warehouse.errors import InputError, ServiceError

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
        path, _, name = each["entrypoint"].partition(":")
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        assert isinstance(getattr(module, name), Flow)
        assert set(each["parameters"]) <= set(getattr(module, name).parameters.properties)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("file.csv, row 2:\n no rating"), 2),
        (ServiceError("nobody answers"), 1),
        (ValueError("a defect"), 1),
        (KeyboardInterrupt(), 130),
        (SystemExit(130), 130),
    ],
)
def test_every_error_is_one_line(
    error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == status
    assert re.fullmatch(r"odds: [^\n]+\n", capsys.readouterr().err)


def test_an_outcome_is_one_line() -> None:
    outcome = Outcome(stage="push", counts={"new tasks": 1234, "found there": 0}, note="project 3")
    assert outcome.line() == "push: 1,234 new tasks, 0 found there (project 3)"


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
