"""Made-up warehouses for the benchmarks: tables of a real DuckLake, filled by SQL, with ids like those of real rows."""

from __future__ import annotations

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.schema import arrow_schema, sql_type
from warehouse.records import Judgment

ROWS_AT_ONCE = 5_000_000
PROPOSITION_ID = "substr(md5('p' || {0}), 1, 24)"
ANNOTATOR_ID = "substr(md5('a' || {0}), 1, 24)"


def fill(warehouse: Warehouse, judgments: int, each: int = 5, annotators: int = 10_000) -> None:
    """Fill an empty warehouse with continuous judgments, `each` of them a proposition, and what they need.

    A judgment is the proposition's probability plus an error whose size depends on the annotator, cut to [0, 1].
    No annotator judges a proposition twice, and the judgments of a proposition are spread over the whole table, as they
    are where every annotator goes through all propositions.
    """
    propositions = judgments // each
    run = warehouse.connection.execute
    run("SELECT setseed(0.5)")
    run(
        f"""
        INSERT INTO annotators BY NAME
        SELECT {ANNOTATOR_ID.format("i")} AS annotator_id, 'simulated' AS kind, 'benchmark' AS source,
          i::VARCHAR AS source_id, 'active' AS status, now() AS created_at
        FROM range({annotators}) t(i)
        """
    )
    run(
        f"""
        INSERT INTO premises BY NAME
        SELECT substr(md5('m' || i), 1, 24) AS premise_id, 'premise number ' || i AS text, 'benchmark' AS source,
          'en' AS language, now() AS created_at
        FROM range({propositions}) t(i)
        """
    )
    run(
        f"""
        INSERT INTO propositions BY NAME
        SELECT {PROPOSITION_ID.format("i")} AS proposition_id, substr(md5('m' || i), 1, 24) AS premise_id,
          'hypothesis number ' || i AS hypothesis, 'imported' AS kind, 'benchmark' AS source,
          CASE WHEN i % 10 < 7 THEN 'train' WHEN i % 10 = 7 THEN 'dev' ELSE 'test' END AS split, now() AS created_at
        FROM range({propositions}) t(i)
        """
    )
    for start in range(0, judgments, ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, judgments)
        run(judgments_sql("INSERT INTO judgments BY NAME", start, end, propositions, annotators))


def judgments_sql(into: str, start: int, end: int, propositions: int, annotators: int) -> str:
    """Rows of the table `judgments` with the numbers from `start` to `end`; `into` says what to do with them.

    Judgment i is round i // propositions of the proposition i % propositions.
    """
    return f"""
        {into}
        SELECT
          substr(md5('j' || i), 1, 24) AS judgment_id, {PROPOSITION_ID.format("proposition")} AS proposition_id,
          {ANNOTATOR_ID.format("annotator")} AS annotator_id,
          greatest(0, least(1, truth + (.05 + .2 * (annotator % 10) / 9) * 2 * (random() + random() - 1)))
            AS probability,
          false AS cannot_judge, 'benchmark' AS source, i::VARCHAR AS source_id, i AS sequence, 'submitted' AS status,
          TIMESTAMPTZ '2026-01-01' + to_seconds(i // 2) AS submitted_at, now() AS created_at
        FROM (
          SELECT i, i % {propositions} AS proposition, (proposition * 7919 + i // {propositions} * 31) % {annotators}
            AS annotator, (hash(proposition) % 1000000) / 1e6 AS truth
          FROM range({start}, {end}) t(i)
        )
    """


def staged_sql(start: int, end: int, propositions: int, annotators: int = 10_000) -> str:
    """A query for whole rows of the table `judgments`, in the order of the record's fields."""
    columns = ", ".join(arrow_schema(Judgment).names)
    made = judgments_sql("", start, end, propositions, annotators)
    missing = ", ".join(
        f"NULL::{sql_type(field.type)} AS {field.name}"
        for field in arrow_schema(Judgment)
        if f"AS {field.name}" not in made
    )
    return f"SELECT {columns} FROM (SELECT *, {missing} FROM ({made}))"
