"""The suites of the report: a table and a picture for each, against figures made up by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.training.evaluation.test_report import NASTY, browser, opened, synthetic
from training.evaluation.families import p_values
from training.evaluation.report import render, write_report
from training.evaluation.report_data import SuiteFigures
from training.evaluation.report_suites import ShownSuite, shown_suites
from training.evaluation.subjects import order_of
from warehouse.records import Difference, Evaluation, Family

__all__ = ["browser"]  # a fixture

NONE = "\N{EN DASH}"
CORRELATION: dict[str, dict[str, float | None]] = {
    "3-annotators": {"pearson": 0.9, "mse": 0.02},
    "one-annotator": {"pearson": 0.75, "mse": 0.05},
    "constant": {"pearson": None, "mse": 0.12},
    "deberta": {"pearson": 0.4, "mse": 0.08},
    "labeler:llm": {"pearson": -0.1, "mse": 0.2},
    "estimator": {"pearson": 0.7, "mse": 0.06},
}
COHERENCE: dict[str, dict[str, float | None]] = {
    "estimator": {"signed_update_rate": 0.5, "negation_gap": 0.2},
    "deberta": {"signed_update_rate": 0.25, "negation_gap": 0.1},
    "constant": {"signed_update_rate": 0.0, "negation_gap": 0.0},
}


def figure(subject: str, metric: str, value: float | None, n: int = 40) -> Evaluation:
    ends = (None, None) if value is None else (value - 0.05, value + 0.04)
    return Evaluation(
        evaluation_id=f"{subject} {metric}", model_id="m", dataset_id="d", suite="s", subject=subject, metric=metric,
        value=value, low=ends[0], high=ends[1], n=n,
    )  # fmt: skip


def difference(against: str, metric: str, p: float) -> Difference:
    return Difference(
        difference_id=f"{against} {metric}", model_id="m", suite="s", subject="estimator", against=against,
        metric=metric, value=0.1, low=0.0, high=0.2, p=p / 2, p_holm=p, n=40,
    )  # fmt: skip


DIFFERENCES = (
    difference("deberta", "pearson", 0.021),
    difference("deberta", "mse", 0.5),
    difference("constant", "mse", 0.004),
    difference("deberta", "signed_update_rate", 0.031),
    difference("deberta", "negation_gap", 0.041),
)


def suite(
    found: Mapping[str, Mapping[str, float | None]], family: Family = "correlation", name: str = "boats", **n: int
) -> SuiteFigures:
    """A suite with such figures by subject and metric, with 40 items or as many as `n` says for a metric."""
    return SuiteFigures(
        name=name,
        family=family,
        n_items=1234,
        evaluations=[
            figure(who, metric, value, n.get(metric, 40))
            for who, values in found.items()
            for metric, value in values.items()
        ],
        differences=[each for each in DIFFERENCES if each.metric in found["estimator"]],
    )


def shown(found: SuiteFigures) -> ShownSuite:
    (only,) = shown_suites([found])
    return only


def test_everyone_is_in_one_table_with_intervals_and_p() -> None:
    (table,) = shown(suite(CORRELATION)).tables
    assert [name for name, _ in table.columns] == ["Pearson r", "MSE"]
    assert [(row.subject, row.p) for row in table.rows] == [
        ("Estimator", ""),
        ("deberta", "0.021"),
        ("Labeler llm", ""),
        ("Constant: the training mean", "0.004"),  # that of the squared error, since it has no correlation
        ("One annotator", ""),
        ("3 annotators", ""),
    ]
    cells = {row.subject: [cell[:2] for cell in row.cells] for row in table.rows}
    assert cells["deberta"] == [("0.400", "0.350 to 0.440"), ("0.080", "0.030 to 0.120")]
    assert cells["Constant: the training mean"][0] == (NONE, "")
    assert [[cell.best for cell in row.cells] for row in table.rows] == [[True, True], *[[False, False]] * 5]


def test_what_was_seen_in_training_is_said_where_it_is_measured() -> None:
    asks = "1,234 propositions: how close are the answers to people's?"
    assert shown(suite(CORRELATION)).asks == asks
    marked = suite(CORRELATION).model_copy(update={"n_seen": 17})
    assert shown(marked).asks == f"{asks} 17 of those measured were seen in training."


def test_only_the_best_of_several_is_bold() -> None:
    alone = {name: CORRELATION[name] for name in ("estimator", "constant", "one-annotator")}
    (table,) = shown(suite(alone)).tables
    assert not any(cell.best for row in table.rows for cell in row.cells)
    two = {name: CORRELATION[name] for name in ("estimator", "deberta")}
    (table,) = shown(suite(two)).tables
    assert [[cell.best for cell in row.cells] for row in table.rows] == [[True, True], [False, False]]


def test_each_figure_of_coherence_has_a_table_with_its_own_n_and_p() -> None:
    found = shown(suite(COHERENCE, "coherence", signed_update_rate=17, negation_gap=9))
    told = [(table.columns[0][0], [(row.n, row.cells[0].value, row.p) for row in table.rows]) for table in found.tables]
    assert told == [
        ("Signed update rate", [(17, "0.500", ""), (17, "0.250", "0.031"), (17, "0.000", "")]),
        ("Negation gap", [(9, "0.200", ""), (9, "0.100", "0.041"), (9, "0.000", "")]),
    ]
    bold = [[row.cells[0].best for row in table.rows] for table in found.tables]
    assert bold == [[True, False, False], [False, True, False]]
    assert found.is_narrow
    assert not shown(suite(CORRELATION)).is_narrow


def test_who_answered_no_item_is_left_out() -> None:
    given = suite(CORRELATION)
    nothing = [figure("absent", metric, None, n=0) for metric in ("pearson", "mse")]
    (table,) = shown(given.model_copy(update={"evaluations": [*given.evaluations, *nothing]})).tables
    assert [row.n for row in table.rows] == [40] * len(CORRELATION)


def test_the_picture_goes_from_the_best_to_the_worst_with_what_annotators_reach() -> None:
    picture = shown(suite(CORRELATION)).picture
    assert picture is not None
    names = ["3 annotators", "One annotator", "Estimator", "deberta", "Labeler llm"]
    places = [picture.svg.index(f">{name}<") for name in reversed(names)]  # drawn from below
    assert places == sorted(places)
    assert "Constant" not in picture.svg
    assert "of 5 subjects with 95% intervals; the best is 3 annotators" in picture.alt
    nobody = {name: CORRELATION[name] for name in ("estimator", "deberta")}
    alone = shown(suite(nobody)).picture
    assert alone is not None
    assert picture.svg.count("stroke-dasharray: 4") - alone.svg.count("stroke-dasharray: 4") == 2
    assert ">\N{MINUS SIGN}0.2<" in picture.svg  # the axis holds the interval below 0
    lower = shown(suite({who: {"negation_gap": each["negation_gap"]} for who, each in COHERENCE.items()}, "coherence"))
    assert lower.picture is not None
    assert "the best is Constant: the training mean" in lower.picture.alt


@pytest.mark.parametrize("name", ["<b>x</b> & $y$", r"$\frac", "a$b"])
def test_names_are_texts(name: str) -> None:
    found = suite({**CORRELATION, name: {"pearson": 0.3, "mse": 0.1}}, name=f"suite {name}")
    html = render(synthetic().model_copy(update={"suites": [found]}))
    section = html[html.index('id="suites"') : html.index('id="distributions"')]
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"<h3>suite {escaped}</h3>" in section
    assert f'<th scope="row">{escaped}</th>' in section
    assert f">{escaped}</text>" in section
    assert "<b>" not in section


def test_a_report_without_suites_has_no_such_section() -> None:
    assert 'id="suites"' not in render(synthetic())
    html = render(synthetic().model_copy(update={"suites": [suite(CORRELATION)]}))
    order = re.findall(r'<h2 id="(\w+)"', html)
    assert order[1:4] == ["evaluation", "suites", "distributions"]
    assert "1,234 propositions: how close" in html


def test_a_subject_without_the_figure_is_compared_by_its_squared_error() -> None:
    given = [difference("a", "mse", 0.1), difference("a", "pearson", 0.2), difference("b", "mse", 0.3)]
    assert p_values(given, "pearson") == p_values(given[::-1], "pearson") == {"a": 0.2, "b": 0.3}


def test_subjects_are_listed_by_what_they_are() -> None:
    wanted = [
        *("estimator", "deberta", "estimator 3f2a", "labeler:b", "labeler:estimator", "panel-mean", "constant"),
        *("one-annotator", "3-annotators", "10-annotators"),
    ]
    assert sorted(set(wanted), key=order_of) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_wide_tables_scroll_within_the_page(browser: Any, tmp_path: Path, width: int) -> None:
    wide = {**CORRELATION, "x" * 90: CORRELATION["deberta"], NASTY: CORRELATION["deberta"]}
    suites = [
        suite(wide, name="x" * 90),
        suite({**COHERENCE, NASTY: COHERENCE["deberta"]}, "coherence", "fit"),
        suite({who: {"accuracy": 0.6} for who in wide}, "choice", "which"),
    ]
    path = tmp_path / "report.html"
    write_report(synthetic().model_copy(update={"suites": suites}), path)
    page = opened(browser, path, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for picture in page.locator("#suites ~ figure, #suites ~ .pair figure").all():
        assert picture.locator("svg").bounding_box()["width"] > 250
    page.close()
