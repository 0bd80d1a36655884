"""Agreement in a warehouse: all figures of all slices from one pass over the judgments, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from warehouse.agreement import resample
from warehouse.agreement.resample import Figure, Moments
from warehouse.agreement.selection import Selection, Slices, selected
from warehouse.agreement.sql import (
    COMPARED_TABLE_SQL,
    annotators_sql,
    compared_sql,
    levels_sql,
    moments_sql,
    slices_sql,
    units_sql,
    units_table_sql,
)
from warehouse.catalog.connect import Warehouse
from warehouse.records import Agreement, content_id

DIGITS = 9  # sums in another order differ beyond these, but the same judgments must give the same row
METRICS_VERSION = "2"  # part of the fingerprint: raise it when a figure is computed differently
RELIABILITIES = (0.7, 0.8, 0.9)
SIMPLE = (
    "ordinal_alpha",
    "nominal_alpha",
    "median_judgments",
    "within_proposition_sd",
    "leave_one_out_r_mean",
    "leave_one_out_r_median",
    "leave_one_out_r_negative",
    "share_at_0",
    "share_at_half",
    "share_at_1",
    "share_at_twentieths",
)


def interval_alpha(
    warehouse: Warehouse, relation: str, unit: str, value: str, *, draws: int = 2000, seed: int = 0
) -> Figure:
    """Compute interval alpha over any relation, with its 95% interval from resampling units.

    `relation` is a table, view or query in parentheses, `unit` its column of units, such as proposition_id, and `value`
    that of the values; nulls do not count. It takes one scan at any size: up to `resample.FEW` units are resampled
    themselves, more from the normal limit.
    """
    units = units_sql(relation, unit, value)
    columns = resample.UNIT_COLUMNS[:4]
    row = warehouse.sql(f"SELECT {moments_sql(columns)} FROM ({units})").to_pylist()[0]
    if row["n"] == 0:
        return Figure("interval_alpha", None)
    moments = _moments(row, len(columns))
    block = None
    if moments.n <= resample.FEW:
        rows = warehouse.sql(f"SELECT {_numbered(columns)} FROM ({units}) ORDER BY {_order('m', 's', 'q')}")
        block = _block(rows, len(columns))
    return resample.figures(moments, block, {"interval_alpha": resample.interval_alpha}, draws, seed)[0]


def measure_agreement(
    warehouse: Warehouse, selection: Selection | None = None, draws: int = 2000, seed: int = 0
) -> list[Agreement]:
    """Compute the agreement figures of a selection of judgments, overall and for each slice.

    Slices are kind and group of annotator, kind of proposition, source, batch, project and week
    (`warehouse.agreement.selection`). The metrics of each:

    - `interval_alpha`, `icc_1`: with intervals from resampling propositions;
    - `ordinal_alpha`, `nominal_alpha`: on ten levels;
    - `reliability_of_mean`: of the mean of k judgments, k being their median number (`median_judgments`);
      `judgments_for_reliability_0.7`, `_0.8`, `_0.9`: how many judgments a proposition needs for that reliability;
    - `leave_one_out_r_mean`, `_median`, `_negative`: the Pearson correlations of annotators with the mean of the
      others, over at least ten propositions: their mean, their median and how many are below 0;
    - `within_proposition_sd`: the mean of the sample SDs;
    - heaping: `share_at_0`, `share_at_half`, `share_at_1` and `share_at_twentieths` (multiples of .05).

    Each labeler has its own scope, overall and by kind of proposition: `pearson_with_mean_judgment`,
    `interval_alpha_with_mean_judgment`, `mean_absolute_error`, `mean_difference`.

    Args:
        warehouse: The warehouse.
        selection: Which judgments count; the valid ones by default.
        draws: The number of resamples.
        seed: The seed of the resamples.

    Returns:
        The figures; none without judgments. The same judgments and settings give rows with the same ids.
    """
    selection = selection or Selection()
    run = _Run(selection=selection, draws=draws, seed=seed, snapshot=warehouse.snapshot_id())
    with selected(warehouse, selection) as slices:
        try:
            found = _judgment_figures(warehouse, slices, run) + _labeler_figures(warehouse, run)
        finally:
            warehouse.connection.execute("DROP TABLE IF EXISTS temp.main.units")
    return found


def figures_of_selected(memory: Warehouse, draws: int, seed: int) -> list[Agreement]:
    """Return the figures over all rows of a table SELECTED in a database without a catalog."""
    run = _Run(selection=Selection(), draws=draws, seed=seed, snapshot=0)
    return _judgment_figures(memory, Slices(["all"], []), run)


def unrecorded(figures: list[Agreement], current: list[Agreement]) -> list[Agreement]:
    """Return the figures whose judgments differ from those of the latest figure of the same metric, scope and slice.

    A figure that returns to an earlier state is a new point in its history, so it gets a new id.
    """
    known = {(each.metric, each.scope, each.slice): each.fingerprint for each in current}
    return [
        each.model_copy(update={"agreement_id": content_id(each.agreement_id, str(each.snapshot_id))})
        for each in figures
        if known.get((each.metric, each.scope, each.slice)) != each.fingerprint
    ]


class _Base(BaseModel):
    """What a figure was computed from."""

    n_propositions: int
    n_annotators: int
    n_judgments: int
    n_simulated: int
    fingerprint: str


class _Run(BaseModel):
    """What the figures of one run share."""

    selection: Selection
    draws: int
    seed: int
    snapshot: int

    def fingerprint(self, *parts: str) -> str:
        """Return a hash of what a figure was computed from, settings included."""
        settings = f"{METRICS_VERSION} {self.draws} {self.seed} {self.selection.model_dump_json()}"
        return content_id(settings, *parts)

    def figures(
        self, moments: Moments, block: resample.Floats | None, statistics: Mapping[str, resample.Statistic]
    ) -> list[Figure]:
        """Compute statistics with their intervals."""
        return resample.figures(moments, block, statistics, self.draws, self.seed)

    def record(self, figure: Figure, scope: str, slice_name: str, base: _Base) -> Agreement:
        """Return the row of a figure."""
        rounded = {
            name: None if value is None else round(value, DIGITS)
            for name, value in (("value", figure.value), ("low", figure.low), ("high", figure.high))
        }
        return Agreement.model_validate(
            {
                "agreement_id": content_id(figure.metric, scope, slice_name, base.fingerprint),
                "metric": figure.metric,
                "scope": scope,
                "slice": slice_name,
                "snapshot_id": self.snapshot,
                **rounded,
                **base.model_dump(),
            }
        )


def _judgment_figures(warehouse: Warehouse, slices: Slices, run: _Run) -> list[Agreement]:
    warehouse.connection.execute(units_table_sql(slices))
    sums = _by_slice(warehouse.sql(slices_sql()))
    annotators = _by_slice(warehouse.sql(annotators_sql(slices)))
    levels = _by_slice(warehouse.sql(levels_sql()))
    blocks = _blocks(warehouse, sums)
    found = []
    for number in sorted(sums):
        row = sums[number] | annotators[number] | levels.get(number, {"ordinal_alpha": None, "nominal_alpha": None})
        fingerprint = run.fingerprint(str(row["n_judgments"]), row["fingerprint"])
        base = _Base.model_validate({**row, "fingerprint": fingerprint})
        figures = _interval_figures(row, blocks.get(number), run) + [Figure(metric, row[metric]) for metric in SIMPLE]
        found += [run.record(figure, run.selection.scope, slices.names[number], base) for figure in figures]
    return found


def _interval_figures(row: Mapping[str, Any], block: resample.Floats | None, run: _Run) -> list[Figure]:
    """The figures that have an interval, and those that follow from interval alpha."""
    if row["n"] == 0:
        return [Figure("interval_alpha", None), Figure("icc_1", None)]
    moments = _moments(row, len(resample.UNIT_COLUMNS))
    statistics = {"interval_alpha": resample.interval_alpha, "icc_1": resample.icc1(moments.n)}
    alpha, icc = run.figures(moments, block, statistics)
    return [
        alpha,
        icc,
        resample.reliability(alpha, row["median_judgments"]),
        *(resample.judgments_for(alpha, reached) for reached in RELIABILITIES),
    ]


def _by_slice(table: pa.Table) -> dict[int, dict[str, Any]]:
    return {row["slice"]: row for row in table.to_pylist()}


def _moments(row: Mapping[str, Any], columns: int) -> Moments:
    mean = np.array([row[f"mean_{i}"] for i in range(columns)], np.float64)
    covariance = [[row[f"cov_{min(i, j)}_{max(i, j)}"] for j in range(columns)] for i in range(columns)]
    return Moments(row["n"], mean, np.array(covariance, np.float64))


def _blocks(warehouse: Warehouse, sums: Mapping[int, Mapping[str, Any]]) -> dict[int, resample.Floats]:
    """The rows of slices with few units; the others draw from the normal limit."""
    few = [number for number, row in sums.items() if 0 < row["n"] <= resample.FEW]
    if not few:
        return {}
    columns, numbers = _numbered(resample.UNIT_COLUMNS), ", ".join(map(str, few))
    rows = warehouse.sql(
        f"SELECT slice, {columns} FROM units WHERE m >= 2 AND slice IN ({numbers}) ORDER BY slice, "
        + _order("m", "s", "q")
    )
    numbers_found, starts = np.unique(rows["slice"].to_numpy(), return_index=True)
    parts = np.split(_block(rows, len(resample.UNIT_COLUMNS)), starts[1:])
    return dict(zip(numbers_found.tolist(), parts, strict=True))


def _order(*columns: str) -> str:
    """Return the order of a block's rows, on which its resamples depend.

    Sums differ in their last bit with the order in which they are added. Unrounded, rows that are almost equal would
    change places from one warehouse to the next.
    """
    return ", ".join(f"round({column}, 9)" for column in columns)


def _numbered(columns: Sequence[str]) -> str:
    return ", ".join(f"{column} AS c{i}" for i, column in enumerate(columns))


def _block(rows: pa.Table, columns: int) -> resample.Floats:
    return np.column_stack([rows[f"c{i}"].to_numpy() for i in range(columns)]).astype(np.float64)


def _labeler_figures(warehouse: Warehouse, run: _Run) -> list[Agreement]:
    """The figures of each labeler version against the mean judgments, overall and by kind of proposition."""
    warehouse.connection.execute(COMPARED_TABLE_SQL)
    try:
        rows = warehouse.sql(compared_sql()).to_pylist()
        return [figure for row in rows for figure in _compared_figures(warehouse, run, row)]
    finally:
        warehouse.connection.execute("DROP TABLE temp.main.compared")


def _compared_figures(warehouse: Warehouse, run: _Run, row: Mapping[str, Any]) -> list[Agreement]:
    labeler, version, name = row["labeler"], row["labeler_version"], row["slice"]
    fingerprint = run.fingerprint(labeler, version, str(row["n"]), row["fingerprint"])
    base = _Base.model_validate({**row, "fingerprint": fingerprint})
    moments = _moments(row, len(resample.PAIR_COLUMNS))
    block = _compared_block(warehouse, labeler, version, name) if moments.n <= resample.FEW else None
    figures = run.figures(moments, block, resample.pair_statistics(moments.n))
    scope = f"labeler {labeler}, version {version}, {run.selection.scope}"
    return [run.record(figure, scope, name, base) for figure in figures]


def _compared_block(warehouse: Warehouse, labeler: str, version: str, name: str) -> resample.Floats:
    rows = warehouse.sql(
        f"SELECT {_numbered(resample.PAIR_COLUMNS)} FROM compared WHERE labeler = ? AND labeler_version = ? "
        f"AND (? = 'all' OR 'kind=' || kind = ?) ORDER BY {_order('x', 'y')}",
        [labeler, version, name, name],
    )
    return _block(rows, len(resample.PAIR_COLUMNS))
