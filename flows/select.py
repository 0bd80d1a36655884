"""Select: choose propositions for more judgments, where people, panel and estimator leave the most doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from flows.estimators.named import estimator_for
from flows.estimators.scoring import ROWS_AT_ONCE, scored
from flows.research.query import rows_file
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import reading, writing
from flows.stages.stage import stage
from flows.terminal.tables import texts_table
from training.levels import sd as level_sd
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge
from warehouse.consensus.doubt import Known, Rule, doubt
from warehouse.errors import InputError
from warehouse.files.formats import write_table
from warehouse.queries.selections import candidates, chosen
from warehouse.queries.stages import proposition_texts
from warehouse.records import Model, PropositionText, Selection, Split, content_id

LIMIT = 100
SHOWN = 20
"""How many of the chosen propositions a terminal shows."""
MEANING: dict[Rule, str] = {
    "consensus": "the SD of the consensus",
    "disagreement": "how many SDs of the consensus the estimator is from it",
    "panel": "how far the estimator is from the mean of the panel",
    "uncertainty": "the SD of the estimator's level distribution",
}


@stage("select", hours=24)
def select(
    config: Config = None,
    by: Rule = "consensus",
    *,
    limit: int = LIMIT,
    with_test: bool = False,
    output: Path | None = None,
    model: str | None = None,
) -> Outcome:
    """Choose the propositions in most doubt. `odds push --selected` has each of them judged once more.

    They are rows of the table `selections`. Choosing again before new judgments arrive changes nothing.

    Args:
        config: The settings, or the file to read them from.
        by: The rule. "consensus": the SD of the consensus is largest; "disagreement": estimator and consensus differ by
            the most SDs of the consensus; "panel": estimator and panel differ most; "uncertainty": the estimator's
            level distribution is widest.
        limit: How many to choose.
        with_test: Also choose from the test split. More judgments where a model seemed wrong would bias its evaluation.
        output: Also write the chosen propositions to this .jsonl, .csv or .parquet file.
        model: The estimator of the rule: its id or the start of it, a folder or "pretrained"; by default the one in
            use, or the pretrained one if none was trained.

    Raises:
        InputError: nothing can be compared, there is no such estimator, or the file cannot be written.
    """
    settings = load_settings(config)
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    if output is not None:
        output = rows_file(settings, output)
    used = None if by == "consensus" else estimator_for(settings, model)
    splits: list[Split] = ["train", "dev", *(["test"] if with_test else [])]  # type: ignore[list-item]
    with writing(settings) as warehouse:
        known = candidates(warehouse, settings.agreement.consensus, splits)
        values = _values(settings, warehouse, by, known, used)
        comparable = int(np.isfinite(values).sum())
        if not comparable:
            raise InputError(_nothing(settings, by, known.num_rows, splits))
        places = np.argsort(-values, kind="stable")[: min(limit, comparable)]  # nan comes last
        merge(warehouse, _rows(by, known.take(places), values[places], used))
        rows = chosen(warehouse, by)
        if output is not None:
            write_table(rows.filter(pc.is_in(rows["proposition_id"], known["proposition_id"].take(places))), output)
    counts = {"chosen": len(places), "in less doubt": comparable - len(places), "unknown": len(values) - comparable}
    simulated = pc.sum(known["n_simulated"].take(places)).as_py()
    notes = [f"by {by}" + (f" with model {used.model_id}" if used else "")]
    notes += [f"{simulated:,} of their judgments are simulated"] if simulated else []
    return Outcome(
        stage="select", counts=counts, note="; ".join([*notes, "odds push --selected asks for the judgments"])
    )


def selected(rule: Rule | None = None, *, config: Config = None) -> pa.Table:
    """Return the rows of the view `chosen`, of all rules or one: propositions that wait for another judgment."""
    with reading(load_settings(config)) as warehouse:
        return chosen(warehouse, rule)


def selected_parts(rows: pa.Table, by: Rule) -> list[Table | str]:
    """Return a table of the first rows of `selected` for a terminal, below its title."""
    table = texts_table("doubt", "judgments", "split", texts=("split",))
    for row in rows.slice(0, SHOWN).to_pylist():
        text = f"{row['hypothesis']}  ({row['premise']})"
        table.add_row(f"{row['value']:.3f}", f"{row['n_judgments']:,}", row["split"], text)
    title = f"waiting for a judgment: {rows.num_rows:,}" + (
        f", the first {SHOWN} of them" if rows.num_rows > SHOWN else ""
    )
    return [f"{title}; doubt: {MEANING[by]}", table]


def _values(settings: Settings, warehouse: Warehouse, by: Rule, known: pa.Table, model: Model | None) -> Any:
    """How much each proposition is in doubt, [n]; nan where it is unknown."""
    mean, sd, panel = (_numbers(known[name]) for name in ("consensus_mean", "consensus_sd", "panel_mean"))
    score, width = np.full((2, known.num_rows), np.nan)
    if model is not None:
        compared = {"disagreement": np.isfinite(mean), "panel": np.isfinite(panel)}.get(by, np.full(len(mean), True))
        ids = known["proposition_id"].to_pylist()
        place = {ids[row]: row for row in np.flatnonzero(compared)}
        with scored(settings, model, _texts(warehouse, list(place)), len(place)) as parts:
            for part in parts:
                if found := list(part.scores.values()):
                    rows = [place[each.proposition_id] for each in found]
                    score[rows] = [each.score for each in found]
                    width[rows] = level_sd([each.level_probabilities for each in found])
    return doubt(by, Known(mean, sd, score, width, panel))


def _numbers(column: pa.ChunkedArray) -> Any:
    return column.cast(pa.float64()).fill_null(np.nan).to_numpy()


def _texts(warehouse: Warehouse, ids: Sequence[str]) -> Iterator[PropositionText]:
    """The propositions of these ids, read part by part."""
    for start in range(0, len(ids), ROWS_AT_ONCE):
        part = list(ids[start : start + ROWS_AT_ONCE])
        yield from proposition_texts(warehouse, "p.proposition_id IN (SELECT unnest(?::VARCHAR[]))", [part])


def _rows(by: Rule, known: pa.Table, values: Any, model: Model | None) -> list[Selection]:
    at = datetime.now(UTC)
    return [
        Selection(
            selection_id=content_id("selection", row["proposition_id"], by, str(row["n_judgments"])),
            proposition_id=row["proposition_id"],
            rule=by,
            value=float(value),
            n_judgments=row["n_judgments"],
            model_id=model.model_id if model else None,
            created_at=at,
        )
        for row, value in zip(known.to_pylist(), values, strict=True)
    ]


def _nothing(settings: Settings, by: Rule, propositions: int, splits: Sequence[Split]) -> str:
    where = f"odds select: none of the {propositions:,} propositions in {' and '.join(splits)}"
    if by == "panel":
        return f"{where} has an estimate of the panel; run odds elicit"
    if by == "uncertainty":
        return f"{where} can be scored; import or propose some"
    if settings.agreement.consensus == "median":
        return f"{where} has an SD of the consensus, since a median has none; set agreement.consensus to em"
    return f"{where} has a consensus with an SD; run odds agree"
