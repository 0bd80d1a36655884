from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from flows.__main__ import main
from flows.research.trace import as_values, print_trace
from flows.terminal.console import Chosen
from tests.fixtures.store import made_proposition
from tests.fixtures.traced import Traced, change, fill, ident
from warehouse import open_warehouse
from warehouse.catalog.store import merge
from warehouse.lineage.trace import trace


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traced")


@pytest.fixture(scope="module")
def traced(home: Path) -> Traced:
    """A filled warehouse where the command line finds it, its consensus changed after it was published."""
    (home / "odds.toml").write_text("")
    with open_warehouse(home / ".odds" / "warehouse" / "catalog.sqlite", read_only=False) as warehouse:
        filled = fill(warehouse, home)
        change(warehouse)
    return filled


def lines(home: Path, what: str, width: int, limit: int = 10) -> list[str]:
    """The trace as a terminal of that width shows it, without colours."""
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    with open_warehouse(home / ".odds" / "warehouse" / "catalog.sqlite") as warehouse:
        print_trace(trace(warehouse, what, "both", limit), console)
    return text.getvalue().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 100, 160])
def test_a_line_a_node_within_the_width(home: Path, traced: Traced, width: int) -> None:
    shown = lines(home, traced.score, width)
    assert max(len(line) for line in shown) <= width
    # Every line but the first begins with the guides of the tree: nothing wraps.
    assert all(line.startswith(("├", "│", "└")) for line in shown[1:])
    assert len(shown) == len(lines(home, traced.score, 1000))


def test_the_tree_reads_from_the_score_to_the_judgments(home: Path, traced: Traced) -> None:
    shown = lines(home, traced.score, 200)
    assert shown[0] == f"score {traced.score[:12]} simulated 0.310 for proposition {traced.proposition[:12]}"
    wanted = [
        "given by: model", "trained on: dataset", "holds it in: shard", "consensus", "judgments (3)",
        "0.200 by anna (human)", "estimates, not pooled (2)", "request", "about: proposition", "premise",
    ]  # fmt: skip
    text = "\n".join(shown)
    places = [text.index(each) for each in wanted]
    assert {*wanted[:5]} <= {each for each in wanted if each in text}
    assert places[:5] == sorted(places[:5])
    simulated = [line for line in shown if "by sim (simulated)" in line]
    assert len(simulated) == 1
    assert " simulated 0.900 by sim" in simulated[0]
    assert not [line for line in shown if "by anna" in line and " simulated 0" in line]
    (consensus,) = [line for line in shown if "as of snapshot" in line]
    assert ", now 0." in consensus
    assert shown[-1] == "└── used by: nothing"


def test_what_is_left_out_is_counted(home: Path, traced: Traced) -> None:
    shown = lines(home, traced.score, 120, limit=1)
    assert [line.strip("│ ") for line in shown if "more" in line] == ["└── ... and 2 more", "└── ... and 1 more"]


def run(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: str) -> int:
    """The exit status of `odds` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["odds", "--config", str(home / "odds.toml"), "trace", *arguments])
    monkeypatch.setattr(Chosen, "config", None)
    monkeypatch.setattr(Chosen, "verbose", False)
    with pytest.raises(SystemExit) as left:
        main()
    assert isinstance(left.value.code, int)
    return left.value.code


def test_the_json_is_the_same_tree(
    home: Path, traced: Traced, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, home, traced.score[:8], "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    with open_warehouse(home / ".odds" / "warehouse" / "catalog.sqlite") as warehouse:
        found = trace(warehouse, traced.score)
    assert printed == json.loads(json.dumps(as_values(found.subject)))
    assert (printed["kind"], printed["id"]) == ("score", traced.score)
    assert {child["direction"] for child in printed["children"]} == {"back"}
    model = printed["children"][0]
    assert (model["kind"], model["details"]["steps"], model["simulated"]) == ("model", 120, True)


def test_a_direction_and_a_file_without_a_width(
    home: Path, traced: Traced, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, home, traced.premise, "--direction", "forward") == 0
    printed = capsys.readouterr().out
    assert "rests on" not in printed
    # A file gets whole lines.
    assert os.fspath(traced.dataset.path) in printed
    assert run(monkeypatch, home, traced.premise, "--direction", "back") == 0
    assert "used by" not in capsys.readouterr().out


@pytest.mark.parametrize(("text", "said"), [("nothing-here", "odds sql"), ("ab", "at least 6 characters")])
def test_a_mistake_is_one_line(
    text: str,
    said: str,
    home: Path,
    traced: Traced,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, home, text) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_markup_in_a_text_is_shown_as_it_is(home: Path, traced: Traced) -> None:
    odd = made_proposition("odd").model_copy(
        update={"hypothesis": "[bold]x[/bold]\n [/]", "proposition_id": ident("odd")}
    )
    with open_warehouse(home / ".odds" / "warehouse" / "catalog.sqlite", read_only=False) as warehouse:
        merge(warehouse, [odd])
    assert "“[bold]x[/bold] [/]”" in lines(home, ident("odd"), 120)[0]
