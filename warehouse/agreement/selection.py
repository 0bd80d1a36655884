"""Which judgments count in an agreement figure, and the slices to compute figures for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.extensions import literals
from warehouse.catalog.schema import REPEATS
from warehouse.records import NOBODY, AnnotatorKind

LEVELS = 10  # the bins for ordinal and nominal agreement, as many as the estimator has by default
LEVEL = f"least(floor(value * {LEVELS}), {LEVELS - 1})::UTINYINT AS level"
SELECTED = "temp.main.selected"
ALL = 0  # the number of the slice with everything

# A slice is a value of one of these. A judgment where it is null belongs to no such slice.
SLICES = {
    "annotator_kind": "a.kind",
    "annotator_group": "a.annotator_group",
    "kind": "p.kind",
    "source": "j.source",
    "batch": "CASE WHEN t.project IS NULL THEN j.batch END",
    "project": "t.project",
    # The Monday, from whole days: calendar functions take six times as long.
    "week": "DATE '1970-01-05' + (7 * ((epoch_us(j.submitted_at) // 86400000000 - 4) // 7))::INTEGER",
}


class Selection(BaseModel):
    """Which judgments count; by default the valid ones.

    Deleted judgments, those on checks and those of excluded annotators never count.

    Attributes:
        include_cannot_judge: Whether a judgment without a probability counts, with its slider's position.
        include_rejected: Whether judgments count that their source rejected.
        repeats: Which judgments of an annotator on the same proposition count: the first, or all.
        annotator_kinds: Whose judgments count. Aggregate labels never do by default, as no two people gave them;
            anonymous responses count, but not as annotators.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    include_cannot_judge: bool = False
    include_rejected: bool = False
    repeats: Literal["first", "all"] = "first"
    annotator_kinds: tuple[AnnotatorKind, ...] = Field(
        default=("human", "simulated", "imported", "anonymous"), min_length=1
    )

    @property
    def scope(self) -> str:
        """The selection in words: "valid judgments" for the default."""
        if self == Selection():
            return "valid judgments"
        parts = ["with cannot judge"] if self.include_cannot_judge else []
        parts += ["with rejected"] if self.include_rejected else []
        parts += ["with repeats"] if self.repeats == "all" else []
        if self.annotator_kinds != Selection().annotator_kinds:
            parts.append("of " + " and ".join(self.annotator_kinds))
        return f"judgments {', '.join(parts)}"


@dataclass(frozen=True)
class Slices:
    """The slices of a selection: their names by number, such as source=study, and their columns in SELECTED."""

    names: list[str]
    columns: list[str]


@contextmanager
def selected(warehouse: Warehouse, selection: Selection) -> Iterator[Slices]:
    """Provide the selected judgments as the temporary table SELECTED, and yield its slices.

    Columns: unit and annotator (numbers), value in [0, 1], level (0 to LEVELS - 1), simulated, known (whether the
    annotator is), hash (of the judgment), and for each kind of slice the number of the judgment's slice, or -1. Texts
    become numbers here once, which keeps later grouping fast and small.
    """
    connection = warehouse.connection
    names = ["all"]
    try:
        connection.execute(_codes_sql())
        connection.execute(f"CREATE OR REPLACE TEMPORARY TABLE chosen AS {_chosen_sql(selection)}")
        connection.execute("CREATE OR REPLACE TEMPORARY TABLE slices (number INTEGER, dimension VARCHAR, name VARCHAR)")
        columns = []
        for dimension in SLICES:
            values = warehouse.sql(
                f"SELECT DISTINCT {dimension} AS v FROM chosen WHERE {dimension} IS NOT NULL ORDER BY v"
            )["v"].to_pylist()
            if values:
                rows = [(len(names) + place, dimension, str(value)) for place, value in enumerate(values)]
                connection.executemany("INSERT INTO slices VALUES (?, ?, ?)", rows)
                names += [f"{dimension}={value}" for value in values]
                columns.append(dimension)
        connection.execute(f"CREATE OR REPLACE TEMPORARY TABLE {SELECTED} AS {_coded_sql(columns)}")
        connection.execute("DROP TABLE chosen")
        yield Slices(names, columns)
    finally:
        for table in ("chosen", "slices", "unit_codes", "annotator_codes", "selected"):
            connection.execute(f"DROP TABLE IF EXISTS temp.main.{table}")


def live_sql(columns: str, value: str, condition: str, first_only: bool) -> str:
    """Return a query for `columns` of the judgments `j` that are not deleted, have a `value` and meet `condition`.

    With `first_only`, only the first judgment of an annotator on a proposition. Repeats are few, so grouping finds them
    and only they are sorted: a third of the time and memory of a window over all judgments.
    """
    live = f"j.deleted_at IS NULL AND {value} IS NOT NULL AND {condition}"
    if not first_only:
        return f"SELECT {columns} FROM judgments j WHERE {live}"
    return f"""
        WITH repeated AS (
          SELECT annotator_id, proposition_id FROM judgments j WHERE {live} GROUP BY ALL HAVING count(*) > 1
        ), later AS (
          SELECT judgment_id FROM judgments j SEMI JOIN repeated USING (annotator_id, proposition_id) WHERE {live}
          QUALIFY row_number() OVER (PARTITION BY annotator_id, proposition_id ORDER BY {REPEATS}) > 1
        )
        SELECT {columns} FROM judgments j ANTI JOIN later USING (judgment_id) WHERE {live}
    """


def _codes_sql() -> str:
    return """
        CREATE OR REPLACE TEMPORARY TABLE unit_codes AS
          SELECT proposition_id, (row_number() OVER ())::INTEGER AS unit, kind FROM propositions
          WHERE proposition_id NOT IN (SELECT proposition_id FROM checks);
        CREATE OR REPLACE TEMPORARY TABLE annotator_codes AS
          SELECT annotator_id, (row_number() OVER ())::INTEGER AS annotator, kind, annotator_group FROM annotators
          WHERE annotator_id NOT IN (SELECT annotator_id FROM current_statuses WHERE status = 'excluded');
    """


def _chosen_sql(selection: Selection) -> str:
    value = "coalesce(j.probability, j.raw_probability)" if selection.include_cannot_judge else "j.probability"
    rejected = "true" if selection.include_rejected else "j.status <> 'rejected'"
    columns = f"j.judgment_id, j.proposition_id, j.annotator_id, j.source, j.batch, j.submitted_at, {value} AS value"
    live = live_sql(columns, value, rejected, selection.repeats == "first")
    slices = ", ".join(f"{expression} AS {name}" for name, expression in SLICES.items())
    return f"""
        SELECT p.unit, a.annotator, j.value, a.kind = 'simulated' AS simulated,
          a.kind NOT IN ({literals(NOBODY)}) AS known, {slices},
          md5_number_lower(concat_ws('|', j.judgment_id, j.proposition_id, j.annotator_id, a.kind, j.value)) AS hash
        FROM ({live}) j
        JOIN unit_codes p USING (proposition_id)
        JOIN annotator_codes a USING (annotator_id)
        LEFT JOIN (SELECT DISTINCT project FROM tasks) t ON t.project = j.batch
        WHERE a.kind IN ({literals(selection.annotator_kinds)})
    """


def _coded_sql(columns: list[str]) -> str:
    coded = "".join(f", coalesce({name}_codes.number, -1) AS {name}" for name in columns)
    joins = " ".join(
        f"LEFT JOIN slices {name}_codes ON {name}_codes.dimension = '{name}' AND {name}_codes.name = c.{name}::VARCHAR"
        for name in columns
    )
    return f"""
        SELECT c.unit, c.annotator, c.value, c.simulated, c.known, c.hash, {LEVEL}{coded}
        FROM chosen c {joins}
    """
