from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from flows.annotators.listing import as_table, shown

ROW: dict[str, Any] = {
    "pseudonym": "A-ecd96a9a",
    "kind": "human",
    "status": "qualified",
    "n_judgments": 12345,
    "pearson_with_rest": -0.87,
    "mean_difference": -0.12,
    "error_sd": 0.21,
    "check_rate": 1.0,
    "repeat_difference": 0.05,
    "share_too_fast": 1.0,
    "longest_run": 100,
}


@pytest.mark.parametrize("emails", [False, True])
def test_every_value_is_whole_in_80_columns(emails: bool) -> None:
    row = ROW | ({"email": "somebody@example.org"} if emails else {})
    file = io.StringIO()
    Console(file=file, width=80).print(as_table([row, row | {"kind": "simulated", "pseudonym": "simulated-steady"}]))
    printed = file.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    wanted = ["A-ecd96a9a", "qualified", "12,345", "100%"]
    wanted += ["somebody@example.org"] if emails else ["-0.87", "-0.12", "0.21", "0.05"]
    assert [text for text in wanted if text not in printed] == []


def test_without_annotators_the_table_has_its_headings() -> None:
    file = io.StringIO()
    Console(file=file, width=80).print(as_table([]))
    assert {"annotator", "status", "judged"} <= set(file.getvalue().split())


@pytest.mark.parametrize(("value", "text"), [(-0.001, "0.00"), (-0.006, "-0.01"), (0.0, "0.00"), (None, "")])
def test_no_figure_is_minus_nothing(value: float | None, text: str) -> None:
    assert shown("mean_difference", value) == text
