"""What people disagree on: the most disputed propositions, how their judgments differ, and a picture of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.table import Table

from flows.research.figures import check_picture
from flows.settings.settings import Config, load_settings
from flows.stages.services import reading
from flows.terminal.tables import texts_table
from training.evaluation.people_pictures import People, write_people
from warehouse.errors import InputError
from warehouse.queries.disagreement import DisagreementKind, disputed, judgments_of

LIMIT = 12


def disagreement(
    kind: DisagreementKind | None = None, *, limit: int = LIMIT, picture: Path | None = None, config: Config = None
) -> pa.Table:
    """Return the most disputed propositions: rows of the view `disagreement`, those with the largest SD first.

    Args:
        kind: Only those whose judgments differ like this: "camps" (two groups), "outlier" (a few far from the rest),
            "spread" or "little".
        limit: How many.
        picture: Also draw each judgment of each of them to this .svg file.
        config: The settings, or the file to read them from.

    Raises:
        InputError: no proposition has two judgments, none is of this kind, or the picture cannot be written.
    """
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    if picture is not None:
        picture = Path(picture)
        check_picture(picture)
    with reading(load_settings(config)) as warehouse:
        rows = disputed(warehouse, kind, limit)
        if not rows.num_rows:
            raise InputError(
                f"odds disagreement: no proposition is of the kind {kind}" + ", which takes five judgments"
                if kind
                else "odds disagreement: no proposition has two judgments that count"
            )
        if picture is not None:
            judged = judgments_of(warehouse, rows["proposition_id"].to_pylist())
            people = [People(*judged[row["proposition_id"]], **_shown(row)) for row in rows.to_pylist()]
            write_people(people, picture)
    return rows


def disagreement_table(rows: pa.Table) -> Table:
    """Return a table of the rows of `disagreement` for a terminal."""
    table = texts_table("SD", "judgments", "kind", "means of the groups", texts=("kind", "means of the groups"))
    for row in rows.to_pylist():
        groups = ""
        if row["kind"] in ("camps", "outlier"):
            upper = round(row["share_upper"] * row["n_judgments"])
            groups = f"{row['lower_mean']:.2f} ({row['n_judgments'] - upper}), {row['upper_mean']:.2f} ({upper})"
        text = f"{row['hypothesis']}  ({row['premise']})"
        table.add_row(f"{row['sd']:.3f}", f"{row['n_judgments']:,}", row["kind"] or "", groups, text)
    return table


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """What a picture tells of a proposition beside its judgments."""
    upper = row["share_upper"] if row["kind"] in ("camps", "outlier") else None
    return {name: row[name] for name in ("premise", "hypothesis", "kind", "sd")} | {"share_upper": upper}
