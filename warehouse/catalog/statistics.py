"""Statistics of tables that never had a row, which make queries on them several times faster to plan."""

from __future__ import annotations

from warehouse.catalog.opened import CATALOG, Warehouse

WITHOUT = f"""
    SELECT table_name FROM {CATALOG}.ducklake_table t WHERE end_snapshot IS NULL AND NOT EXISTS
    (SELECT 1 FROM {CATALOG}.ducklake_table_stats s WHERE s.table_id = t.table_id)
"""
FILLING = {"TIMESTAMP WITH TIME ZONE": "now()"}
"""What stands in a column that is never NULL, by type; for the other types a text that can be cast to them."""


def give_statistics(warehouse: Warehouse) -> None:
    """Give statistics to each table that has none. No snapshot ever shows a row of it.

    DuckLake 1.0 asks the catalog for the statistics of a table once per column and query as long as there are none,
    2 ms each (github.com/duckdb/ducklake/pull/1313 mends that). It writes them with the first row, and keeps them if
    the same transaction deletes that row.
    """
    for (table,) in warehouse.rows(WITHOUT):
        columns = warehouse.rows(f'SELECT column_type, "null" FROM (DESCRIBE {table})')
        row = ", ".join("NULL" if null == "YES" else _filling(kind) for kind, null in columns)
        warehouse.connection.execute(f"INSERT INTO {table} VALUES ({row})")
        warehouse.connection.execute(f"DELETE FROM {table}")


def _filling(kind: str) -> str:
    return FILLING.get(kind, f"'{'[]' if kind.endswith('[]') else '0'}'::{kind}")
