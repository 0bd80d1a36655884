"""The manager's page: what it says, and what it never says."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from flows.annotators.report import DAYS, axis_of, bars_of, render, whiskers_of
from flows.api import agree, annotators_exclude, annotators_report
from flows.settings.settings import load_settings
from flows.stages.services import writing
from tests.fixtures.store import made_rows
from tests.warehouse.test_annotator_quality import START, made_check, quality
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import InputError


class Page(HTMLParser):
    """The cells of the table by annotator, and every tag with what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "data")]


def test_bars_are_the_last_days_of_each_annotator() -> None:
    last = START.date()
    rows = [
        {"annotator_id": "a", "day": last - timedelta(days=DAYS), "n": 9},  # too long ago
        {"annotator_id": "a", "day": last - timedelta(days=1), "n": 2},
        {"annotator_id": "a", "day": last, "n": 3},
        {"annotator_id": "b", "day": last - timedelta(days=DAYS - 1), "n": 4},
    ]
    assert bars_of(rows, last) == {"a": [0] * (DAYS - 2) + [2, 3], "b": [4] + [0] * (DAYS - 1)}


def test_the_interval_of_the_sd_is_that_of_the_precision_turned_round() -> None:
    row = {"pseudonym": "a", "error_sd": 0.2, "precision": 25.0, "precision_low": 16.0, "precision_high": 100.0}
    (found,) = whiskers_of([row, row | {"precision": None}])
    assert found == ("a", 0.2, 0.1, 0.25)
    assert axis_of([found]) == [0.0, 0.1, 0.2, 0.3]


def test_nobody_yet_is_said_with_what_to_do() -> None:
    page = render([], [], {"n_judgments": 0, "n_judged": 0, "n_tasks": 0})
    assert "Nobody has signed up or judged yet" in page
    assert "odds annotators invite" in page


def test_the_page_shows_everybody_by_pseudonym_and_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "odds.toml").write_text("[agreement]\ndraws = 100\n")
    settings = load_settings(tmp_path / "odds.toml")
    people = {"<b>ada": "human", "ben": "human", "simulated-doubtful": "simulated"}
    values = [(f"p{i}", name, round((i / 12 + 0.1 * len(name)) % 1, 3)) for i in range(12) for name in people]
    with writing(settings) as warehouse:
        merge_all(warehouse, made_rows([*values, ("check", "ben", 0.2)], people))  # type: ignore[arg-type]
        merge(warehouse, [made_check("check", 0.9, 1.0)])
    agree(config=settings)
    annotators_exclude("ben", reason="clicks & runs", config=settings)
    page = annotators_report(tmp_path / "people.html", config=settings).read_text()
    with writing(settings) as warehouse:
        found = quality(warehouse, "ben")
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert parsed.loads == []
    assert parsed.tags.count("tr") == 1 + 3
    assert "&lt;b&gt;ada" in page
    assert "<b>ada" not in page
    assert "clicks &amp; runs" in page
    assert "Some annotators are simulated." in page
    row = page[page.index('row">ben') :].split("</tr>")[0]
    cells = re.findall(r'<td class="n">(.*?)</td>', row)
    assert cells[0] == f"{found['n_judgments']}" == "12"
    assert cells[1] == f"{found['pearson_with_rest']:.2f}"
    assert cells[3] == "0%"
    assert page.count("<circle") == 3
    assert ">simulated-doubtful</text>" in page
    assert re.search(r"<title>ben: \d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", page)


def test_a_page_is_html(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"give it the extension \.html"):
        annotators_report(tmp_path / "people.pdf")
