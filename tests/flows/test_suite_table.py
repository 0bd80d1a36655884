"""The table of a suite is complete in 80 columns, whatever its family and however long its names are."""

from __future__ import annotations

import io
from typing import get_args

import pytest

from flows.evaluate_suites import SuiteResult, result_table
from flows.terminal.console import terminal
from training.evaluation.families import SHOWN
from warehouse.records import Difference, Evaluation, Family, Suite

SUBJECTS = ("estimator", "estimator 3f2a1b2c", "labeler:mistral-small-24b-verbalised-with-reasons", "constant")
N = {"signed_update_rate": 12_345, "negation_gap": 678, "conjunction_excess": 9, "paraphrase_sd": 1_234_567}


def result_of(family: Family) -> SuiteResult:
    """A result whose numbers are as wide as they get."""
    suite = Suite(suite_id="s", name="coh", family=family, file="f", n_items=9, content="c")
    metrics = SHOWN[family]
    figures = [
        Evaluation(
            evaluation_id=f"{subject} {metric}", model_id="m", dataset_id="d", suite="coh", subject=subject,
            metric=metric, value=-0.123, low=-0.234, high=-0.012, n=N.get(metric, 1_234_567),
        )
        for subject in SUBJECTS
        for metric in metrics
    ]  # fmt: skip
    apart = [
        Difference(
            difference_id=f"{subject} {metric}", model_id="m", suite="coh", subject="estimator", against=subject,
            metric=metric, value=0.1, low=0.0, high=0.2, n=9, p=0.001, p_holm=place / 1000,
        )
        for subject in SUBJECTS[1:]
        for place, metric in enumerate(metrics, 1)
    ]  # fmt: skip
    return SuiteResult(suite, figures, apart, 9, 0, left_out=True)


def printed(family: Family) -> list[str]:
    """The lines of the table on a terminal of 80 columns."""
    text = io.StringIO()
    terminal(file=text, width=80).print(result_table(result_of(family))[1])
    return text.getvalue().splitlines()


def names_of(lines: list[str], start: int, end: int) -> str:
    """The names between two columns, those that go on in a next line put together."""
    return "".join(line[start:end].strip() for line in lines)


@pytest.mark.parametrize("family", get_args(Family))
def test_every_heading_subject_and_number_is_there(family: Family) -> None:
    lines = printed(family)
    headings = lines[0]
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    place = headings.index("subject")
    names = names_of(lines[1:], place, headings.index(" n ", place) + 2 - len("1,234,567"))
    wanted = {"n", "95% interval", "p", "subject"}
    if family == "coherence":
        wanted |= {"figure", "value"}
        assert [line.split()[0] for line in lines if line[0].isalpha()][1:] == list(SHOWN[family])
    else:
        wanted |= {name.removesuffix("_judgments") for name in SHOWN[family]}
    assert set(headings.replace("95% interval", "").split()) == wanted - {"95% interval"}
    assert "95% interval" in headings
    for subject in SUBJECTS:
        assert subject.replace(" ", "") in names.replace(" ", "")
    assert sum("-0.234 to -0.012" in line for line in lines) == len(SUBJECTS) * (4 if family == "coherence" else 1)


def test_each_figure_of_coherence_tells_its_own_items_and_p() -> None:
    rows = [line.split() for line in printed("coherence")]
    constant = [row for row in rows if "constant" in row]
    assert [row[row.index("constant") + 1] for row in constant] == [f"{N[name]:,}" for name in SHOWN["coherence"]]
    assert [row[-1] for row in constant] == ["0.001", "0.002", "0.003", "0.004"]
