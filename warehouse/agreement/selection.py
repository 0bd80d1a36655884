"""Which judgments count in a figure of agreement, and the slices that the figures are taken over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from warehouse.catalog.connect import Warehouse
from warehouse.records import AnnotatorKind

LEVELS = 10  # the bins that ordinal and nominal agreement are taken over, as many as the estimator's default
SELECTED = "temp.main.selected"
ALL = 0  # the number of the slice that holds everything

# What a slice is: the value of one of these for a judgment. A judgment where it is null is in no such slice.
SLICES = {
    "annotator_kind": "a.kind",
    "annotator_group": "a.annotator_group",
    "kind": "p.kind",
    "source": "j.source",
    "batch": "CASE WHEN t.project IS NULL THEN j.batch END",
    "project": "t.project",
    # The Monday; whole days are counted, since calendar functions take six times as long.
    "week": "DATE '1970-01-05' + (7 * ((epoch_us(j.submitted_at) // 86400000000 - 4) // 7))::INTEGER",
}


class Selection(BaseModel):
    """Which judgments count. The default are the valid ones; deleted ones never count.

    With `include_cannot_judge` a judgment without a probability counts by where its slider stood. `repeats` says
    whether only the first of several judgments of an annotator on a proposition counts. `annotator_kinds` limits
    whose judgments count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    include_cannot_judge: bool = False
    include_rejected: bool = False
    repeats: Literal["first", "all"] = "first"
    annotator_kinds: tuple[AnnotatorKind, ...] = Field(default=("human", "simulated", "imported"), min_length=1)

    @property
    def scope(self) -> str:
        """What the figures are about, in words: "valid judgments" for the default."""
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
    """The slices of a selection: `names[number]` is all or such as source=study; `columns` are those of SELECTED."""

    names: list[str]
    columns: list[str]


@contextmanager
def selected(warehouse: Warehouse, selection: Selection) -> Iterator[Slices]:
    """The chosen judgments as the temporary table SELECTED, while the context lasts; its slices.

    Columns: unit and annotator (numbers), value in [0, 1], level (0 to LEVELS - 1), simulated, hash (of what the
    judgment says), and for each kind of slice a column with the number of the judgment's slice, -1 where it has none.
    Texts become numbers here once, so that whatever is grouped behind it is fast and small.
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


def standing_sql(columns: str, value: str, condition: str, first_only: bool) -> str:
    """A query for the `columns` of the judgments `j` that stand and have a `value`; `condition` narrows them.

    With `first_only`, of an annotator's judgments on a proposition only the first. Repeats are few, so they are found
    by grouping and only they are put in order: a third of the time and memory of a window over all judgments.
    """
    standing = f"j.deleted_at IS NULL AND {value} IS NOT NULL AND {condition}"
    if not first_only:
        return f"SELECT {columns} FROM judgments j WHERE {standing}"
    order = "sequence NULLS LAST, submitted_at NULLS LAST, judgment_id"
    return f"""
        WITH repeated AS (
          SELECT annotator_id, proposition_id FROM judgments j WHERE {standing} GROUP BY ALL HAVING count(*) > 1
        ), later AS (
          SELECT judgment_id FROM judgments j SEMI JOIN repeated USING (annotator_id, proposition_id) WHERE {standing}
          QUALIFY row_number() OVER (PARTITION BY annotator_id, proposition_id ORDER BY {order}) > 1
        )
        SELECT {columns} FROM judgments j ANTI JOIN later USING (judgment_id) WHERE {standing}
    """


def _codes_sql() -> str:
    return """
        CREATE OR REPLACE TEMPORARY TABLE unit_codes AS
          SELECT proposition_id, (row_number() OVER ())::INTEGER AS unit, kind FROM propositions;
        CREATE OR REPLACE TEMPORARY TABLE annotator_codes AS
          SELECT annotator_id, (row_number() OVER ())::INTEGER AS annotator, kind, annotator_group FROM annotators;
    """


def _chosen_sql(selection: Selection) -> str:
    value = "coalesce(j.probability, j.raw_probability)" if selection.include_cannot_judge else "j.probability"
    rejected = "true" if selection.include_rejected else "j.status <> 'rejected'"
    columns = (
        "j.judgment_id, j.proposition_id, j.annotator_id, j.source, j.batch, j.submitted_at, " + f"{value} AS value"
    )
    kinds = ", ".join(f"'{kind}'" for kind in selection.annotator_kinds)
    standing = standing_sql(columns, value, rejected, selection.repeats == "first")
    slices = ", ".join(f"{expression} AS {name}" for name, expression in SLICES.items())
    return f"""
        SELECT p.unit, a.annotator, j.value, a.kind = 'simulated' AS simulated, {slices},
          md5_number_lower(concat_ws('|', j.judgment_id, j.proposition_id, j.annotator_id, a.kind, j.value)) AS hash
        FROM ({standing}) j
        JOIN unit_codes p USING (proposition_id)
        JOIN annotator_codes a USING (annotator_id)
        LEFT JOIN (SELECT DISTINCT project FROM tasks) t ON t.project = j.batch
        WHERE a.kind IN ({kinds})
    """


def _coded_sql(columns: list[str]) -> str:
    coded = "".join(f", coalesce({name}_codes.number, -1) AS {name}" for name in columns)
    joins = " ".join(
        f"LEFT JOIN slices {name}_codes ON {name}_codes.dimension = '{name}' AND {name}_codes.name = c.{name}::VARCHAR"
        for name in columns
    )
    return f"""
        SELECT c.unit, c.annotator, c.value, c.simulated, c.hash,
          least(floor(c.value * {LEVELS}), {LEVELS - 1})::UTINYINT AS level{coded}
        FROM chosen c {joins}
    """
