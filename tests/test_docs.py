"""What the pages say holds: the one for researchers is run line by line, what others name is what the code does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import ValidationError

from flows.cli.app import app
from flows.settings.settings import load_settings
from synthesis.prompts.render import AnswerKind, Prompt, load_prompt, prompt_names
from synthesis.questions.compare import ORDERS_DISAGREE
from synthesis.questions.drops import DropReason
from synthesis.questions.parse import Reason
from tests.fixtures.commands import ODDS
from warehouse.catalog.connect import open_warehouse

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "researchers.md"
SYNTHESIS = ROOT / "docs" / "synthesis.md"
PAGES = (
    *(page.name for page in ROOT.glob("*.md")),
    *(f"docs/{page.name}" for page in PAGE.parent.glob("*.md")),
    *(f"{folder}/README.md" for folder in ("benchmarks", "examples", "training/pretrained")),
)
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\\?\.\d+\\?\+00:00)?")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path = PAGE) -> list[tuple[str, str]]:
    """The kind and the text of every block of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def table(heading: str) -> dict[str, list[str]]:
    """The first table under a heading of the page on synthesis: what the first column names, and the other cells."""
    part = SYNTHESIS.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `")]
    return {first.strip("`"): rest for first, *rest in lines}


def test_the_page_on_synthesis_names_every_reason() -> None:
    assert set(table("Refused, and why")) == {*Reason, ORDERS_DISAGREE}
    assert set(table("Dropped, and why")) == set(DropReason)


def test_the_page_on_synthesis_names_what_a_prompt_is_filled_with() -> None:
    told = table("Prompts")
    assert set(told) == set(get_args(AnswerKind))
    for name in prompt_names():
        prompt = load_prompt(name)
        _, placeholders = told[prompt.answer]
        allowed = set(re.findall(r"`(\w+)`", placeholders))
        needed = set(re.findall(r"`(\w+)`", re.sub(r"\(.*\)", "", placeholders)))
        for user, said in (
            (prompt.user + " {other}", "{other}, which has no value here"),
            *((prompt.user.replace(f"{{{one}}}", ""), f"lacks {{{one}}}") for one in needed),
        ):
            with pytest.raises(ValidationError, match=re.escape(said)):
                Prompt.model_validate(prompt.model_dump(exclude={"examples"}) | {"user": user})
        everything = prompt.user + "".join(f" {{{one}}}" for one in allowed)
        assert Prompt.model_validate(prompt.model_dump(exclude={"examples"}) | {"user": everything})


def test_the_settings_on_the_page_on_synthesis_can_be_used(tmp_path: Path) -> None:
    texts = [text for kind, text in blocks(SYNTHESIS) if kind == "toml"]
    assert len(texts) == 3
    for text in texts:
        path = tmp_path / "odds.toml"
        others = "".join(
            f'[{who}]\nendpoint = "{found[1]}"\n'
            for who in ("proposer", "judge")
            if (found := re.search(r'\[\[endpoints\]\]\nname = "(\w+)"', text))
        )
        path.write_text(text + others)
        settings = load_settings(path)
        assert all(load_prompt(labeler.prompt) for labeler in settings.llms)


def test_the_queries_on_the_page_on_synthesis_run(tmp_path: Path) -> None:
    queries = [text for kind, text in blocks(SYNTHESIS) if kind == "sql"]
    assert len(queries) == 6
    with open_warehouse(tmp_path / "catalog.sqlite", read_only=False) as warehouse:
        for query in queries:
            assert warehouse.sql(query).num_rows == 0


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


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            file, _, anchor = target.partition("#")
            there = path.parent / file if file else path
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


@pytest.mark.long
def test_the_page_works_line_by_line(tmp_path: Path, duckdb_home: Path) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {
        "PATH": f"{ODDS.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(duckdb_home),
        "HF_HOME": str(tmp_path / "huggingface"),
        "HF_HUB_OFFLINE": "1",
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


def test_the_tree_in_the_readme_names_every_folder_and_only_files_that_exist() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where everything is")[1].split("```")[1]
    named: dict[str, set[str]] = {}
    folder = room = ROOT
    for line in tree.splitlines():
        if found := re.match(r"(\w+)/", line):
            folder = room = ROOT / found[1]
            named[found[1]] = set()
        elif found := re.match(r"  (\w+)/", line):
            folder = room / found[1]
            named[room.name].add(found[1])
        else:
            folder = room
        for file in re.findall(r"\b\w+\.(?:py|sql|toml|md)\b", line):
            assert (folder / file).is_file(), line
    for room_name in ("flows", "synthesis", "annotation", "warehouse", "training"):
        assert named[room_name] == {path.parent.name for path in (ROOT / room_name).glob("*/__init__.py")} | (
            {"views"} if room_name == "warehouse" else set()
        )


def test_the_settings_on_the_page_for_studies_can_be_used(tmp_path: Path) -> None:
    texts = [text for kind, text in blocks(ROOT / "docs" / "studies.md") if kind == "toml"]
    assert texts
    for text in texts:
        (tmp_path / "odds.toml").write_text(text)
        load_settings(tmp_path / "odds.toml")


def commands_of(page: Path) -> Iterator[list[str]]:
    """Yield the words of every `odds` command in the blocks of a page that a shell would run."""
    shell = re.compile(r"^ *```(?:sh|console)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    for text in shell.findall(page.read_text(encoding="utf-8")):
        given = ""
        for line in text.splitlines():
            line = re.sub(r'"\$\(.*\)"', "SUBSTITUTED", line)  # noqa: PLW2901 - quotes inside quotes
            given = f"{given}\n{line}" if given else line
            words = shlex.shlex(given, posix=True, punctuation_chars="&|;()")
            words.whitespace_split = True
            try:
                found = list(words)
            except ValueError:  # a quote that a later line closes
                continue
            given = ""
            for _, command in groupby(found, lambda word: set(word) <= set("&|;()")):
                first, *others = takewhile(lambda word: word not in ("<", ">"), command)
                if first == "odds":
                    yield others


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_a_page_is_understood(page: str) -> None:
    for words in commands_of(ROOT / page):
        found: Any = typer.main.get_command(app)
        while words and words[0] in getattr(found, "commands", {}):
            found = found.commands[words.pop(0)]
        found.make_context("odds", words)  # refuses an unknown option or argument


def test_the_pages_have_commands() -> None:
    assert sum(1 for page in PAGES for _ in commands_of(ROOT / page)) >= 80
