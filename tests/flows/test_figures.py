from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from flows.agree import headline
from flows.research.figures import figure_tables, over_time, shown_figures, telling_slices, write_picture
from flows.settings.settings import Settings
from tests.fixtures.store import made_rows
from warehouse import open_warehouse
from warehouse.agreement.measure import measure_agreement
from warehouse.agreement.selection import Selection
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import InputError
from warehouse.records import Agreement


def figure(metric: str, name: str = "all", value: float | None = 0.5, **more: object) -> Agreement:
    fields: dict[str, object] = {
        "agreement_id": f"{metric} {name} {more.get('created_at')}",
        "metric": metric,
        "scope": "valid judgments",
        "slice": name,
        "value": value,
        "low": 0.25,
        "high": 0.75,
        "n_propositions": 2,
        "n_annotators": 3,
        "n_judgments": 1234,
        "n_simulated": 0,
        "fingerprint": "f",
        "snapshot_id": 1,
    }
    return Agreement.model_validate(fields | more)


def test_alpha_comes_first_and_a_metric_that_nobody_ordered_last() -> None:
    figures = [figure("new_metric"), figure("share_at_0"), figure("interval_alpha"), figure("icc_1", "kind=imported")]
    assert [each.metric for each in shown_figures(figures, "valid judgments")] == [
        "interval_alpha",
        "share_at_0",
        "new_metric",
    ]
    assert shown_figures(figures, "another scope") == []


def test_a_kind_of_slice_with_one_slice_tells_nothing() -> None:
    figures = [figure("interval_alpha", name) for name in ("all", "source=one", "batch=2", "batch=1")]
    assert [each.slice for each in telling_slices(figures, "valid judgments")] == ["batch=1", "batch=2"]


def settings_with(tmp_path: Path, figures: list[Agreement]) -> Settings:
    settings = Settings(root=tmp_path)
    with open_warehouse(settings.catalog, settings.data_path, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", "a", 0.5)]))
        merge(warehouse, figures)
    return settings


def shown(settings: Settings, width: int = 120) -> str:
    console = Console(width=width, record=True, file=(Path(settings.root) / "shown.txt").open("w"))
    for part in figure_tables(settings, Selection()):
        console.print(part)
    return console.export_text()


def test_a_person_reads_counts_as_counts_and_no_end_as_any_number(tmp_path: Path) -> None:
    needed = figure("judgments_for_reliability_0.8", value=4.0, low=3.0, high=None)
    text = shown(settings_with(tmp_path, [figure("interval_alpha"), needed]))
    assert "1,234 judgments, 3 annotators, 2 propositions" in text
    assert "0.500000  0.2500 to 0.7500" in text
    assert "4  3 to any number" in text
    assert "by slice" not in text


REASONS: dict[str, list[tuple[str, str, float]]] = {
    "no judgment counts yet": [],
    "no proposition has two judgments": [("p", "a", 0.5), ("q", "a", 0.6), ("r", "b", 0.7)],
    "all judgments that could be compared are the same": [
        ("p", "a", 0.5),
        ("p", "b", 0.5),
        ("q", "a", 0.5),
        ("r", "b", 1),
    ],
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_figure_without_a_value_says_the_true_reason(tmp_path: Path, reason: str) -> None:
    settings = Settings(root=tmp_path)
    with open_warehouse(settings.catalog, settings.data_path, read_only=False) as warehouse:
        if REASONS[reason]:
            merge_all(warehouse, made_rows(REASONS[reason]))
        figures = measure_agreement(warehouse, draws=100)
        merge(warehouse, figures)
    assert headline(figures) == f"no interval alpha: {reason}"
    if REASONS[reason]:
        (line,) = (line for line in shown(settings).splitlines() if "interval_alpha" in line)
        assert reason in line


def test_where_alpha_is_0_no_number_of_judgments_is_enough(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    with open_warehouse(settings.catalog, settings.data_path, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([("p", "a", 0), ("p", "b", 1), ("q", "a", 1), ("q", "b", 0)]))
        merge(warehouse, measure_agreement(warehouse, draws=100))
    (line,) = (line for line in shown(settings).splitlines() if "judgments_for_reliability_0.8" in line)
    assert "alpha is not above 0" in line


def test_of_many_slices_those_with_the_most_judgments_are_shown(tmp_path: Path) -> None:
    weeks = [figure("interval_alpha", f"week=2026-{month:02}-01", n_judgments=month) for month in range(1, 13)]
    many = [*weeks, *(figure("interval_alpha", f"batch={n}", n_judgments=100 + n) for n in range(3))]
    text = shown(settings_with(tmp_path, [figure("interval_alpha"), *many]))
    assert "12 of 15" in text
    assert "batch=2" in text
    assert "week=2026-01-01" not in text


def test_the_name_of_a_slice_is_whole_in_a_narrow_terminal(tmp_path: Path) -> None:
    names = [f"annotator_group=simulated-{name}" for name in ("crowd", "staff")]
    text = shown(settings_with(tmp_path, [figure("interval_alpha", name) for name in ("all", *names)]), 80)
    first = "".join(line.split(" ")[0] for line in text.partition("by slice")[2].splitlines())
    assert all(name in first for name in names)
    assert max(map(len, text.splitlines())) <= 80


def test_agreement_over_time_is_drawn(tmp_path: Path) -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    history = [figure("interval_alpha", created_at=day, value=day.day / 10) for day in days]
    weeks = [figure("interval_alpha", f"week=2026-01-{day:02}", value=0.4) for day in (12, 5)]
    settings = settings_with(tmp_path, [*history, *weeks, figure("interval_alpha", "week=2026-01-19", value=None)])
    with open_warehouse(settings.catalog) as warehouse:
        measured, by_week = over_time(warehouse, "valid judgments")
    assert [each.value for each in measured] == [0.1, 0.2, 0.3]
    assert [f"{each.time:%d}" for each in by_week] == ["05", "12"]
    write_picture(settings, Selection(), tmp_path / "a.svg")
    text = "".join(ET.parse(tmp_path / "a.svg").getroot().itertext())
    assert "each time they were measured" in text
    assert "the judgments of each week" in text
    assert "2026-01-12" in text
    assert "#010203" not in (tmp_path / "a.svg").read_text()
    with pytest.raises(InputError, match=r"name a \.svg"):
        write_picture(settings, Selection(), tmp_path / "a.png")
    with pytest.raises(InputError, match="no interval alpha yet"):
        write_picture(settings, Selection(repeats="all"), tmp_path / "b.svg")
    assert not (tmp_path / "b.svg").exists()
