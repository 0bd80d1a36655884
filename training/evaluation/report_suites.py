"""The suites of a report: everyone's figures on each evaluation set, as tables and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from training.evaluation.families import figures_shown, p_values
from training.evaluation.report_data import SuiteFigures
from training.evaluation.report_pictures import Picture, standings
from training.evaluation.report_tables import SUITE_FIGURES, Row, table
from warehouse.records import Evaluation, Family

_ASKS: dict[Family, str] = {
    "correlation": "propositions: how close are the answers to people's?",
    "update": "updates: does each move the probability the way it must?",
    "choice": "questions: is the right alternative the most probable?",
    "structure": "structures: is the answer that follows from all probabilities together right?",
    "coherence": "checks of related propositions: do their probabilities fit together?",
}


class SuiteTable(NamedTuple):
    """Some figures of everyone on the same items; `columns` are their names and hints."""

    columns: list[tuple[str, str]]
    rows: list[Row]


class ShownSuite(NamedTuple):
    """A suite, what it asks, its tables, and a picture of the main figure if the estimator has it.

    `is_narrow`: each table has one figure, so that the picture fits beside it.
    """

    name: str
    asks: str
    tables: list[SuiteTable]
    picture: Picture | None
    is_narrow: bool


def shown_suites(suites: Sequence[SuiteFigures]) -> list[ShownSuite]:
    """Return the suites by name."""
    return [_shown(each) for each in sorted(suites, key=lambda each: each.name)]


def _shown(suite: SuiteFigures) -> ShownSuite:
    names = figures_shown(suite.family, {each.metric for each in suite.evaluations})
    # each figure of coherence rests on other items, so it has an n and a p of its own
    columns = [[name] for name in names] if suite.family == "coherence" else [names]
    is_narrow = all(len(each) == 1 for each in columns)
    return ShownSuite(
        name=suite.name,
        asks=f"{suite.n_items:,} {_ASKS[suite.family]}"
        + (f" {suite.n_seen:,} of those measured were seen in training." if suite.n_seen else ""),
        tables=[_table(suite, each) for each in columns],
        picture=_picture(suite.evaluations, names[0], width=4.6 if is_narrow else 6.0),
        is_narrow=is_narrow,
    )


def _picture(evaluations: Sequence[Evaluation], metric: str, width: float) -> Picture | None:
    name, hint = SUITE_FIGURES[metric]
    return standings(evaluations, metric, name, highest=hint.startswith("higher"), width=width)


def _table(suite: SuiteFigures, names: Sequence[str]) -> SuiteTable:
    columns = {name: SUITE_FIGURES[name] for name in names}
    answered = [each for each in suite.evaluations if each.n]
    rows = table(answered, columns, p_values(suite.differences, names[0]))
    return SuiteTable(list(columns.values()), rows)
