"""The queries for agreement figures. They read the table that `warehouse.agreement.selection` makes."""

from __future__ import annotations

from collections.abc import Sequence

from warehouse.agreement import resample
from warehouse.agreement.selection import ALL, LEVELS, SELECTED, Slices

COMPARED = 10  # propositions that an annotator must share with others for a correlation to mean something

COMPARED_TABLE_SQL = """
CREATE OR REPLACE TEMPORARY TABLE compared AS
SELECT e.labeler, e.labeler_version, c.unit, c.kind, e.probability AS x, u.s / u.m AS y, u.m, u.simulated,
  md5_number_lower(concat_ws('|', e.estimate_id, e.probability, u.hash)) AS hash
FROM estimates e
JOIN unit_codes c ON c.proposition_id = e.proposition_id
JOIN units u ON u.unit = c.unit AND u.slice = 0
WHERE e.probability IS NOT NULL
  AND (e.method <> 'estimator' OR e.proposition_id IN (SELECT proposition_id FROM splits WHERE split = 'test'))
"""


def units_sql(relation: str, unit: str, value: str) -> str:
    """Return a query for the number m, sum s and sum of squares q of each unit with at least two values."""
    return f"""
        SELECT count({value})::DOUBLE AS m, sum({value}::DOUBLE) AS s, sum({value}::DOUBLE * {value}::DOUBLE) AS q
        FROM {relation} GROUP BY {unit} HAVING count({value}) >= 2
    """


def units_table_sql(slices: Slices) -> str:
    """Return the statement for the sums of every slice and unit: the one pass over the judgments."""
    sets = ", ".join(f"(unit, {name})" for name in slices.columns)
    counts = ", ".join(f"count(*) FILTER (level = {level})::INTEGER AS c{level}" for level in range(LEVELS))
    # Slice -1 means none; `coalesce` finds the column that a grouping set uses.
    number = f"coalesce({', '.join([*slices.columns, str(ALL)])})"
    return f"""
        CREATE OR REPLACE TEMPORARY TABLE units AS
        SELECT {number} AS slice, unit, count(*)::DOUBLE AS m, sum(value) AS s, sum(value * value) AS q, {counts},
          count(*) FILTER (simulated)::INTEGER AS simulated, sum(hash)::HUGEINT AS hash,
          count(*) FILTER (value = 0)::INTEGER AS at_0, count(*) FILTER (value = 0.5)::INTEGER AS at_half,
          count(*) FILTER (value = 1)::INTEGER AS at_1,
          count(*) FILTER (abs(value * 20 - round(value * 20)) < 1e-6)::INTEGER AS at_twentieths
        FROM {SELECTED}
        GROUP BY GROUPING SETS ((unit){", " + sets if sets else ""})
        HAVING {number} >= 0
    """


def moments_sql(columns: Sequence[str], condition: str = "true") -> str:
    """Return SQL for n, mean_i and cov_i_j (i <= j) over the rows that meet a condition."""
    only = f"FILTER ({condition})"
    parts = [f"count(*) {only} AS n"]
    parts += [f"avg({one}) {only} AS mean_{i}" for i, one in enumerate(columns)]
    parts += [
        f"covar_pop({one}, {other}) {only} AS cov_{i}_{j}"
        for i, one in enumerate(columns)
        for j, other in enumerate(columns)
        if i <= j
    ]
    return ", ".join(parts)


def slices_sql() -> str:
    """Return a query for the counts of each slice, the moments of `UNIT_COLUMNS`, and figures that are plain means."""
    return f"""
        SELECT slice, {moments_sql(resample.UNIT_COLUMNS, "m >= 2")},
          median(m) FILTER (m >= 2) AS median_judgments,
          avg(sqrt(greatest(q - s * s / m, 0) / (m - 1))) FILTER (m >= 2) AS within_proposition_sd,
          count(*) AS n_propositions, sum(m)::BIGINT AS n_judgments, sum(simulated)::BIGINT AS n_simulated,
          sum(hash)::VARCHAR AS fingerprint, sum(at_0) / sum(m) AS share_at_0, sum(at_half) / sum(m) AS share_at_half,
          sum(at_1) / sum(m) AS share_at_1, sum(at_twentieths) / sum(m) AS share_at_twentieths
        FROM units GROUP BY slice
    """


def annotators_sql(slices: Slices) -> str:
    """Return a query for the known annotators of each slice and their correlations with the mean of the others."""
    numbers = ", ".join([str(ALL), *slices.columns])
    # A correlation needs only sums of its own annotator, so one grouping serves all slices.
    return f"""
        WITH placed AS (
          SELECT unit, annotator, value, known, unnest([{numbers}]) AS slice FROM {SELECTED}
        ), compared AS (
          SELECT p.slice, p.annotator, p.known, p.unit, p.value, (u.s - p.value) / nullif(u.m - 1, 0) AS rest
          FROM placed p JOIN units u ON u.slice = p.slice AND u.unit = p.unit
        ), annotators AS (
          SELECT slice, annotator, known,
            CASE
              WHEN known AND count(rest) >= {COMPARED} AND count(DISTINCT unit) FILTER (rest IS NOT NULL) >= {COMPARED}
                AND var_pop(value) FILTER (rest IS NOT NULL) > 1e-12 AND var_pop(rest) > 1e-12
              THEN corr(value, rest)
            END AS r
          FROM compared GROUP BY slice, annotator, known
        )
        SELECT slice, count(*) FILTER (known) AS n_annotators,
          avg(r) AS leave_one_out_r_mean, median(r) AS leave_one_out_r_median,
          CASE WHEN count(r) > 0 THEN count(*) FILTER (r < 0)::DOUBLE END AS leave_one_out_r_negative
        FROM annotators GROUP BY slice
    """


def levels_sql() -> str:
    """Return a query for ordinal and nominal alpha of each slice, from the counts of levels in each unit.

    Nominal: D_o = (1/N) sum (m^2 - sum_c n_uc^2) / (m - 1), D_e = (N^2 - sum_c n_c^2) / (N (N - 1)). Ordinal: the
    distance of two levels is that of their mean ranks R_c = sum_{g<c} n_g + n_c / 2, so it is interval alpha of these.
    (Krippendorff 2011.)
    """
    levels = range(LEVELS)
    totals = ", ".join(f"sum(c{c})::DOUBLE AS n{c}" for c in levels)
    ranks = ", ".join(f"{' + '.join([*(f'n{g}' for g in range(c)), f'n{c} / 2'])} AS r{c}" for c in levels)
    squares = " + ".join(f"c{c} * c{c}" for c in levels)
    all_squares = " + ".join(f"n{c} * n{c}" for c in levels)
    s, q = (" + ".join(f"c{c} * {term.format(c)}" for c in levels) for term in ("r{0}", "r{0} * r{0}"))
    return f"""
        WITH pairable AS (
          SELECT * FROM units WHERE m >= 2
        ), totals AS (
          SELECT slice, sum(m) AS n, {totals} FROM pairable GROUP BY slice
        ), ranked AS (
          SELECT slice, n, {all_squares} AS squares, {ranks} FROM totals
        ), unit_sums AS (
          SELECT u.slice, t.n, t.squares, u.m, (u.m * u.m - ({squares})) / (u.m - 1) AS nominal, {s} AS s, {q} AS q
          FROM pairable u JOIN ranked t ON t.slice = u.slice
        ), slice_sums AS (
          SELECT slice, n, squares, sum(nominal) AS nominal, sum(2 * (m * q - s * s) / (m - 1)) AS d,
            sum(s) AS s, sum(q) AS q
          FROM unit_sums GROUP BY slice, n, squares
        )
        SELECT slice, 1 - (nominal / n) / nullif((n * n - squares) / (n * (n - 1)), 0) AS nominal_alpha,
          1 - (d / n) / nullif(2 * (n * q - s * s) / (n * (n - 1)), 0) AS ordinal_alpha
        FROM slice_sums
    """


def compared_sql() -> str:
    """Return a query for the moments of estimates and mean judgments, by labeler, version and slice."""
    return f"""
        WITH annotators AS (
          SELECT c.labeler, c.labeler_version, coalesce('kind=' || c.kind, 'all') AS slice,
            count(DISTINCT s.annotator) FILTER (s.known) AS n_annotators
          FROM compared c JOIN {SELECTED} s ON s.unit = c.unit
          GROUP BY GROUPING SETS ((c.labeler, c.labeler_version), (c.labeler, c.labeler_version, c.kind))
        ), sums AS (
          SELECT labeler, labeler_version, coalesce('kind=' || kind, 'all') AS slice,
            {moments_sql(resample.PAIR_COLUMNS)}, count(*) AS n_propositions, sum(m)::BIGINT AS n_judgments,
            sum(simulated)::BIGINT AS n_simulated, sum(hash::HUGEINT)::VARCHAR AS fingerprint
          FROM compared
          GROUP BY GROUPING SETS ((labeler, labeler_version), (labeler, labeler_version, kind))
        )
        SELECT * FROM sums JOIN annotators USING (labeler, labeler_version, slice) ORDER BY ALL
        """
