"""How far annotators agree: interval alpha in one SQL scan, its interval by resampling propositions, and more."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from warehouse.connect import Warehouse
from warehouse.records import Agreement, AnnotatorKind, content_id
from warehouse.resample import Figure, alpha_figure, pearson_figure, reliability_figure

DIGITS = 9  # sums in another order differ behind these, and the same judgments must give the same row
SELECTED = "temp.main.selected"
METRICS_VERSION = "1"  # part of the fingerprint: raise it when a figure is computed in another way


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


def alpha_sql(relation: str, unit: str, value: str) -> str:
    """A query for Krippendorff's alpha with the interval metric over any relation, in one scan.

    It gives alpha (null where it is not defined), n_units and n_values, the units with at least two values and their
    values. With m, S and Q the number, sum and sum of squares of the values of a unit and N, S_t, Q_t their totals:
    alpha = 1 - D_o / D_e, D_o = (1/N) sum 2 (m Q - S^2) / (m - 1), D_e = 2 (N Q_t - S_t^2) / (N (N - 1)).
    (Krippendorff 2011, Computing Krippendorff's alpha-reliability, with the squared differences written as sums.)

    Args:
        relation: a table, view or parenthesised query.
        unit: the column whose values are the units, such as proposition_id.
        value: the column of the values; nulls do not count.
    """
    return f"""
        WITH units AS (
          SELECT count({value})::DOUBLE AS m, sum({value}::DOUBLE) AS s, sum({value}::DOUBLE * {value}::DOUBLE) AS q
          FROM {relation} GROUP BY {unit} HAVING count({value}) >= 2
        ), totals AS (
          SELECT
            count(*) AS n_units, sum(m) AS n, sum(s) AS s, sum(q) AS q, sum(2 * (m * q - s * s) / (m - 1)) AS d
          FROM units
        )
        SELECT
          1 - (d / n) / nullif(2 * (n * q - s * s) / (n * (n - 1)), 0) AS alpha,
          n_units, coalesce(n, 0)::BIGINT AS n_values
        FROM totals
    """


def measure_agreement(
    warehouse: Warehouse, selection: Selection | None = None, draws: int = 2000, seed: int = 0
) -> list[Agreement]:
    """The figures of agreement of a selection of judgments: over all, by kind of annotator and by source.

    Metrics: `interval_alpha`; `reliability_of_mean`, that of the mean of k judgments with k their median number
    (`median_judgments`); `leave_one_out_r_mean` and `_median` of the Pearson correlations of the annotators with at
    least ten propositions with the mean of the others; `within_proposition_sd`, the mean of the sample SDs;
    `share_at_0`, `share_at_half`, `share_at_1` of the judgments. For each labeler, in a scope of its own:
    `pearson_with_mean_judgment` and `mean_absolute_error`. Intervals come from resampling propositions `draws` times.
    The same judgments with the same settings give rows with the same ids. Without judgments there are no figures.
    """
    selection = selection or Selection()
    settings = f"{METRICS_VERSION} {draws} {seed} {selection.model_dump_json()}"
    warehouse.connection.execute(f"CREATE OR REPLACE TEMPORARY TABLE {SELECTED} AS {_selected_sql(selection)}")
    try:
        snapshot = warehouse.snapshot_id()
        found: list[Agreement] = []
        for name, condition in _slices(warehouse):
            base = _base(warehouse, f"(SELECT * FROM {SELECTED} WHERE {condition})", settings)
            figures = _slice_figures(warehouse, condition, draws, seed)
            found += [_record(figure, selection.scope, name, base, snapshot) for figure in figures]
        for labeler, version, pairs in _labeler_pairs(warehouse):
            base = _labeler_base(warehouse, pairs, content_id(settings, labeler, version))
            scope = f"labeler {labeler}, version {version}, {selection.scope}"
            found += [_record(figure, scope, "all", base, snapshot) for figure in _labeler_figures(pairs, draws, seed)]
        return found
    finally:
        warehouse.connection.execute(f"DROP TABLE {SELECTED}")


def unrecorded(figures: list[Agreement], current: list[Agreement]) -> list[Agreement]:
    """The figures that rest on other judgments than the newest ones of their metric, scope and slice.

    A figure that is back at an earlier state is a new point of the history, so that it gets an id of its own.
    """
    known = {(each.metric, each.scope, each.slice): each.fingerprint for each in current}
    return [
        each.model_copy(update={"agreement_id": content_id(each.agreement_id, str(each.snapshot_id))})
        for each in figures
        if known.get((each.metric, each.scope, each.slice)) != each.fingerprint
    ]


class _Base(BaseModel):
    """What a figure rests on."""

    n_propositions: int
    n_annotators: int
    n_judgments: int
    n_simulated: int
    fingerprint: str


def _selected_sql(selection: Selection) -> str:
    value = "coalesce(j.probability, j.raw_probability)" if selection.include_cannot_judge else "j.probability"
    kinds = ", ".join(f"'{kind}'" for kind in selection.annotator_kinds)
    rejected = "" if selection.include_rejected else "AND j.status <> 'rejected'"
    order = (
        "PARTITION BY j.annotator_id, j.proposition_id "
        "ORDER BY j.sequence NULLS LAST, j.submitted_at NULLS LAST, j.judgment_id"
    )
    first = f"QUALIFY row_number() OVER ({order}) = 1" if selection.repeats == "first" else ""
    return f"""
        SELECT j.judgment_id, j.proposition_id, j.annotator_id, a.kind, j.source, {value} AS value
        FROM judgments j JOIN annotators a ON a.annotator_id = j.annotator_id
        WHERE j.deleted_at IS NULL AND {value} IS NOT NULL AND a.kind IN ({kinds}) {rejected} {first}
    """


def _slices(warehouse: Warehouse) -> list[tuple[str, str]]:
    """The name of each slice with its SQL condition; none without judgments."""
    slices = []
    for column in ("kind", "source"):
        values = warehouse.sql(f"SELECT DISTINCT {column} AS v FROM {SELECTED} ORDER BY v")["v"].to_pylist()
        for value in values:
            escaped = value.replace("'", "''")
            slices.append((f"{column}={value}", f"{column} = '{escaped}'"))
    return [("all", "true"), *slices] if slices else []


def _base(warehouse: Warehouse, relation: str, settings: str) -> _Base:
    row = warehouse.sql(
        f"""
        SELECT
          count(DISTINCT proposition_id) AS n_propositions, count(DISTINCT annotator_id) AS n_annotators,
          count(*) AS n_judgments, count(*) FILTER (kind = 'simulated') AS n_simulated,
          sum(
            md5_number_lower(concat_ws('|', judgment_id, proposition_id, annotator_id, kind, value))::HUGEINT
          )::VARCHAR AS fingerprint
        FROM {relation}
        """
    ).to_pylist()[0]
    fingerprint = content_id(settings, str(row["n_judgments"]), row["fingerprint"] or "")
    return _Base.model_validate({**row, "fingerprint": fingerprint})


def _slice_figures(warehouse: Warehouse, condition: str, draws: int, seed: int) -> list[Figure]:
    block = warehouse.sql(
        f"SELECT count(*)::DOUBLE AS m, sum(value) AS s, sum(value * value) AS q FROM {SELECTED} WHERE {condition} "
        "GROUP BY proposition_id HAVING count(*) >= 2 ORDER BY proposition_id"
    )
    alpha = alpha_figure(block["m"].to_numpy(), block["s"].to_numpy(), block["q"].to_numpy(), draws, seed)
    simple = warehouse.sql(_simple_sql(condition)).to_pylist()[0]
    figures = [alpha]
    if simple["median_judgments"] is not None:
        figures.append(reliability_figure(alpha, simple["median_judgments"]))
    return figures + [Figure(metric, value) for metric, value in simple.items()]


def _simple_sql(condition: str) -> str:
    """The figures without an interval, one column each."""
    return f"""
        WITH compared AS (
          SELECT
            proposition_id, annotator_id, value, count(*) OVER same AS m,
            (sum(value) OVER same - value) / nullif(count(*) OVER same - 1, 0) AS rest
          FROM {SELECTED} WHERE {condition} WINDOW same AS (PARTITION BY proposition_id)
        ), annotators AS (
          SELECT corr(value, rest) AS r FROM compared WHERE rest IS NOT NULL GROUP BY annotator_id
          HAVING count(DISTINCT proposition_id) >= 10 AND var_pop(value) > 1e-12 AND var_pop(rest) > 1e-12
        ), units AS (
          SELECT m, stddev_samp(value) AS sd FROM compared WHERE m >= 2 GROUP BY proposition_id, m
        )
        SELECT
          (SELECT median(m)::DOUBLE FROM units) AS median_judgments,
          (SELECT avg(r) FROM annotators) AS leave_one_out_r_mean,
          (SELECT median(r) FROM annotators) AS leave_one_out_r_median,
          (SELECT avg(sd) FROM units) AS within_proposition_sd,
          avg((value = 0)::DOUBLE) AS share_at_0, avg((value = 0.5)::DOUBLE) AS share_at_half,
          avg((value = 1)::DOUBLE) AS share_at_1
        FROM compared
    """


def _labeler_pairs(warehouse: Warehouse) -> list[tuple[str, str, pa.Table]]:
    """Labeler, version, and its estimates beside the mean judgments: proposition_id, probability, mean."""
    pairs = warehouse.sql(
        f"""
        WITH judged AS (SELECT proposition_id, avg(value) AS mean FROM {SELECTED} GROUP BY proposition_id)
        SELECT e.labeler, e.labeler_version, e.proposition_id, e.probability, j.mean
        FROM estimates e JOIN judged j ON j.proposition_id = e.proposition_id WHERE e.probability IS NOT NULL
        ORDER BY e.labeler, e.labeler_version, e.proposition_id
        """
    )
    labelers = zip(pairs["labeler"].to_pylist(), pairs["labeler_version"].to_pylist(), strict=True)
    return [
        (name, version, pairs.filter(_both_equal(pairs, name, version))) for name, version in dict.fromkeys(labelers)
    ]


def _labeler_base(warehouse: Warehouse, pairs: pa.Table, settings: str) -> _Base:
    warehouse.connection.register("compared", pairs.select(["proposition_id"]))
    try:
        relation = f"(SELECT s.* FROM {SELECTED} s SEMI JOIN compared c ON c.proposition_id = s.proposition_id)"
        return _base(warehouse, relation, content_id(settings, *map(repr, pairs["probability"].to_pylist())))
    finally:
        warehouse.connection.unregister("compared")


def _labeler_figures(pairs: pa.Table, draws: int, seed: int) -> list[Figure]:
    estimates, means = pairs["probability"].to_numpy(), pairs["mean"].to_numpy()
    error = float(abs(estimates - means).mean())
    return [pearson_figure(estimates, means, draws, seed), Figure("mean_absolute_error", error)]


def _both_equal(pairs: pa.Table, labeler: str, version: str) -> pa.ChunkedArray:
    return pc.and_(pc.equal(pairs["labeler"], labeler), pc.equal(pairs["labeler_version"], version))


def _record(figure: Figure, scope: str, name: str, base: _Base, snapshot: int) -> Agreement:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, DIGITS)

    return Agreement(
        agreement_id=content_id(figure.metric, scope, name, base.fingerprint),
        metric=figure.metric,
        scope=scope,
        slice=name,
        value=rounded(figure.value),
        low=rounded(figure.low),
        high=rounded(figure.high),
        snapshot_id=snapshot,
        **base.model_dump(),
    )
