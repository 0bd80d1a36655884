from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from flows.research.labelers import labeler_tables, labelers, shown_names, write_labeler_picture
from flows.settings.settings import Settings
from flows.terminal.console import money
from tests.fixtures.store import made_rows
from tests.warehouse.test_labeler_quality import made_estimate, made_request, pid
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError
from warehouse.records import AnnotatorKind, Comparison, Record

NAMES = [f"p{i}" for i in range(20)]


def settings_with(folder: Path, rows: list[list[Record]]) -> Settings:
    settings = Settings(root=folder)
    with open_warehouse(settings.catalog, settings.data_path, read_only=False) as warehouse:
        merge_all(warehouse, rows)
    return settings


def judged(kind: AnnotatorKind) -> list[list[Record]]:
    return made_rows([(name, "a", i / 20) for i, name in enumerate(NAMES)], {"a": kind})


def answers() -> list[list[Record]]:
    """A coarse labeler with two refusals that was paid for, and a fine one that was free; in two versions."""
    coarse = [made_estimate(name, None if i < 2 else 0.5, "coarse") for i, name in enumerate(NAMES)]
    fine = [made_estimate(name, i / 20 + 0.001, "fine", version) for i, name in enumerate(NAMES) for version in "12"]
    paid = [made_request(f"{name}c", pid(name), 0.09, labeler="coarse") for name in NAMES]
    free = [made_request(f"{name}f", pid(name), 0.0, labeler="fine") for name in NAMES]
    return [[*coarse, *fine], [*paid, *free]]


def shown(settings: Settings, width: int = 80) -> str:
    console = Console(width=width, record=True, file=(Path(settings.root) / "shown.txt").open("w"))
    for part in labeler_tables(labelers(config=settings)):
        console.print(part, soft_wrap=isinstance(part, str))
    return console.export_text()


def cells(settings: Settings, first: str) -> list[list[str]]:
    """The cells of the rows that begin with this one, one list a table."""
    tables = [part for part in labeler_tables(labelers(config=settings)) if isinstance(part, Table)]
    rows = [row for table in tables for row in zip(*(column.cells for column in table.columns), strict=True)]
    return [list(map(str, row)) for row in rows if str(row[0]) == first]


def test_the_tables_say_who_is_coarse_who_agrees_and_what_it_costs(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, [*judged("human"), *answers()])
    beside, coarse, cost = cells(settings, "coarse")
    assert beside == ["coarse", "18", "0%", "", "", "0.225", "-0.025", "0.025"]
    assert coarse[2:] == ["18", "1", "1.000", "0.000", "+0.792"]
    assert cost == ["coarse", "18", "10.0%", "20", "17", "1.80", "100.00"]
    beside, coarse, cost = cells(settings, "fine 1")
    assert beside[3:] == ["1.000", "1.000", "0.001", "+0.001", "0.001"]
    assert coarse[2:] == ["20", "20", "0.150", "1.000", "-0.208"]
    assert cost[5:] == ["0", "0"]
    text = shown(settings)
    assert "SIMULATED" not in text
    assert len(re.findall(r"^(coarse|fine 1|fine 2)  ", text, re.MULTILINE)) == 9, "names are whole"
    titles = {part.strip() for part in labeler_tables(labelers(config=settings)) if isinstance(part, str)}
    tables = [line for line in text.splitlines() if line not in titles]
    assert max(map(len, tables)) <= 80
    assert all(any(word in line.split() for line in tables) for word in ("simulated", "estimates", "requests"))


def test_simulated_judgments_are_said_first(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, [*judged("simulated"), *answers()])
    text = shown(settings)
    assert "all of the judgments are SIMULATED" in " ".join(text.splitlines()[:2])
    assert cells(settings, "coarse")[0][2] == "100%"


def test_without_judgments_there_is_no_table_beside_people(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, answers())
    text = shown(settings)
    assert "no judgments to compare them with yet" in text
    assert "beside people" not in text
    assert len(cells(settings, "coarse")) == 2


def test_pairs_have_a_table_of_their_own(tmp_path: Path) -> None:
    first, second = sorted((pid("p1"), pid("p2")))
    pair = Comparison(
        comparison_id="c",
        first_id=first,
        second_id=second,
        labeler="pairs",
        labeler_version="1",
        more_likely_id=pid("p2"),
    )
    settings = settings_with(tmp_path, [*judged("human"), [pair]])
    assert cells(settings, "pairs")[0] == ["pairs", "1", "0", "1", "0%", "1.000"]
    text = drawn(settings)
    for part in ("pairs", "compares pairs", "pairs ordered", "ordered as people do", "1.000"):
        assert part in text


def test_a_labeler_in_several_versions_is_told_apart() -> None:
    rows = [
        {"labeler": name, "labeler_version": version} for name, version in (("a", "1234567"), ("a", "2"), ("b", "3"))
    ]
    assert shown_names(rows) == ["a 123456", "a 2", "b"]


def test_money_is_readable_small_and_large() -> None:
    values = (None, 0.0, 0.000012, 0.0123456, 0.5, 12345.678)
    assert [money(value) for value in values] == ["", "0", "0.000012", "0.0123", "0.5", "12,345.68"]


def drawn(settings: Settings) -> str:
    """The words of the picture."""
    path = Path(settings.root) / "a.svg"
    write_labeler_picture(settings, path)
    return "|".join(part.strip() for part in ET.parse(path).getroot().itertext() if part.strip())


def test_the_picture_has_the_figures_of_every_labeler_the_worst_ones_too(tmp_path: Path) -> None:
    never = [made_estimate(name, None, "never") for name in NAMES]
    unpriced = [made_request(f"{name}n", pid(name), None, labeler="never") for name in NAMES]
    settings = settings_with(tmp_path, [*judged("human"), *answers(), [*never, *unpriced]])
    text = drawn(settings)
    coarse = "distinct values|1|on the top 3|100.0%|multiples of 5%|100.0%|refused|10.0%|judged|18"
    beside = "mean error|0.225|calibration error|0.025|cost of 1,000 usable|100.00|total cost|1.80"
    assert f"{coarse}|{beside}" in text
    fine = "distinct values|20|on the top 3|15.0%|multiples of 5%|0.0%|refused|0.0%|judged|20|Pearson|1.000"
    assert text.count(fine) == 2
    assert "|no usable estimate of 20 propositions|never|refused|100.0%|total cost|20 unknown" in text


def test_the_picture_names_every_labeler_and_what_is_simulated(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, [*judged("simulated"), *answers()])
    text = drawn(settings)
    for part in ("coarse (n = 18)", "fine 1 (n = 20)", "18 judgments, all simulated", "0.5: 100%"):
        assert part in text
    assert "#010203" not in (tmp_path / "a.svg").read_text()
    with pytest.raises(InputError, match=r"name a \.svg"):
        write_labeler_picture(settings, tmp_path / "a.png")


def test_nothing_asked_is_one_line(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, judged("human"))
    with pytest.raises(InputError, match="run odds elicit"):
        labeler_tables(labelers(config=settings))
    with pytest.raises(InputError, match="run odds elicit"):
        write_labeler_picture(settings, tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()
