"""The researcher's page works line by line: every block of it is run, in order, in a fresh folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.commands import ODDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "researchers.md"
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\\?\.\d+\\?\+00:00)?")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """The kind and the text of every block of the page."""
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def printed_line(line: str, printed: str) -> bool:
    """Whether a line of the page was printed: `...` stands for anything, and times differ."""
    pattern = TIME.sub("TIME", re.escape(line).replace(r"\.\.\.", ".*").replace(r"\ ", " ").replace(r"\-", "-"))
    found = TIME.sub("TIME", printed)
    return any(re.fullmatch(pattern, one.rstrip()) for one in [*found.splitlines(), ""])


def test_every_kind_of_block_is_known() -> None:
    kinds = [kind for kind, _ in blocks()]
    assert set(kinds) == {"console", "sh", "python", "text"}
    assert kinds.count("console") == 1  # the clone itself
    assert kinds.count("sh") >= 10


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (PAGE.parent / target).exists(), target


@pytest.mark.slow
def test_the_page_works_line_by_line(tmp_path: Path, prefect_api: str, duckdb_home: Path) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {
        "PATH": f"{ODDS.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(duckdb_home),
        "HF_HOME": str(tmp_path / "huggingface"),
        "HF_HUB_OFFLINE": "1",
        "PREFECT_API_URL": prefect_api,
        "PREFECT_HOME": str(tmp_path / ".prefect"),
        "COLUMNS": "120",
    }
    commands = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    printed = ""
    said: list[str] = []
    for kind, text in blocks():
        if kind == "text":
            assert [line for line in text.splitlines() if not printed_line(line, printed)] == [], printed
        if kind not in commands:
            continue
        done = subprocess.run(
            [*commands[kind], text],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        printed = done.stdout
        said.append(f"### {kind}\n{text}---\n{printed}")
    if "ODDS_DOCS_OUTPUT" in os.environ:  # to renew the page from
        Path(os.environ["ODDS_DOCS_OUTPUT"]).write_text("\n".join(said), encoding="utf-8")
